//! The decision: demand → capacity → cold start → rehearsal → backlog → need → stabilize → limit →
//! plan.
//!
//! **Invariant:** this file branches, its neighbours compute.

use std::time::Duration;

use crate::cold_start::StartTimes;
use crate::decision::{
    ArrivalSource, BacklogExplanation, CapacityExplanation, ColdStartExplanation, Decision,
    DemandExplanation, Explanation, Plan, Reason, RehearsalExplanation, SupplyExplanation,
};
use crate::memory::{LastTick, Memory, TargetAt, WINDOW_ENTRIES_MAX, push_bounded};
use crate::observation::{Observation, ReplicaId, ReplicaPhase};
use crate::plan::{self, Steps};
use crate::policy::{Policy, PolicySpec};
use crate::rehearsal::Traffic;
use crate::units::{Instant, ReplicaCount, Utilization};
use crate::{backlog, capacity, cold_start, demand, schedule};

/// Decides what one pool should do, from what is known of it.
///
/// Pure: equal inputs give bit-equal outputs. `memory` is what the previous decision left, or
/// [`Memory::default`] for the first. The observation's replicas must be sorted by id.
pub fn decide(policy: &Policy, memory: &Memory, observation: &Observation) -> Decision {
    let spec = policy.spec();
    let now = observation.now;
    let mut memory = memory.clone();

    cold_start::remember(&mut memory, observation);
    let source = demand::remember(spec, &mut memory, observation);

    let demand = demand::estimate(spec, &mut memory, observation, source);
    let capacity = capacity::estimate(spec, &memory, observation);
    let starts = StartTimes::learned(spec, &memory, now);
    let cold_start = starts.explain();
    let fleet = Fleet::of(spec, &memory, &starts, observation);
    let rehearsal =
        rehearse(spec, &mut memory, observation, &demand, &capacity, &cold_start, &fleet);
    let backlog = project_backlog(spec, observation, &demand, &capacity, &cold_start, &fleet);
    let scheduled = schedule::replicas(observation, cold_start.lead_time);
    let need = Need::of(spec, observation, &demand, &capacity, &rehearsal, &backlog, scheduled);
    let target_stabilized = stabilize(spec, &mut memory, now, need.target, fleet.supply());

    let limited = limit(spec, observation, source, &fleet, &need, target_stabilized);
    let steps = plan::steps(spec, &mut memory, observation, &fleet, &limited);
    let reason = explain(spec, observation, &fleet, &need, &limited, &steps);

    memory.last = Some(LastTick { tick: observation.tick, at: now });
    let desired = ReplicaCount(limited.desired);
    let next_tick_at = now.saturating_add(spec.tick_interval);
    let supply = fleet.explain(observation, &capacity);
    Decision {
        plan: Plan { desired, actions: steps.actions, next_tick_at },
        memory,
        explanation: Explanation {
            reason,
            demand,
            capacity,
            cold_start,
            rehearsal,
            backlog,
            supply,
            needed_for_load: ReplicaCount(need.for_load),
            needed_for_backlog: ReplicaCount(need.for_backlog),
            needed_for_schedule: ReplicaCount(need.for_schedule),
            target: ReplicaCount(need.target),
            target_stabilized: ReplicaCount(target_stabilized),
            replicas_blind: fleet.blind,
            replicas_overdue: fleet.overdue,
        },
    }
}

/// What exists, sorted by what can be done with it.
pub(crate) struct Fleet {
    /// Ready replicas with the requests inside them, where known.
    pub(crate) ready: Vec<(ReplicaId, Option<u32>)>,
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
}

