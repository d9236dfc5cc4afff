//! The world as the control loop sees it: observe, apply, shut down.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use preheat_api::config::{LocalConfig, PoolConfig};
use preheat_core::{Action, ReplicaId};
use preheat_runtime::clock::Clock;
use preheat_runtime::probe::Prober;
use preheat_runtime::routing::{PoolId, RoutingSender};
use preheat_runtime::scrape::{ScrapeConfig, Scraper, SignalStore};
use preheat_runtime::traffic_meter::PoolMeter;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::adopt;
use crate::placement::GpuSlots;
use crate::process::Process;
use crate::procfs;
use crate::state_dir::StateDir;
use crate::status::{self, WorldStatus};
use crate::supervise::{Shared, Supervisor, blocking};
use crate::table::{ActionRefused, Inner, PoolEntry, PoolObservation, Table};

/// Bounds of the time that a scrape may take, in wall time; between them, half a tick.
const SCRAPE_TIMEOUT_RANGE: (Duration, Duration) =
    (Duration::from_millis(250), Duration::from_secs(1));
/// Between two looks at whether requests are left, during a shutdown.
const DRAIN_INTERVAL: Duration = Duration::from_millis(50);

/// What a world needs beyond its configuration.
#[derive(Clone, Debug, Default)]
pub struct WorldOptions {
    /// How this binary runs its emulated engine: a program and its first arguments. Flags as in
    /// `preheat engine --help` follow.
    pub emulated_program: Vec<String>,
}

/// What becomes of the engines when preheat ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownMode {
    /// Requests that are under way or held may finish, then engines are stopped.
    Drain,
    /// Engines are stopped at once.
    Now,
    /// Engines go on; the next preheat on this state directory adopts them.
    LeaveRunning,
}

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Requests that were still under way or held when their engines were stopped.
    pub requests_abandoned: u32,
}

/// A pool that is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no pool `{0}`")]
pub struct UnknownPool(pub PoolId);

/// Engine processes on this machine. Dropping it leaves them running, as a killed preheat does.
#[derive(Debug)]
pub struct LocalWorld {
    shared: Arc<Shared>,
    pools: BTreeMap<PoolId, PoolSignals>,
    retire_now: watch::Sender<bool>,
    /// Every supervisor; aborted when dropped.
    tasks: Mutex<JoinSet<()>>,
    /// Here and not with the tasks, so that the lock is let go when the world is.
    _state: StateDir,
}

#[derive(Debug)]
struct PoolSignals {
    meter: Arc<PoolMeter>,
    scraper: Scraper,
    signals: Mutex<SignalStore>,
}

impl LocalWorld {
    /// Adopts what an earlier preheat left running, and publishes the routes to it. Takes at most
    /// one readiness probe's timeout.
    pub async fn start(
        config: &LocalConfig,
        state: StateDir,
        clock: Clock,
        routing: RoutingSender,
        options: WorldOptions,
    ) -> Self {
        let files = state.files();
        let boot_id = procfs::boot_id();
        let (reader, boot) = (Arc::clone(&files), boot_id.clone());
        let pool_ids: Vec<PoolId> = config.pools.iter().map(id_of).collect();
        let read = blocking(move || {
            let found = adopt::leftovers(&reader, &boot);
            let next = pool_ids.into_iter().map(|id| (reader.next_replica(&id), id));
            (found, next.map(|(next, id)| (id, next)).collect::<BTreeMap<PoolId, u64>>())
        });
        let (found, next_replicas) = read.await.unwrap_or_default();
        let (mut adopted, retired) = adopt::sort(found, &config.pools);
        let prober = Prober::new();
        adopt::probe_ready(&mut adopted, &config.pools, &prober, clock.now()).await;

        let mut inner = empty_table(config, &next_replicas);
        let now = clock.now();
        for leftover in adopted.iter().chain(&retired) {
            if let Some(entry) = inner.pools.get_mut(&leftover.record.pool) {
                entry.next_replica = entry.next_replica.max(leftover.record.replica.0 + 1);
            }
        }
        adopted.iter().for_each(|leftover| adopt::insert(&mut inner, &leftover.record, now));
        retired.iter().for_each(|leftover| adopt::announce(&mut inner, &leftover.record));
        let pools = signals(config, &inner, &clock);
        let table = Table::new(inner, routing, clock.clone());
        table.publish(&table.lock());
        let emulated_program = options.emulated_program;
        let shared = Shared { table, state: files, clock, prober, emulated_program, boot_id };
        let world = Self {
            shared: Arc::new(shared),
            _state: state,
            pools,
            retire_now: watch::Sender::new(false),
            tasks: Mutex::default(),
        };
        for leftover in adopted {
            let (record, process) = (leftover.record, leftover.process);
            tracing::info!(pool = %record.pool, replica = %record.replica, "adopted");
            world.supervise(&record.pool, record.replica, Some(process));
        }
        for leftover in retired {
            let pool = config.pools.iter().find(|pool| pool.name == leftover.record.pool.0);
            let (shared, at_once) = (Arc::clone(&world.shared), world.retire_now.subscribe());
            world.spawn(adopt::retire(shared, leftover, pool.cloned(), at_once));
        }
        world
    }

