//! The question: demand per slot, prices, and what is there when the trace begins.
//!
//! **Invariant:** an [`Oracle`] has at least one slot, figures that are finite and in range, and at
//! most [`LEVEL_SLOTS_MAX`] cells.
//! **Invariant:** what a level misses in a slot does not grow with the level. Nesting (serve the
//! low levels first) is therefore optimal, and planning level by level loses nothing.

use std::time::Duration;

use super::error::{OracleError, check_figure};
use super::level::LevelCosts;

/// Slots × levels at most. A sweep visits each once at about 5 ns, and a solution takes a few
/// dozen sweeps: half a minute at the limit. A day of 1 s slots × 50 levels is 4.3 million; a day of
/// 10 s slots × 10,000 replicas 86 million.
pub const LEVEL_SLOTS_MAX: u64 = 200_000_000;

/// What one slot asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SlotDemand {
    /// Replicas it would keep fully busy.
    pub load: f64,
    /// Requests that miss if none is ready. They spread evenly over the load.
    pub requests: f64,
}

impl SlotDemand {
    /// Replicas that serve all of it.
    pub fn need(&self) -> u32 {
        // The cast saturates, and `Oracle::new` bounds it.
        self.load.ceil() as u32
    }

    /// Requests that miss if `ready` replicas are ready: 2.5 replicas' load of 10 requests with
    /// 2 ready misses 10 · 0.5 / 2.5 = 2.
    pub fn misses_with(&self, ready: u32) -> f64 {
        if f64::from(ready) >= self.load {
            return 0.0;
        }
        self.requests * (self.load - f64::from(ready)) / self.load
    }

    /// Requests that miss if the `level`th replica (from 1) is not ready, beside those of other
    /// levels.
    pub(super) fn misses_of(&self, level: u32) -> f64 {
        let share = (self.load - f64::from(level.saturating_sub(1))).min(1.0);
        if share <= 0.0 { 0.0 } else { self.requests * share / self.load }
    }
}

/// What things cost, in any unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Costs {
    /// One replica for one slot, from the moment its start is ordered. Above 0.
    pub replica_slot: f64,
    /// One start, on top of the lead time that is paid for anyway: the risk that it fails, the
    /// drain at the other end.
    pub start: f64,
}

/// Replicas may sleep: they hold less, and are back sooner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SleepTier {
    /// Share of a replica's price that it costs asleep, 0 to 1.
    pub price_fraction: f64,
    /// Slots from the order to wake until it serves, at full price.
    pub wake_slots: u32,
    /// One wake, on top of that.
    pub wake: f64,
}

/// What is there when slot 0 begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A fleet of that many ready replicas, whose own start nobody is charged for. Nothing else
    /// can be ready before slot `lead_slots`, for any policy: what that leaves unserved is
    /// [`Oracle::misses_unavoidable`].
    Fleet(u32),
    /// Nothing, but orders may have been placed before slot 0. Each level pays its first start.
    Ordered,
}

/// The question as asked.
#[derive(Clone, Debug, PartialEq)]
pub struct OracleSpec {
    /// Length of a slot.
    pub slot: Duration,
    /// Demand, one entry a slot.
    pub demand: Vec<SlotDemand>,
    /// Slots from the order of a start until it serves.
    pub lead_slots: u32,
    /// Prices.
    pub costs: Costs,
    /// Whether replicas may sleep.
    pub sleep: Option<SleepTier>,
    /// What is there at first.
    pub opening: Opening,
}

/// The question, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Oracle {
    pub(super) spec: OracleSpec,
    pub(super) levels: u32,
    requests: f64,
    misses_unavoidable: f64,
}

