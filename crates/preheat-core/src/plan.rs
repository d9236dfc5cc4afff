//! From a desired count to steps: who is started, resumed, woken, drained, stopped.
//!
//! **Invariant:** nothing is stopped while a request is in it, but past its drain deadline.
//!
//! **Invariant:** what a pool may hold counts all that has GPUs and does not drain: replicas in standby
//! and starts that nobody counts on, too.

use std::time::Duration;

use crate::decide::{Limited, bounds};
use crate::decision::{Action, StopReason};
use crate::fleet::Fleet;
use crate::ladder::Ladder;
use crate::memory::{Memory, RemovalAt, WINDOW_ENTRIES_MAX, push_bounded};
use crate::observation::{Observation, ReplicaId, Rung};
use crate::policy::PolicySpec;
use crate::units::Instant;

/// The steps, and how far they go.
pub(crate) struct Steps {
    pub(crate) actions: Vec<Action>,
    /// Replicas added to the supply.
    pub(crate) added: u32,
    /// Replicas taken from it.
    pub(crate) removed: u32,
    /// Starts that nobody counted on, given up because another pool needs the GPUs.
    pub(crate) yielded: u32,
}

impl Steps {
    /// Whether the pool will hold fewer for any of them.
    pub(crate) fn gives_up(&self) -> bool {
        self.actions.iter().any(|action| match action {
            Action::Drain { .. } => true,
            Action::Stop { because, .. } => match because {
                StopReason::StartCancelled | StopReason::StandbySurplus => true,
                StopReason::Drained | StopReason::DrainDeadlinePassed => false,
            },
            Action::Start { .. }
            | Action::Wake { .. }
            | Action::Resume { .. }
            | Action::Sleep { .. } => false,
        })
    }
}

/// Steps from what exists to what is desired.
pub(crate) fn steps(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
    fleet: &Fleet,
    ladder: &Ladder,
    limited: &Limited,
) -> Steps {
    settle_removal(memory, fleet.live());
    let supply = fleet.supply_within(ladder.counted_within());
    let mut steps = Steps { actions: Vec::new(), added: 0, removed: 0, yielded: 0 };
    let mut draining = fleet.draining.clone();
    let mut standby = fleet.standby.clone();
    if observation.controls.paused {
        finish_drains(spec, observation, &draining, 0, &mut standby, &mut steps);
        return steps;
    }
    bring_back(limited.desired.saturating_sub(supply), &mut draining, &mut standby, &mut steps);
    start(spec, observation, fleet, limited, &mut steps);
    if steps.added == 0 && limited.hold.is_none() && limited.desired <= supply {
        let surplus = Surplus::of(fleet, ladder, limited, supply);
        shrink(spec, memory, observation.now, fleet, &surplus, &mut steps);
    }
    if observation.replicas_allowed.is_some() && !limited.blind && steps.added == 0 {
        yield_overdue(spec, observation, fleet, &mut steps);
    }
    let asleep_max = if ladder.has_standby() {
        asleep_max(spec, observation, fleet, limited, &steps)
    } else {
        0
    };
    finish_drains(spec, observation, &draining, asleep_max, &mut standby, &mut steps);
    trim_standby(&standby, asleep_max, &mut steps);
    steps
}

/// Quickest first: a draining replica serves at once, a standby one after its wake.
fn bring_back(
    missing: u32,
    draining: &mut Vec<ReplicaId>,
    standby: &mut Vec<ReplicaId>,
    steps: &mut Steps,
) {
    while steps.added < missing
        && let Some(replica) = draining.pop()
    {
        steps.actions.push(Action::Resume { replica });
        steps.added += 1;
    }
    while steps.added < missing && !standby.is_empty() {
        steps.actions.push(Action::Wake { replica: standby.remove(0) });
        steps.added += 1;
    }
}

