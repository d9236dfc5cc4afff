//! Counts as orders, and as answers.

use serde_json::{Value, json};

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
}

#[test]
fn a_count_stands_until_it_is_written() {
    // Nothing was published: the scale is what it is.
    assert_eq!(Order::taken_for(None, 3, at(0)), 3);
    // More were published, and the scale does not ask for them yet.
    let more = Order::next(None, 5, 3, at(0));
    assert_eq!(Order::taken_for(Some(more), 3, at(15)), 5);
    // Nobody asks for them at all: they are no starts that fail.
    let more = Order::next(Some(more), 5, 3, at(59));
    assert_eq!(Order::taken_for(Some(more), 3, at(60)), 3);
    // Found written, they are an order anew for whoever writes less.
    let written = Order::next(Some(more), 5, 5, at(80));
    assert_eq!(Order::taken_for(Some(written), 5, at(80)), 5);
    assert_eq!(Order::taken_for(Some(written), 4, at(100)), 5);
    // Fewer stand however long it takes.
    let fewer = Order::next(Some(written), 2, 5, at(100));
    assert_eq!(Order::taken_for(Some(fewer), 5, at(1000)), 2);
    assert_eq!(Order::next(Some(fewer), 4, 5, at(1000)).replicas, 4);
}

fn hpa(metric: &str, more: &Value) -> HorizontalPodAutoscaler {
    let mut external = json!({"metric": {"name": metric},
        "target": {"type": "AverageValue", "averageValue": "1"}});
    if !more["target"].is_null() {
        external["target"] = more["target"].clone();
    }
    let object = json!({
        "metadata": {"name": "chat"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "chat"},
            "maxReplicas": more["max"].as_i64().unwrap_or(20),
            "metrics": [{"type": "External", "external": external}],
            "behavior": more["behavior"],
        },
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn followers_are_known_by_the_metric_that_they_read() {
    for (metric, ours) in [
        ("preheat-desired-replicas", true),
        ("preheat-desired-replicas.chat", true),
        ("s0-preheat-desired-replicas", true),
        ("s12-preheat-desired-replicas", true),
        ("sx-preheat-desired-replicas", false),
        ("preheat-desired-replicas2", false),
        ("queue", false),
    ] {
        assert_eq!(Follower::of(&hpa(metric, &json!({}))).is_some(), ours, "{metric}");
    }
    assert_eq!(Follower::of(&HorizontalPodAutoscaler::default()), None);
}

#[test]
fn a_follower_that_leaves_steps_out_is_told_why() {
    let exact = json!({"scaleUp": {"tolerance": "0"}, "scaleDown": {"tolerance": "0"}});
    let value = json!({"type": "Value", "value": "1"});
    for (more, said) in [
        (json!({"behavior": exact}), None),
        (json!({}), Some("single steps from 10 replicas on")),
        (json!({"behavior": {"scaleUp": {"tolerance": "0"}}}), Some("for both directions")),
        (json!({"max": 9}), None),
        (json!({"behavior": exact, "target": value}), Some("is not averageValue: 1")),
    ] {
        let inexact = Follower::of(&hpa(METRIC, &more)).unwrap().inexact;
        assert_eq!(inexact.is_some(), said.is_some(), "{more}: {inexact:?}");
        assert!(inexact.unwrap_or_default().contains(said.unwrap_or_default()), "{inexact:?}");
    }
}

fn resource(mode: &str, status: &Value) -> InferenceAutoscaler {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"});
    let object = json!({
        "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
        "metadata": {"name": "chat"},
        "spec": {"targetRef": target, "maxReplicas": 4, "mode": mode},
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn what_is_told_is_what_was_published_lately() {
    let at = "2026-11-24T09:00:00Z";
    let published = json!({"publishedReplicas": 3, "publishedAt": at});
    let troubled = json!({"summary": "there is no Deployment `chat` in this namespace"});
    for (mode, status, age, told) in [
        ("Publish", &published, 0, Ok(3)),
        ("Publish", &published, 89, Ok(3)),
        ("Publish", &published, 90, Err("nobody has confirmed the last one for 90 s")),
        ("Publish", &troubled, 0, Err("there is no Deployment `chat` in this namespace")),
        ("Publish", &Value::Null, 0, Err("nothing was decided yet")),
        // Of what is written or only shown, nobody else is told.
        ("Act", &published, 0, Err("its mode is Act; set mode: Publish")),
        ("Observe", &published, 0, Err("its mode is Observe; set mode: Publish")),
    ] {
        let resource = resource(mode, status);
        let told_now = answer("here", "chat", Some(&resource), Duration::from_secs(age));
        match (told_now, told) {
            (Ok(published), Ok(replicas)) => {
                assert_eq!((published.replicas, published.at), (replicas, at.parse().unwrap()));
            }
            (Err(refusal), Err(said)) => {
                let expected = format!("the InferenceAutoscaler `chat` publishes no count: {said}");
                assert_eq!(refusal.to_string(), expected);
            }
            (got, told) => panic!("{got:?} for {told:?}"),
        }
    }
    assert!(matches!(answer("a", "b", None, Duration::ZERO), Err(Refusal::Unknown { .. })));
}
