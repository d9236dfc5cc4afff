//! A plan, replicas per slot, and what it costs.
//!
//! **Invariant:** the cost of a plan is computed from its counts alone, by one function, whoever
//! made the plan.

use super::error::OracleError;
use super::problem::{Opening, Oracle};

/// Replicas in each slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Ready ones.
    pub ready: Vec<u32>,
    /// Sleeping ones; as long as `ready`.
    pub asleep: Vec<u32>,
}

/// What a plan comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// All of it, in the unit of the prices.
    pub cost: f64,
    /// Requests missed, unavoidable ones included.
    pub misses: f64,
    /// Full-price replica-slots paid: ready, starting, waking, and sleeping at its fraction.
    pub replica_slots: f64,
    /// Cold starts, those of the opening fleet not counted.
    pub starts: u64,
    /// Wakes.
    pub wakes: u64,
}

impl Plan {
    /// A plan in which nobody sleeps.
    pub fn awake(ready: Vec<u32>) -> Self {
        let asleep = vec![0; ready.len()];
        Self { ready, asleep }
    }

    /// Whether anybody sleeps.
    pub fn sleeps(&self) -> bool {
        self.asleep.iter().any(|&asleep| asleep > 0)
    }
}

impl Oracle {
    /// What `plan` comes to. A rise in replicas that exist is cold starts; a rise in ready ones
    /// beyond that is wakes.
    ///
    /// # Errors
    /// When the plan has another length than the demand.
    pub fn tally(&self, plan: &Plan) -> Result<Tally, OracleError> {
        let demand = self.spec.demand.len();
        for len in [plan.ready.len(), plan.asleep.len()] {
            if len != demand {
                return Err(OracleError::Length { plan: len, demand });
            }
        }
        Ok(self.tally_checked(plan))
    }

    pub(super) fn tally_checked(&self, plan: &Plan) -> Tally {
        let mut tally = Tally::default();
        let (mut ready_slots, mut asleep_slots) = (0_u64, 0_u64);
        let mut ready_before = u64::from(self.opening_ready());
        let mut exist_before = ready_before;
        for ((slot, &ready), &asleep) in self.spec.demand.iter().zip(&plan.ready).zip(&plan.asleep)
        {
            tally.misses += slot.misses_with(ready);
            let exist = u64::from(ready) + u64::from(asleep);
            let ready = u64::from(ready);
            let cold = exist.saturating_sub(exist_before);
            tally.starts += cold;
            tally.wakes += ready.saturating_sub(ready_before).saturating_sub(cold);
            ready_slots += ready;
            asleep_slots += exist - ready;
            (ready_before, exist_before) = (ready, exist);
        }
        let (fraction, wake_slots, wake) = match self.spec.sleep {
            Some(tier) => (tier.price_fraction, f64::from(tier.wake_slots), tier.wake),
            None => (1.0, 0.0, 0.0),
        };
        let (starts, wakes) = (tally.starts as f64, tally.wakes as f64);
        tally.replica_slots = ready_slots as f64
            + f64::from(self.spec.lead_slots) * starts
            + fraction * asleep_slots as f64
            + (1.0 - fraction) * wake_slots * wakes;
        let costs = self.spec.costs;
        tally.cost = costs.replica_slot * tally.replica_slots + costs.start * starts + wake * wakes;
        tally
    }

    /// Replicas ready when slot 0 begins.
    pub(super) fn opening_ready(&self) -> u32 {
        match self.spec.opening {
            Opening::Fleet(ready) => ready,
            Opening::Ordered => 0,
        }
    }
}
