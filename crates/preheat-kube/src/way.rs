//! A pod's way to ready: when it entered each phase of its start, by the times that the cluster wrote
//! down itself, whoever looked or did not.
//!
//! Conditions tell when it was scheduled, containers' states when each of them began and ended, and
//! its node when that was made. Nobody writes down when an engine began to answer: a way ends with
//! its engine's start.
//!
//! **Invariant:** pure; times never go back along a way.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use preheat_core::{Instant, PhaseTimes, ReplicaPhase, START_PHASES};

use crate::pods::{condition, instant, since};

/// Each phase that the pod tells of and when it was entered, in order; the last is the one it is in,
/// as far as it tells. A phase may come twice: an image is pulled before each container.
pub fn way(
    pod: &Pod,
    engine: Option<&ContainerStatus>,
    created_at: Instant,
    node_made_at: Option<Instant>,
) -> Vec<(ReplicaPhase, Instant)> {
    let mut way = vec![(ReplicaPhase::Pending, created_at)];
    let status = pod.status.as_ref();
    let scheduled = condition(status, "PodScheduled");
    let Some(scheduled) = scheduled.filter(|condition| condition.status == "True") else {
        // Whoever makes nodes has been asked for one by this.
        let unschedulable = scheduled.filter(|c| c.reason.as_deref() == Some("Unschedulable"));
        if let Some(at) = unschedulable.and_then(|condition| instant(since(condition))) {
            enter(&mut way, ReplicaPhase::Provisioning, at);
        }
        return way;
    };
    if node_made_at.is_some_and(|made| made > created_at) {
        // The condition that said so is overwritten, but a node that is younger was waited for.
        enter(&mut way, ReplicaPhase::Provisioning, created_at);
    }
    let Some(at) = instant(since(scheduled)) else { return way };
    enter(&mut way, ReplicaPhase::Pulling, at);
    // Init containers fetch weights, one after the other, each once its image is there.
    for (began, ended) in inits(pod) {
        enter(&mut way, ReplicaPhase::Loading, began);
        if let Some(ended) = ended {
            enter(&mut way, ReplicaPhase::Pulling, ended);
        }
    }
    let state = engine.and_then(|engine| engine.state.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    if let Some(at) = running.and_then(|running| instant(Some(running.started_at.as_ref()?.0))) {
        enter(&mut way, ReplicaPhase::Loading, at);
    }
    way
}

/// Time in each phase before `phase` was entered. What can't be told stays open: how a wait to be
/// scheduled divides where no node was made for it, and loading once an engine answers.
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
    if answered && let Some(loading) = index_of(ReplicaPhase::Loading) {
        times.get_mut(loading).map(Option::take);
    }
    times
}

/// A phase begins where the one before ends, whatever another machine's clock says.
fn enter(way: &mut Vec<(ReplicaPhase, Instant)>, phase: ReplicaPhase, at: Instant) {
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
