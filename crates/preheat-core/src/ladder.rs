//! The ladder: how far ahead each kind of capacity is decided, and at which price.
//!
//! Where nothing can sleep, one rehearsal decides, a cold start ahead. Where replicas can, two do:
//! how many should be ready, a wake ahead, each at what being awake costs more than sleeping; and how
//! many there should be in all, a cold start ahead, each at the price of sleep. What the two hold
//! costs together what the fleet costs, and each misses what its own lead time makes it miss.

use std::time::Duration;

use crate::cold_start::StartTimes;
use crate::decision::{ColdStartExplanation, RehearsalExplanation, StandbyExplanation};
use crate::memory::Memory;
use crate::policy::{PolicySpec, Standby};
use crate::rehearsal::{Prices, Traffic};
use crate::units::ReplicaCount;

/// What holds at one tick.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    standby: Option<Standby>,
    /// Order to ready of a replica that must be started.
    pub(crate) lead_cold: Duration,
    /// Order to ready of one that sleeps; the same as `lead_cold` where none can.
    pub(crate) lead_ready: Duration,
    wake_p90: Duration,
}

impl Ladder {
    pub(crate) fn of(
        spec: &PolicySpec,
        starts: &StartTimes,
        cold_start: &ColdStartExplanation,
    ) -> Self {
        let lead_cold = cold_start.lead_time;
        let wake_p90 = starts.wake_p90();
        let lead_ready = match spec.standby {
            Some(_) => lead_cold.min(spec.tick_interval + wake_p90),
            None => lead_cold,
        };
        Self { standby: spec.standby, lead_cold, lead_ready, wake_p90 }
    }

    /// Lets all rules live through a tick, and says what the best hold, for ready replicas and for
    /// replicas in all, beside `standby` sleeping ones. `None` for the latter where none sleep but by
    /// a fixed number.
    pub(crate) fn rehearse(
        &self,
        memory: &mut Memory,
        traffic: &Traffic,
        standby: u32,
        scheduled: impl Fn(Duration) -> u32,
    ) -> (RehearsalExplanation, Option<RehearsalExplanation>) {
        let awake = self.rung().map_or(1.0, |rung| 1.0 - rung.price.get());
        let lead_time = self.lead_ready;
        // What is announced would have been there under any rule: it is no surprise to learn from.
        let at_least =
            |lead_time| scheduled(lead_time).clamp(traffic.replicas_min, traffic.replicas_max);
        let replicas_min = at_least(lead_time);
        let ready = Traffic { lead_time, prices: Prices::of(awake), replicas_min, ..*traffic };
        let ready = memory.rehearsal.step(&ready);
        let Some(rung) = self.rung() else {
            memory.rehearsal_in_all = None;
            return (ready, None);
        };
        let prices = Prices { ready: rung.price.get(), starting: 1.0 };
        let supply = traffic.supply.saturating_add(standby);
        let (lead_time, replicas_min) = (self.lead_cold, at_least(self.lead_cold));
        let all = Traffic { lead_time, prices, supply, replicas_min, ..*traffic };
        let rehearsal = memory.rehearsal_in_all.get_or_insert_default();
        let (in_all, all_awake) = rehearsal.step_at(&all, Prices::of(1.0));
        // Where traffic is steady, a rung below what is awake anyway only adds to the bill.
        if traffic.score(&all_awake) <= traffic.score(&ready) + traffic.score(&in_all) {
            return (all_awake.clone(), Some(all_awake));
        }
        (ready, Some(in_all))
    }

    /// The rung, where it is priced rather than kept by a fixed number.
    fn rung(&self) -> Option<Standby> {
        self.standby.filter(|standby| standby.replicas.is_none())
    }

    /// Replicas in all that go with so many ready ones. A fixed number sleeps beside those that are
    /// ready, be it for the lower bound alone.
    pub(crate) fn in_all(&self, ready: u32, replicas_min: u32, rehearsed: Option<u32>) -> u32 {
        let fixed = self.standby.and_then(|standby| standby.replicas);
        let beside = |asleep: ReplicaCount| ready.max(replicas_min).saturating_add(asleep.0);
        fixed.map_or(ready, beside).max(rehearsed.unwrap_or(0))
    }

    /// A start that takes longer is not counted on: one that sleeps could be woken before. Where none
    /// can, every start is.
    pub(crate) fn counted_within(&self) -> Duration {
        if self.has_standby() { self.lead_ready } else { Duration::MAX }
    }

    /// Whether replicas may sleep.
    pub(crate) const fn has_standby(&self) -> bool {
        self.standby.is_some()
    }

    pub(crate) fn explain(
        &self,
        memory: &Memory,
        rehearsal: Option<RehearsalExplanation>,
        needed_in_all: u32,
    ) -> Option<StandbyExplanation> {
        let standby = self.standby?;
        Some(StandbyExplanation {
            price: standby.price,
            wakes: u32::try_from(memory.wakes.len()).unwrap_or(u32::MAX),
            wake_p90: self.wake_p90,
            lead_time: self.lead_ready,
            rehearsal,
            needed_in_all: ReplicaCount(needed_in_all),
        })
    }
}
