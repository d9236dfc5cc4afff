//! Resources, their conditions and their events as text, for a terminal.
//!
//! **Invariant:** pure; the time is given.

use std::fmt::Write;

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use crate::resource::{Condition, ConditionStatus, InferenceAutoscaler};

/// Events told of one resource, latest last.
const EVENTS_SHOWN: usize = 10;
/// Conditions that are good news when they don't hold.
const BETTER_FALSE: [&str; 2] = ["Conflicted", "ScalingLimited"];

/// A line for each resource, and below it what is not as it should be.
pub fn status(resources: &[InferenceAutoscaler], with_namespace: bool, now: Timestamp) -> String {
    let heads: Vec<[String; 4]> =
        resources.iter().map(|resource| head(resource, with_namespace)).collect();
    let width = |column: usize| heads.iter().map(|head| head[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for (resource, head) in resources.iter().zip(&heads) {
        for (part, width) in head.iter().zip(widths) {
            // Writing to a string can't fail.
            let _ = write!(text, "{part:<width$}  ");
        }
        let _ = writeln!(text, "{}", summary(resource));
        for condition in conditions(resource).iter().filter(|condition| is_trouble(condition)) {
            let _ = writeln!(text, "  {}", told(condition, now));
        }
    }
    text
}

/// One resource: what is wanted and why, every condition, and what happened.
pub fn why(resource: &InferenceAutoscaler, events: &[Event], now: Timestamp) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(text, "{}", head(resource, true).join("  "));
    let _ = writeln!(text, "  {}", summary(resource));
    let status = resource.status.clone().unwrap_or_default();
    let spec = &resource.spec;
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let _ = writeln!(
        text,
        "  wanted {} of {} to {}; the target asks for {}, preheat last wrote {}",
        number(status.desired_replicas),
        spec.min_replicas.unwrap_or(1),
        spec.max_replicas,
        number(status.current_replicas),
        number(status.written_replicas),
    );
    let _ = writeln!(text, "\nconditions:");
    for condition in conditions(resource) {
        let _ = writeln!(text, "  {}", told(condition, now));
    }
    let mut events: Vec<&Event> = events.iter().collect();
    events.sort_by_key(|event| last_seen(event));
    let shown = events.get(events.len().saturating_sub(EVENTS_SHOWN)..).unwrap_or_default();
    if !shown.is_empty() {
        let _ = writeln!(text, "\nevents:");
    }
    for event in shown {
        let age = last_seen(event).map_or_else(|| "-".to_owned(), |at| age(at, now));
        let count = event.series.as_ref().and_then(|series| series.count).unwrap_or(1);
        let times = if count > 1 { format!(" ({count} times)") } else { String::new() };
        let reason = event.reason.as_deref().unwrap_or_default();
        let note = event.message.as_deref().unwrap_or_default();
        let _ = writeln!(text, "  {age:>4} ago  {reason:<12} {note}{times}");
    }
    text
}

/// Name, target, mode, replicas.
fn head(resource: &InferenceAutoscaler, with_namespace: bool) -> [String; 4] {
    let (metadata, spec) = (&resource.metadata, &resource.spec);
    let name = metadata.name.as_deref().unwrap_or_default();
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = if with_namespace { format!("{namespace}/{name}") } else { name.to_owned() };
    let target = format!("{}/{}", spec.target_ref.kind, spec.target_ref.name);
    let status = resource.status.clone().unwrap_or_default();
    let mode = status.mode.unwrap_or(spec.mode).name().to_owned();
    let number = |number: Option<u32>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let mut replicas =
        format!("ready {}/{}", number(status.ready_replicas), number(status.desired_replicas));
    for (count, what) in [
        (status.starting_replicas, "starting"),
        (status.standby_replicas, "standby"),
        (status.draining_replicas, "draining"),
    ] {
        if let Some(count) = count.filter(|count| *count > 0) {
            // Writing to a string can't fail.
            let _ = write!(replicas, " {what} {count}");
        }
    }
    [name, target, mode, replicas]
}

fn summary(resource: &InferenceAutoscaler) -> String {
    let status = resource.status.as_ref();
    status.and_then(|status| status.summary.clone()).unwrap_or_else(|| {
        "Nothing is decided yet: no preheat acts on it. Is one running, and may it?".to_owned()
    })
}

fn conditions(resource: &InferenceAutoscaler) -> &[Condition] {
    resource.status.as_ref().map_or(&[], |status| status.conditions.as_slice())
}

/// Mode and pauses are somebody's wish, and no trouble.
fn is_trouble(condition: &Condition) -> bool {
    let wished = matches!(condition.reason.as_str(), "Observe" | "Paused" | "NoneReady");
    let good = match condition.status {
        ConditionStatus::True => !BETTER_FALSE.contains(&condition.type_.as_str()),
        ConditionStatus::False => BETTER_FALSE.contains(&condition.type_.as_str()),
        ConditionStatus::Unknown => false,
    };
    !good && !wished
}

/// `not MetricsAvailable for 4m (Stale): nothing fresh from …`.
fn told(condition: &Condition, now: Timestamp) -> String {
    let holds = match condition.status {
        ConditionStatus::True => "",
        ConditionStatus::False => "not ",
        ConditionStatus::Unknown => "unknown: ",
    };
    let since = condition.last_transition_time.parse::<Timestamp>().ok();
    let since = since.map_or_else(String::new, |since| format!(" for {}", age(since, now)));
    let Condition { type_, reason, message, .. } = condition;
    format!("{holds}{type_}{since} ({reason}): {message}")
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let first = event.event_time.as_ref().map(|time| time.0);
    series.map(|time| time.0).or(first).or(event.last_timestamp.as_ref().map(|time| time.0))
}

/// As kubectl writes it: the largest unit that is not zero.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: &str = "2026-11-24T16:00:00Z";

    fn resource(status: serde_json::Value) -> InferenceAutoscaler {
        let object = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": "chat", "namespace": "models"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
                "maxReplicas": 8, "mode": "Act",
            },
            "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn busy() -> InferenceAutoscaler {
        let condition = |type_: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-11-24T15:56:00Z",
            })
        };
        resource(json!({
            "summary": "Started 1 replica: fewer than the lower bound.", "mode": "Act",
            "readyReplicas": 2, "desiredReplicas": 3, "startingReplicas": 1,
            "drainingReplicas": 0, "standbyReplicas": 2, "currentReplicas": 3, "writtenReplicas": 3,
            "conditions": [
                condition("Ready", "True", "Valid", "the spec is valid"),
                condition("MetricsAvailable", "False", "Stale", "nothing fresh from llama-x"),
                condition("Conflicted", "False", "OnlyWriter", "nobody else"),
                condition("ScalingLimited", "True", "Capped", "9 are needed"),
            ],
        }))
    }

    #[test]
    fn a_status_is_a_line_for_each_and_what_is_wrong() {
        let new = resource(serde_json::Value::Null);
        assert_eq!(
            status(&[busy(), new], false, NOW.parse().unwrap()),
            "chat  Deployment/llama  Act  ready 2/3 starting 1 standby 2  Started 1 replica: fewer than the lower bound.\n  \
             not MetricsAvailable for 4m (Stale): nothing fresh from llama-x\n  \
             ScalingLimited for 4m (Capped): 9 are needed\n\
             chat  Deployment/llama  Act  ready -/-                       Nothing is decided yet: no preheat acts on it. Is one running, and may it?\n"
        );
    }

    #[test]
    fn why_tells_conditions_and_events_in_their_order() {
        let event = |at: &str, reason: &str, note: &str, count: i32| {
            serde_json::from_value::<Event>(json!({
                "metadata": {"name": at}, "involvedObject": {}, "reason": reason, "message": note,
                "eventTime": "2026-11-24T12:00:00.000000Z",
                "series": {"count": count, "lastObservedTime": at},
            }))
            .unwrap()
        };
        let events = [
            event("2026-11-24T15:59:30.000000Z", "ScaledUp", "2 → 3 replicas.", 1),
            event("2026-11-24T13:00:00.000000Z", "ScaledDown", "3 → 2 replicas.", 2),
        ];
        assert_eq!(
            why(&busy(), &events, NOW.parse().unwrap()),
            "models/chat  Deployment/llama  Act  ready 2/3 starting 1 standby 2\n  \
             Started 1 replica: fewer than the lower bound.\n  \
             wanted 3 of 1 to 8; the target asks for 3, preheat last wrote 3\n\n\
             conditions:\n  \
             Ready for 4m (Valid): the spec is valid\n  \
             not MetricsAvailable for 4m (Stale): nothing fresh from llama-x\n  \
             not Conflicted for 4m (OnlyWriter): nobody else\n  \
             ScalingLimited for 4m (Capped): 9 are needed\n\n\
             events:\n    \
             3h ago  ScaledDown   3 → 2 replicas. (2 times)\n   \
             30s ago  ScaledUp     2 → 3 replicas.\n"
        );
    }
}
