//! One pool's control loop without its loop: decides, checks, records, counts.
//!
//! A world observes, calls [`Controller::tick`], applies the plan of the entry that comes back, and
//! sleeps until the plan's next tick.
//!
//! **Invariant:** a decision that breaks an invariant is never applied. The pool is held as it is,
//! memory stays what the last sound decision left, and both are recorded, counted and shown.
//!
//! **Invariant:** no clock and no I/O. Time comes with the observation.

mod totals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use preheat_api::journal::{
    Checkpoint, CheckpointCause, DecidedTick, EntryBody, HeldTick, JournalEntry, MemoryDigest,
    ViolationRecord,
};
use preheat_api::status::{DecisionNumbers, PoolStatus, ReplicaStatus};
use preheat_core::invariants::{self, Violation};
use preheat_core::{
    Decision, Explanation, Instant, Memory, Observation, Plan, Policy, ReplicaCount,
    ReplicaObservation, ReplicaPhase, Sample, TickId, decide,
};

use crate::journal::Journal;
use crate::routing::PoolId;
pub(crate) use totals::Totals;

/// Model time between two checkpoints: a restart decides at most this much once more.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

/// Decides for one pool, tick by tick.
#[derive(Debug)]
pub struct Controller {
    pool: PoolId,
    policy: Policy,
    memory: Memory,
    journal: Option<Journal>,
    totals: Totals,
    last: Option<Arc<JournalEntry>>,
    next_tick: TickId,
    /// Why the next tick begins with a checkpoint.
    checkpoint_cause: Option<CheckpointCause>,
    checkpoint_at: Instant,
    journal_gaps: u64,
}

impl Controller {
    /// A controller that goes on from `memory`: [`Memory::default`], or what
    /// [`restore`](crate::journal::restore) found.
    pub fn new(pool: PoolId, gpus_per_replica: u32, policy: Policy, memory: Memory) -> Self {
        let next_tick = memory.last.map_or(TickId(0), |last| TickId(last.tick.0.wrapping_add(1)));
        Self {
            pool,
            policy,
            memory,
            journal: None,
            totals: Totals::new(gpus_per_replica),
            last: None,
            next_tick,
            checkpoint_cause: Some(CheckpointCause::Start),
            checkpoint_at: Instant::ORIGIN,
            journal_gaps: 0,
        }
    }

    /// The same, with every tick recorded in `journal`.
    #[must_use]
    pub fn with_journal(mut self, journal: Journal) -> Self {
        self.journal_gaps = journal.gaps();
        self.journal = Some(journal);
        self
    }

    /// Which pool.
    pub const fn pool(&self) -> &PoolId {
        &self.pool
    }

    /// What it decides by.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it remembers.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The number that the next observation should bear. After a restart it goes on from before.
    pub const fn next_tick(&self) -> TickId {
        self.next_tick
    }

    /// The last tick's entry.
    pub const fn last(&self) -> Option<&Arc<JournalEntry>> {
        self.last.as_ref()
    }

