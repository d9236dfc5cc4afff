//! Pods as a kubelet writes them, and what their ways come to.

use std::time::Duration;

use ReplicaPhase::{Loading, Pending, Provisioning, Pulling, Ready, Warming};
use kube::runtime::watcher;
use serde_json::{Value, json};

use super::*;
use crate::events::EventsSeen;
use crate::pods::PodNode;

/// Seconds after 2026-11-24T09:00:00Z, when the pod is made.
fn time(seconds: u64) -> String {
    format!("2026-11-24T09:{:02}:{:02}Z", seconds / 60, seconds % 60)
}

fn at(seconds: u64) -> Instant {
    instant(Some(time(seconds).parse().unwrap())).unwrap()
}

fn scheduled(at: u64) -> Value {
    json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": time(at)})
}

fn ran(name: &str, from: u64, until: Option<u64>) -> Value {
    let state = match until {
        None => json!({"running": {"startedAt": time(from)}}),
        Some(until) => json!({"terminated": {
            "exitCode": 0, "startedAt": time(from), "finishedAt": time(until),
        }}),
    };
    json!({
        "name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state,
    })
}

/// The way of a pod with this status, whose init container `proxy` goes on beside the engine.
fn way_of(status: Value, node_made_at: Option<u64>) -> Vec<(ReplicaPhase, Instant)> {
    way_told(status, node_made_at, &[])
}

/// The same with events: a reason, the container that it is of, and when.
fn way_told(
    status: Value,
    node_made_at: Option<u64>,
    told: &[(&str, &str, u64)],
) -> Vec<(ReplicaPhase, Instant)> {
    let mut events = EventsSeen::default();
    for (reason, container, at) in told {
        let (reason, message) = match *reason {
            "Found" => ("Pulled", "Container image \"x\" already present on machine"),
            other => (other, ""),
        };
        let event = json!({
            "metadata": {}, "reason": reason, "message": message, "firstTimestamp": time(*at),
            "involvedObject": {"uid": "u", "fieldPath": format!("spec.containers{{{container}}}")},
        });
        events.take(watcher::Event::Apply(serde_json::from_value(event).unwrap()));
    }
    let events = events.of("u");
    let pod = json!({
        "metadata": {"name": "chat-x", "creationTimestamp": time(0)},
        "spec": {
            "containers": [{"name": "vllm"}, {"name": "logs"}],
            "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "weights"}],
        },
        "status": status,
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let status = pod.status.clone().unwrap();
    let engine = status.container_statuses.iter().flatten().next();
    let node = PodNode { made_at: node_made_at.map(at), ..PodNode::default() };
    let beside = Beside { node, events: events.as_deref(), ..Beside::default() };
    way(&pod, engine, at(0), &beside)
}

#[track_caller]
fn check(status: Value, node_made_at: Option<u64>, expected: &[(ReplicaPhase, u64)]) {
    let expected: Vec<_> = expected.iter().map(|&(phase, since)| (phase, at(since))).collect();
    assert_eq!(way_of(status, node_made_at), expected);
}

#[test]
fn a_way_is_as_long_as_its_pod_tells() {
    let unschedulable = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "lastTransitionTime": time(1),
    }]);
    let gated = json!([{
        "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
        "lastTransitionTime": time(1),
    }]);
    check(json!({}), None, &[(Pending, 0)]);
    check(json!({"conditions": gated}), None, &[(Pending, 0)]);
    check(json!({"conditions": unschedulable}), None, &[(Pending, 0), (Provisioning, 1)]);
    check(json!({"conditions": [scheduled(2)]}), None, &[(Pending, 0), (Pulling, 2)]);
    // A node that was there before says nothing of a wait; one that is younger was waited for.
    let bound = json!({"conditions": [scheduled(200)]});
    check(bound.clone(), Some(0), &[(Pending, 0), (Pulling, 200)]);
    check(bound, Some(120), &[(Pending, 0), (Provisioning, 0), (Pulling, 200)]);
}

#[test]
fn init_containers_load_and_images_are_pulled_between_them() {
    let inits = json!([ran("proxy", 5, None), ran("weights", 20, Some(90))]);
    let status = json!({
        "conditions": [scheduled(2)], "initContainerStatuses": inits,
        "containerStatuses": [{
            "name": "vllm", "ready": false, "restartCount": 0, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "PodInitializing"}},
        }],
    });
    let so_far = [(Pending, 0), (Pulling, 2), (Loading, 20), (Pulling, 90)];
    check(status.clone(), None, &so_far);
    let mut running = status;
    running["containerStatuses"] = json!([ran("vllm", 130, None)]);
    let whole = [so_far.as_slice(), &[(Loading, 130)]].concat();
    check(running, None, &whole);
}

