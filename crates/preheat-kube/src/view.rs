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
    /// Each replica's address and what it waits for.
    pub(crate) pods: BTreeMap<ReplicaId, (Option<String>, Option<String>)>,
    /// What is announced.
    pub(crate) scheduled: Vec<ScheduledStatus>,
}

/// A view that can be read while the loop goes on.
pub(crate) type SharedView = Arc<Mutex<PoolView>>;

impl PoolView {
    /// `None` before the first decision.
    pub(crate) fn status(&self) -> Option<PoolStatus> {
        let mut status = self.controller.as_ref()?.status();
        status.scheduled.clone_from(&self.scheduled);
        for replica in &mut status.replicas {
            if let Some((address, waiting)) = self.pods.get(&replica.id) {
                replica.address.clone_from(address);
                replica.last_error.clone_from(waiting);
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
) -> (ReplicaId, (Option<String>, Option<String>)) {
    let pod: Option<&SeenPod> = replica.pod.as_ref();
    let address = pod.and_then(|pod| pod.address);
    let address = address.map(|address| SocketAddr::new(address, port).to_string());
    (replica.observation.id, (address, pod.and_then(|pod| pod.waiting.clone()).or(trouble)))
}
