//! What exists, sorted by what can be done with it, and what it counts for.
//!
//! Needs are in whole replicas; bounds, limits and orders are in heads. Here one becomes the other.
//!
//! **Invariant:** where no replica is slow, both are the same number.

use std::time::Duration;

use crate::capacity::Capacities;
use crate::cold_start::StartTimes;
use crate::decision::{CapacityExplanation, SlowReplica, SupplyExplanation};
use crate::memory::{Memory, ReplicaMemory};
use crate::observation::{Observation, ReplicaId, ReplicaPhase};
use crate::policy::PolicySpec;
use crate::units::{ReplicaCount, Utilization};

/// Sums of capacities are off by less; a ten-thousandth of a replica is worth none.
const ROUNDING: f64 = 1e-4;

/// A ready replica.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadyReplica {
    pub(crate) id: ReplicaId,
    /// Requests inside it, where known.
    pub(crate) inside: Option<u32>,
    /// What it counts for, a whole one as 1.
    pub(crate) capacity: f64,
    /// How much its machine holds of what a start needs.
    pub(crate) held: usize,
}

/// What exists, sorted by what can be done with it.
pub(crate) struct Fleet {
    /// Ready replicas.
    pub(crate) ready: Vec<ReadyReplica>,
    /// Credited starts with their time to ready, soonest first.
    pub(crate) starting: Vec<(Duration, ReplicaId)>,
    /// Starts that take longer than starts do.
    pub(crate) overdue: Vec<ReplicaId>,
    /// Draining replicas, longest first.
    pub(crate) draining: Vec<ReplicaId>,
    /// Replicas in standby.
    pub(crate) standby: Vec<ReplicaId>,
    /// Ready replicas of which nothing fresh is known.
    pub(crate) blind: Vec<ReplicaId>,
    /// What ready replicas count for.
    pub(crate) ready_capacity: f64,
    /// What draining ones do.
    pub(crate) draining_capacity: f64,
    /// What one does that nobody has seen at work.
    pub(crate) unseen_capacity: f64,
}

impl Fleet {
    pub(crate) fn of(
        spec: &PolicySpec,
        memory: &Memory,
        starts: &StartTimes,
        observation: &Observation,
        capacities: &Capacities,
    ) -> Self {
        let mut fleet = Self {
            ready: Vec::new(),
            starting: Vec::new(),
            overdue: Vec::new(),
            draining: Vec::new(),
            standby: Vec::new(),
            blind: Vec::new(),
            ready_capacity: 0.0,
            draining_capacity: 0.0,
            unseen_capacity: capacities.unseen,
        };
        let mut draining = Vec::new();
        for (replica, &capacity) in observation.replicas.iter().zip(&capacities.each) {
            let id = replica.id;
            match replica.phase {
                ReplicaPhase::Ready => {
                    let inside = replica.requests_inside(observation.now, spec.staleness_max);
                    if inside.is_none() {
                        fleet.blind.push(id);
                    }
                    fleet.ready_capacity += capacity;
                    let held = replica.machine.held();
                    fleet.ready.push(ReadyReplica { id, inside, capacity, held });
                }
                ReplicaPhase::Pending
                | ReplicaPhase::Provisioning
                | ReplicaPhase::Pulling
                | ReplicaPhase::Loading
                | ReplicaPhase::Warming
                | ReplicaPhase::Waking(_) => match starts.residual(memory, id) {
                    Some(residual) => fleet.starting.push((residual, id)),
                    None => fleet.overdue.push(id),
                },
                ReplicaPhase::Draining => {
                    fleet.draining_capacity += capacity;
                    draining.push((replica.phase_since, id));
                }
                ReplicaPhase::Standby(_) => fleet.standby.push(id),
                ReplicaPhase::Stopped => {}
            }
        }
        fleet.starting.sort_unstable();
        draining.sort_unstable();
        fleet.draining = draining.into_iter().map(|(_, id)| id).collect();
        fleet
    }

    /// Ready or credited as on its way.
    pub(crate) fn supply(&self) -> u32 {
        count(self.ready.len() + self.starting.len())
    }