/// Orders what is there in no state at all.
fn start(
    spec: &PolicySpec,
    observation: &Observation,
    fleet: &Fleet,
    limited: &Limited,
    steps: &mut Steps,
) {
    let under_way = fleet.starting.len() + fleet.overdue.len();
    let startable = spec.starts_max.saturating_sub(u32::try_from(under_way).unwrap_or(u32::MAX));
    let below_max = spec.replicas_max.0.saturating_sub(fleet.total());
    let placeable = observation.replicas_placeable.unwrap_or(u32::MAX);
    let missing = limited.in_all.saturating_sub(fleet.in_all());
    let resumed = steps.actions.iter().filter(|a| matches!(a, Action::Resume { .. })).count();
    let held = fleet.held() + u32::try_from(resumed).unwrap_or(u32::MAX);
    let may_hold = bounds(spec, observation).1.saturating_sub(held);
    let count = missing.min(startable).min(below_max).min(may_hold).min(placeable);
    if count > 0 {
        steps.actions.push(Action::Start { count });
        steps.added += count;
    }
}

/// What may go.
struct Surplus {
    /// Starts that are not needed any more.
    starting: u32,
    /// Those and ready replicas together.
    awake: u32,
}

impl Surplus {
    fn of(fleet: &Fleet, ladder: &Ladder, limited: &Limited, supply: u32) -> Self {
        let surplus = supply.saturating_sub(limited.desired);
        let starting = u32::try_from(fleet.starting.len()).unwrap_or(u32::MAX);
        if !ladder.has_standby() {
            return Self { starting: surplus.min(starting), awake: surplus };
        }
        // Those that are soon ready are counted on; what starts for later may be for the rung.
        let later = starting.saturating_sub(supply.saturating_sub(ready(fleet)));
        let starting = fleet.in_all().saturating_sub(limited.in_all_kept).min(later);
        // What is only soon ready serves nobody yet: as many as are desired stay ready meanwhile.
        let spare = ready(fleet).saturating_sub(limited.desired);
        Self { starting, awake: starting + surplus.min(spare) }
    }
}

fn ready(fleet: &Fleet) -> u32 {
    u32::try_from(fleet.ready.len()).unwrap_or(u32::MAX)
}

/// What the tick before gave up counts against the rate limit only as far as it went: a world that
/// observes, or whose write failed, has used nothing up.
fn settle_removal(memory: &mut Memory, live: u32) {
    let last = memory.last.map(|last| last.at);
    let Some(removal) = memory.removals.back_mut().filter(|removal| Some(removal.at) == last)
    else {
        return;
    };
    removal.count = removal.count.min(removal.live.saturating_sub(live));
    if removal.count == 0 {
        memory.removals.pop_back();
    }
}

/// Starts that are furthest from ready first, then the emptiest; within the rate limit.
fn shrink(
    spec: &PolicySpec,
    memory: &mut Memory,
    now: Instant,
    fleet: &Fleet,
    surplus: &Surplus,
    steps: &mut Steps,
) {
    let oldest = now.saturating_sub(spec.scale_down_limit.period);
    while memory.removals.front().is_some_and(|removal| removal.at <= oldest) {
        memory.removals.pop_front();
    }
    let used: u32 = memory.removals.iter().map(|removal| removal.count).sum();
    let by_share = spec.scale_down_limit.share.get() * f64::from(fleet.supply() + used);
    let most = spec.scale_down_limit.replicas.max(by_share as u32);
    let allowed = surplus.awake.min(most.saturating_sub(used));
    let ready = fleet.emptiest_first();
    let starting = fleet
        .starting
        .iter()
        .rev()
        .take(surplus.starting as usize)
        .map(|&(_, replica)| Action::Stop { replica, because: StopReason::StartCancelled });
    let draining = ready.into_iter().map(|ready| Action::Drain { replica: ready.id });
    let removals: Vec<Action> = starting.chain(draining).take(allowed as usize).collect();
    steps.removed = u32::try_from(removals.len()).unwrap_or(u32::MAX);
    steps.actions.extend(removals);
    if steps.removed > 0 {
        let removal = RemovalAt { at: now, count: steps.removed, live: fleet.live() };
        push_bounded(&mut memory.removals, removal, WINDOW_ENTRIES_MAX);
    }
}