impl Oracle {
    /// Checks the question.
    ///
    /// # Errors
    /// When a figure is out of range, or there is too little or too much to plan.
    pub fn new(spec: OracleSpec) -> Result<Self, OracleError> {
        check(&spec)?;
        let levels = spec.demand.iter().map(SlotDemand::need).max().unwrap_or(0);
        let slots = spec.demand.len() as u64;
        if slots.saturating_mul(u64::from(levels)) > LEVEL_SLOTS_MAX {
            let levels = u64::from(levels);
            return Err(OracleError::LevelSlots { slots, levels, most: LEVEL_SLOTS_MAX });
        }
        let requests = spec.demand.iter().map(|slot| slot.misses_with(0)).sum();
        let misses_unavoidable = match spec.opening {
            Opening::Fleet(ready) => {
                let before = spec.demand.iter().take(spec.lead_slots as usize);
                before.map(|slot| slot.misses_with(ready)).sum()
            }
            Opening::Ordered => 0.0,
        };
        Ok(Self { spec, levels, requests, misses_unavoidable })
    }

    /// What was asked.
    pub fn spec(&self) -> &OracleSpec {
        &self.spec
    }

    /// Requests of all slots.
    pub fn requests(&self) -> f64 {
        self.requests
    }

    /// Requests that every policy misses, because nothing can be ready within the first lead time
    /// beyond what was ready at its beginning.
    pub fn misses_unavoidable(&self) -> f64 {
        self.misses_unavoidable
    }

    /// Cost of bringing a replica up: β = price · lead time + start.
    pub fn cost_cold(&self) -> f64 {
        self.spec.costs.replica_slot * f64::from(self.spec.lead_slots) + self.spec.costs.start
    }

    /// Extra cost of having slept rather than stayed up, per wake: the full price while waking,
    /// where the sleep was already charged. Sleeping for g slots, wake included, costs
    /// `s·c·g + (1 − s)·c·wake_slots + wake`, never less than staying up while g < wake_slots; so
    /// no optimum sleeps for less time than it takes to wake.
    pub fn cost_wake(&self) -> Option<f64> {
        let tier = self.spec.sleep?;
        let full = self.spec.costs.replica_slot * f64::from(tier.wake_slots);
        Some((1.0 - tier.price_fraction) * full + tier.wake)
    }

    /// What one level pays. A tier that is dearer to wake from than to start anew is never used:
    /// off is free, and the first lead time, in which nothing starts, is cheaper stayed through.
    pub(super) fn level_costs(&self, level: u32) -> LevelCosts {
        let (ready, cold) = (self.spec.costs.replica_slot, self.cost_cold());
        let asleep = self.spec.sleep.map_or(f64::INFINITY, |tier| tier.price_fraction * ready);
        let wake = self.cost_wake().unwrap_or(f64::INFINITY);
        let (opens_ready, cold_from) = match self.spec.opening {
            Opening::Fleet(fleet) => (level <= fleet, self.spec.lead_slots as usize),
            Opening::Ordered => (false, 0),
        };
        LevelCosts { ready, asleep, cold, wake, cold_from, opens_ready }
    }

    /// What `level` misses in each slot where it is not ready, less what is unavoidable.
    pub(super) fn level_misses(&self, level: u32, into: &mut Vec<f64>) {
        into.clear();
        into.extend(self.spec.demand.iter().map(|slot| slot.misses_of(level)));
        let costs = self.level_costs(level);
        if !costs.opens_ready {
            let unavoidable = into.len().min(costs.cold_from);
            into[..unavoidable].fill(0.0);
        }
    }
}

fn check(spec: &OracleSpec) -> Result<(), OracleError> {
    if spec.slot.is_zero() {
        return Err(OracleError::SlotZero);
    }
    if spec.demand.is_empty() {
        return Err(OracleError::Empty);
    }
    for slot in &spec.demand {
        check_figure("load", slot.load)?;
        check_figure("requests", slot.requests)?;
    }
    let Costs { replica_slot, start } = spec.costs;
    check_figure("replica_slot", replica_slot)?;
    check_figure("start", start)?;
    if replica_slot == 0.0 {
        let must = "above 0, or every plan costs the same";
        return Err(OracleError::Figure { name: "replica_slot", value: replica_slot, must });
    }
    if let Some(tier) = spec.sleep {
        check_figure("wake", tier.wake)?;
        if !(0.0..=1.0).contains(&tier.price_fraction) {
            let (name, value) = ("price_fraction", tier.price_fraction);
            return Err(OracleError::Figure { name, value, must: "from 0 to 1" });
        }
    }
    Ok(())
}
