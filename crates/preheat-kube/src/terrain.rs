//! The nodes as one pool sees them at a tick: what its pods' nodes hold, and where the next may land.
//!
//! **Invariant:** nothing here asks the apiserver or decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use preheat_core::MachineState;

use crate::nodes::{Taken, Wants, WeightsSeen, admits, has_label, holds_image, landing};
use crate::pods::{PodNode, made_at, node_of};

/// What one pool's pods want, and what there is for them.
pub(crate) struct Terrain<'a> {
    nodes: BTreeMap<&'a str, &'a Node>,
    wants: Wants,
    weights_label: Option<&'a str>,
}

impl<'a> Terrain<'a> {
    /// For pods like the newest of these, on slimmed nodes; `container` is the engine's, where it is not the first.
    pub(crate) fn of(
        nodes: &'a [Arc<Node>],
        pods: &[Arc<Pod>],
        container: Option<&str>,
        weights_label: Option<&'a str>,
    ) -> Self {
        let named = nodes.iter().filter_map(|node| Some((node.metadata.name.as_deref()?, &**node)));
        let newest = pods.iter().max_by_key(|pod| made_at(&pod.metadata));
        let wants = newest.map(|pod| Wants::of(pod, container)).unwrap_or_default();
        Self { nodes: named.collect(), wants, weights_label }
    }

    /// Takes nodes on which something has changed out of what has been seen of weights.
    pub(crate) fn keep(&self, seen: &mut WeightsSeen) {
        // Before the nodes have been listed, all that is remembered may be true.
        if !self.nodes.is_empty() {
            seen.keep(|name| self.nodes.get(name).copied());
        }
    }

    /// The node of a pod.
    pub(crate) fn under(&self, pod: &Pod, seen: &WeightsSeen) -> PodNode {
        let node = node_of(pod).and_then(|name| self.nodes.get(name));
        let Some(node) = node else { return PodNode::default() };
        PodNode { made_at: made_at(&node.metadata), machine: self.holds(node, seen) }
    }

    /// What the nodes hold on which the next pod may land; empty where nobody knows.
    pub(crate) fn landing(&self, taken: Option<&Taken>, seen: &WeightsSeen) -> Vec<MachineState> {
        if self.wants.image.is_none() {
            // There is no pod that tells what pods want.
            return Vec::new();
        }
        let nodes = self.nodes.values().copied();
        landing(&self.wants, nodes, taken, |node| self.holds(node, seen))
    }

    /// Nodes of which such pods take any, whether or not one has room now, and what they hold.
    pub(crate) fn places(&self, seen: &WeightsSeen) -> Vec<(&'a str, MachineState)> {
        let admitting = self.nodes.iter().filter(|(_, node)| admits(node, &self.wants));
        admitting.map(|(name, node)| (*name, self.holds(node, seen))).collect()
    }

    /// What a node holds of what such pods need.
    pub(crate) fn holds(&self, node: &Node, seen: &WeightsSeen) -> MachineState {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let weights =
            self.weights_label.map_or_else(|| seen.has(name), |label| has_label(node, label));
        let image = self.wants.image.as_deref().and_then(|image| holds_image(node, image));
        MachineState { image, weights: Some(weights) }
    }
}
