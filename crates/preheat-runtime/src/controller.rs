//! One pool's control loop without its loop: decides, checks, records, counts.
//!
//! A world observes, calls [`Controller::tick`], applies the plan of the entry that comes back, and
//! sleeps until the plan's next tick.
//!
//! **Invariant:** a decision that breaks an invariant is never applied. The pool is held as it is,
//! memory stays what the last sound decision left, and both are recorded, counted and shown.
//!
//! **Invariant:** no clock and no I/O. Time comes with the observation.

pub(crate) mod status;
mod totals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use preheat_api::journal::{
    Checkpoint, CheckpointCause, DecidedTick, EntryBody, HeldTick, JournalEntry, MemoryDigest,
    ViolationRecord,
};
use preheat_api::status::PoolStatus;
use preheat_core::invariants::{self, Violation};
use preheat_core::{
    Decision, Instant, Memory, Observation, Plan, Policy, ReplicaCount, ReplicaObservation,
    ReplicaPhase, TickId, decide,
};

use crate::journal::Journal;
use crate::routing::PoolId;
pub use status::set_replicas;
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
        self.checkpoint_if_due(observation.tick, observation.now);
        let judged = judge(&self.policy, &self.memory, &observation);
        self.settle(observation, judged)
    }

    /// Records a tick that was decided elsewhere: by the same policy, from the memory that the tick
    /// before left, and checked. A simulation decides by itself and has its ticks recorded here.
    pub fn tick_decided(&mut self, observation: Observation, decision: Decision) -> Ticked {
        self.checkpoint_if_due(observation.tick, observation.now);
        self.settle(observation, Ok(decision))
    }

    /// Takes over what came of a tick, and records it.
    fn settle(&mut self, observation: Observation, judged: Result<Decision, Held>) -> Ticked {
        let (tick, at) = (observation.tick, observation.now);
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
        let mut status = PoolStatus {
            gateway: self.totals.gateway(),
            totals: self.totals.status(),
            gpus_per_replica: Some(self.totals.gpus_per_replica),
            ..status::of_policy(&self.pool.0, &self.policy)
        };
        status::of_memory(&mut status, &self.memory);
        if let Some(entry) = &self.last {
            status::of_entry(&mut status, entry, self.policy.spec().staleness_max);
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

#[cfg(test)]
mod tests {
    use preheat_core::PolicySpec;

    use super::*;

    #[test]
    fn a_tick_decided_elsewhere_is_recorded_as_one_decided_here() {
        let policy = PolicySpec::default().validate().unwrap();
        let pool = PoolId("chat".to_owned());
        let controller = || Controller::new(pool.clone(), 1, policy.clone(), Memory::default());
        let (mut here, mut elsewhere) = (controller(), controller());
        let mut memory = Memory::default();
        for tick in 0..3 {
            let observation = Observation::of(
                TickId(tick),
                Instant::ORIGIN.saturating_add(Duration::from_secs(10 * tick)),
                Vec::new(),
            );
            let decision = decide(&policy, &memory, &observation);
            memory = decision.memory.clone();
            let recorded = elsewhere.tick_decided(observation.clone(), decision);
            assert_eq!(recorded.entry, here.tick(observation).entry);
        }
        assert_eq!(elsewhere.memory(), here.memory());
        assert_eq!(elsewhere.status(), here.status());
    }
}
