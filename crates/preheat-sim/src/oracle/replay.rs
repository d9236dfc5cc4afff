//! A plan as an autoscaler: it orders each start one lead time ahead, and so shows at request level
//! what the slot model leaves out.
//!
//! **Invariant:** it looks at nothing but the clock.

use std::time::Duration;

use preheat_core::Instant;

use super::error::OracleError;
use super::plan::Plan;
use super::problem::Oracle;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline};

/// Replicas to order together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedStart {
    /// Slot in which to order; 0 when the plan would have ordered before the trace.
    pub order_slot: usize,
    /// Slot from which they serve.
    pub ready_slot: usize,
    /// How many.
    pub replicas: u32,
}

/// A plan to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OraclePlan {
    slot: Duration,
    opening: u32,
    desired: Vec<u32>,
    starts: Vec<PlannedStart>,
}

impl OraclePlan {
    /// Prepares a plan that [`Oracle`] made.
    ///
    /// # Errors
    /// When the plan has another length than the demand, or puts replicas to sleep.
    pub fn new(oracle: &Oracle, plan: &Plan) -> Result<Self, OracleError> {
        oracle.tally(plan)?;
        if plan.sleeps() {
            return Err(OracleError::Sleeps);
        }
        let mut desired = plan.ready.clone();
        let mut starts = Vec::new();
        let lead = oracle.spec.lead_slots as usize;
        for (before, pair) in plan.ready.windows(2).enumerate() {
            let &[was, is] = pair else { continue };
            if is <= was {
                continue;
            }
            let (ready_slot, replicas) = (before + 1, is - was);
            let order_slot = ready_slot.saturating_sub(lead);
            for desired in &mut desired[order_slot..ready_slot] {
                *desired += replicas;
            }
            starts.push(PlannedStart { order_slot, ready_slot, replicas });
        }
        let opening = plan.ready.first().copied().unwrap_or(0);
        Ok(Self { slot: oracle.spec.slot, opening, desired, starts })
    }

    /// Replicas that must be ready when the trace begins.
    pub fn opening(&self) -> u32 {
        self.opening
    }

    /// Replicas that exist in each slot, starting or ready.
    pub fn desired(&self) -> &[u32] {
        &self.desired
    }

    /// The starts, by the slot from which they serve.
    pub fn starts(&self) -> &[PlannedStart] {
        &self.starts
    }

    /// Replicas that should exist at `now`. After the last slot its count stands.
    pub fn desired_at(&self, now: Instant) -> u32 {
        let slot = u128::from(now.as_nanos()) / self.slot.as_nanos().max(1);
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        self.desired.get(slot).or(self.desired.last()).copied().unwrap_or(0)
    }
}

impl Scaler for OraclePlan {
    fn name(&self) -> &str {
        "oracle"
    }

    fn period(&self) -> Duration {
        self.slot
    }

    /// It reads none.
    fn pipeline(&self) -> MetricsPipeline {
        MetricsPipeline { scrape_interval: self.slot, delay: Duration::ZERO }
    }

    fn replicas_initial(&self) -> Option<u32> {
        Some(self.opening)
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.desired_at(view.now)
    }
}
