//! What one pool's loop keeps of nodes and of starts on them, from tick to tick.
//!
//! **Invariant:** nothing here asks the apiserver or decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use preheat_core::{Instant, MachineState, ReplicaPhase};

use crate::nodes::{Taken, WeightsSeen};
use crate::pods::{SeenPod, see};
use crate::resource::{InferenceAutoscalerStatus, Settings};
use crate::roster::Replica;
use crate::starts::StartRate;
use crate::terrain::Terrain;

/// Kept by one pool's loop.
pub(crate) struct Ground {
    /// Nodes that hold its weights, as far as it has seen.
    weights: WeightsSeen,
    starts: StartRate,
    /// Nodes as they were at the tick before.
    before: Vec<Arc<Node>>,
    /// What nodes held when pods that start came there, by uid.
    found: BTreeMap<String, MachineState>,
    /// What the nodes hold on which its next pod may land.
    pub(crate) placeable_on: Vec<MachineState>,
}

impl Ground {
    /// As the resource's status remembers it.
    pub(crate) fn restored(status: &InferenceAutoscalerStatus) -> Self {
        let weights = WeightsSeen::restored(&status.weights_nodes);
        Self {
            weights,
            starts: StartRate::default(),
            before: Vec::new(),
            found: BTreeMap::new(),
            placeable_on: Vec::new(),
        }
    }

    /// Reads pods as replicas on their nodes; `answering` are those whose engines told their metrics
    /// last time, by uid.
    pub(crate) fn see(
        &mut self,
        (nodes, taken): (&[Arc<Node>], Option<&Taken>),
        pods: &[Arc<Pod>],
        settings: &Settings,
        answering: &BTreeSet<String>,
        now: Instant,
    ) -> Vec<SeenPod> {
        let container = settings.engine.container.as_deref();
        let terrain = Terrain::of(nodes, pods, container, settings.weights_label.as_deref());
        terrain.keep(&mut self.weights);
        self.placeable_on = terrain.landing(taken, &self.weights);
        let seen = pods.iter().filter_map(|pod| {
            let answers = pod.metadata.uid.as_ref().is_some_and(|uid| answering.contains(uid));
            let mut seen = see(pod, container, answers, terrain.under(pod, &self.weights), now)?;
            if seen.phase.is_starting() && seen.restarts == 0 {
                seen.machine = self.machine_found(&terrain, &seen);
            }
            Some(seen)
        });
        let seen: Vec<SeenPod> = seen.collect();
        let is_there = |uid: &String| seen.iter().any(|pod| pod.uid == *uid);
        self.found.retain(|uid, _| is_there(uid));
        let starting = seen.iter().filter(|pod| pod.node.is_some() && pod.phase.is_starting());
        for pod in starting.filter(|pod| !pod.machine.is_unknown()) {
            self.found.entry(pod.uid.clone()).or_insert(pod.machine);
        }
        self.before = nodes.to_vec();
        seen
    }

    /// What a starting pod's node held when the pod came there: as it was at the tick before the pod
    /// was seen. Of one that is seen for the first time when its image is there already, nobody knows
    /// whether it was before.
    fn machine_found(&self, terrain: &Terrain<'_>, pod: &SeenPod) -> MachineState {
        if let Some(found) = self.found.get(&pod.uid) {
            return *found;
        }
        let pulls = matches!(
            pod.phase,
            ReplicaPhase::Pending | ReplicaPhase::Provisioning | ReplicaPhase::Pulling
        );
        let named = |node: &&Arc<Node>| node.metadata.name == pod.node;
        let before = self.before.iter().find(named);
        let before = before.and_then(|node| terrain.holds(node, &self.weights).image);
        MachineState { image: before.or(pod.machine.image.filter(|_| pulls)), ..pod.machine }
    }

    /// Takes in what the replicas are at a tick.
    pub(crate) fn learn(&mut self, replicas: &[Replica], now: Instant) {
        self.starts.take(replicas, now);
        let ready = replicas.iter().filter(|r| r.observation.phase == ReplicaPhase::Ready);
        for node in ready.filter_map(|replica| replica.pod.as_ref()?.node.as_deref()) {
            self.weights.insert(node);
        }
    }

    /// Nodes where a replica has been ready.
    pub(crate) fn weights_nodes(&self) -> Vec<String> {
        self.weights.names()
    }

    /// Starts that became ready, a day.
    pub(crate) fn starts_per_day(&self, now: Instant) -> Option<f64> {
        self.starts.per_day(now)
    }
}

#[cfg(test)]
mod tests;
