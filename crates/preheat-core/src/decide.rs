//! The decision: demand → capacity → cold start → rehearsal → backlog → need → stabilize → limit →
//! plan.
//!
//! **Invariant:** this file branches, its neighbours compute.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cold_start::StartTimes;
use crate::decision::{
    ArrivalSource, BacklogExplanation, CapacityExplanation, Decision, DemandExplanation,
    Explanation, Plan, Reason, RehearsalExplanation, SupplyExplanation,
};
use crate::ladder::Ladder;
use crate::memory::{LastTick, Memory, TargetAt, WINDOW_ENTRIES_MAX, push_bounded};
use crate::observation::{Observation, ReplicaId, ReplicaPhase};
use crate::part::Part;
use crate::plan::{self, Steps};
use crate::policy::{Policy, PolicySpec};
use crate::rehearsal::{Prices, Traffic};
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
    capacity::remember(spec, &mut memory, observation);
    let source = demand::remember(spec, &mut memory, observation);

    let demand = demand::estimate(spec, &mut memory, observation, source);
    let capacity = capacity::estimate(spec, &memory, observation);
    let starts = StartTimes::learned(spec, &memory, now);
    let cold_start = starts.explain();
    let ladder = Ladder::of(spec, &starts, &cold_start);
    let fleet = Fleet::of(spec, &memory, &starts, observation);
    let traffic = traffic(spec, &memory, observation, &demand, &capacity, &fleet);
    let asleep = count(fleet.standby.len());
    let scheduled = |lead_time| schedule::replicas(observation, lead_time);
    let (rehearsal, in_all) = ladder.rehearse(&mut memory, &traffic, asleep, scheduled);
    let rehearsed = Rehearsed { ready: &rehearsal, in_all: in_all.as_ref() };
    let backlogs = Backlogs::project(spec, observation, &demand, &capacity, &ladder, &fleet);
    let need = Need::of(spec, observation, &demand, &capacity, &rehearsed, &backlogs, &ladder);
    let targets = Targets::stabilize(spec, &mut memory, now, &need, &fleet);

    let limited = limit(spec, observation, source, &ladder, &fleet, &need, &targets);
    let steps = plan::steps(spec, &mut memory, observation, &fleet, &ladder, &limited);
    let reason = explain(spec, observation, &ladder, &fleet, &need, &limited, &steps);

    memory.last = Some(LastTick { tick: observation.tick, at: now });
    let desired = ReplicaCount(limited.desired);
    let next_tick_at = now.saturating_add(spec.tick_interval);
    let supply = fleet.explain(observation, &capacity);
    let standby = ladder.explain(&memory, in_all, need.in_all);
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
            backlog: backlogs.ready,
            supply,
            needed_for_load: ReplicaCount(need.for_load),
            needed_for_backlog: ReplicaCount(need.for_backlog),
            needed_for_schedule: ReplicaCount(need.for_schedule),
            target: ReplicaCount(need.target),
            allowance: observation.replicas_allowed.clone(),
            target_stabilized: ReplicaCount(targets.ready),
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

    /// Ready, or on its way and ready within `lead`: what can be counted on before anything that is
    /// ordered now.
    pub(crate) fn supply_within(&self, lead: Duration) -> u32 {
        let soon = self.starting.iter().take_while(|(residual, _)| *residual <= lead).count();
        count(self.ready.len() + soon)
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

/// What the rules hold.
struct Rehearsed<'a> {
    ready: &'a RehearsalExplanation,
    in_all: Option<&'a RehearsalExplanation>,
}

/// What would still be queued when a replica that is ordered now is ready.
struct Backlogs {
    /// One that is woken, where one sleeps, else one that is started.
    ready: BacklogExplanation,
    /// One that is started.
    cold: BacklogExplanation,
}

impl Backlogs {
    fn project(
        spec: &PolicySpec,
        observation: &Observation,
        demand: &DemandExplanation,
        capacity: &CapacityExplanation,
        ladder: &Ladder,
        fleet: &Fleet,
    ) -> Self {
        let requests = backlog::requests(spec, observation);
        let residuals: Vec<Duration> =
            fleet.starting.iter().map(|(residual, _)| *residual).collect();
        let at = |lead_time| {
            let projection = backlog::Projection {
                // Equal to the arrival rate, but where the service time is not known yet.
                arrival_rate: demand.offered_load.get() / demand.service_time.as_secs_f64(),
                service_time: demand.service_time,
                concurrency_cap: capacity.concurrency_cap,
                ready: count(fleet.ready.len()),
                residuals: &residuals,
                lead_time,
            };
            backlog::project(requests, &projection)
        };
        let cold = at(ladder.lead_cold);
        let ready = if fleet.standby.is_empty() { cold.clone() } else { at(ladder.lead_ready) };
        Self { ready, cold }
    }
}

/// Replicas needed, before limits.
pub(crate) struct Need {
    pub(crate) for_load: u32,
    pub(crate) for_backlog: u32,
    pub(crate) for_schedule: u32,
    /// Ready ones.
    pub(crate) target: u32,
    /// Ready and sleeping ones together.
    pub(crate) in_all: u32,
}

