//! The one table of what exists: every pool's replicas, their phases, ports and GPUs.
//!
//! Orders and findings both become changes here, each under one lock, and each change that matters
//! to routing publishes a new routing table before the lock is let go.
//!
//! **Invariant:** the lock is never held over an await.
//!
//! **Invariant:** a replica that was ordered to stop never comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::config::PoolConfig;
use preheat_core::{Action, Concurrency, Instant, ReplicaId, ReplicaObservation, ReplicaPhase};
use preheat_runtime::clock::Clock;
use preheat_runtime::dialect::Dialects;
use preheat_runtime::routing::{Backend, PoolId, PoolRoutes, RoutingSender, RoutingTable};
use preheat_runtime::scrape::ScrapeTarget;
use preheat_runtime::traffic_meter::PoolMeter;
use tokio::sync::watch;

use crate::command;
use crate::placement::{self, GpuSlots};
use crate::process::{Process, SpawnError};

/// A world's part of a pool's observation.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolObservation {
    /// Sorted by id.
    pub replicas: Vec<ReplicaObservation>,
    /// Replicas for which there still are ports and GPUs.
    pub replicas_placeable: Option<u32>,
}

/// An action that the world as it is by now does not allow. The next observation shows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionRefused {
    /// It has ended since it was observed.
    #[error("replica {0} does not exist")]
    NoSuchReplica(ReplicaId),
    /// It is in another phase than the action is for.
    #[error("replica {replica} is {}", phase.name())]
    WrongPhase {
        /// Which one.
        replica: ReplicaId,
        /// The phase it is in.
        phase: ReplicaPhase,
    },
    /// Its pool has no sleep paths.
    #[error("replica {0} can't sleep: its pool has no `engine.sleep`")]
    CannotSleep(ReplicaId),
}

/// What a supervisor should bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Running and awake, whether routed to or draining.
    Serve,
    /// Running and asleep.
    Sleep,
    /// Gone.
    Stop,
}

/// What becomes of a replica whose engine ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterCrash {
    /// Started again after a back-off; it had been ready for so long.
    Restart { ready_for: Duration },
    /// Nobody wants it any more.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Table {
    inner: Mutex<Inner>,
    routing: RoutingSender,
    clock: Clock,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pools: BTreeMap<PoolId, PoolEntry>,
    pub(crate) gpu_slots: GpuSlots,
    /// Processes of an earlier configuration that are on their way out.
    pub(crate) retiring: Vec<Retiring>,
}

#[derive(Clone, Debug)]
pub(crate) struct Retiring {
    pub(crate) pool: PoolId,
    pub(crate) replica: ReplicaId,
    pub(crate) pid: u32,
    pub(crate) port: u16,
    pub(crate) gpus: Vec<u32>,
}

#[derive(Debug)]
pub(crate) struct PoolEntry {
    pub(crate) config: Arc<PoolConfig>,
    pub(crate) meter: Arc<PoolMeter>,
    pub(crate) next_replica: u64,
    pub(crate) replicas: BTreeMap<ReplicaId, Replica>,
    max_num_seqs: Option<Concurrency>,
}

/// A replica as far as others than its supervisor need to know.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) phase: ReplicaPhase,
    pub(crate) phase_since: Instant,
    /// When its last start or wake was over.
    pub(crate) ready_since: Instant,
    pub(crate) start_ordered_at: Instant,
    pub(crate) restarts: u32,
    pub(crate) pid: Option<u32>,
    pub(crate) port: Option<u16>,
    pub(crate) gpus: Option<Vec<u32>>,
    /// Why it last ended or could not be started.
    pub(crate) failure: Option<String>,
    /// Why it is not ready yet.
    pub(crate) unready: Option<String>,
    intent: watch::Sender<Intent>,
    /// Stopped, and reported so.
    stop_reported: bool,
}

