//! What an earlier preheat left running: taken over, retired, or forgotten.
//!
//! **Invariant:** a process is only taken for ours when pid, start time and boot are as written
//! down; a pid alone may mean anything by now.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use preheat_api::config::PoolConfig;
use preheat_core::{Instant, ReplicaId, ReplicaPhase};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::probe::Prober;
use preheat_runtime::routing::PoolId;
use preheat_runtime::scrape::{ScrapeConfig, ScrapeTarget, Scraper};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::command;
use crate::process::Process;
use crate::record::ReplicaRecord;
use crate::state_dir::StateFiles;
use crate::supervise::{Shared, blocking};
use crate::table::{Inner, Replica, Retiring};

/// A pool that is no longer configured has no drain timeout; this is the default one.
const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);
/// The same for its shutdown timeout, in wall time.
const PATIENCE_DEFAULT: Duration = Duration::from_secs(32);
/// Between two looks at whether a retiring engine is empty, in wall time.
const EMPTY_INTERVAL: Duration = Duration::from_millis(500);

/// A process left by an earlier preheat.
pub(crate) struct Leftover {
    pub(crate) record: ReplicaRecord,
    pub(crate) process: Process,
    path: PathBuf,
}

/// Reads the records; removes those whose process is gone.
pub(crate) fn leftovers(state: &StateFiles, boot_id: &str) -> Vec<Leftover> {
    let mut found = Vec::new();
    for (path, record) in state.read_replicas() {
        let record = record.filter(|record| record.boot_id == boot_id);
        let process =
            record.as_ref().and_then(|record| Process::adopt(record.pid, record.start_ticks));
        match (record, process) {
            (Some(record), Some(process)) => found.push(Leftover { record, process, path }),
            (_, _) => state.remove(&path),
        }
    }
    found
}

/// Splits leftovers into those that this configuration would start the same way, and the rest.
pub(crate) fn sort(
    leftovers: Vec<Leftover>,
    pools: &[PoolConfig],
) -> (Vec<Leftover>, Vec<Leftover>) {
    leftovers.into_iter().partition(|leftover| {
        let pool = pools.iter().find(|pool| pool.name == leftover.record.pool.0);
        pool.is_some_and(|pool| command::digest(pool) == leftover.record.command_digest)
    })
}

/// Asks those that were ready whether they still are; one that doesn't say so has to become ready
/// again, counted from `now`: nobody ordered a start. Takes as long as the slowest probe.
pub(crate) async fn probe_ready(
    adopted: &mut [Leftover],
    pools: &[PoolConfig],
    prober: &Prober,
    now: Instant,
) {
    let mut probes = JoinSet::new();
    for (index, leftover) in adopted.iter().enumerate() {
        let pool = pools.iter().find(|pool| pool.name == leftover.record.pool.0);
        let Some(pool) = pool.filter(|_| leftover.record.phase == ReplicaPhase::Ready) else {
            continue;
        };
        let model = Shared::probed_model(pool).to_owned();
        let (prober, readiness) = (prober.clone(), pool.engine.readiness.clone());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, leftover.record.port));
        probes.spawn(async move {
            let (path, timeout) = (&readiness.path, readiness.timeout);
            (index, prober.lists_model(address, path, &model, timeout).await)
        });
    }
    while let Some(probed) = probes.join_next().await {
        if let Ok((index, Err(_))) = probed
            && let Some(leftover) = adopted.get_mut(index)
        {
            leftover.record.phase = ReplicaPhase::Warming;
            leftover.record.phase_since = now;
            leftover.record.start_ordered_at = now;
        }
    }
}

/// Puts an adopted replica into the table.
pub(crate) fn insert(inner: &mut Inner, record: &ReplicaRecord, now: Instant) {
    let Some(entry) = inner.pools.get_mut(&record.pool) else { return };
    let mut replica = Replica::new(record.phase, now);
    replica.phase_since = record.phase_since;
    replica.ready_since = record.phase_since;
    replica.start_ordered_at = record.start_ordered_at;
    replica.restarts = record.restarts;
    replica.pid = Some(record.pid);
    replica.port = Some(record.port);
    replica.gpus = Some(record.gpus.clone());
    // The gateway that gave it requests ended with its preheat, and its connections with it.
    let _ = entry.meter.replica(record.replica);
    entry.replicas.insert(record.replica, replica);
    inner.gpu_slots.hold(&record.gpus);
}

/// Announces a retiring process, so that its port and GPUs are not given away.
pub(crate) fn announce(inner: &mut Inner, record: &ReplicaRecord) {
    inner.gpu_slots.hold(&record.gpus);
    inner.retiring.push(Retiring {
        pool: record.pool.clone(),
        replica: record.replica,
        pid: record.pid,
        port: record.port,
        gpus: record.gpus.clone(),
    });
}

/// Ends a process that the configuration no longer knows: once it is empty, or its drain timeout
/// has passed, or everything must end.
pub(crate) async fn retire(
    shared: Arc<Shared>,
    mut leftover: Leftover,
    pool: Option<PoolConfig>,
    mut at_once: watch::Receiver<bool>,
) {
    let (pool_id, replica) = (leftover.record.pool.clone(), leftover.record.replica);
    tracing::info!(pool = %pool_id, %replica, "retiring an engine of another configuration");
    let drain = pool.as_ref().map_or(DRAIN_TIMEOUT_DEFAULT, |p| p.policy.spec().drain_timeout);
    let patience = pool.as_ref().map_or(PATIENCE_DEFAULT, |pool| shared.patience(pool));
    tokio::select! {
        _ = at_once.wait_for(|at_once| *at_once) => {}
        _ = leftover.process.exited() => {}
        () = until_empty(&shared, &leftover.record) => {}
        () = shared.clock.sleep(drain) => {}
    }
    leftover.process.terminate(patience).await;
    let (state, path) = (Arc::clone(&shared.state), leftover.path);
    blocking(move || state.remove(&path)).await;
    forget(&shared, &pool_id, replica, leftover.record.pid);
}

fn forget(shared: &Shared, pool: &PoolId, replica: ReplicaId, pid: u32) {
    let mut inner = shared.table.lock();
    let gone = |process: &Retiring| {
        process.pid == pid && process.pool == *pool && process.replica == replica
    };
    if let Some(index) = inner.retiring.iter().position(gone) {
        let process = inner.retiring.swap_remove(index);
        inner.gpu_slots.release(&process.gpus);
    }
}

/// Waits until the engine says that no request is in it. One that says nothing counts as empty:
/// nothing is routed to it, and whoever sent it requests before is gone.
async fn until_empty(shared: &Shared, record: &ReplicaRecord) {
    let scraper = Scraper::new(ScrapeConfig::default());
    let target = ScrapeTarget {
        id: record.replica,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, record.port)),
        path: record.metrics_path.as_str().into(),
        dialects: Dialects::of(&record.dialect),
    };
    loop {
        let answers = scraper.scrape(&shared.clock, std::slice::from_ref(&target)).await;
        let inside = answers.into_iter().find_map(|(_, answer)| {
            let seen = answer.ok()?.value;
            // One that tells half of it may have requests in it.
            let (running, waiting) = (seen.running.unwrap_or(1), seen.waiting.unwrap_or(1));
            Some(running.saturating_add(waiting))
        });
        if inside.unwrap_or(0) == 0 {
            return;
        }
        tokio::time::sleep(EMPTY_INTERVAL).await;
    }
}