impl Need {
    fn of(
        spec: &PolicySpec,
        observation: &Observation,
        demand: &DemandExplanation,
        capacity: &CapacityExplanation,
        rehearsed: &Rehearsed<'_>,
        backlogs: &Backlogs,
        ladder: &Ladder,
    ) -> Self {
        let slots_per_replica = f64::from(capacity.concurrency_cap.get());
        let held = observation.gateway.as_ref().is_some_and(|gateway| gateway.held > 0);
        let for_load = ceil(rehearsed.ready.slots_held / slots_per_replica).max(u32::from(held));
        let spare = f64::from(for_load) * slots_per_replica - demand.offered_load.get();
        let for_backlog = |backlog| {
            let drain_time = spec.backlog_drain_time;
            if spec.without == Some(Part::Backlog) {
                return 0;
            }
            let slots = backlog::slots_needed(backlog, demand.service_time, drain_time, spare);
            // Twice what the load needs drains any backlog at the rate at which it came in.
            ceil(slots / slots_per_replica).min(for_load.max(1))
        };
        let target = |backlog, lead_time| {
            let scheduled = schedule::replicas(observation, lead_time);
            for_load.saturating_add(for_backlog(backlog)).max(scheduled)
        };
        let cold = target(&backlogs.cold, ladder.lead_cold);
        let in_all = rehearsed.in_all.map(|in_all| ceil(in_all.slots_held / slots_per_replica));
        Self {
            for_load,
            for_backlog: for_backlog(&backlogs.ready),
            for_schedule: schedule::replicas(observation, ladder.lead_ready),
            target: target(&backlogs.ready, ladder.lead_ready),
            in_all: ladder.in_all(cold, in_all),
        }
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

/// A tick that comes later than so many intervals is the first after a pause, not a slow one.
const PAUSE_TICKS: u32 = 10;

/// The largest targets of the stabilization window, this tick's included.
struct Targets {
    ready: u32,
    in_all: u32,
}

impl Targets {
    /// After a pause that covers the window, or without memory, what exists is taken to have been
    /// needed: a fleet that was just adopted is not cut down.
    fn stabilize(
        spec: &PolicySpec,
        memory: &mut Memory,
        now: Instant,
        need: &Need,
        fleet: &Fleet,
    ) -> Self {
        let pause = spec.tick_interval.saturating_mul(PAUSE_TICKS);
        let paused = memory.last.is_none_or(|last| now.since(last.at) > pause);
        let found = |supply| if paused { supply } else { 0 };
        let keep = match spec.without {
            Some(Part::Stabilization) => Duration::ZERO,
            _ => spec.scale_down_window,
        };
        let window = Window { now, oldest: now.saturating_sub(keep) };
        let ready = window.largest(&mut memory.targets, need.target, found(fleet.supply()));
        let in_all = window.largest(&mut memory.targets_in_all, need.in_all, found(fleet.in_all()));
        Self { ready, in_all }
    }
}

/// The stabilization window at one tick.
struct Window {
    now: Instant,
    oldest: Instant,
}

impl Window {
    /// Adds `target`, and before it what was `found` if nothing is remembered; returns the largest.
    fn largest(&self, targets: &mut VecDeque<TargetAt>, target: u32, found: u32) -> u32 {
        while targets.front().is_some_and(|entry| entry.at < self.oldest) {
            targets.pop_front();
        }
        if targets.is_empty() && found > 0 {
            targets.push_back(TargetAt { at: self.now, target: found });
        }
        // A target that a later one reaches can never again be the window's largest.
        while targets.back().is_some_and(|entry| entry.target <= target) {
            targets.pop_back();
        }
        push_bounded(targets, TargetAt { at: self.now, target }, WINDOW_ENTRIES_MAX);
        targets.front().map_or(target, |entry| entry.target)
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
    let wanted = need.target.clamp(min, max);
    // A pool without a ready replica and without a gateway has nobody to ask, and nothing to lose.
    let nobody_to_ask = fleet.ready.is_empty() && observation.gateway.is_none();
    let blind = !fleet.blind.is_empty() || (source == ArrivalSource::Unknown && !nobody_to_ask);
    let in_all = need.in_all.clamp(min, max);
    let kept = if blind { fleet.in_all() } else { targets.in_all };
    let kept = kept.clamp(min, max).max(in_all);
    let to = |desired, hold| {
        let in_all_kept = kept.max(desired);
        Limited { desired, in_all, in_all_kept, hold, blind }
    };
    if wanted > supply {
        return to(wanted, None);
    }
    if blind {
        return to(supply.clamp(min, max), Some(Reason::SignalsMissing));
    }
    if wanted == supply {
        return to(supply, None);
    }
    let stabilized = targets.ready.clamp(min, max);
    if stabilized >= supply {
        return to(supply, Some(Reason::ScaleDownStabilized));
    }
    to(stabilized, None)
}

/// Fewest and most replicas, as far as the pool may hold them now.
pub(crate) fn bounds(spec: &PolicySpec, observation: &Observation) -> (u32, u32) {
    let (min, max) = (spec.replicas_min.0, spec.replicas_max.0);
    let allowed = observation.replicas_allowed.as_ref().map_or(max, |may| may.replicas.0.min(max));
    (min, allowed.max(min))
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
    let supply = fleet.supply_within(ladder.counted_within());
    let (_, max) = bounds(spec, observation);
    let taken = (max + 1)..=spec.replicas_max.0;
    if taken.contains(&fleet.held()) && steps.gives_up() {
        return Reason::QuotaTaken;
    }
    if limited.desired > supply && steps.added > 0 {
        return why_more(spec, observation, supply, need);
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
    if need.target > max {
        Reason::Capped
    } else if count(fleet.ready.len()) < limited.desired {
        Reason::StartsUnderWay
    } else {
        Reason::Steady
    }
}

fn why_more(spec: &PolicySpec, observation: &Observation, supply: u32, need: &Need) -> Reason {
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
