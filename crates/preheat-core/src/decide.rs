//! The decision: demand → capacity → cold start → ladder (which rehearses) → backlog → need →
//! stabilize → limit → plan.
//!
//! **Invariant:** this file branches, its neighbours compute.

use std::time::Duration;

use crate::cold_start::StartTimes;
use crate::decision::{
    ArrivalSource, CapacityExplanation, Decision, DemandExplanation, Explanation, Plan, Reason,
    RehearsalExplanation,
};
use crate::fleet::{Fleet, count};
use crate::guard::Watch;
use crate::ladder::Ladder;
use crate::memory::{LastTick, Memory};
use crate::need::{Backlogs, Held, Need, Rehearsed};
use crate::observation::Observation;
use crate::part::Part;
use crate::plan::{self, Steps};
use crate::policy::{Policy, PolicySpec};
use crate::rehearsal::{Prices, Traffic};
use crate::targets::Targets;
use crate::units::ReplicaCount;
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
    let capacities = capacity::remember(spec, &mut memory, observation);
    let worths = capacity::slot_worths(spec, &memory, observation, &capacities);
    let source = demand::remember(spec, &mut memory, observation, &worths);

    let demand = demand::estimate(spec, &mut memory, observation, source);
    let capacity = capacity::estimate(spec, &memory, observation);
    let starts = StartTimes::learned(spec, &memory, observation);
    let cold_start = starts.explain();
    let ladder = Ladder::of(spec, &starts, &cold_start);
    let fleet = Fleet::of(spec, &memory, &starts, observation, &capacities);
    let traffic = traffic(spec, &memory, observation, &demand, &capacity, &fleet);
    let asleep = count(fleet.standby.len());
    let scheduled = |lead_time| schedule::replicas(spec, observation, lead_time);
    let (rehearsal, in_all) = ladder.rehearse(&mut memory, &traffic, asleep, scheduled);
    memory.guard.step(&watch(spec, &traffic, observation, &rehearsal, &fleet));
    let guard_factor = memory.guard.boost;
    let load_sure = traffic.load_sure;
    let rehearsed =
        Rehearsed { ready: &rehearsal, in_all: in_all.as_ref(), guard_factor, load_sure };
    let held = Held::of(spec, observation, &capacity, &rehearsed);
    let backlogs =
        Backlogs::project(spec, observation, &demand, &rehearsed, &ladder, &fleet, &held);
    let need = Need::of(spec, observation, &demand, &rehearsed, &held, &backlogs, &ladder);
    let targets = Targets::stabilize(spec, &mut memory, now, &need, &fleet, &ladder);

    let limited = limit(spec, observation, source, &ladder, &fleet, &need, &targets);
    let steps = plan::steps(spec, &mut memory, observation, &fleet, &ladder, &limited);
    let reason = explain(spec, observation, &ladder, &fleet, &need, &limited, &steps);

    memory.last = Some(LastTick { tick: observation.tick, at: now });
    let desired = ReplicaCount(limited.desired);
    let next_tick_at = now.saturating_add(spec.tick_interval);
    let supply = fleet.explain(&memory, observation, &capacity);
    let guard = memory.guard.explain(need.for_guard);
    let standby = ladder.explain(&memory, in_all, fleet.in_all_for(need.in_all));
    let target = ReplicaCount(fleet.ready_for(need.target, ladder.counted_within()));
    let target_stabilized = ReplicaCount(targets.kept(&fleet, &ladder));
    Decision {
        plan: Plan { desired, actions: steps.actions, next_tick_at },
        memory,
        explanation: Explanation {
            reason,
            demand,
            capacity,
            cold_start,
            rehearsal,
            standby,
            guard,
            backlog: backlogs.ready.without_extra,
            supply,
            needed_for_load: ReplicaCount(need.for_load),
            needed_for_backlog: ReplicaCount(need.for_backlog),
            needed_for_schedule: ReplicaCount(need.for_schedule),
            target,
            allowance: observation.replicas_allowed.clone(),
            pinned: observation.controls.pinned,
            target_stabilized,
            replicas_blind: fleet.blind,
            replicas_overdue: fleet.overdue,
        },
    }
}

