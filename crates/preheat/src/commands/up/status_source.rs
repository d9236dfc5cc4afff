//! Puts together what the admin server tells: controllers know what was decided, the world what runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use preheat_api::config::{LocalConfig, PoolConfig};
use preheat_api::schedule::Schedules;
use preheat_api::status::{
    ClockStatus, GatewayTotals, PoolStatus, ReplicaStatus, ScheduledStatus, Status,
};
use preheat_core::{Instant, ReplicaPhase};
use preheat_gateway::GatewayStats;
use preheat_local::{LocalWorld, ReplicaProcess};
use preheat_runtime::clock::Clock;
use preheat_runtime::controller::set_replicas;
use preheat_runtime::journal::Journal;
use preheat_web::StatusSource;

use super::pool_loop::{PoolLoop, SharedController};

/// Where a status is put together from.
pub(super) struct StatusParts {
    clock: Clock,
    started_at: Instant,
    journal: Journal,
    /// Weak, so that a status being served never keeps the world from being shut down.
    world: std::sync::Weak<LocalWorld>,
    controllers: Vec<SharedController>,
    gateway: Arc<GatewayStats>,
    model_names: BTreeMap<String, Vec<String>>,
    schedules: BTreeMap<String, Schedules>,
}

impl StatusParts {
    pub(super) fn new(
        config: &LocalConfig,
        clock: &Clock,
        journal: &Journal,
        world: &Arc<LocalWorld>,
        loops: &[PoolLoop],
        gateway: Arc<GatewayStats>,
    ) -> Self {
        let names = |pool: &PoolConfig| (pool.name.clone(), pool.model_names.clone());
        let schedules = |pool: &PoolConfig| (pool.name.clone(), pool.schedules.clone());
        Self {
            clock: clock.clone(),
            started_at: clock.now(),
            journal: journal.clone(),
            world: Arc::downgrade(world),
            controllers: loops.iter().map(PoolLoop::controller).collect(),
            gateway,
            model_names: config.pools.iter().map(names).collect(),
            schedules: config.pools.iter().map(schedules).collect(),
        }
    }

    pub(super) fn source(self) -> StatusSource {
        Arc::new(move || self.status())
    }

    fn status(&self) -> Status {
        let now = self.clock.now();
        let mut pools: Vec<PoolStatus> =
            self.controllers.iter().map(|controller| controller.lock().status()).collect();
        // Asked last, so that it is never older than the ticks. Where there is no world any more,
        // the replicas stay those of the last tick.
        let world = self.world.upgrade().map(|world| world.status());
        let mut processes = world.map(|world| world.replicas);
        for pool in &mut pools {
            pool.model_names = self.model_names.get(&pool.pool).cloned().unwrap_or_default();
            let upcoming = self.schedules.get(&pool.pool).map(|schedules| schedules.upcoming(now));
            let upcoming = upcoming.unwrap_or_default().into_iter();
            pool.scheduled = upcoming.map(ScheduledStatus::from).collect();
            if let Some(processes) = &mut processes {
                let (mine, rest) =
                    processes.drain(..).partition(|process| process.pool.0 == pool.pool);
                *processes = rest;
                set_processes(pool, mine);
            }
        }
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.since(self.started_at).as_secs_f64(),
            clock: ClockStatus { scale: self.clock.anchor().scale.get(), now },
            journal: Some(self.journal.health()),
            gateway: Some(gateway_totals(&self.gateway)),
            pools,
        }
    }
}

fn gateway_totals(stats: &GatewayStats) -> GatewayTotals {
    let totals = stats.totals();
    GatewayTotals {
        connections: totals.connections,
        unroutable: totals.unroutable,
        cancelled: totals.cancelled,
        retries_connect: totals.retries_connect,
        retries_closed: totals.retries_closed,
        retries_refused: totals.retries_refused,
    }
}

/// The world is newer than the last tick: it says which replicas there are and in which phase, and
/// the pool's counts are of these. What their engines told is the last tick's.
fn set_processes(pool: &mut PoolStatus, processes: Vec<ReplicaProcess>) {
    let mut observed: BTreeMap<_, _> = std::mem::take(&mut pool.replicas)
        .into_iter()
        .map(|replica| (replica.id, replica))
        .collect();
    let replica = |process: ReplicaProcess| -> (ReplicaPhase, ReplicaStatus) {
        let seen = observed.remove(&process.id);
        let replica = ReplicaStatus {
            id: process.id,
            phase: process.phase.name().to_owned(),
            phase_age_s: process.phase_age.as_secs_f64(),
            in_flight: seen.as_ref().and_then(|seen| seen.in_flight),
            queue_depth: seen.as_ref().and_then(|seen| seen.queue_depth),
            outstanding: process.outstanding,
            kv_utilization: seen.as_ref().and_then(|seen| seen.kv_utilization),
            capacity: seen.as_ref().and_then(|seen| seen.capacity),
            node: None,
            address: process.address.map(|address| address.to_string()),
            pid: process.pid,
            restarts: process.restarts,
            last_error: process.last_error,
        };
        (process.phase, replica)
    };
    set_replicas(pool, processes.into_iter().map(replica));
}