/// Where the pool must hold fewer, starts that nobody counts on go beside what serves.
fn yield_overdue(spec: &PolicySpec, observation: &Observation, fleet: &Fleet, steps: &mut Steps) {
    let kept = fleet.supply() - steps.removed;
    let room = bounds(spec, observation).1.saturating_sub(kept) as usize;
    let because = StopReason::StartCancelled;
    let youngest_first = fleet.overdue.iter().rev();
    let surplus = youngest_first.take(fleet.overdue.len().saturating_sub(room));
    let stops: Vec<Action> = surplus.map(|&replica| Action::Stop { replica, because }).collect();
    steps.yielded = u32::try_from(stops.len()).unwrap_or(u32::MAX);
    steps.actions.extend(stops);
}

/// Replicas that may sleep beside those that are desired. They have GPUs, so where others need these,
/// starts that nobody counts on leave less room for them.
fn asleep_max(
    spec: &PolicySpec,
    observation: &Observation,
    fleet: &Fleet,
    limited: &Limited,
    steps: &Steps,
) -> u32 {
    let beside = limited.in_all_kept.saturating_sub(limited.desired);
    if observation.replicas_allowed.is_none() {
        return beside;
    }
    let overdue = u32::try_from(fleet.overdue.len()).unwrap_or(u32::MAX) - steps.yielded;
    let held = limited.desired.saturating_add(overdue);
    beside.min(bounds(spec, observation).1.saturating_sub(held))
}

/// Ends, or puts to sleep, what has drained.
fn finish_drains(
    spec: &PolicySpec,
    observation: &Observation,
    draining: &[ReplicaId],
    asleep_max: u32,
    standby: &mut Vec<ReplicaId>,
    steps: &mut Steps,
) {
    for replica in observation.replicas.iter().filter(|r| draining.contains(&r.id)) {
        let id = replica.id;
        let age = observation.now.since(replica.phase_since);
        let inside = replica.requests_inside(observation.now, spec.staleness_max);
        // A count from before the drain began may miss a request that was on its way.
        let settled = age >= spec.tick_interval && seen_since_drain(replica, spec.tick_interval);
        if inside == Some(0) && settled {
            if standby.len() < asleep_max as usize {
                steps.actions.push(Action::Sleep { replica: id, rung: Rung::Sleeping });
                standby.push(id);
            } else {
                let because = StopReason::Drained;
                steps.actions.push(Action::Stop { replica: id, because });
            }
        } else if age > spec.drain_timeout {
            let because = StopReason::DrainDeadlinePassed;
            steps.actions.push(Action::Stop { replica: id, because });
        }
    }
}

/// Whether whatever says how many requests are inside was asked after the drain had begun.
fn seen_since_drain(
    replica: &crate::observation::ReplicaObservation,
    tick_interval: Duration,
) -> bool {
    let began = replica.phase_since.saturating_add(tick_interval / 2);
    let engine = replica.in_flight.map(|sample| sample.observed_at);
    let gateway = replica.outstanding.map(|sample| sample.observed_at);
    engine.max(gateway).is_some_and(|at| at >= began)
}

/// Gives up standby replicas beyond those that should be.
fn trim_standby(standby: &[ReplicaId], asleep_max: u32, steps: &mut Steps) {
    let slept = |id: ReplicaId| {
        steps.actions.iter().any(|a| matches!(a, Action::Sleep { replica, .. } if *replica == id))
    };
    let surplus: Vec<ReplicaId> =
        standby.iter().skip(asleep_max as usize).copied().filter(|id| !slept(*id)).collect();
    for replica in surplus {
        steps.actions.push(Action::Stop { replica, because: StopReason::StandbySurplus });
    }
}