/// What the rehearsal is told, but for how far ahead it must decide, and at which price.
fn traffic(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
    demand: &DemandExplanation,
    capacity: &CapacityExplanation,
    fleet: &Fleet,
) -> Traffic {
    let now = observation.now;
    Traffic {
        now,
        since: memory.last.map_or(Duration::ZERO, |last| now.since(last.at)),
        arrivals: demand::arrivals_since_last(memory, demand.source).map(|count| count as f64),
        load: demand.offered_load.get(),
        load_sure: demand::sure(spec, demand),
        service_time: demand.service_time,
        slots: f64::from(capacity.concurrency_cap.get()),
        ttft_aim: spec.slo.threshold,
        lead_time: Duration::ZERO,
        drain_time: spec.backlog_drain_time,
        replicas_min: spec.replicas_min.0,
        replicas_max: spec.replicas_max.0,
        prices: Prices::of(1.0),
        supply: fleet.supply(),
        allowance: 1.0 - spec.slo.quantile.get(),
        without: spec.without,
    }
}

/// What the TTFT guard looks at.
fn watch(
    spec: &PolicySpec,
    traffic: &Traffic,
    observation: &Observation,
    rehearsal: &RehearsalExplanation,
    fleet: &Fleet,
) -> Watch {
    let gateway = observation.gateway.as_ref().filter(|_| spec.without != Some(Part::TtftGuard));
    let first_tokens = gateway
        .filter(|seen| traffic.now.since(seen.observed_at) <= spec.staleness_max)
        .and_then(|seen| seen.first_tokens);
    Watch {
        now: traffic.now,
        since: traffic.since,
        first_tokens,
        load: traffic.load,
        queued: f64::from(backlog::requests(spec, observation)),
        can_grow: fleet.supply() < bounds(spec, observation).1
            && observation.replicas_placeable != Some(0),
        slots_ready: fleet.ready_capacity * traffic.slots,
        is_growing: !fleet.starting.is_empty(),
        drain_time: spec.backlog_drain_time,
        allowance: traffic.allowance,
        misses_expected: 1.0 - rehearsal.attainment_expected.get(),
    }
}

/// Where the pool should go, and what keeps it from going further.
pub(crate) struct Limited {
    /// Replicas that should be ready or on their way.
    pub(crate) desired: u32,
    /// Replicas that there should be, sleeping ones included.
    pub(crate) in_all: u32,
    /// Those beyond so many may go.
    pub(crate) in_all_kept: u32,
    /// Why nothing may be given up, if so.
    pub(crate) hold: Option<Reason>,
    /// Whether so little is known that nothing may be given up, whatever is needed.
    pub(crate) blind: bool,
}

fn limit(
    spec: &PolicySpec,
    observation: &Observation,
    source: ArrivalSource,
    ladder: &Ladder,
    fleet: &Fleet,
    need: &Need,
    targets: &Targets,
) -> Limited {
    let (min, max) = bounds(spec, observation);
    let supply = fleet.supply_within(ladder.counted_within());
    let lead = ladder.counted_within();
    // Where nobody would see a request that finds no replica, the last one stays, or is woken.
    let last = |there: u32| {
        let stays = if observation.sees_demand(spec.staleness_max) { 0 } else { there.min(1) };
        min.max(stays).min(max)
    };
    let needed = fleet.ready_for(need.target, lead).clamp(min, max);
    let wanted = needed.max(last(fleet.in_all()));
    // A pool without a ready replica and without a gateway has nobody to ask, and nothing to lose.
    let nobody_to_ask = fleet.ready.is_empty() && observation.gateway.is_none();
    let blind = !fleet.blind.is_empty() || (source == ArrivalSource::Unknown && !nobody_to_ask);
    let in_all = fleet.in_all_for(need.in_all).clamp(min, max);
    let kept = if blind { fleet.in_all() } else { fleet.in_all_for(targets.in_all) };
    let kept = kept.clamp(last(fleet.in_all()), max).max(in_all);
    let to = |desired, hold| {
        let in_all_kept = kept.max(desired);
        Limited { desired, in_all, in_all_kept, hold, blind }
    };
    if observation.controls.paused {
        return to(supply.clamp(min, max), Some(Reason::Paused));
    }
    if wanted > supply {
        return to(wanted, None);
    }
    if blind {
        return to(supply.clamp(min, max), Some(Reason::SignalsMissing));
    }
    if wanted == supply {
        return to(supply, (needed < wanted).then_some(Reason::DemandUnseen));
    }
    let stabilized = targets.kept(fleet, ladder).clamp(wanted, max);
    if stabilized >= supply {
        return to(supply, Some(Reason::ScaleDownStabilized));
    }
    to(stabilized, None)
}

