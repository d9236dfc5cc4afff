//! Pods as a kubelet writes them, and what their ways come to.

use std::time::Duration;

use ReplicaPhase::{Loading, Pending, Provisioning, Pulling, Ready, Warming};
use serde_json::{Value, json};

use super::*;

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
    let pod = json!({
        "metadata": {"name": "chat-x", "creationTimestamp": time(0)},
        "spec": {
            "containers": [{"name": "vllm"}],
            "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "weights"}],
        },
        "status": status,
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let status = pod.status.clone().unwrap();
    let engine = status.container_statuses.iter().flatten().next();
    way(&pod, engine, at(0), node_made_at.map(at))
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
