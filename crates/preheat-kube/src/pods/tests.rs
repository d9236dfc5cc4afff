//! Pods as the cluster writes them, and the phases that they are in.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-24T09:10:00Z";

fn at(text: &str) -> Instant {
    instant(Some(text.parse().unwrap())).unwrap()
}

fn pod(metadata: Value, status: Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "chat-5c9-x", "uid": "u1", "creationTimestamp": "2026-11-24T09:00:00Z",
        },
        "spec": {
            "containers": [{"name": "vllm"}, {"name": "sidecar"}],
            "terminationGracePeriodSeconds": 600,
        },
        "status": status,
    });
    for (key, value) in metadata.as_object().unwrap() {
        pod["metadata"][key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

fn scheduled(more: Value) -> Value {
    let mut conditions = vec![json!({
        "type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-24T09:01:00Z",
    })];
    conditions.extend(more.as_array().unwrap().iter().cloned());
    Value::Array(conditions)
}

fn ready(status: &str, since: &str) -> Value {
    json!({"type": "Ready", "status": status, "lastTransitionTime": since})
}

fn container(state: Value) -> Value {
    // The statuses are not in the containers' order.
    json!([
        {"name": "sidecar", "ready": true, "restartCount": 9, "image": "", "imageID": "",
         "state": {"running": {"startedAt": "2026-11-24T09:01:30Z"}}},
        {"name": "vllm", "ready": false, "restartCount": 2, "image": "", "imageID": "",
         "state": state},
    ])
}

#[track_caller]
fn check(metadata: Value, status: Value, answers: bool, expected: (ReplicaPhase, &str)) {
    let beside = Beside { answers, ..Beside::default() };
    let seen = see(&pod(metadata, status), None, &beside, at(NOW)).unwrap();
    assert_eq!((seen.phase, seen.phase_since), (expected.0, at(expected.1)));
}

#[test]
fn a_start_passes_through_its_phases() {
    check(json!({}), json!({}), false, (ReplicaPhase::Pending, "2026-11-24T09:00:00Z"));
    let unschedulable = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available", "lastTransitionTime": "2026-11-24T09:00:01Z",
    }]);
    let status = json!({"phase": "Pending", "conditions": unschedulable});
    check(json!({}), status, false, (ReplicaPhase::Provisioning, "2026-11-24T09:00:01Z"));
    let creating = json!({"waiting": {"reason": "ContainerCreating"}});
    let status = json!({
        "conditions": scheduled(json!([])), "containerStatuses": container(creating),
    });
    check(json!({}), status, false, (ReplicaPhase::Pulling, "2026-11-24T09:01:00Z"));
    let init = json!([{
        "name": "weights", "ready": false, "restartCount": 0, "image": "", "imageID": "",
        "state": {"running": {"startedAt": "2026-11-24T09:02:00Z"}},
    }]);
    let waiting = json!({"waiting": {"reason": "PodInitializing"}});
    let status = json!({
        "conditions": scheduled(json!([])), "initContainerStatuses": init,
        "containerStatuses": container(waiting),
    });
    check(json!({}), status, false, (ReplicaPhase::Loading, "2026-11-24T09:02:00Z"));
    let running = json!({"running": {"startedAt": "2026-11-24T09:03:00Z"}});
    let status = |ready: Value| {
        json!({
            "podIP": "10.0.0.7", "conditions": scheduled(json!([ready])),
            "containerStatuses": container(running.clone()),
        })
    };
    let unready = ready("False", "2026-11-24T09:01:00Z");
    check(
        json!({}),
        status(unready.clone()),
        false,
        (ReplicaPhase::Loading, "2026-11-24T09:03:00Z"),
    );
    // That its engine answers is seen now, and the pod doesn't tell since when.
    check(json!({}), status(unready), true, (ReplicaPhase::Warming, NOW));
    let served = ready("True", "2026-11-24T09:05:00Z");
    check(json!({}), status(served), true, (ReplicaPhase::Ready, "2026-11-24T09:05:00Z"));
    // Ready once, and not any more.
    let lost = ready("False", "2026-11-24T09:08:00Z");
    check(json!({}), status(lost), true, (ReplicaPhase::Warming, "2026-11-24T09:08:00Z"));
}