    /// Decides by `policy` from the next tick on.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy != self.policy {
            self.policy = policy;
            self.checkpoint_cause.get_or_insert(CheckpointCause::PolicyChange);
        }
    }

    /// Decides one tick, and records it.
    pub fn tick(&mut self, observation: Observation) -> Ticked {
        let (tick, at) = (observation.tick, observation.now);
        self.checkpoint_if_due(tick, at);
        let judged = judge(&self.policy, &self.memory, &observation);
        let (plan, body) = match judged {
            Ok(Decision { plan, memory, explanation }) => {
                self.memory = memory;
                let decided = DecidedTick { observation, plan: plan.clone(), explanation };
                (plan, EntryBody::Decided(Box::new(decided)))
            }
            Err(Held { plan, violation }) => {
                let ViolationRecord { id, seen } = &violation;
                tracing::error!(pool = %self.pool, id, seen, "the decision is unsound; holding");
                let held = HeldTick { observation, plan: plan.clone(), violation };
                (plan, EntryBody::Held(Box::new(held)))
            }
        };
        let previous = self.last.as_ref().and_then(|entry| entry.body.observation());
        self.totals.count(previous, &body);
        let entry = self.record(tick, at, body);
        self.next_tick = TickId(tick.0.wrapping_add(1));
        self.last = Some(Arc::clone(&entry));
        Ticked { plan, entry }
    }

    /// Records a last checkpoint, so that the next process need not decide anything once more.
    pub fn shutdown(&mut self, at: Instant) {
        // Without a tick there is nothing new to remember.
        if self.last.is_some() {
            self.checkpoint(self.next_tick, at, CheckpointCause::Shutdown);
        }
    }

    /// What the pool is doing. The world adds model names, addresses, processes and errors.
    pub fn status(&self) -> PoolStatus {
        let spec = self.policy.spec();
        let mut status = PoolStatus {
            pool: self.pool.0.clone(),
            replicas_min: spec.replicas_min.0,
            replicas_max: spec.replicas_max.0,
            gateway: self.totals.gateway(),
            totals: self.totals.status(),
            ..PoolStatus::default()
        };
        let Some(entry) = &self.last else { return status };
        status.last_tick_at = Some(entry.at);
        status.desired = entry.body.plan().map_or(0, |plan| plan.desired.0);
        status.reason = entry.body.explanation().map(|explanation| explanation.reason);
        status.decision = entry.body.explanation().map(numbers);
        status.violation = entry.body.violation().cloned();
        if let Some(observation) = entry.body.observation() {
            observe(&mut status, observation, spec.staleness_max);
        }
        status
    }

    /// Records a checkpoint when there is a reason to.
    fn checkpoint_if_due(&mut self, tick: TickId, at: Instant) {
        let gaps = self.journal.as_ref().map_or(0, Journal::gaps);
        let missing = tick != self.next_tick || gaps != self.journal_gaps;
        self.journal_gaps = gaps;
        let cause = match self.checkpoint_cause.take() {
            Some(CheckpointCause::Start) => {
                self.forget_future(at);
                CheckpointCause::Start
            }
            _ if missing => CheckpointCause::Gap,
            Some(cause) => cause,
            None if at >= self.checkpoint_at => CheckpointCause::Interval,
            None => return,
        };
        self.checkpoint(tick, at, cause);
    }

    /// With a clock that was set back between two processes, every decision would be unsound until
    /// it has caught up. How long starts take is all that is worth keeping from later than now.
    fn forget_future(&mut self, now: Instant) {
        if self.memory.last.is_some_and(|last| last.at > now) {
            tracing::warn!(pool = %self.pool, "memory is from later than now; beginning anew");
            let memory = std::mem::take(&mut self.memory);
            let (cold_starts, wakes) = (memory.cold_starts, memory.wakes);
            self.memory = Memory { cold_starts, wakes, ..Memory::default() };
        }
    }

    fn checkpoint(&mut self, tick: TickId, at: Instant, cause: CheckpointCause) {
        self.checkpoint_at = at.saturating_add(CHECKPOINT_INTERVAL);
        if self.journal.is_some() {
            let (policy, memory) = (self.policy.clone(), self.memory.clone());
            let checkpoint = Checkpoint { cause, policy, memory };
            self.record(tick, at, EntryBody::Checkpoint(Box::new(checkpoint)));
        }
    }

    /// Makes an entry, of the memory as it is, and hands it to the journal.
    fn record(&self, tick: TickId, at: Instant, body: EntryBody) -> Arc<JournalEntry> {
        let memory_digest = MemoryDigest::of(&self.memory);
        let pool = self.pool.0.clone();
        let entry = Arc::new(JournalEntry { pool, tick, at, memory_digest, body });
        if let Some(journal) = &self.journal {
            journal.append(Arc::clone(&entry));
        }
        entry
    }
}

/// What one tick came to.
#[derive(Clone, Debug)]
pub struct Ticked {
    /// What to do. Empty when the decision broke an invariant.
    pub plan: Plan,
    /// The tick as recorded: what was seen, what was decided and why.
    pub entry: Arc<JournalEntry>,
}

/// A decision that broke an invariant, and the plan that stands in for it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) plan: Plan,
    pub(crate) violation: ViolationRecord,
}

