//! Nodes and pods as a cluster has them, and what follows.

use serde_json::{Value, json};

use super::*;

fn node(name: &str, more: &Value) -> Node {
    let mut node = json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "labels": {"gpu": "h100"}},
        "spec": {},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "96", "nvidia.com/gpu": "8"},
            "images": [
                {"names": [
                    "docker.io/vllm/vllm-openai@sha256:0123", "docker.io/vllm/vllm-openai:v0.9.1",
                ], "sizeBytes": 9_000_000_000_u64},
                {"names": ["registry.example:5000/engine:latest"]},
            ],
        },
    });
    for (part, fields) in more.as_object().unwrap() {
        for (key, value) in fields.as_object().unwrap() {
            node[part][key] = value.clone();
        }
    }
    let mut node = serde_json::from_value(node).unwrap();
    slim(&mut node);
    node
}

/// A pod that takes four GPUs, two in each of two containers.
fn pod(more: &Value) -> Pod {
    let gpus = json!({"limits": {"nvidia.com/gpu": "2", "cpu": "4"}});
    let mut spec = json!({"containers": [
        {"name": "vllm", "image": "vllm/vllm-openai:v0.9.1", "resources": gpus},
        {"name": "second", "image": "other", "resources": gpus},
    ]});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    serde_json::from_value(json!({"metadata": {"name": "chat-x"}, "spec": spec})).unwrap()
}

#[test]
fn an_image_is_found_by_any_of_its_names() {
    let node = node("a", &json!({}));
    for (image, expected) in [
        ("vllm/vllm-openai:v0.9.1", true),
        ("docker.io/vllm/vllm-openai:v0.9.1", true),
        ("vllm/vllm-openai@sha256:0123", true),
        ("vllm/vllm-openai:v0.9.1@sha256:0123", true),
        ("registry.example:5000/engine", true),
        ("vllm/vllm-openai:v0.9.2", false),
        ("vllm/vllm-openai", false),
        ("engine", false),
    ] {
        assert_eq!(holds_image(&node, &full_name(image)), Some(expected), "{image}");
    }
    assert_eq!(full_name("ubuntu"), "docker.io/library/ubuntu:latest");
    assert_eq!(full_name("localhost/x:1"), "localhost/x:1");
}

#[test]
fn of_images_that_a_kubelet_does_not_tell_nobody_knows() {
    let images: Vec<Value> = (0..50).map(|n| json!({"names": [format!("i/i:{n}")]})).collect();
    let full = node("a", &json!({"status": {"images": images}}));
    let held = full_name("i/i:3");
    assert_eq!((holds_image(&full, &held), holds_image(&full, "x")), (Some(true), None));
    let silent = node("a", &json!({"status": {"images": null}}));
    assert_eq!(holds_image(&silent, "x"), None);
}

/// Names of nodes that the pod may land on, told by weights held there.
#[track_caller]
fn check(spec: &Value, more: &Value, taken: Option<&Taken>, lands: bool) {
    let there = node("a", more);
    let wants = Wants::of(&pod(spec), None);
    let weights = MachineState { image: None, weights: Some(true) };
    let landing = landing(&wants, [&there].into_iter(), taken, |_| weights);
    let expected = if lands { weights } else { MachineState::BARE };
    assert_eq!(landing, [expected], "{spec} on {more}");
}

#[test]
fn a_pod_lands_where_it_may_and_where_there_is_room() {
    let nothing = json!({});
    check(&nothing, &nothing, None, true);
    check(&json!({"nodeSelector": {"gpu": "h100"}}), &nothing, None, true);
    check(&json!({"nodeSelector": {"gpu": "b200"}}), &nothing, None, false);
    check(&nothing, &json!({"spec": {"unschedulable": true}}), None, false);
    let not_ready = json!([{"type": "Ready", "status": "Unknown"}]);
    check(&nothing, &json!({"status": {"conditions": not_ready}}), None, false);
    // Four GPUs are asked for.
    let gpus = |count: &str| json!({"status": {"allocatable": {"nvidia.com/gpu": count}}});
    check(&nothing, &gpus("4"), None, true);
    check(&nothing, &gpus("3"), None, false);
    check(&nothing, &json!({"status": {"allocatable": {"cpu": "96"}}}), None, false);
    let mut holder = pod(&json!({"nodeName": "a"}));
    check(&nothing, &nothing, Some(&taken([&holder].into_iter())), true);
    check(&nothing, &nothing, Some(&taken([&holder, &holder].into_iter())), false);
    // What has ended holds none any more.
    holder.status = serde_json::from_value(json!({"phase": "Succeeded"})).unwrap();
    check(&nothing, &nothing, Some(&taken([&holder, &holder].into_iter())), true);
}

/// Of a node's eight GPUs, two pods hold all.
#[test]
fn what_gives_way_is_room() {
    let nothing = json!({});
    let holders = |priority: i32| {
        let pod = pod(&json!({"nodeName": "a", "priority": priority}));
        taken([&pod, &pod].into_iter())
    };
    check(&nothing, &nothing, Some(&holders(-10)), true);
    check(&nothing, &nothing, Some(&holders(0)), false);
    check(&json!({"priority": 1000}), &nothing, Some(&holders(0)), true);
    // Who takes none from others waits like them.
    check(&json!({"preemptionPolicy": "Never"}), &nothing, Some(&holders(-10)), false);
}

#[test]
fn taints_keep_pods_away_that_do_not_tolerate_them() {
    let tainted = |effect: &str| json!({"spec": {"taints": [{"key": "nvidia.com/gpu", "value": "h100", "effect": effect}]}});
    let tolerating = |toleration: Value| json!({"tolerations": [toleration]});
    for (effect, toleration, lands) in [
        ("PreferNoSchedule", json!({"key": "other"}), true),
        ("NoSchedule", json!({"key": "other", "operator": "Exists"}), false),
        ("NoSchedule", json!({"operator": "Exists"}), true),
        ("NoSchedule", json!({"key": "nvidia.com/gpu", "operator": "Exists"}), true),
        ("NoSchedule", json!({"key": "nvidia.com/gpu", "value": "h100"}), true),
        ("NoSchedule", json!({"key": "nvidia.com/gpu", "value": "b200"}), false),
        (
            "NoExecute",
            json!({"key": "nvidia.com/gpu", "value": "h100", "effect": "NoSchedule"}),
            false,
        ),
    ] {
        check(&tolerating(toleration), &tainted(effect), None, lands);
    }
}

#[test]
fn without_nodes_nobody_knows() {
    let holds = |_: &Node| MachineState::BARE;
    assert_eq!(landing(&Wants::default(), std::iter::empty(), None, holds), []);
}

#[test]
fn weights_are_remembered_as_long_as_their_node_is_the_same() {
    let (a, b) = (node("a", &json!({})), node("b", &json!({})));
    let mut seen = WeightsSeen::restored(&["gone".to_owned(), "a".to_owned()]);
    seen.insert("b");
    let find = |name: &str| [&a, &b].into_iter().find(|n| n.metadata.name.as_deref() == Some(name));
    seen.keep(find);
    assert_eq!(seen.names(), ["a", "b"]);
    // Made anew under its name, it holds nothing.
    let other = node("a", &json!({"metadata": {"uid": "another"}}));
    seen.keep(|name| if name == "a" { Some(&other) } else { find(name) });
    assert_eq!((seen.names(), seen.has("a")), (vec!["b".to_owned()], false));
    assert!(has_label(&a, "gpu") && !has_label(&a, "no-such"));
    assert!(!has_label(&node("c", &json!({"metadata": {"labels": {"w": "false"}}})), "w"));
}