    /// The meter that the gateway and the control loop share for a pool.
    pub fn meter(&self, pool: &PoolId) -> Option<Arc<PoolMeter>> {
        self.pools.get(pool).map(|signals| Arc::clone(&signals.meter))
    }

    /// Scrapes the pool's engines, all at once, and tells what exists. Takes at most one scrape
    /// timeout; an engine that doesn't answer keeps the samples of its last answer, which grow old.
    ///
    /// # Errors
    /// When there is no such pool.
    pub async fn observe(&self, pool: &PoolId) -> Result<PoolObservation, UnknownPool> {
        let unknown = || UnknownPool(pool.clone());
        let signals = self.pools.get(pool).ok_or_else(unknown)?;
        let targets = self.shared.table.scrape_targets(pool);
        let answers = signals.scraper.scrape(&self.shared.clock, &targets).await;
        let mut store = signals.signals.lock().unwrap_or_else(PoisonError::into_inner);
        // An engine that is not serving any more starts its signals afresh when it does again.
        store.retain(|id| targets.iter().any(|target| target.id == id));
        store.record_all(answers);
        for (replica, trouble) in store.new_troubles() {
            tracing::warn!(%pool, %replica, "{trouble}");
        }
        // Phases are read after the scrape, which took its time.
        let mut replicas = self.shared.table.observe(pool).ok_or_else(unknown)?;
        for replica in &mut replicas {
            store.fill(replica);
        }
        drop(store);
        Ok(PoolObservation { replicas, replicas_placeable: self.shared.table.placeable(pool) })
    }

    /// Carries out a plan, in order. Returns once routes are changed and orders are given; what the
    /// engines make of them shows in later observations. An action that came too late is refused,
    /// and the others are carried out.
    ///
    /// # Errors
    /// When there is no such pool.
    pub async fn apply(
        &self,
        pool: &PoolId,
        actions: &[Action],
    ) -> Result<Vec<ActionRefused>, UnknownPool> {
        if !self.pools.contains_key(pool) {
            return Err(UnknownPool(pool.clone()));
        }
        let mut refused = Vec::new();
        for action in actions {
            if let Action::Start { count } = *action {
                self.start_replicas(pool, count).await;
            } else if let Err(refusal) = self.shared.table.direct(pool, *action) {
                tracing::warn!(%pool, %refusal, ?action, "action refused");
                refused.push(refusal);
            }
        }
        Ok(refused)
    }

    async fn start_replicas(&self, pool: &PoolId, count: u32) {
        let (replicas, next_replica) = self.shared.table.order(pool, count);
        // Before any of them exists, so that a number is never given twice.
        let (state, pool_id) = (Arc::clone(&self.shared.state), pool.clone());
        blocking(move || state.write_next_replica(&pool_id, next_replica)).await;
        for replica in replicas {
            self.supervise(pool, replica, None);
        }
    }