#[test]
fn one_that_answers_warms_up_from_when_its_log_says_so() {
    let status = |ready: Value| {
        json!({
            "conditions": scheduled(json!([ready])),
            "containerStatuses": container(json!({"running": {"startedAt": "2026-11-24T09:03:00Z"}})),
        })
    };
    let log = Some(at("2026-11-24T09:04:00Z"));
    let beside = Beside { answers: true, weights_at: log, ..Beside::default() };
    let since = |ready: Value| {
        let seen = see(&pod(json!({}), status(ready)), None, &beside, at(NOW)).unwrap();
        assert_eq!(seen.phase, ReplicaPhase::Warming);
        seen.phase_since
    };
    assert_eq!(since(ready("False", "2026-11-24T09:01:00Z")), at("2026-11-24T09:04:00Z"));
    // Ready once, and not any more.
    assert_eq!(since(ready("False", "2026-11-24T09:08:00Z")), at("2026-11-24T09:08:00Z"));
}

#[test]
fn a_crash_waits_out_its_back_off() {
    let state = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}});
    let mut containers = container(state);
    containers[1]["lastState"] =
        json!({"terminated": {"exitCode": 1, "finishedAt": "2026-11-24T09:07:00Z"}});
    let status = json!({
        "podIP": "10.0.0.7", "conditions": scheduled(json!([])), "containerStatuses": containers,
    });
    let seen = see(&pod(json!({}), status), None, &Beside::default(), at(NOW)).unwrap();
    assert_eq!((seen.phase, seen.restarts), (ReplicaPhase::Pending, 2));
    assert_eq!(seen.phase_since, at("2026-11-24T09:07:00Z"));
    assert_eq!(seen.waiting.as_deref(), Some("CrashLoopBackOff: back-off 40s"));
    assert_eq!(seen.address, None);
}

#[test]
fn a_deleted_pod_drains_from_when_it_was_asked_to_go() {
    let deletion = json!({
        "deletionTimestamp": "2026-11-24T09:19:00Z", "deletionGracePeriodSeconds": 600,
    });
    let conditions = scheduled(json!([ready("True", "2026-11-24T09:05:00Z")]));
    let status = json!({"conditions": conditions});
    check(deletion, status, true, (ReplicaPhase::Draining, "2026-11-24T09:09:00Z"));
}

#[test]
fn what_has_ended_is_no_replica() {
    for phase in ["Succeeded", "Failed"] {
        let ended = pod(json!({}), json!({"phase": phase}));
        assert_eq!(see(&ended, None, &Beside::default(), at(NOW)), None, "{phase}");
    }
}

#[test]
fn the_rest_is_read_as_it_stands() {
    let metadata = json!({
        "annotations": {DELETION_COST: "-7"},
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat-5c9", "uid": "r",
            "controller": true,
        }],
    });
    let running = json!({"running": {"startedAt": "2026-11-24T09:30:00Z"}});
    let status = json!({
        "podIP": "fd00::7", "conditions": scheduled(json!([])),
        "containerStatuses": container(running),
    });
    let pod = pod(metadata, status);
    let seen = see(&pod, Some("vllm"), &Beside::default(), at(NOW)).unwrap();
    assert_eq!((seen.deletion_cost, seen.of_replica_set), (Some(-7), true));
    assert_eq!(seen.grace, Some(Duration::from_secs(600)));
    assert_eq!(seen.address, Some("fd00::7".parse().unwrap()));
    // A node whose clock is ahead.
    assert_eq!(seen.phase_since, at(NOW));
    assert_eq!(
        see(&pod, Some("no-such"), &Beside::default(), at(NOW)).unwrap().phase,
        ReplicaPhase::Pulling
    );
}