/// Decides, and checks the decision. Pure, so that a replay can do it again.
pub(crate) fn judge(
    policy: &Policy,
    memory: &Memory,
    observation: &Observation,
) -> Result<Decision, Held> {
    // All three are only read: a panic can't leave them half-changed.
    let decided = catch_unwind(AssertUnwindSafe(|| {
        let decision = decide(policy, memory, observation);
        let checked = invariants::check(policy, memory, observation, &decision);
        checked.map(|()| decision)
    }));
    let violation = match decided {
        Ok(Ok(decision)) => return Ok(decision),
        Ok(Err(violation)) => violation,
        Err(panic) => Violation { id: PANIC_ID, seen: panic_text(&*panic) },
    };
    let serves = |r: &&ReplicaObservation| r.phase == ReplicaPhase::Ready || r.phase.is_starting();
    let supply = observation.replicas.iter().filter(serves).count();
    let plan = Plan {
        desired: ReplicaCount(u32::try_from(supply).unwrap_or(u32::MAX)),
        actions: Vec::new(),
        next_tick_at: observation.now.saturating_add(policy.spec().tick_interval),
    };
    Err(Held { plan, violation: violation.into() })
}

/// Stands in for an invariant's id when deciding did not even end.
const PANIC_ID: &str = "panic";

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the decision panicked").to_owned()
}

fn numbers(explanation: &Explanation) -> DecisionNumbers {
    let (demand, cold_start) = (&explanation.demand, &explanation.cold_start);
    let rehearsal = &explanation.rehearsal;
    DecisionNumbers {
        target: explanation.target.0,
        target_stabilized: explanation.target_stabilized.0,
        arrival_rate: demand.arrival_rate.get(),
        offered_load: demand.offered_load.get(),
        slots_held: rehearsal.slots_held,
        attainment_expected: rehearsal.attainment_expected.get(),
        service_time_s: demand.service_time.as_secs_f64(),
        concurrency_cap: explanation.capacity.concurrency_cap.get(),
        utilization: explanation.supply.utilization.map(|utilization| utilization.get()),
        backlog: explanation.backlog.requests,
        cold_starts_seen: cold_start.samples,
        cold_start_p50_s: cold_start.p50.as_secs_f64(),
        cold_start_p90_s: cold_start.p90.as_secs_f64(),
        lead_time_s: cold_start.lead_time.as_secs_f64(),
    }
}

/// Fills in what was seen.
/// Values are left out once they are older than the policy believes; their ages stay.
fn observe(status: &mut PoolStatus, observation: &Observation, staleness_max: Duration) {
    let now = observation.now;
    let fresh = |sample: Option<Sample<u32>>| {
        sample.filter(|s| s.staleness(now) <= staleness_max).map(|s| s.value)
    };
    let age = |at: Instant| now.since(at).as_secs_f64();
    for replica in &observation.replicas {
        match replica.phase {
            ReplicaPhase::Ready => {
                status.ready += 1;
                add(&mut status.in_flight, fresh(replica.in_flight));
                add(&mut status.queue_depth, fresh(replica.queue_depth));
                let signals = [
                    ("in_flight", replica.in_flight.map(|s| s.observed_at)),
                    ("queue_depth", replica.queue_depth.map(|s| s.observed_at)),
                    ("counters", replica.counters.map(|s| s.observed_at)),
                    ("outstanding", replica.outstanding.map(|s| s.observed_at)),
                ];
                for (signal, observed_at) in signals {
                    let Some(observed_at) = observed_at else { continue };
                    let oldest = status.signal_age_s.entry(signal.to_owned()).or_default();
                    *oldest = oldest.max(age(observed_at));
                }
            }
            ReplicaPhase::Pending
            | ReplicaPhase::Provisioning
            | ReplicaPhase::Pulling
            | ReplicaPhase::Loading
            | ReplicaPhase::Warming
            | ReplicaPhase::Waking(_) => status.starting += 1,
            ReplicaPhase::Draining => status.draining += 1,
            ReplicaPhase::Standby(_) => status.standby += 1,
            ReplicaPhase::Stopped => {}
        }
        status.replicas.push(ReplicaStatus {
            id: replica.id,
            phase: replica.phase.name().to_owned(),
            phase_age_s: age(replica.phase_since),
            in_flight: fresh(replica.in_flight),
            queue_depth: fresh(replica.queue_depth),
            outstanding: fresh(replica.outstanding),
            kv_utilization: replica.kv_utilization.map(|s| s.value.get()),
            address: None,
            pid: None,
            restarts: replica.restarts,
            last_error: None,
        });
    }
    if let Some(gateway) = &observation.gateway {
        status.signal_age_s.insert("gateway".to_owned(), age(gateway.observed_at));
    }
}

/// Adds what is known to a sum that is absent until something is.
fn add(sum: &mut Option<u32>, value: Option<u32>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0).saturating_add(value));
    }
}
