//! One pod as a replica: its phase and since when, from its conditions and its containers' states.
//!
//! **Invariant:** pure. What the pod does not say (whether its engine answers, what its node is like,
//! and what its events tell) is given.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use preheat_core::{Instant, MachineState, PhaseTimes, ReplicaPhase};

use crate::events::PodEvents;
use crate::traffic::Traffic;
use crate::way;

/// Says which pods a ReplicaSet should rather delete; the lowest go first.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// A pod, read as a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenPod {
    /// Identity: a name may be used again, this never is.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Its phase.
    pub phase: ReplicaPhase,
    /// Since when, as far as the pod tells.
    pub phase_since: Instant,
    /// When it was made.
    pub created_at: Instant,
    /// Time in the phases that it has left, as far as it tells; of Pending, since it was made.
    pub passed: PhaseTimes,
    /// The node that it is bound to.
    pub node: Option<String>,
    /// What that holds now of what a start needs.
    pub machine: MachineState,
    /// How often its engine was restarted.
    pub restarts: u32,
    /// Where it can be asked; absent before its engine's container runs.
    pub address: Option<IpAddr>,
    /// Its deletion cost, where somebody gave it one.
    pub deletion_cost: Option<i32>,
    /// Whether a ReplicaSet made it, which heeds deletion costs.
    pub of_replica_set: bool,
    /// Whether it takes requests, as its label says.
    pub traffic: Traffic,
    /// Time that it gets to end.
    pub grace: Option<Duration>,
    /// What keeps it from being ready, in the cluster's own words.
    pub waiting: Option<String>,
}

/// What is known of a pod's node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodNode {
    /// When it was made.
    pub made_at: Option<Instant>,
    /// What it holds now of what a start needs.
    pub machine: MachineState,
}

/// What is known of a pod beside what it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beside<'a> {
    /// Whether its engine has told its metrics.
    pub answers: bool,
    /// Its node.
    pub node: PodNode,
    /// Its events, where there are any.
    pub events: Option<&'a PodEvents>,
    /// When its engine's log said that the weights were there, where that is read.
    pub weights_at: Option<Instant>,
}

/// Reads a pod; `None` when it has ended and holds nothing any more. `container` is the engine's,
/// where it is not the first.
pub fn see(
    pod: &Pod,
    container: Option<&str>,
    beside: &Beside<'_>,
    now: Instant,
) -> Option<SeenPod> {
    let (metadata, status) = (&pod.metadata, pod.status.as_ref());
    let ended = status.and_then(|status| status.phase.as_deref());
    if matches!(ended, Some("Succeeded" | "Failed")) {
        return None;
    }
    let created_at = made_at(metadata).unwrap_or(now);
    let engine = engine(pod, container);
    let mut way = way::way(pod, engine, created_at, beside);
    let (phase, since) = phase(pod, engine, beside.answers, &way);
    if let (ReplicaPhase::Ready, Some(at)) = (phase, since) {
        way::enter(&mut way, phase, at);
    }
    let since = since.or((phase == ReplicaPhase::Warming).then_some(now));
    let restarts = engine.map_or(0, |engine| u32::try_from(engine.restart_count).unwrap_or(0));
    let annotations = metadata.annotations.as_ref();
    let owners = metadata.owner_references.iter().flatten();
    let runs = engine.and_then(|engine| engine.state.as_ref()).is_some_and(|s| s.running.is_some());
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    Some(SeenPod {
        uid: metadata.uid.clone()?,
        name: metadata.name.clone()?,
        phase,
        // Another machine's clock may be ahead.
        phase_since: since.unwrap_or(created_at).clamp(created_at.min(now), now),
        created_at: created_at.min(now),
        // What it tells is of its first start.
        passed: if restarts == 0 { way::passed(&way, phase) } else { PhaseTimes::default() },
        node: node_of(pod).map(str::to_owned),
        machine: beside.node.machine,
        restarts,
        address: status.and_then(|s| s.pod_ip.as_ref()?.parse().ok()).filter(|_| runs),
        deletion_cost: annotations.and_then(|all| all.get(DELETION_COST)?.parse().ok()),
        of_replica_set: owners
            .filter(|owner| owner.controller == Some(true))
            .any(|owner| owner.kind == "ReplicaSet"),
        traffic: Traffic::of(metadata.labels.as_ref()),
        grace: grace.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs),
        waiting: waiting(status),
    })
}

