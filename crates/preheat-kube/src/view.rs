//! What a pool's loop leaves for others to read, while it goes on.
//!
//! **Invariant:** nothing here asks or decides.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use preheat_api::status::{PoolStatus, ScheduledStatus};
use preheat_core::ReplicaId;
use preheat_runtime::controller::Controller;

use crate::pods::SeenPod;
use crate::roster::Replica;

/// What the loop leaves for others to read.
#[derive(Debug, Default)]
pub(crate) struct PoolView {
    pub(crate) controller: Option<Controller>,
    /// What each replica's pod says beside its phase.
    pub(crate) pods: BTreeMap<ReplicaId, ShownPod>,
    /// What is announced.
    pub(crate) scheduled: Vec<ScheduledStatus>,
}

/// What a replica's pod says beside its phase.
#[derive(Debug, Default)]
pub(crate) struct ShownPod {
    address: Option<String>,
    node: Option<String>,
    /// What it waits for, or what is wrong with its metrics.
    waiting: Option<String>,
}

/// A view that can be read while the loop goes on.
pub(crate) type SharedView = Arc<Mutex<PoolView>>;

impl PoolView {
    /// `None` before the first decision.
    pub(crate) fn status(&self) -> Option<PoolStatus> {
        let mut status = self.controller.as_ref()?.status();
        status.scheduled.clone_from(&self.scheduled);
        for replica in &mut status.replicas {
            if let Some(pod) = self.pods.get(&replica.id) {
                replica.address.clone_from(&pod.address);
                replica.node.clone_from(&pod.node);
                replica.last_error.clone_from(&pod.waiting);
            }
        }
        Some(status)
    }
}

/// What a replica's pod says beside its phase; `trouble` is its metrics'.
pub(crate) fn shown(
    replica: &Replica,
    port: u16,
    trouble: Option<String>,
) -> (ReplicaId, ShownPod) {
    let pod: Option<&SeenPod> = replica.pod.as_ref();
    let address = pod.and_then(|pod| pod.address);
    let shown = ShownPod {
        address: address.map(|address| SocketAddr::new(address, port).to_string()),
        node: pod.and_then(|pod| pod.node.clone()),
        waiting: pod.and_then(|pod| pod.waiting.clone()).or(trouble),
    };
    (replica.observation.id, shown)
}