impl Replica {
    pub(crate) fn new(phase: ReplicaPhase, now: Instant) -> Self {
        let intent = match phase {
            ReplicaPhase::Standby(_) => Intent::Sleep,
            ReplicaPhase::Stopped => Intent::Stop,
            ReplicaPhase::Pending
            | ReplicaPhase::Provisioning
            | ReplicaPhase::Pulling
            | ReplicaPhase::Loading
            | ReplicaPhase::Warming
            | ReplicaPhase::Ready
            | ReplicaPhase::Draining
            | ReplicaPhase::Waking(_) => Intent::Serve,
        };
        Self {
            phase,
            phase_since: now,
            ready_since: now,
            start_ordered_at: now,
            restarts: 0,
            pid: None,
            port: None,
            gpus: None,
            failure: None,
            unready: None,
            intent: watch::Sender::new(intent),
            stop_reported: false,
        }
    }

    pub(crate) fn intent(&self) -> watch::Receiver<Intent> {
        self.intent.subscribe()
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    fn enter(&mut self, phase: ReplicaPhase, now: Instant) {
        if self.phase == phase {
            return;
        }
        // One that gets its traffic back was not away.
        if phase == ReplicaPhase::Ready && self.phase != ReplicaPhase::Draining {
            self.ready_since = now;
        }
        (self.phase, self.phase_since) = (phase, now);
    }

    fn observation(&self, id: ReplicaId, pool: &PoolEntry, now: Instant) -> ReplicaObservation {
        ReplicaObservation {
            start_ordered_at: self.start_ordered_at,
            restarts: self.restarts,
            max_num_seqs: pool.max_num_seqs,
            outstanding: pool.meter.outstanding(id, now),
            ..ReplicaObservation::untold(id, self.phase, self.phase_since)
        }
    }
}

impl PoolEntry {
    pub(crate) fn new(config: PoolConfig, next_replica: u64) -> Self {
        Self {
            max_num_seqs: command::max_num_seqs(&config.engine.launch),
            meter: Arc::new(PoolMeter::new(config.policy.spec().slo.threshold)),
            config: Arc::new(config),
            next_replica,
            replicas: BTreeMap::new(),
        }
    }

    fn routes(&self, pool: &PoolId) -> PoolRoutes {
        let ready = self.replicas.iter().filter(|(_, r)| r.phase == ReplicaPhase::Ready);
        let backends = ready.filter_map(|(&id, replica)| {
            let address = replica.address()?;
            let meter = self.meter.replica(id);
            meter.set_ready_since(replica.ready_since);
            Some(Backend { replica: id, address, meter })
        });
        PoolRoutes {
            pool: pool.clone(),
            backends: backends.collect(),
            meter: Arc::clone(&self.meter),
        }
    }
}

impl Table {
    pub(crate) fn new(inner: Inner, routing: RoutingSender, clock: Clock) -> Self {
        Self { inner: Mutex::new(inner), routing, clock }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in one task must not take every other pool down with it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the gateway who may be given requests.
    pub(crate) fn publish(&self, inner: &Inner) {
        let mut table = RoutingTable::default();
        for (pool, entry) in &inner.pools {
            let routes = Arc::new(entry.routes(pool));
            for model in &entry.config.model_names {
                table.pools_by_model.insert(model.clone(), Arc::clone(&routes));
            }
        }
        self.routing.send_replace(Arc::new(table));
    }

    /// Adds replicas that have no process yet, and returns them and the next number after theirs.
    pub(crate) fn order(&self, pool: &PoolId, count: u32) -> (Vec<ReplicaId>, u64) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Some(entry) = inner.pools.get_mut(pool) else { return (Vec::new(), 0) };
        let first = entry.next_replica;
        entry.next_replica = first.saturating_add(u64::from(count));
        let ids: Vec<ReplicaId> = (first..entry.next_replica).map(ReplicaId).collect();
        let new = ids.iter().map(|&id| (id, Replica::new(ReplicaPhase::Pending, now)));
        entry.replicas.extend(new);
        (ids, entry.next_replica)
    }

