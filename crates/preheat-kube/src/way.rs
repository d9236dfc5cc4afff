//! A pod's way to ready: when it entered each phase of its start, by the times that the cluster wrote
//! down itself, whoever looked or did not.
//!
//! Conditions tell when it was scheduled, containers' states when each of them began and ended, its
//! node when that was made, and its events, as far as they are there, when an image was pulled. Nobody
//! writes down when an engine began to answer: a way ends with its engine's start, or where its log is
//! read with the weights being there.
//!
//! **Invariant:** pure; times never go back along a way.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use preheat_core::{Instant, PhaseTimes, ReplicaPhase, START_PHASES};

use crate::events::PodEvents;
use crate::pods::{Beside, condition, instant, since};

/// Each phase that the pod tells of and when it was entered, in order; the last is the one it is in,
/// as far as it tells. A phase may come twice: an image is pulled before each container.
pub fn way(
    pod: &Pod,
    engine: Option<&ContainerStatus>,
    created_at: Instant,
    beside: &Beside<'_>,
) -> Vec<(ReplicaPhase, Instant)> {
    let mut way = vec![(ReplicaPhase::Pending, created_at)];
    let status = pod.status.as_ref();
    let asked_at = beside.events.and_then(|events| events.unschedulable_at);
    let scheduled = condition(status, "PodScheduled");
    let Some(scheduled) = scheduled.filter(|condition| condition.status == "True") else {
        // Whoever makes nodes has been asked for one by this.
        let unschedulable = scheduled.filter(|c| c.reason.as_deref() == Some("Unschedulable"));
        let since = || unschedulable.and_then(|condition| instant(since(condition)));
        if let Some(at) = asked_at.or_else(since) {
            enter(&mut way, ReplicaPhase::Provisioning, at);
        }
        return way;
    };
    // The condition that said so is overwritten, but a node that is younger was waited for.
    let is_younger = beside.node.made_at.is_some_and(|made| made > created_at);
    if let Some(at) = asked_at.or(is_younger.then_some(created_at)) {
        enter(&mut way, ReplicaPhase::Provisioning, at);
    }
    let Some(scheduled_at) = instant(since(scheduled)) else { return way };
    let state = engine.and_then(|engine| engine.state.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    let running_at = running.and_then(|running| instant(Some(running.started_at.as_ref()?.0)));
    let inits = inits(pod);
    let has_begun = running_at.is_some() || !inits.is_empty();
    if let Some(pulls) = pulls(pod, engine, beside.events, has_begun) {
        enter(&mut way, ReplicaPhase::Provisioning, scheduled_at);
        for (phase, at) in told(&inits, &pulls) {
            enter(&mut way, phase, at);
        }
    } else {
        enter(&mut way, ReplicaPhase::Pulling, scheduled_at);
        // Init containers fetch weights, one after the other, each once its image is there.
        for (began, ended) in inits {
            enter(&mut way, ReplicaPhase::Loading, began);
            if let Some(ended) = ended {
                enter(&mut way, ReplicaPhase::Pulling, ended);
            }
        }
    }
    if let Some(at) = running_at {
        enter(&mut way, ReplicaPhase::Loading, at);
        if let Some(at) = beside.weights_at {
            enter(&mut way, ReplicaPhase::Warming, at);
        }
    }
    way
}

/// From when to when each image was pulled that the engine waits for; `None` where events don't tell:
/// they are from before it was scheduled, or some of a pull that must have been is missing.
fn pulls(
    pod: &Pod,
    engine: Option<&ContainerStatus>,
    events: Option<&PodEvents>,
    has_begun: bool,
) -> Option<Vec<(Instant, Option<Instant>)>> {
    let events = events.filter(|events| events.is_scheduled)?;
    // Containers begin in their order, each once its image is there.
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let names = containers.map(|container| container.name.as_str());
    let mut later = names.skip_while(|name| engine.is_some_and(|engine| engine.name != *name));
    let _engine = later.next();
    let later: Vec<&str> = later.collect();
    let waited_for = events.pulls().filter(|(name, _)| !later.contains(name));
    let pulls: Vec<_> = waited_for.map(|(_, pull)| pull.span()).collect::<Option<_>>()?;
    (!has_begun || !pulls.is_empty()).then_some(pulls)
}

/// Phases as init containers and pulls tell them, in order. An image that is there is followed by its
/// container, and nothing else is waited for between two of them.
fn told(
    inits: &[(Instant, Option<Instant>)],
    pulls: &[(Instant, Option<Instant>)],
) -> Vec<(ReplicaPhase, Instant)> {
    let mut marks: Vec<(ReplicaPhase, Instant)> =
        inits.iter().map(|(began, _)| (ReplicaPhase::Loading, *began)).collect();
    for (began, ended) in pulls {
        marks.push((ReplicaPhase::Pulling, *began));
        marks.extend(ended.map(|at| (ReplicaPhase::Loading, at)));
    }
    // What is of the same second stays as it was written here.
    marks.sort_by_key(|(_, at)| *at);
    marks
}

/// Time in each phase before `phase` was entered. What can't be told stays open: how a wait to be
/// scheduled divides where no node was made for it, and loading once an engine answers whose log is
/// not read.
pub fn passed(way: &[(ReplicaPhase, Instant)], phase: ReplicaPhase) -> PhaseTimes {
    let mut times = PhaseTimes::default();
    let is_told = way.iter().any(|(phase, _)| *phase == ReplicaPhase::Provisioning);
    let index_of = |phase| START_PHASES.iter().position(|other| *other == phase);
    for (&(stay, from), &(_, until)) in way.iter().zip(way.iter().skip(1)) {
        let waited = matches!(stay, ReplicaPhase::Pending | ReplicaPhase::Provisioning);
        if waited && !is_told {
            continue;
        }
        if let Some(time) = index_of(stay).and_then(|index| times.get_mut(index)) {
            *time = Some(time.unwrap_or_default().saturating_add(until.since(from)));
        }
    }
    let answered = matches!(phase, ReplicaPhase::Warming | ReplicaPhase::Ready);
    let warms = way.iter().any(|(phase, _)| *phase == ReplicaPhase::Warming);
    if answered
        && !warms
        && let Some(loading) = index_of(ReplicaPhase::Loading)
    {
        times.get_mut(loading).map(Option::take);
    }
    times
}

/// A phase begins where the one before ends, whatever another machine's clock says.
pub fn enter(way: &mut Vec<(ReplicaPhase, Instant)>, phase: ReplicaPhase, at: Instant) {
    let before = way.last().map_or(at, |(_, before)| *before);
    way.push((phase, at.max(before)));
}

/// When each init container that has begun began, and ended if it has. Those that go on beside the
/// engine, as a mesh's proxy does, fetch nothing.
fn inits(pod: &Pod) -> Vec<(Instant, Option<Instant>)> {
    let specs = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let beside: Vec<&str> = specs
        .filter(|container| container.restart_policy.as_deref() == Some("Always"))
        .map(|container| container.name.as_str())
        .collect();
    let statuses =
        pod.status.iter().flat_map(|status| status.init_container_statuses.iter().flatten());
    let fetching = statuses.filter(|status| !beside.contains(&status.name.as_str()));
    let mut times: Vec<(Instant, Option<Instant>)> =
        fetching.filter_map(|status| times(status.state.as_ref()?)).collect();
    times.sort_unstable();
    times
}

fn times(state: &ContainerState) -> Option<(Instant, Option<Instant>)> {
    let at = |time: Option<Timestamp>| instant(time);
    if let Some(ended) = &state.terminated {
        let began = at(ended.started_at.as_ref().map(|time| time.0))?;
        return Some((began, at(ended.finished_at.as_ref().map(|time| time.0))));
    }
    let running = state.running.as_ref()?;
    Some((at(running.started_at.as_ref().map(|time| time.0))?, None))
}

#[cfg(test)]
mod tests;