impl Fleet {
    fn of(
        spec: &PolicySpec,
        memory: &Memory,
        starts: &StartTimes,
        observation: &Observation,
    ) -> Self {
        let mut fleet = Self {
            ready: Vec::new(),
            starting: Vec::new(),
            overdue: Vec::new(),
            draining: Vec::new(),
            standby: Vec::new(),
            blind: Vec::new(),
        };
        let mut draining = Vec::new();
        for replica in &observation.replicas {
            let id = replica.id;
            match replica.phase {
                ReplicaPhase::Ready => {
                    let inside = replica.requests_inside(observation.now, spec.staleness_max);
                    if inside.is_none() {
                        fleet.blind.push(id);
                    }
                    fleet.ready.push((id, inside));
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
                ReplicaPhase::Draining => draining.push((replica.phase_since, id)),
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

    /// Everything that exists.
    pub(crate) fn total(&self) -> u32 {
        let idle = self.overdue.len() + self.draining.len() + self.standby.len();
        self.supply() + count(idle)
    }

    fn explain(
        &self,
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
        }
    }
}

/// Replicas needed, before limits.
pub(crate) struct Need {
    pub(crate) for_load: u32,
    pub(crate) for_backlog: u32,
    pub(crate) for_schedule: u32,
    pub(crate) target: u32,
}

impl Need {
    fn of(
        spec: &PolicySpec,
        observation: &Observation,
        demand: &DemandExplanation,
        capacity: &CapacityExplanation,
        rehearsal: &RehearsalExplanation,
        backlog: &BacklogExplanation,
        for_schedule: u32,
    ) -> Self {
        let slots_per_replica = f64::from(capacity.concurrency_cap.get());
        let held = observation.gateway.as_ref().is_some_and(|gateway| gateway.held > 0);
        let for_load = ceil(rehearsal.slots_held / slots_per_replica).max(u32::from(held));
        let spare = f64::from(for_load) * slots_per_replica - demand.offered_load.get();
        let drain_time = spec.backlog_drain_time;
        let slots_for_backlog =
            backlog::slots_needed(backlog, demand.service_time, drain_time, spare);
        // Twice what the load needs drains any backlog at the rate at which it came in.
        let for_backlog = ceil(slots_for_backlog / slots_per_replica).min(for_load.max(1));
        let target = for_load.saturating_add(for_backlog).max(for_schedule);
        Self { for_load, for_backlog, for_schedule, target }
    }
}

/// Lets every rule live through this tick, and follows the best.
fn rehearse(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    demand: &DemandExplanation,
    capacity: &CapacityExplanation,
    cold_start: &ColdStartExplanation,
    fleet: &Fleet,
) -> RehearsalExplanation {
    let now = observation.now;
    let since = memory.last.map_or(Duration::ZERO, |last| now.since(last.at));
    let traffic = Traffic {
        now,
        since,
        arrivals: demand::arrivals_since_last(memory, demand.source).map(|count| count as f64),
        load: demand.offered_load.get(),
        service_time: demand.service_time,
        slots: f64::from(capacity.concurrency_cap.get()),
        ttft_aim: spec.slo.threshold,
        lead_time: cold_start.lead_time,
        drain_time: spec.backlog_drain_time,
        replicas_min: spec.replicas_min.0,
        replicas_max: spec.replicas_max.0,
        supply: fleet.supply(),
        allowance: 1.0 - spec.slo.quantile.get(),
    };
    memory.rehearsal.step(&traffic)
}

fn project_backlog(
    spec: &PolicySpec,
    observation: &Observation,
    demand: &DemandExplanation,
    capacity: &CapacityExplanation,
    cold_start: &ColdStartExplanation,
    fleet: &Fleet,
) -> BacklogExplanation {
    let residuals: Vec<Duration> = fleet.starting.iter().map(|(residual, _)| *residual).collect();
    let projection = backlog::Projection {
        // Equal to the arrival rate, but where the service time is not known yet.
        arrival_rate: demand.offered_load.get() / demand.service_time.as_secs_f64(),
        service_time: demand.service_time,
        concurrency_cap: capacity.concurrency_cap,
        ready: count(fleet.ready.len()),
        residuals: &residuals,
        lead_time: cold_start.lead_time,
    };
    backlog::project(backlog::requests(spec, observation), &projection)
}

/// A tick that comes later than so many intervals is the first after a pause, not a slow one.
const PAUSE_TICKS: u32 = 10;

/// The largest target of the stabilization window, this tick's included. After a pause that covers
/// the window, or without memory, what exists is taken to have been needed: a fleet that was just
/// adopted is not cut down.
fn stabilize(
    spec: &PolicySpec,
    memory: &mut Memory,
    now: Instant,
    target: u32,
    supply: u32,
) -> u32 {
    let oldest = now.saturating_sub(spec.scale_down_window);
    while memory.targets.front().is_some_and(|entry| entry.at < oldest) {
        memory.targets.pop_front();
    }
    let pause = spec.tick_interval.saturating_mul(PAUSE_TICKS);
    let paused = memory.last.is_none_or(|last| now.since(last.at) > pause);
    if memory.targets.is_empty() && paused {
        memory.targets.push_back(TargetAt { at: now, target: supply });
    }
    // A target that a later one reaches can never again be the window's largest.
    while memory.targets.back().is_some_and(|entry| entry.target <= target) {
        memory.targets.pop_back();
    }
    push_bounded(&mut memory.targets, TargetAt { at: now, target }, WINDOW_ENTRIES_MAX);
    memory.targets.front().map_or(target, |entry| entry.target)
}

/// Where the pool should go, and what keeps it from going further.
pub(crate) struct Limited {
    /// Replicas that should be ready or on their way.
    pub(crate) desired: u32,
    /// Why nothing may be given up, if so.
    pub(crate) hold: Option<Reason>,
}

fn limit(
    spec: &PolicySpec,
    observation: &Observation,
    source: ArrivalSource,
    fleet: &Fleet,
    need: &Need,
    target_stabilized: u32,
) -> Limited {
    let (min, max) = bounds(spec, observation);
    let supply = fleet.supply();
    let wanted = need.target.clamp(min, max);
    if wanted > supply {
        return Limited { desired: wanted, hold: None };
    }
    // A pool without a ready replica and without a gateway has nobody to ask, and nothing to lose.
    let nobody_to_ask = fleet.ready.is_empty() && observation.gateway.is_none();
    let blind = !fleet.blind.is_empty() || (source == ArrivalSource::Unknown && !nobody_to_ask);
    if blind {
        return Limited { desired: supply.clamp(min, max), hold: Some(Reason::SignalsMissing) };
    }
    if wanted == supply {
        return Limited { desired: supply, hold: None };
    }
    let stabilized = target_stabilized.clamp(min, max);
    if stabilized >= supply {
        return Limited { desired: supply, hold: Some(Reason::ScaleDownStabilized) };
    }
    Limited { desired: stabilized, hold: None }
}

/// Fewest and most replicas, as far as the pool may hold them now.
pub(crate) fn bounds(spec: &PolicySpec, observation: &Observation) -> (u32, u32) {
    let (min, max) = (spec.replicas_min.0, spec.replicas_max.0);
    let allowed = observation.replicas_allowed.map_or(max, |allowed| allowed.0.min(max));
    (min, allowed.max(min))
}

/// The one reason that says most about this plan.
fn explain(
    spec: &PolicySpec,
    observation: &Observation,
    fleet: &Fleet,
    need: &Need,
    limited: &Limited,
    steps: &Steps,
) -> Reason {
    let supply = fleet.supply();
    if let Some(hold) = limited.hold {
        return hold;
    }
    if limited.desired > supply {
        if steps.added == 0 {
            return Reason::Capped;
        }
        return why_more(spec, observation, fleet, need);
    }
    if limited.desired < supply {
        return match steps.removed {
            0 => Reason::ScaleDownRateLimited,
            _ if supply > spec.replicas_max.0 => Reason::AboveMaximum,
            _ if supply > bounds(spec, observation).1 => Reason::QuotaTaken,
            _ if limited.desired == 0 => Reason::ToZero,
            _ => Reason::DemandBelowPlan,
        };
    }
    if need.target > bounds(spec, observation).1 {
        Reason::Capped
    } else if count(fleet.ready.len()) < limited.desired {
        Reason::StartsUnderWay
    } else {
        Reason::Steady
    }
}

fn why_more(spec: &PolicySpec, observation: &Observation, fleet: &Fleet, need: &Need) -> Reason {
    let supply = fleet.supply();
    let waiting = observation.gateway.as_ref().is_some_and(|gateway| gateway.held > 0);
    if need.target < spec.replicas_min.0 {
        Reason::BelowMinimum
    } else if supply == 0 && waiting {
        Reason::Activate
    } else if need.for_schedule > supply && need.for_load <= supply {
        Reason::Scheduled
    } else if need.for_load <= supply {
        Reason::Backlog
    } else {
        Reason::DemandAbovePlan
    }
}

/// Rounds up to whole replicas. The bound is far above any pool's and keeps the sum in range.
fn ceil(replicas: f64) -> u32 {
    replicas.ceil().clamp(0.0, 1e6) as u32
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