    /// Carries out an action on a replica that exists, as far as the table goes.
    pub(crate) fn direct(&self, pool: &PoolId, action: Action) -> Result<(), ActionRefused> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let can_sleep =
            inner.pools.get(pool).is_some_and(|entry| entry.config.engine.sleep.is_some());
        let (id, replica) = match action {
            Action::Start { .. } => return Ok(()),
            Action::Wake { replica }
            | Action::Resume { replica }
            | Action::Drain { replica }
            | Action::Sleep { replica, .. }
            | Action::Stop { replica, .. } => (replica, inner.replica(pool, replica)),
        };
        let replica = replica.ok_or(ActionRefused::NoSuchReplica(id))?;
        let (phase, intent) = match (action, replica.phase) {
            (Action::Wake { .. }, ReplicaPhase::Standby(rung)) => {
                replica.start_ordered_at = now;
                (ReplicaPhase::Waking(rung), Intent::Serve)
            }
            (Action::Resume { .. }, ReplicaPhase::Draining) => (ReplicaPhase::Ready, Intent::Serve),
            (Action::Drain { .. }, ReplicaPhase::Ready) => (ReplicaPhase::Draining, Intent::Serve),
            (Action::Sleep { .. }, ReplicaPhase::Draining) if !can_sleep => {
                return Err(ActionRefused::CannotSleep(id));
            }
            (Action::Sleep { rung, .. }, ReplicaPhase::Draining) => {
                (ReplicaPhase::Standby(rung), Intent::Sleep)
            }
            (Action::Stop { .. }, phase) if phase != ReplicaPhase::Stopped => {
                (ReplicaPhase::Stopped, Intent::Stop)
            }
            (_, phase) => return Err(ActionRefused::WrongPhase { replica: id, phase }),
        };
        replica.enter(phase, now);
        self.publish(&inner);
        // Only once the routes are published may the supervisor act.
        if let Some(replica) = inner.replica(pool, id) {
            replica.intent.send_replace(intent);
        }
        Ok(())
    }

    /// Orders every replica to stop, those that are on their way out for other reasons included.
    pub(crate) fn stop_all(&self) {
        let now = self.clock.now();
        let mut inner = self.lock();
        for replica in inner.pools.values_mut().flat_map(|entry| entry.replicas.values_mut()) {
            replica.enter(ReplicaPhase::Stopped, now);
        }
        self.publish(&inner);
        for replica in inner.pools.values().flat_map(|entry| entry.replicas.values()) {
            replica.intent.send_replace(Intent::Stop);
        }
    }

    /// A port and GPUs for one replica. What it has already, it keeps, unless its port was taken.
    pub(crate) fn place(
        &self,
        pool: &PoolId,
        id: ReplicaId,
    ) -> Result<(u16, Vec<u32>), SpawnError> {
        let mut inner = self.lock();
        let Inner { pools, gpu_slots, retiring } = &mut *inner;
        let Some(entry) = pools.get_mut(pool) else { return Err(SpawnError::NoGpuSlots(0)) };
        let engine = &entry.config.engine;
        let others = entry.replicas.iter().filter(|(other, _)| **other != id);
        let mut ours: BTreeSet<u16> = others.filter_map(|(_, r)| r.port).collect();
        ours.extend(retiring.iter().map(|process| process.port));
        let kept = entry.replicas.get(&id).and_then(|replica| replica.port);
        let port = kept
            .filter(|port| placement::is_free(*port))
            .or_else(|| placement::free_port(engine.ports, &ours))
            .ok_or(SpawnError::NoPort(engine.ports))?;
        let gpus_each = engine.gpus_per_replica;
        let held = entry.replicas.get(&id).and_then(|replica| replica.gpus.clone());
        let gpus =
            held.or_else(|| gpu_slots.take(gpus_each)).ok_or(SpawnError::NoGpuSlots(gpus_each))?;
        if let Some(replica) = entry.replicas.get_mut(&id) {
            replica.port = Some(port);
            replica.gpus = Some(gpus.clone());
        }
        Ok((port, gpus))
    }

