//! What must hold of every decision in every world. `INVARIANTS.md` lists the ids.
//!
//! A violation is preheat's own error: a simulation or a test aborts on it, a live world drops the
//! plan, holds, and says so.

use std::collections::BTreeSet;

use crate::decide::bounds;
use crate::decision::{Action, ArrivalSource, Decision, StopReason};
use crate::memory::{
    ARRIVAL_BINS_MAX, LOAD_SAMPLES_MAX, MACHINE_STATES, Memory, START_SAMPLES_MAX,
    WINDOW_ENTRIES_MAX,
};
use crate::observation::{Observation, ReplicaId, ReplicaObservation, ReplicaPhase};
use crate::policy::Policy;
use crate::quota::replicas_held;
use crate::rehearsal::{PEAKS_MAX, Rehearsal};

/// A broken invariant: its id and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {id} is broken: {seen}")]
pub struct Violation {
    /// As in `INVARIANTS.md`.
    pub id: &'static str,
    /// What was seen.
    pub seen: String,
}

type Checked = Result<(), Violation>;

fn ensure(holds: bool, id: &'static str, seen: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation { id, seen: seen() }) }
}

/// Checks a decision against the inputs that it was made from.
///
/// # Errors
/// The first invariant that does not hold.
pub fn check(
    policy: &Policy,
    before: &Memory,
    observation: &Observation,
    decision: &Decision,
) -> Checked {
    check_bounds(policy, observation, decision)?;
    check_steps(policy, observation, decision)?;
    check_ignorance(policy, observation, decision)?;
    check_pause(observation, decision)?;
    check_drains(observation, decision)?;
    check_last(policy, observation, decision)?;
    check_numbers(decision)?;
    check_memory(before, observation, decision)
}

/// D1, D2: the desired count and what will exist stay within bounds.
fn check_bounds(policy: &Policy, observation: &Observation, decision: &Decision) -> Checked {
    let spec = policy.spec();
    let desired = decision.plan.desired;
    ensure((spec.replicas_min..=spec.replicas_max).contains(&desired), "D1", || {
        format!("desired {desired} outside {}..={}", spec.replicas_min, spec.replicas_max)
    })?;
    let started = starts(decision);
    let existing = observation.replicas.iter().filter(|r| r.phase != ReplicaPhase::Stopped).count();
    let within_max = existing as u64 + u64::from(started) <= u64::from(spec.replicas_max.0);
    let placeable = observation.replicas_placeable.unwrap_or(u32::MAX);
    let fine = started == 0 || (within_max && started <= placeable && started <= spec.starts_max);
    ensure(fine, "D2", || format!("{started} starts beside {existing} replicas"))?;
    let allowed = observation.replicas_allowed.as_ref().map(|may| may.replicas);
    let allowed = allowed.unwrap_or(spec.replicas_max).max(spec.replicas_min);
    let held = replicas_held(&observation.replicas, &decision.plan.actions);
    let fine = started == 0 || (desired <= allowed && held <= allowed);
    ensure(fine, "D11", || format!("{started} starts, {held} held of {allowed} allowed"))
}

/// D3–D6: no replica is touched twice, each step fits the phase, nothing with a request in it is
/// stopped before its deadline, and a plan does not grow and shrink at once.
fn check_steps(policy: &Policy, observation: &Observation, decision: &Decision) -> Checked {
    let mut touched = BTreeSet::new();
    let (mut grows, mut shrinks) = (false, false);
    for action in &decision.plan.actions {
        let Some(id) = replica_of(action) else {
            grows = true;
            continue;
        };
        ensure(touched.insert(id), "D3", || format!("{id} is touched twice"))?;
        let replica = observation.replicas.iter().find(|r| r.id == id);
        let Some(replica) = replica else {
            return ensure(false, "D4", || format!("{action:?} names no replica that exists"));
        };
        ensure(fits(action, replica), "D4", || format!("{action:?} in phase {:?}", replica.phase))?;
        check_stop(policy, observation, action, replica)?;
        grows |= matches!(action, Action::Wake { .. } | Action::Resume { .. });
        shrinks |= matches!(action, Action::Drain { .. }) || is_cancelled_start(action);
    }
    ensure(!(grows && shrinks), "D6", || format!("{:?}", decision.plan.actions))
}

