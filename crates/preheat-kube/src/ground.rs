//! What one pool's loop keeps of nodes and of starts on them, from tick to tick.
//!
//! **Invariant:** nothing here asks the apiserver or decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use preheat_core::{Instant, MachineState, ReplicaPhase};

use crate::engine_logs::EngineLogs;
use crate::events::PodEvents;
use crate::nodes::{Taken, WeightsSeen};
use crate::pods::{Beside, SeenPod, engine_name, see};
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
    /// What its engines' logs tell, where they are read.
    pub(crate) logs: EngineLogs,
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
            logs: EngineLogs::default(),
            placeable_on: Vec::new(),
        }
    }

    /// Reads pods with their events as replicas on their nodes; `answering` are those whose engines
    /// told their metrics last time, by uid.
    pub(crate) fn see(
        &mut self,
        (nodes, taken): (&[Arc<Node>], Option<&Taken>),
        (pods, events): (&[Arc<Pod>], &BTreeMap<String, Arc<PodEvents>>),
        settings: &Settings,
        answering: &BTreeSet<String>,
        now: Instant,
    ) -> Vec<SeenPod> {
        let container = settings.engine.container.as_deref();
        let terrain = Terrain::of(nodes, pods, container, settings.weights_label.as_deref());
        terrain.keep(&mut self.weights);
        self.placeable_on = terrain.landing(taken, &self.weights);
        let seen = pods.iter().filter_map(|pod| {
            let uid = pod.metadata.uid.as_ref()?;
            let beside = Beside {
                answers: answering.contains(uid),
                node: terrain.under(pod, &self.weights),
                events: events.get(uid).map(Arc::as_ref),
                weights_at: self.logs.weights_at(uid),
            };
            let mut seen = see(pod, container, &beside, now)?;
            if seen.phase.is_starting() && seen.restarts == 0 {
                let engine = engine_name(pod, container);
                let had_image = engine.zip(beside.events).and_then(|(name, e)| e.had_image(name));
                seen.machine = self.machine_found(&terrain, &seen, had_image);
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

    /// What a starting pod's node held when the pod came there: as it was at the tick before the pod was
    /// seen, or as the pod's events tell. Of one that is seen for the first time when its image is there already, nobody knows
    /// whether it was before.
    fn machine_found(
        &self,
        terrain: &Terrain<'_>,
        pod: &SeenPod,
        had_image: Option<bool>,
    ) -> MachineState {
        if let Some(found) = self.found.get(&pod.uid) {
            return MachineState { image: found.image.or(had_image), ..*found };
        }
        let pulls = matches!(
            pod.phase,
            ReplicaPhase::Pending | ReplicaPhase::Provisioning | ReplicaPhase::Pulling
        );
        let named = |node: &&Arc<Node>| node.metadata.name == pod.node;
        let before = self.before.iter().find(named);
        let before = before.and_then(|node| terrain.holds(node, &self.weights).image);
        let image = before.or(had_image).or(pod.machine.image.filter(|_| pulls));
        MachineState { image, ..pod.machine }
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
