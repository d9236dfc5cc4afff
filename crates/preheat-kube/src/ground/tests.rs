//! Pods on nodes, tick by tick.

use kube::runtime::watcher;
use serde_json::{Value, json};

use super::*;
use crate::events::EventsSeen;
use crate::resource::InferenceAutoscalerSpec;

const IMAGE: &str = "vllm/vllm-openai:v0.9.1";

fn node(name: &str, images: &[&str]) -> Arc<Node> {
    let images: Vec<Value> = images.iter().map(|image| json!({"names": [image]})).collect();
    let node = json!({
        "metadata": {"name": name, "uid": name},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "images": images},
    });
    let mut node = serde_json::from_value(node).unwrap();
    crate::nodes::slim(&mut node);
    Arc::new(node)
}

/// A pod on a node, whose engine runs or not, and is ready or not.
fn pod(uid: &str, node: &str, runs: bool, ready: bool) -> Arc<Pod> {
    let at = "2026-11-24T09:00:00Z";
    let state = if runs { json!({"running": {"startedAt": at}}) } else { json!({"waiting": {}}) };
    let ready = if ready { "True" } else { "False" };
    let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "lastTransitionTime": at});
    let pod = json!({
        "metadata": {"name": uid, "uid": uid, "creationTimestamp": at},
        "spec": {"nodeName": node, "containers": [{"name": "vllm", "image": IMAGE}]},
        "status": {
            "conditions": [condition("PodScheduled", "True"), condition("Ready", ready)],
            "containerStatuses": [{
                "name": "vllm", "ready": false, "restartCount": 0, "image": "", "imageID": "",
                "state": state,
            }],
        },
    });
    Arc::new(serde_json::from_value(pod).unwrap())
}

struct Pool {
    ground: Ground,
    settings: Settings,
    roster: crate::roster::Roster,
    /// What pods' events tell, by uid.
    events: BTreeMap<String, Arc<PodEvents>>,
}

impl Pool {
    fn new() -> Self {
        let text =
            "targetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}\nmaxReplicas: 4\n";
        let spec: InferenceAutoscalerSpec = serde_saphyr::from_str(text).unwrap();
        Self {
            ground: Ground::restored(&InferenceAutoscalerStatus::default()),
            settings: Settings::of(&spec, "models").unwrap(),
            roster: crate::roster::Roster::default(),
            events: BTreeMap::new(),
        }
    }

    /// What the machine of each pod holds, as `image weights`.
    fn tick(&mut self, nodes: &[Arc<Node>], pods: &[Arc<Pod>]) -> Vec<[Option<bool>; 2]> {
        let now = crate::pods::instant(Some("2026-11-24T09:10:00Z".parse().unwrap())).unwrap();
        let answering = BTreeSet::new();
        let told = (pods, &self.events);
        let seen = self.ground.see((nodes, None), told, &self.settings, &answering, now);
        let machines = seen.iter().map(|pod| [pod.machine.image, pod.machine.weights]).collect();
        let replicas = self.roster.take(seen, u32::try_from(pods.len()).unwrap(), now);
        self.ground.learn(&replicas, now);
        machines
    }
}

const FOUND_BARE: [Option<bool>; 2] = [Some(false), Some(false)];
const FOUND_ALL: [Option<bool>; 2] = [Some(true), Some(true)];

#[test]
fn a_start_found_what_its_node_held_before_it() {
    let mut pool = Pool::new();
    let (bare, pulled) = (node("a", &["other"]), node("a", &["other", IMAGE]));
    assert_eq!(pool.tick(std::slice::from_ref(&bare), &[]), [] as [[Option<bool>; 2]; 0]);
    assert_eq!(pool.tick(&[bare], &[pod("x", "a", false, false)]), [FOUND_BARE]);
    // What it has brought itself was not there.
    let pulled = std::slice::from_ref(&pulled);
    assert_eq!(pool.tick(pulled, &[pod("x", "a", true, false)]), [FOUND_BARE]);
    // Ready, it has loaded; from then on its node holds everything.
    assert_eq!(pool.tick(pulled, &[pod("x", "a", true, true)]), [[Some(true), Some(false)]]);
    assert_eq!(pool.tick(pulled, &[pod("x", "a", true, true)]), [FOUND_ALL]);
    // The next is seen when its engine runs already, but its node was seen before.
    let second = [pod("x", "a", true, true), pod("y", "a", true, false)];
    assert_eq!(pool.tick(pulled, &second), [FOUND_ALL, FOUND_ALL]);
    assert_eq!(pool.ground.weights_nodes(), ["a"]);
    assert_eq!(pool.ground.placeable_on, [MachineState { image: Some(true), weights: Some(true) }]);
}

#[test]
fn what_was_not_seen_is_not_known() {
    let pulled = node("a", &[IMAGE]);
    // Met when its image is there: it may have pulled it itself.
    let mut late = Pool::new();
    let loading = [pod("x", "a", true, false)];
    assert_eq!(late.tick(std::slice::from_ref(&pulled), &loading), [[None, Some(false)]]);
    assert_eq!(late.tick(std::slice::from_ref(&pulled), &loading), [[None, Some(false)]]);
    // Unless an event tells.
    let found = json!({
        "metadata": {}, "reason": "Pulled", "firstTimestamp": "2026-11-24T09:00:00Z",
        "message": "Container image is already present on machine",
        "involvedObject": {"uid": "x", "fieldPath": "spec.containers{vllm}"},
    });
    let mut events = EventsSeen::default();
    events.take(watcher::Event::Apply(serde_json::from_value(found).unwrap()));
    late.events.insert("x".to_owned(), events.of("x").unwrap());
    assert_eq!(late.tick(std::slice::from_ref(&pulled), &loading), [[Some(true), Some(false)]]);
    // Met while it pulls: what is there now was there before.
    let mut early = Pool::new();
    let pulling = [pod("x", "a", false, false)];
    assert_eq!(early.tick(std::slice::from_ref(&pulled), &pulling), [[Some(true), Some(false)]]);
    // A node that is not known tells nothing until it is.
    let mut blind = Pool::new();
    assert_eq!(blind.tick(&[], &pulling), [[None, None]]);
    assert_eq!(blind.ground.placeable_on, []);
    assert_eq!(blind.tick(&[node("a", &["other"])], &pulling), [FOUND_BARE]);
}
