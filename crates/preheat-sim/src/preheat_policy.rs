//! preheat in the simulated world: the same `decide()` as in every other, on an observation that is
//! built as a live world builds it.
//!
//! **Invariant:** every decision is checked, and an unsound one ends the run.

use std::fmt;

use preheat_core::invariants::{self, Violation};
use preheat_core::{Action, Decision, Instant, Memory, Observation, Part, Policy, TickId, decide};

/// Its name on the command line.
pub const PREHEAT: &str = "preheat";
/// Before the name of a part that it is run without.
pub const PREHEAT_WITHOUT: &str = "preheat-without-";

/// Whether a policy of this name is preheat, whole or without a part.
pub fn is_preheat(policy: &str) -> bool {
    policy == PREHEAT || left_out(policy).is_some()
}

/// The part that the policy of this name is run without.
pub fn left_out(policy: &str) -> Option<Part> {
    Part::find(policy.strip_prefix(PREHEAT_WITHOUT)?)
}

/// preheat, deciding tick by tick.
pub struct Preheat {
    policy: Policy,
    memory: Memory,
    tick: TickId,
    watcher: Option<Watcher>,
}

/// Is shown every observation and the decision that follows from it: for a journal.
pub type Watcher = Box<dyn FnMut(&Observation, &Decision) + Send>;

/// What one tick came to.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) desired: u32,
    pub(crate) actions: Vec<Action>,
    pub(crate) next_tick_at: Instant,
}

impl Preheat {
    /// preheat with nothing to remember.
    pub fn new(policy: Policy) -> Self {
        Self { policy, memory: Memory::default(), tick: TickId(0), watcher: None }
    }

    /// The same, with someone who is shown every decision.
    #[must_use]
    pub fn with_watcher(mut self, watcher: Watcher) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Its name on the command line.
    pub const fn name(&self) -> &'static str {
        PREHEAT
    }

    /// What it decides by.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What it remembers.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) const fn tick(&self) -> TickId {
        self.tick
    }

    pub(crate) fn decide(&mut self, observation: &Observation) -> Result<Decided, Violation> {
        let decision = decide(&self.policy, &self.memory, observation);
        invariants::check(&self.policy, &self.memory, observation, &decision)?;
        if let Some(watcher) = &mut self.watcher {
            watcher(observation, &decision);
        }
        self.memory = decision.memory;
        self.tick = TickId(self.tick.0 + 1);
        let plan = decision.plan;
        Ok(Decided {
            desired: plan.desired.0,
            actions: plan.actions,
            next_tick_at: plan.next_tick_at,
        })
    }
}

impl fmt::Debug for Preheat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Preheat");
        fields.field("policy", &self.policy).field("tick", &self.tick).finish_non_exhaustive()
    }
}