    /// Ready, or on its way and ready within `lead`: what can be counted on before anything that is
    /// ordered now.
    pub(crate) fn supply_within(&self, lead: Duration) -> u32 {
        let soon = self.starting.iter().take_while(|(residual, _)| *residual <= lead).count();
        count(self.ready.len() + soon)
    }

    /// Ready, or on their way, whether counted on or not.
    pub(crate) fn live(&self) -> u32 {
        self.supply() + count(self.overdue.len())
    }

    /// Everything that is, or can be had without a start.
    pub(crate) fn in_all(&self) -> u32 {
        self.supply() + count(self.standby.len() + self.draining.len())
    }

    /// Everything that exists and does not drain.
    pub(crate) fn held(&self) -> u32 {
        self.supply() + count(self.overdue.len() + self.standby.len())
    }

    /// Everything that exists.
    pub(crate) fn total(&self) -> u32 {
        self.held() + count(self.draining.len())
    }

    /// What [`Self::supply_within`] counts for.
    fn capacity_within(&self, lead: Duration) -> f64 {
        let soon = f64::from(self.supply_within(lead) - count(self.ready.len()));
        self.ready_capacity + soon * self.unseen_capacity
    }

    /// Whether what is counted within `lead` does the work of so many whole replicas.
    pub(crate) fn covers(&self, whole: u32, lead: Duration) -> bool {
        f64::from(whole) <= self.capacity_within(lead) + ROUNDING
    }

    /// How many of what is counted within `lead` and of what would come on top do the work of so many
    /// whole replicas. As many, where none is slow.
    pub(crate) fn ready_for(&self, whole: u32, lead: Duration) -> u32 {
        let (supply, capacity) = (self.supply_within(lead), self.capacity_within(lead));
        if capacity == f64::from(supply) && self.unseen_capacity == 1.0 {
            return whole;
        }
        if !self.covers(whole, lead) {
            return supply + ceil((f64::from(whole) - capacity - ROUNDING) / self.unseen_capacity);
        }
        let mut spare = capacity - f64::from(whole) + ROUNDING;
        let soon = (supply as usize).saturating_sub(self.ready.len());
        let starting = std::iter::repeat_n(self.unseen_capacity, soon);
        let ready = self.emptiest_first();
        // In the order in which they are given up.
        let given_up = starting.chain(ready.iter().map(|replica| replica.capacity));
        let removable = given_up.take_while(|capacity| {
            spare -= capacity;
            spare >= 0.0
        });
        supply - count(removable.count())
    }

    /// The same of all that is, or can be had without a start; whoever goes is taken to be whole.
    pub(crate) fn in_all_for(&self, whole: u32) -> u32 {
        let unseen = f64::from(count(self.starting.len() + self.standby.len()));
        let capacity = self.ready_capacity + self.draining_capacity + unseen * self.unseen_capacity;
        let missing = f64::from(whole) - capacity;
        if missing > ROUNDING {
            return self.in_all() + ceil((missing - ROUNDING) / self.unseen_capacity);
        }
        self.in_all() - floor(ROUNDING - missing).min(self.in_all())
    }

    /// Ready replicas in the order in which they are given up: the emptiest, among those the slowest,
    /// among those they whose machines hold least of what the next start there would need, and among
    /// those the youngest, since older ones have warmer caches.
    pub(crate) fn emptiest_first(&self) -> Vec<ReadyReplica> {
        let mut ready = self.ready.clone();
        ready.sort_unstable_by(|a, b| {
            let inside = a.inside.cmp(&b.inside);
            let slow = a.capacity.total_cmp(&b.capacity);
            inside.then(slow).then(a.held.cmp(&b.held)).then(b.id.cmp(&a.id))
        });
        ready
    }

