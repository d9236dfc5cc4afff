//! Events as kubelets and schedulers write them, and what is kept of them.

use serde_json::{Value, json};

use super::*;

const ENGINE: &str = "spec.containers{vllm}";

fn time(seconds: u64) -> String {
    format!("2026-11-24T09:{:02}:{:02}Z", seconds / 60, seconds % 60)
}

fn at(seconds: u64) -> Instant {
    instant(Some(time(seconds).parse().unwrap())).unwrap()
}

fn event(reason: &str, path: &str, message: &str, when: Value) -> Event {
    let mut event = json!({
        "metadata": {"name": reason}, "reason": reason, "message": message,
        "involvedObject": {"kind": "Pod", "name": "chat-x", "uid": "u", "fieldPath": path},
    });
    for (key, value) in when.as_object().unwrap() {
        event[key] = value.clone();
    }
    serde_json::from_value(event).unwrap()
}

fn of_kubelet(reason: &str, path: &str, message: &str, seconds: u64) -> Event {
    event(
        reason,
        path,
        message,
        json!({"firstTimestamp": time(seconds), "lastTimestamp": time(999)}),
    )
}

fn seen(events: impl IntoIterator<Item = Event>) -> PodEvents {
    let mut seen = EventsSeen::default();
    events.into_iter().for_each(|event| seen.take(watcher::Event::Apply(event)));
    (*seen.of("u").unwrap()).clone()
}

fn spans(events: impl IntoIterator<Item = Event>) -> Vec<Option<(Instant, Option<Instant>)>> {
    seen(events).pulls().map(|(_, pull)| pull.span()).collect()
}

#[test]
fn what_comes_again_is_kept_as_it_came_first() {
    // A scheduler writes the newer kind of time.
    let failed =
        |seconds| event("FailedScheduling", "", "0/3 nodes", json!({"eventTime": time(seconds)}));
    let bound = event("Scheduled", "", "Successfully assigned", json!({"eventTime": time(90)}));
    let seen = seen([failed(5), failed(3), failed(60), bound]);
    assert_eq!((seen.unschedulable_at, seen.is_scheduled), (Some(at(3)), true));
    let pulled = "Successfully pulled image \"x\" in 27.9s";
    let again = "Container image \"x\" already present on machine";
    let first = [of_kubelet("Pulling", ENGINE, "", 10), of_kubelet("Pulled", ENGINE, pulled, 38)];
    // A container that begins anew finds what it pulled.
    let all = [&first[..], &[of_kubelet("Pulled", ENGINE, again, 70)]].concat();
    assert_eq!(spans(all), [Some((at(10), Some(at(38))))]);
}

#[test]
fn an_image_that_was_there_takes_no_time_and_one_that_only_ended_is_not_told() {
    for message in [
        "Container image \"x\" already present on machine",
        "Container image \"x\" already present on machine and can be accessed by the pod",
    ] {
        let found = || [of_kubelet("Pulled", ENGINE, message, 10)];
        assert_eq!(spans(found()), [Some((at(10), Some(at(10))))]);
        assert_eq!(seen(found()).had_image("vllm"), Some(true));
        assert_eq!(seen(found()).had_image("proxy"), None);
    }
    assert_eq!(spans([of_kubelet("Pulled", ENGINE, "Successfully pulled", 10)]), [None]);
    let pulling = [of_kubelet("Pulling", "spec.initContainers{weights}", "", 7)];
    assert_eq!(spans(pulling), [Some((at(7), None))]);
}

#[test]
fn hostile_events_leave_nothing_behind() {
    let odd = [
        event("Pulling", ENGINE, "", json!({})),
        event("Pulling", ENGINE, "", json!({"firstTimestamp": "1960-01-01T00:00:00Z"})),
        of_kubelet("Pulling", "spec.containers", "", 1),
        of_kubelet("Pulling", "}{", "", 1),
        of_kubelet("OutOfFun", ENGINE, "", 1),
    ];
    assert_eq!(seen(odd), PodEvents::default());
    let many = (0..100).map(|n| of_kubelet("Pulling", &format!("spec.containers{{c{n}}}"), "", n));
    assert_eq!(seen(many).pulls().count(), PULLS_MAX);
}

#[test]
fn a_list_replaces_what_was_known_and_a_pod_is_forgotten() {
    let mut seen = EventsSeen::default();
    let pulling = || of_kubelet("Pulling", ENGINE, "", 10);
    let other = {
        let mut other = pulling();
        other.involved_object.uid = Some("v".to_owned());
        other
    };
    seen.take(watcher::Event::Apply(pulling()));
    seen.take(watcher::Event::Init);
    seen.take(watcher::Event::InitApply(other));
    assert!(seen.of("u").is_some(), "as long as the list is not complete");
    seen.take(watcher::Event::InitDone);
    assert!(seen.of("u").is_none() && seen.of("v").is_some());
    seen.take(watcher::Event::Apply(pulling()));
    seen.take(watcher::Event::Delete(pulling()));
    assert!(seen.of("u").is_none());
}