#[test]
fn a_node_whose_clock_is_behind_does_not_turn_time_back() {
    let status = json!({
        "conditions": [scheduled(10)], "containerStatuses": [ran("vllm", 4, None)],
    });
    check(status, None, &[(Pending, 0), (Pulling, 10), (Loading, 10)]);
}

#[track_caller]
fn check_passed(phase: ReplicaPhase, expected: [Option<u64>; 5]) {
    let status = json!({
        "conditions": [scheduled(50)],
        "initContainerStatuses": [ran("weights", 80, Some(140))],
        "containerStatuses": [ran("vllm", 160, None)],
    });
    let expected = expected.map(|seconds| seconds.map(Duration::from_secs));
    assert_eq!(passed(&way_of(status, Some(30)), phase), expected);
}

#[test]
fn what_has_passed_is_told_as_far_as_the_pod_tells() {
    check_passed(Loading, [Some(0), Some(50), Some(50), Some(60), None]);
    // Nobody wrote down when the engine began to answer.
    check_passed(Warming, [Some(0), Some(50), Some(50), None, None]);
    check_passed(Ready, [Some(0), Some(50), Some(50), None, None]);
    // Without a node that was made for it, how its wait divides is known only to who watched.
    let way = way_of(json!({"conditions": [scheduled(50)]}), Some(0));
    assert_eq!(passed(&way, Pulling), [None; 5]);
}

/// As `kubelet` and scheduler tell of a start that waited for a node, and whose images were not there.
const TOLD: [(&str, &str, u64); 6] = [
    ("FailedScheduling", "", 1),
    ("Scheduled", "", 50),
    ("Pulling", "weights", 60),
    ("Pulled", "weights", 75),
    ("Pulling", "vllm", 140),
    ("Pulled", "vllm", 155),
];

#[track_caller]
fn check_told(told: &[(&str, &str, u64)], phase: ReplicaPhase, expected: [Option<u64>; 5]) {
    let mut status = json!({"conditions": [scheduled(50)]});
    if phase == Loading {
        status["initContainerStatuses"] = json!([ran("weights", 80, Some(140))]);
        status["containerStatuses"] = json!([ran("vllm", 160, None)]);
    }
    let way = way_told(status, None, told);
    assert_eq!(way.last().unwrap().0, phase);
    let expected = expected.map(|seconds| seconds.map(Duration::from_secs));
    assert_eq!(passed(&way, phase), expected);
}

#[test]
fn events_tell_a_pull_from_what_is_waited_for_before_it() {
    // On its node, its volumes and its sandbox come first.
    check_told(&TOLD[..2], Provisioning, [Some(1), Some(49), None, None, None]);
    check_told(&TOLD[..3], Pulling, [Some(1), Some(59), None, None, None]);
    check_told(&TOLD, Loading, [Some(1), Some(59), Some(30), Some(70), None]);
    // Nobody waited for a node, and the images were there.
    let found = [("Scheduled", "", 50), ("Found", "weights", 79), ("Found", "vllm", 158)];
    check_told(&found, Loading, [Some(50), Some(29), Some(0), Some(81), None]);
    // What is pulled once the engine runs is nothing that it waited for.
    let beside = [&TOLD[..], &[("Pulling", "logs", 170)]].concat();
    check_told(&beside, Loading, [Some(1), Some(59), Some(30), Some(70), None]);
}

#[test]
fn events_that_are_missing_change_nothing() {
    let by_pod = [None, None, Some(50), Some(60), None];
    check_told(&[], Loading, by_pod);
    // None of a pull, only the end of one, or none of the scheduler.
    check_told(&TOLD[1..2], Loading, by_pod);
    check_told(&[TOLD[1], TOLD[5]], Loading, by_pod);
    check_told(&TOLD[2..], Loading, by_pod);
}

#[test]
fn a_log_tells_loading_from_warming_up() {
    let status = json!({
        "conditions": [scheduled(50)],
        "initContainerStatuses": [ran("weights", 80, Some(140))],
        "containerStatuses": [ran("vllm", 160, None)],
    });
    let pod = json!({
        "metadata": {"name": "chat-x"}, "spec": {"containers": [{"name": "vllm"}]}, "status": status,
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let engine = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap().first();
    let beside = Beside { weights_at: Some(at(200)), ..Beside::default() };
    let mut way = way(&pod, engine, at(0), &beside);
    assert_eq!(way.last(), Some(&(Warming, at(200))));
    enter(&mut way, Ready, at(290));
    let times = [None, None, Some(50), Some(100), Some(90)];
    let times = times.map(|seconds| seconds.map(Duration::from_secs));
    assert_eq!(passed(&way, Ready), times);
    // One that does not run has said nothing.
    let before = super::way(&pod, None, at(0), &beside);
    assert_eq!(before.last(), Some(&(Pulling, at(140))));
}
