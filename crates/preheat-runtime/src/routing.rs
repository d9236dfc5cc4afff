//! What a gateway needs to know to route: written by a world, read by the gateway.
//!
//! **Invariant:** a backend that is not listed gets nothing. A world takes a replica out of here
//! *before* it signals it, since a draining vLLM still answers 200 on `/health` and 500 to requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use preheat_core::ReplicaId;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::traffic_meter::{PoolMeter, ReplicaMeter};

/// Name of a pool, as in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PoolId(pub String);

impl std::fmt::Display for PoolId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to send requests, at one moment.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    /// Pools by the model names that clients ask for.
    pub pools_by_model: BTreeMap<String, Arc<PoolRoutes>>,
}

/// One pool's replicas that may be given requests.
#[derive(Clone, Debug)]
pub struct PoolRoutes {
    /// Which pool.
    pub pool: PoolId,
    /// Ready replicas; draining ones are left out.
    pub backends: Vec<Backend>,
    /// Where the gateway counts, and where it finds how many requests each replica has.
    pub meter: Arc<PoolMeter>,
}

/// One replica that may be given requests.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Which replica.
    pub replica: ReplicaId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the gateway counts what it gave to it.
    pub meter: Arc<ReplicaMeter>,
}

/// The reading end of a routing table.
pub type RoutingReceiver = watch::Receiver<Arc<RoutingTable>>;
/// The writing end.
pub type RoutingSender = watch::Sender<Arc<RoutingTable>>;

/// A new, empty routing table.
pub fn routing_channel() -> (RoutingSender, RoutingReceiver) {
    watch::channel(Arc::new(RoutingTable::default()))
}