    /// An engine process exists.
    pub(crate) fn spawned(&self, pool: &PoolId, id: ReplicaId, process: &Process) {
        self.change(pool, id, |replica, now| {
            replica.pid = Some(process.pid);
            if replica.phase.is_starting() {
                replica.enter(ReplicaPhase::Loading, now);
            }
        });
    }

    /// The log or a probe told how far a start is. Loading is assumed until something is told, so
    /// that pulling may follow it; otherwise phases only go forward.
    pub(crate) fn progressed(&self, pool: &PoolId, id: ReplicaId, phase: ReplicaPhase) {
        self.change(pool, id, |replica, now| {
            let pulls = phase == ReplicaPhase::Pulling && replica.phase == ReplicaPhase::Loading;
            if replica.phase < ReplicaPhase::Ready && (replica.phase < phase || pulls) {
                replica.enter(phase, now);
            }
        });
    }

    /// It answered its first token. It is not ready for all that when it was ordered to stop
    /// meanwhile.
    pub(crate) fn became_ready(&self, pool: &PoolId, id: ReplicaId) {
        self.change(pool, id, |replica, now| {
            if replica.phase.is_starting() {
                replica.enter(ReplicaPhase::Ready, now);
                replica.unready = None;
            }
        });
    }

    /// It did not pass a probe.
    pub(crate) fn not_ready(&self, pool: &PoolId, id: ReplicaId, why: String) {
        self.change(pool, id, |replica, _| replica.unready = Some(why));
    }

    /// It could not be placed or started.
    pub(crate) fn failed_to_start(&self, pool: &PoolId, id: ReplicaId, why: String) {
        self.change(pool, id, |replica, _| replica.failure = Some(why));
    }

    /// Its engine ended, or must be ended because it can't be trusted any more.
    pub(crate) fn crashed(&self, pool: &PoolId, id: ReplicaId, why: String) -> AfterCrash {
        let mut after = AfterCrash::Gone;
        self.change(pool, id, |replica, now| {
            replica.failure = Some(why);
            replica.unready = None;
            replica.pid = None;
            match replica.phase {
                ReplicaPhase::Draining | ReplicaPhase::Standby(_) | ReplicaPhase::Stopped => {
                    replica.enter(ReplicaPhase::Stopped, now);
                }
                ReplicaPhase::Ready
                | ReplicaPhase::Pending
                | ReplicaPhase::Provisioning
                | ReplicaPhase::Pulling
                | ReplicaPhase::Loading
                | ReplicaPhase::Warming
                | ReplicaPhase::Waking(_) => {
                    let was_ready = replica.phase == ReplicaPhase::Ready;
                    let ready_for =
                        if was_ready { now.since(replica.phase_since) } else { Duration::ZERO };
                    replica.enter(ReplicaPhase::Pending, now);
                    replica.phase_since = now;
                    after = AfterCrash::Restart { ready_for };
                }
            }
        });
        after
    }

    /// It is about to be started once more.
    pub(crate) fn restarts(&self, pool: &PoolId, id: ReplicaId) {
        self.change(pool, id, |replica, _| replica.restarts = replica.restarts.saturating_add(1));
    }

    /// Nothing of it is left: its port and GPUs are free.
    pub(crate) fn remove(&self, pool: &PoolId, id: ReplicaId) {
        let mut inner = self.lock();
        let Inner { pools, gpu_slots, .. } = &mut *inner;
        let Some(entry) = pools.get_mut(pool) else { return };
        if let Some(replica) = entry.replicas.remove(&id) {
            gpu_slots.release(&replica.gpus.unwrap_or_default());
        }
        self.publish(&inner);
        if let Some(entry) = inner.pools.get(pool) {
            entry.meter.forget(id);
        }
    }

