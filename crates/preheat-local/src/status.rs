//! What a local world says of its processes, for `preheat status` and the dashboard.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use preheat_core::{ReplicaId, ReplicaPhase};
use preheat_runtime::clock::Clock;
use preheat_runtime::routing::PoolId;
use serde::Serialize;

use crate::state_dir::StateFiles;
use crate::table::Inner;

/// Every process of a world.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WorldStatus {
    /// What could not be written down, if anything.
    pub warnings: Vec<String>,
    /// By pool, then id; replicas that are ending are among them.
    pub replicas: Vec<ReplicaProcess>,
    /// Processes of an earlier configuration that are on their way out.
    pub retiring: Vec<RetiringProcess>,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplicaProcess {
    /// Its pool.
    pub pool: PoolId,
    /// Which one.
    pub id: ReplicaId,
    /// Its phase; stopped while its process is ending.
    pub phase: ReplicaPhase,
    /// Model time in that phase.
    pub phase_age: Duration,
    /// Its process; absent while there is none.
    pub pid: Option<u32>,
    /// Where it listens, once it has a port.
    pub address: Option<SocketAddr>,
    /// GPUs it was given.
    pub gpus: Vec<u32>,
    /// How often it was restarted.
    pub restarts: u32,
    /// Requests holding a batch slot, as of the last scrape that was answered.
    pub in_flight: Option<u32>,
    /// Requests that the gateway gave to it and that have not ended.
    pub outstanding: Option<u32>,
    /// Why it is not ready, or why it last ended.
    pub last_error: Option<String>,
    /// What its engine writes.
    pub log_path: PathBuf,
}

/// A process whose pool is gone or whose command has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RetiringProcess {
    /// The pool it belonged to.
    pub pool: PoolId,
    /// Its id there.
    pub id: ReplicaId,
    /// Its process.
    pub pid: u32,
    /// Its port, still taken.
    pub port: u16,
}

pub(crate) fn snapshot(inner: &Inner, state: &StateFiles, clock: &Clock) -> WorldStatus {
    let now = clock.now();
    let mut replicas = Vec::new();
    for (pool, entry) in &inner.pools {
        replicas.extend(entry.replicas.iter().map(|(&id, replica)| ReplicaProcess {
            pool: pool.clone(),
            id,
            phase: replica.phase,
            phase_age: now.since(replica.phase_since),
            pid: replica.pid,
            address: replica.address(),
            gpus: replica.gpus.clone().unwrap_or_default(),
            restarts: replica.restarts,
            in_flight: None,
            outstanding: entry.meter.outstanding(id, now).map(|sample| sample.value),
            last_error: replica.unready.clone().or_else(|| replica.failure.clone()),
            log_path: state.log_path(pool, id),
        }));
    }
    let retiring = inner.retiring.iter().map(|process| RetiringProcess {
        pool: process.pool.clone(),
        id: process.replica,
        pid: process.pid,
        port: process.port,
    });
    WorldStatus { warnings: state.warnings().texts(), replicas, retiring: retiring.collect() }
}