    /// What `preheat status` shows of processes.
    pub fn status(&self) -> WorldStatus {
        let shared = &self.shared;
        let mut status = status::snapshot(&shared.table.lock(), &shared.state, &shared.clock);
        for replica in &mut status.replicas {
            let Some(pool) = self.pools.get(&replica.pool) else { continue };
            let store = pool.signals.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(signals) = store.get(replica.id) else { continue };
            replica.in_flight = signals.last().and_then(|scrape| scrape.value.running);
            let trouble = signals.trouble().map(str::to_owned);
            // What is wrong now comes before what was wrong when it crashed.
            replica.last_error = trouble.or_else(|| replica.last_error.take());
        }
        status
    }

    /// Ends the world. The caller has told its gateway to accept nothing new. `drain_max` is model
    /// time, and only bounds the waiting for requests: engines then get their shutdown timeout.
    pub async fn shutdown(self, drain_max: Duration, mode: ShutdownMode) -> ShutdownReport {
        if mode == ShutdownMode::LeaveRunning {
            return ShutdownReport::default();
        }
        if mode == ShutdownMode::Drain {
            let wall = self.shared.clock.to_wall(drain_max);
            // Running out of time is answered by the report.
            let _ = tokio::time::timeout(wall, self.until_drained()).await;
        }
        let requests_abandoned = self.requests_under_way();
        if requests_abandoned > 0 {
            tracing::warn!(requests_abandoned, "engines are stopped with requests in them");
        }
        self.shared.table.stop_all();
        self.retire_now.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
        ShutdownReport { requests_abandoned }
    }

    async fn until_drained(&self) {
        while self.requests_under_way() > 0 {
            tokio::time::sleep(DRAIN_INTERVAL).await;
        }
    }

    /// Requests given to engines, and requests still held for them.
    fn requests_under_way(&self) -> u32 {
        let replicas: Vec<(PoolId, ReplicaId)> = {
            let inner = self.shared.table.lock();
            let of_pool = |(pool, entry): (&PoolId, &PoolEntry)| {
                entry.replicas.keys().map(|&id| (pool.clone(), id)).collect::<Vec<_>>()
            };
            inner.pools.iter().flat_map(of_pool).collect()
        };
        let now = self.shared.clock.now();
        let outstanding = replicas.iter().filter_map(|(pool, id)| {
            let sample = self.pools.get(pool)?.meter.outstanding(*id, now)?;
            Some(sample.value)
        });
        let held = self.pools.values().map(|signals| signals.meter.totals().held);
        outstanding.chain(held).fold(0, u32::saturating_add)
    }

    fn supervise(&self, pool: &PoolId, replica: ReplicaId, adopted: Option<Process>) {
        if let Some(supervisor) = Supervisor::new(&self.shared, pool, replica) {
            self.spawn(supervisor.run(adopted));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget the tasks that have ended, or the set would grow with every start.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

fn id_of(pool: &PoolConfig) -> PoolId {
    PoolId(pool.name.clone())
}

fn empty_table(config: &LocalConfig, next_replicas: &BTreeMap<PoolId, u64>) -> Inner {
    let entry = |pool: &PoolConfig| {
        let id = id_of(pool);
        let next_replica = next_replicas.get(&id).copied().unwrap_or(0);
        (id, PoolEntry::new(pool.clone(), next_replica))
    };
    Inner {
        pools: config.pools.iter().map(entry).collect(),
        gpu_slots: GpuSlots::new(config.gpu_slots),
        retiring: Vec::new(),
    }
}

fn signals(config: &LocalConfig, inner: &Inner, clock: &Clock) -> BTreeMap<PoolId, PoolSignals> {
    let of_pool = |pool: &PoolConfig| {
        let id = id_of(pool);
        let meter = Arc::clone(&inner.pools.get(&id)?.meter);
        let (shortest, longest) = SCRAPE_TIMEOUT_RANGE;
        let half_tick = clock.to_wall(pool.policy.spec().tick_interval) / 2;
        let timeout = half_tick.clamp(shortest, longest);
        let scraper = Scraper::new(ScrapeConfig { timeout, ..ScrapeConfig::default() });
        Some((id, PoolSignals { meter, scraper, signals: Mutex::default() }))
    };
    config.pools.iter().filter_map(of_pool).collect()
}
