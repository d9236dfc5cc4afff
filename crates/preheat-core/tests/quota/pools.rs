//! Toy pools on one number of GPUs, each told what it may hold before it decides.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::StopReason::StartCancelled;
use preheat_core::{Action, Claim, GpuWorth, QuotaMemory, Reason, allot};

use crate::toy::{Row, Setup, TICK, Toy};

struct Pool {
    name: &'static str,
    toy: Toy,
}

/// Pools of one-GPU replicas.
pub(crate) struct Pools {
    gpus: u32,
    pools: Vec<Pool>,
    claims: BTreeMap<String, Claim>,
    memory: QuotaMemory,
}

impl Pools {
    pub(crate) fn new(gpus: u32) -> Self {
        let memory = QuotaMemory::default();
        Self { gpus, pools: Vec::new(), claims: BTreeMap::new(), memory }
    }

    pub(crate) fn with(
        mut self,
        name: &'static str,
        (priority, worth): (i32, f64),
        change: impl FnOnce(&mut Setup),
        ready: u32,
    ) -> Self {
        let mut setup = Setup::default();
        setup.policy.replicas_max.0 = self.gpus;
        change(&mut setup);
        let claim = Claim::new(&setup.policy, 1, priority, GpuWorth::saturating(worth));
        self.claims.insert(name.to_owned(), claim);
        self.pools.push(Pool { name, toy: Toy::new(setup, u64::from(ready)) });
        self
    }

    /// Runs all pools for `span`, each at its rate of requests per second.
    pub(crate) fn run(&mut self, span: Duration, rates: &[f64]) {
        assert_eq!(rates.len(), self.pools.len());
        for _ in 0..(span.as_millis() / TICK.as_millis()) {
            for (index, rate) in rates.iter().enumerate() {
                self.step(index, *rate);
            }
        }
    }

    fn step(&mut self, index: usize, rate: f64) {
        let existing: u32 = self.pools.iter().map(|pool| pool.toy.existing()).sum();
        assert!(existing <= self.gpus, "{existing} replicas on {} GPUs", self.gpus);
        let Pool { name, toy } = &mut self.pools[index];
        let claim = self.claims.get_mut(*name).expect("every pool has a claim");
        claim.held.0 = toy.held();
        let now = toy.next_tick_at();
        let allotment = allot(self.gpus, &self.claims, &self.memory, now);
        self.memory = allotment.memory;
        toy.replicas_allowed = allotment.allowances.get(*name).cloned();
        toy.replicas_placeable = Some(self.gpus - existing);
        toy.step(rate);
        let claim = self.claims.get_mut(*name).expect("every pool has a claim");
        claim.held.0 = toy.held();
        let explanation = &toy.rows.last().expect("a step was made").decision.explanation;
        claim.decided(toy.policy.spec(), explanation);
    }

    pub(crate) fn toy(&self, name: &str) -> &Toy {
        let pool = self.pools.iter().find(|pool| pool.name == name);
        &pool.expect("a pool of this name").toy
    }

    pub(crate) fn last(&self, name: &str) -> &Row {
        self.toy(name).rows.last().expect("a step was made")
    }
}

/// What a pool did over some rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// Replicas given up because another pool needs the GPUs.
    pub(crate) taken: u32,
    /// Times that growing followed shrinking, or the reverse.
    pub(crate) turns: u32,
}

impl Moves {
    pub(crate) fn of(rows: &[Row]) -> Self {
        let mut moves = Self::default();
        let mut last = None;
        for Row { decision, .. } in rows {
            for action in &decision.plan.actions {
                let grows = match action {
                    Action::Start { .. } | Action::Resume { .. } => true,
                    Action::Drain { .. } | Action::Stop { because: StartCancelled, .. } => {
                        let taken = decision.explanation.reason == Reason::QuotaTaken;
                        moves.taken += u32::from(taken);
                        false
                    }
                    Action::Wake { .. } | Action::Sleep { .. } | Action::Stop { .. } => continue,
                };
                moves.turns += u32::from(last.is_some_and(|last| last != grows));
                last = Some(grows);
            }
        }
        moves
    }
}