/// Fewest and most replicas, as far as the pool may hold them now. Where an operator has pinned a
/// count, both are that.
pub fn bounds(spec: &PolicySpec, observation: &Observation) -> (u32, u32) {
    let (min, max) = (spec.replicas_min.0, spec.replicas_max.0);
    let allowed = observation.replicas_allowed.as_ref().map_or(max, |may| may.replicas.0.min(max));
    let max = allowed.max(min);
    match observation.controls.pinned {
        Some(pinned) => (pinned.0.clamp(min, max), pinned.0.clamp(min, max)),
        None => (min, max),
    }
}

/// The one reason that says most about this plan.
fn explain(
    spec: &PolicySpec,
    observation: &Observation,
    ladder: &Ladder,
    fleet: &Fleet,
    need: &Need,
    limited: &Limited,
    steps: &Steps,
) -> Reason {
    if observation.controls.paused {
        return Reason::Paused;
    }
    if observation.controls.pinned.is_some() && limited.hold.is_none() {
        return Reason::Pinned;
    }
    let supply = fleet.supply_within(ladder.counted_within());
    let (_, max) = bounds(spec, observation);
    let taken = (max + 1)..=spec.replicas_max.0;
    if taken.contains(&fleet.held()) && steps.gives_up() {
        return Reason::QuotaTaken;
    }
    if limited.desired > supply && steps.added > 0 {
        return why_more(spec, observation, ladder, fleet, need);
    }
    if steps.added > 0 {
        return Reason::StandbyBelowPlan;
    }
    if let Some(hold) = limited.hold {
        return hold;
    }
    if limited.desired > supply {
        let is_coming = fleet.supply() >= limited.desired;
        return if is_coming { Reason::StartsUnderWay } else { Reason::Capped };
    }
    if limited.desired < supply {
        return match steps.removed {
            0 if taken.contains(&supply) => Reason::QuotaTaken,
            0 => Reason::ScaleDownRateLimited,
            _ if supply > spec.replicas_max.0 => Reason::AboveMaximum,
            _ if limited.desired == 0 => Reason::ToZero,
            _ => Reason::DemandBelowPlan,
        };
    }
    if fleet.ready_for(need.target, ladder.counted_within()) > max {
        Reason::Capped
    } else if count(fleet.ready.len()) < limited.desired {
        Reason::StartsUnderWay
    } else {
        Reason::Steady
    }
}

fn why_more(
    spec: &PolicySpec,
    observation: &Observation,
    ladder: &Ladder,
    fleet: &Fleet,
    need: &Need,
) -> Reason {
    let lead = ladder.counted_within();
    let is_covered = |whole| fleet.covers(whole, lead);
    let waiting = observation.is_called(spec.staleness_max);
    if need.target < spec.replicas_min.0 {
        Reason::BelowMinimum
    } else if fleet.supply_within(lead) == 0 && waiting {
        Reason::Activate
    } else if !is_covered(need.for_schedule) && is_covered(need.for_load) {
        Reason::Scheduled
    } else if is_covered(need.for_load + need.for_guard) {
        Reason::Backlog
    } else if is_covered(need.for_load) {
        Reason::TtftGuard
    } else {
        Reason::DemandAbovePlan
    }
}