    pub(crate) fn replica_ids(&self, pool: &PoolId) -> Vec<ReplicaId> {
        let inner = self.lock();
        inner
            .pools
            .get(pool)
            .map_or_else(Vec::new, |entry| entry.replicas.keys().copied().collect())
    }

    /// Whom to ask for metrics: those that have requests, or may have.
    pub(crate) fn scrape_targets(&self, pool: &PoolId) -> Vec<ScrapeTarget> {
        let inner = self.lock();
        let Some(entry) = inner.pools.get(pool) else { return Vec::new() };
        let path: Arc<str> = entry.config.engine.metrics_path.as_str().into();
        let dialects = Dialects::of(&entry.config.engine.dialect);
        let serving = entry.replicas.iter().filter(|(_, replica)| {
            matches!(replica.phase, ReplicaPhase::Ready | ReplicaPhase::Draining)
        });
        let target = |(&id, replica): (&ReplicaId, &Replica)| {
            let (path, dialects) = (Arc::clone(&path), Arc::clone(&dialects));
            Some(ScrapeTarget { id, address: replica.address()?, path, dialects })
        };
        serving.filter_map(target).collect()
    }

    /// What exists of a pool. One that is ending is told once more, as stopped.
    pub(crate) fn observe(&self, pool: &PoolId) -> Option<Vec<ReplicaObservation>> {
        let now = self.clock.now();
        let mut inner = self.lock();
        let entry = inner.pools.get_mut(pool)?;
        let reported = entry.replicas.iter().filter(|(_, replica)| !replica.stop_reported);
        let replicas = reported.map(|(&id, replica)| replica.observation(id, entry, now)).collect();
        for replica in entry.replicas.values_mut() {
            replica.stop_reported |= replica.phase == ReplicaPhase::Stopped;
        }
        Some(replicas)
    }

    /// Replicas of this pool for which there still are ports and GPUs.
    pub(crate) fn placeable(&self, pool: &PoolId) -> Option<u32> {
        let inner = self.lock();
        let entry = inner.pools.get(pool)?;
        let engine = &entry.config.engine;
        let retiring = inner.retiring.iter().filter(|gone| engine.ports.contains(gone.port));
        let ports_taken = entry.replicas.len() + retiring.count();
        let ports_taken = u32::try_from(ports_taken).unwrap_or(u32::MAX);
        let ports_left = engine.ports.count().saturating_sub(ports_taken);
        // Replicas that wait for GPUs will take them before any new one.
        let waiting = inner.pools.values().map(|entry| {
            let unplaced = entry.replicas.values().filter(|replica| replica.gpus.is_none()).count();
            let unplaced = u32::try_from(unplaced).unwrap_or(u32::MAX);
            unplaced.saturating_mul(entry.config.engine.gpus_per_replica)
        });
        let spoken_for = waiting.fold(0, u32::saturating_add);
        let gpus_left = inner.gpu_slots.fitting(engine.gpus_per_replica, spoken_for);
        Some(gpus_left.map_or(ports_left, |fitting| fitting.min(ports_left)))
    }

    /// Changes one replica, and publishes routes when it became or ceased to be ready.
    fn change(&self, pool: &PoolId, id: ReplicaId, change: impl FnOnce(&mut Replica, Instant)) {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Some(replica) = inner.replica(pool, id) else { return };
        let before = replica.phase;
        change(replica, now);
        let after = replica.phase;
        if before != after {
            tracing::info!(%pool, replica = %id, from = before.name(), to = after.name(), "phase");
        }
        if (before == ReplicaPhase::Ready) != (after == ReplicaPhase::Ready) {
            self.publish(&inner);
        }
    }
}

impl Inner {
    fn replica(&mut self, pool: &PoolId, id: ReplicaId) -> Option<&mut Replica> {
        self.pools.get_mut(pool)?.replicas.get_mut(&id)
    }
}