    pub(crate) fn explain(
        &self,
        memory: &Memory,
        observation: &Observation,
        capacity: &CapacityExplanation,
    ) -> SupplyExplanation {
        let in_flight: Option<u32> = observation
            .replicas
            .iter()
            .filter(|r| r.phase == ReplicaPhase::Ready)
            .map(|r| r.in_flight.map(|s| s.value))
            .sum();
        let slots = count(self.ready.len()).saturating_mul(capacity.concurrency_cap.get());
        let utilization = in_flight
            .filter(|_| slots > 0)
            .map(|used| Utilization::saturating(f64::from(used) / f64::from(slots)));
        SupplyExplanation {
            ready: ReplicaCount(count(self.ready.len())),
            starting: ReplicaCount(count(self.starting.len())),
            draining: ReplicaCount(count(self.draining.len())),
            standby: ReplicaCount(count(self.standby.len())),
            residuals: self.starting.iter().map(|(residual, _)| *residual).collect(),
            utilization,
            slow: memory.replicas.iter().filter_map(slow).collect(),
            capacity: self.ready_capacity
                + f64::from(count(self.starting.len())) * self.unseen_capacity,
        }
    }
}

fn slow((&replica, memory): (&ReplicaId, &ReplicaMemory)) -> Option<SlowReplica> {
    let capacity = Utilization::saturating(memory.pace.slow?);
    Some(SlowReplica { replica, capacity })
}

/// Rounds up to whole replicas. The bound is far above any pool's and keeps the sum in range.
pub(crate) fn ceil(replicas: f64) -> u32 {
    replicas.ceil().clamp(0.0, 1e6) as u32
}

pub(crate) fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn floor(replicas: f64) -> u32 {
    replicas.floor().clamp(0.0, 1e6) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ready replicas by requests inside and capacity, and so many starts.
    fn fleet(ready: &[(u32, f64)], starting: u64, unseen_capacity: f64) -> Fleet {
        let ready = (0..).zip(ready).map(|(id, &(inside, capacity))| ReadyReplica {
            id: ReplicaId(id),
            inside: Some(inside),
            capacity,
            held: 0,
        });
        let ready: Vec<ReadyReplica> = ready.collect();
        Fleet {
            ready_capacity: ready.iter().map(|replica| replica.capacity).sum(),
            ready,
            starting: (100..100 + starting).map(|id| (Duration::ZERO, ReplicaId(id))).collect(),
            overdue: Vec::new(),
            draining: Vec::new(),
            standby: Vec::new(),
            blind: Vec::new(),
            draining_capacity: 0.0,
            unseen_capacity,
        }
    }

    #[track_caller]
    fn check(fleet: &Fleet, whole: u32, ready: u32, in_all: u32) {
        assert_eq!(
            (fleet.ready_for(whole, Duration::MAX), fleet.in_all_for(whole)),
            (ready, in_all)
        );
    }

    #[test]
    fn where_nobody_is_slow_needs_are_heads() {
        let fleet = fleet(&[(3, 1.0), (0, 1.0)], 1, 1.0);
        (0..6).for_each(|whole| check(&fleet, whole, whole, whole));
    }

    #[test]
    fn slow_ones_take_more_heads() {
        // Three whole ones and two at half speed do the work of four.
        let five = [(4, 1.0), (4, 1.0), (4, 0.5), (4, 1.0), (4, 0.5)];
        let fleet = |starting| fleet(&five, starting, 0.8);
        check(&fleet(0), 4, 5, 5);
        // What is new counts for the mean: two more do 1.6.
        check(&fleet(0), 5, 7, 7);
        // Both slow ones may go for one whole.
        check(&fleet(0), 3, 3, 4);
        check(&fleet(2), 5, 7, 7);
    }

    #[test]
    fn of_equals_they_stay_whose_machines_hold_most() {
        let mut fleet = fleet(&[(1, 1.0), (1, 1.0), (1, 1.0), (0, 1.0)], 0, 1.0);
        fleet.ready[0].held = 1;
        fleet.ready[1].held = 2;
        // What is emptier goes before, whatever its machine holds.
        fleet.ready[3].held = 2;
        let order: Vec<u64> = fleet.emptiest_first().iter().map(|ready| ready.id.0).collect();
        assert_eq!(order, [3, 2, 0, 1]);
    }

    #[test]
    fn nobody_goes_whose_work_is_needed() {
        // The emptiest is whole: without it too little is left. Without the slow one just enough.
        check(&fleet(&[(1, 1.0), (2, 1.0), (2, 0.5)], 0, 0.8), 2, 3, 3);
        check(&fleet(&[(2, 1.0), (2, 1.0), (1, 0.5)], 0, 0.8), 2, 2, 3);
    }
}