/// The node that a pod is bound to.
pub(crate) fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// When an object was made.
pub(crate) fn made_at(metadata: &ObjectMeta) -> Option<Instant> {
    instant(metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// The point in time of a timestamp; `None` before 1970.
pub(crate) fn instant(time: Option<Timestamp>) -> Option<Instant> {
    u64::try_from(time?.as_nanosecond()).ok().map(Instant::from_nanos)
}

/// The engine's container, which is the first where none is named.
pub(crate) fn engine_name<'a>(pod: &'a Pod, container: Option<&'a str>) -> Option<&'a str> {
    let first = || pod.spec.as_ref()?.containers.first().map(|container| container.name.as_str());
    container.or_else(first)
}

/// What its status says of that.
pub(crate) fn engine<'a>(pod: &'a Pod, container: Option<&'a str>) -> Option<&'a ContainerStatus> {
    // Statuses are not in the containers' order.
    let name = engine_name(pod, container)?;
    let statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    statuses.into_iter().find(|status| status.name == name)
}

/// The phase, and since when; `None` as far as the pod does not tell.
fn phase(
    pod: &Pod,
    engine: Option<&ContainerStatus>,
    answers: bool,
    way: &[(ReplicaPhase, Instant)],
) -> (ReplicaPhase, Option<Instant>) {
    let metadata = &pod.metadata;
    if let Some(deletion) = &metadata.deletion_timestamp {
        // It is the time by which it must be gone: what it was given stands beside it.
        let grace = metadata.deletion_grace_period_seconds.unwrap_or(0).max(0);
        let asked = deletion.0.checked_sub(k8s_openapi::jiff::SignedDuration::from_secs(grace));
        return (ReplicaPhase::Draining, instant(asked.ok()));
    }
    let condition = |type_| condition(pod.status.as_ref(), type_);
    let is_scheduled = condition("PodScheduled").is_some_and(|c| c.status == "True");
    if is_scheduled && let Some(ready) = condition("Ready").filter(|c| c.status == "True") {
        return (ReplicaPhase::Ready, instant(since(ready)));
    }
    let state = engine.and_then(|engine| engine.state.as_ref());
    let running = state.and_then(|state| state.running.as_ref());
    if let Some(running) = running.filter(|_| answers) {
        let started = running.started_at.as_ref().map(|time| time.0);
        // The pod tells when it stopped being ready, but not when its engine began to answer; its log
        // may tell when that began to warm up.
        let unready = condition("Ready").and_then(since).filter(|&at| started < Some(at));
        let warms = way.last().filter(|(phase, _)| *phase == ReplicaPhase::Warming);
        return (ReplicaPhase::Warming, instant(unready).or(warms.map(|(_, since)| *since)));
    }
    let waits_for = state.and_then(|state| state.waiting.as_ref()?.reason.as_deref());
    let terminated = state.and_then(|state| state.terminated.as_ref());
    if waits_for == Some("CrashLoopBackOff") || terminated.is_some() {
        let last = engine.and_then(|engine| engine.last_state.as_ref()?.terminated.as_ref());
        let ended = terminated.or(last).and_then(|end| Some(end.finished_at.as_ref()?.0));
        return (ReplicaPhase::Pending, instant(ended));
    }
    let last = way.last().copied();
    last.map_or((ReplicaPhase::Pending, None), |(phase, since)| (phase, Some(since)))
}

pub(crate) fn condition<'a>(
    status: Option<&'a PodStatus>,
    type_: &str,
) -> Option<&'a PodCondition> {
    let conditions = status?.conditions.iter().flatten();
    conditions.into_iter().find(|condition| condition.type_ == type_)
}

pub(crate) fn since(condition: &PodCondition) -> Option<Timestamp> {
    condition.last_transition_time.as_ref().map(|time| time.0)
}

/// The first container's reason to wait, or the scheduler's.
fn waiting(status: Option<&PodStatus>) -> Option<String> {
    let of_containers = |statuses: &Option<Vec<ContainerStatus>>| {
        statuses.iter().flatten().find_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            let reason = waiting.reason.as_deref()?;
            // What every pod passes through is no trouble.
            let plain = matches!(reason, "ContainerCreating" | "PodInitializing");
            let message = waiting.message.as_deref().unwrap_or_default();
            (!plain).then(|| format!("{reason}: {message}").trim_end_matches(": ").to_owned())
        })
    };
    let status = status?;
    let unscheduled = condition(Some(status), "PodScheduled").filter(|c| c.status == "False");
    let by_scheduler = || unscheduled.and_then(|condition| condition.message.clone());
    of_containers(&status.init_container_statuses)
        .or_else(|| of_containers(&status.container_statuses))
        .or_else(by_scheduler)
}

#[cfg(test)]
mod tests;