fn check_stop(
    policy: &Policy,
    observation: &Observation,
    action: &Action,
    replica: &ReplicaObservation,
) -> Checked {
    let spec = policy.spec();
    let inside = replica.requests_inside(observation.now, spec.staleness_max);
    let overdue = observation.now.since(replica.phase_since) > spec.drain_timeout;
    let allowed = match action {
        Action::Stop { because: StopReason::Drained, .. } | Action::Sleep { .. } => {
            inside == Some(0)
        }
        Action::Stop { because: StopReason::DrainDeadlinePassed, .. } => overdue,
        Action::Stop {
            because: StopReason::StartCancelled | StopReason::StandbySurplus, ..
        }
        | Action::Start { .. }
        | Action::Wake { .. }
        | Action::Resume { .. }
        | Action::Drain { .. } => true,
    };
    ensure(allowed, "D5", || format!("{action:?} with {inside:?} requests inside"))
}

/// D12: while the pool is paused, only drains go on to their end.
fn check_pause(observation: &Observation, decision: &Decision) -> Checked {
    let ends = |action: &Action| {
        let because = [StopReason::Drained, StopReason::DrainDeadlinePassed];
        matches!(action, Action::Stop { because: why, .. } if because.contains(why))
    };
    let fine = !observation.controls.paused || decision.plan.actions.iter().all(ends);
    ensure(fine, "D12", || format!("paused, and {:?}", decision.plan.actions))
}

/// D13: as many as are desired stay ready, if so many are; what only starts or wakes serves nobody.
fn check_drains(observation: &Observation, decision: &Decision) -> Checked {
    let ready = observation.replicas.iter().filter(|r| r.phase == ReplicaPhase::Ready).count();
    let drained =
        decision.plan.actions.iter().filter(|a| matches!(a, Action::Drain { .. })).count();
    let (stay, desired) = (ready - drained.min(ready), decision.plan.desired.0 as usize);
    ensure(drained == 0 || stay >= desired, "D13", || {
        format!("{drained} of {ready} ready replicas drain, and {desired} are desired")
    })
}

/// D7: nothing is given up while a ready replica's signals, or all arrivals, are unknown.
fn check_ignorance(policy: &Policy, observation: &Observation, decision: &Decision) -> Checked {
    let spec = policy.spec();
    let blind = observation.replicas.iter().any(|r| {
        r.phase == ReplicaPhase::Ready
            && r.requests_inside(observation.now, spec.staleness_max).is_none()
    });
    let any_ready = observation.replicas.iter().any(|r| r.phase == ReplicaPhase::Ready);
    let unknown = decision.explanation.demand.source == ArrivalSource::Unknown && any_ready;
    let shrinks = decision
        .plan
        .actions
        .iter()
        .any(|action| matches!(action, Action::Drain { .. }) || is_cancelled_start(action));
    ensure(!(shrinks && (blind || unknown)), "D7", || format!("{:?}", decision.plan.actions))
}

/// D14: the last replica is given up only while a request that finds none would be seen, or where none
/// may be held.
fn check_last(policy: &Policy, observation: &Observation, decision: &Decision) -> Checked {
    let spec = policy.spec();
    let held = observation
        .replicas
        .iter()
        .filter(|replica| !matches!(replica.phase, ReplicaPhase::Draining | ReplicaPhase::Stopped));
    let resumed = decision.plan.actions.iter().filter(|a| matches!(a, Action::Resume { .. }));
    let given_up = decision.plan.actions.iter().filter(|action| {
        matches!(action, Action::Drain { .. })
            || is_cancelled_start(action)
            || matches!(action, Action::Stop { because: StopReason::StandbySurplus, .. })
    });
    let (held, given_up) = (held.count() + resumed.count(), given_up.count());
    let may_hold = bounds(spec, observation).1;
    let fine = given_up == 0
        || held > given_up
        || may_hold == 0
        || observation.sees_demand(spec.staleness_max);
    ensure(fine, "D14", || format!("{given_up} of {held} are given up, and demand is not seen"))
}

/// D8: every number that is reported is finite.
fn check_numbers(decision: &Decision) -> Checked {
    let explanation = &decision.explanation;
    let numbers = [
        explanation.demand.arrival_rate.get(),
        explanation.demand.offered_load.get(),
        explanation.rehearsal.slots_held,
        explanation.rehearsal.cost_expected,
        explanation.backlog.requests_at_lead_time,
        explanation.supply.capacity,
        explanation.guard.factor,
        decision.memory.work.slot_seconds,
        decision.memory.work.requests,
    ];
    let all_finite = numbers.iter().all(|number| number.is_finite());
    ensure(all_finite, "D8", || format!("{numbers:?}"))
}

/// D9, D10: memory is bounded, and time does not run backwards.
fn check_memory(before: &Memory, observation: &Observation, decision: &Decision) -> Checked {
    let memory = &decision.memory;
    let bounded = memory.arrivals.len() <= ARRIVAL_BINS_MAX
        && memory.cold_starts.len() <= 2 * MACHINE_STATES * START_SAMPLES_MAX
        && memory.wakes.len() <= START_SAMPLES_MAX
        && memory.targets.len() <= WINDOW_ENTRIES_MAX
        && memory.loads.len() <= LOAD_SAMPLES_MAX
        && memory.targets_in_all.len() <= WINDOW_ENTRIES_MAX
        && [Some(&memory.rehearsal), memory.rehearsal_in_all.as_ref()]
            .iter()
            .flatten()
            .all(bounded_peaks)
        && memory.removals.len() <= WINDOW_ENTRIES_MAX
        && memory.replicas.len() <= observation.replicas.len();
    ensure(bounded, "D9", || "a list in memory outgrew its limit".to_owned())?;
    let forward = before.last.is_none_or(|last| last.at <= observation.now);
    ensure(forward && decision.plan.next_tick_at > observation.now, "D10", || {
        format!("last tick {:?}, now {:?}", before.last, observation.now)
    })
}

fn bounded_peaks(rehearsal: &&Rehearsal) -> bool {
    rehearsal.peaks.len() <= PEAKS_MAX && rehearsal.peaks_smoothed.len() <= PEAKS_MAX
}

fn starts(decision: &Decision) -> u32 {
    let counts = decision.plan.actions.iter().map(|action| match action {
        Action::Start { count } => *count,
        Action::Wake { .. }
        | Action::Resume { .. }
        | Action::Drain { .. }
        | Action::Sleep { .. }
        | Action::Stop { .. } => 0,
    });
    counts.sum()
}

fn is_cancelled_start(action: &Action) -> bool {
    matches!(action, Action::Stop { because: StopReason::StartCancelled, .. })
}

fn replica_of(action: &Action) -> Option<ReplicaId> {
    match action {
        Action::Start { .. } => None,
        Action::Wake { replica }
        | Action::Resume { replica }
        | Action::Drain { replica }
        | Action::Sleep { replica, .. }
        | Action::Stop { replica, .. } => Some(*replica),
    }
}

fn fits(action: &Action, replica: &ReplicaObservation) -> bool {
    let phase = replica.phase;
    match action {
        Action::Start { .. } => true,
        Action::Wake { .. } => matches!(phase, ReplicaPhase::Standby(_)),
        Action::Resume { .. } | Action::Sleep { .. } => phase == ReplicaPhase::Draining,
        Action::Drain { .. } => phase == ReplicaPhase::Ready,
        Action::Stop { because, .. } => match because {
            StopReason::Drained | StopReason::DrainDeadlinePassed => {
                phase == ReplicaPhase::Draining
            }
            StopReason::StartCancelled => phase.is_starting(),
            StopReason::StandbySurplus => matches!(phase, ReplicaPhase::Standby(_)),
        },
    }
}
