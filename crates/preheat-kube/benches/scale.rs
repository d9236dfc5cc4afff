//! What hundreds of resources cost without their I/O: `cargo bench -p preheat-kube --bench scale`
//! (`--profile dev` builds in seconds, and is slower).
//!
//! 500 resources of ten pods each over one shared view of all 5,000 pods and of 625 nodes with fifty
//! images each, as the controller keeps them: each tick selects its pods from the view, reads them as
//! replicas, looks where the next may land, decides, and works out what to write. It prints the time
//! of a round of all 500, and what the process takes.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::core::SelectorExt;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use preheat_core::{Instant, MachineState, Memory, Observation, Sample};
use preheat_kube::nodes::{Wants, holds_image, landing, slim};
use preheat_kube::pods::{Beside, see};
use preheat_kube::resource::{InferenceAutoscaler, Settings};
use preheat_kube::roster::Roster;
use preheat_kube::selector;
use preheat_kube::writes::{Situation, writes};
use preheat_runtime::controller::Controller;
use preheat_runtime::routing::PoolId;
use serde_json::json;

const RESOURCES: u32 = 500;
const PODS_EACH: u32 = 10;
/// Eight pods have room on each.
const NODES: u32 = 625;
const ROUNDS: u64 = 20;
/// 2026-12-01T08:00:00Z.
const NOW_S: u64 = 1_796_112_000;

fn pod(resource: u32, number: u32) -> Pod {
    let name = format!("chat-{resource}-{number}");
    let since = "2026-12-01T07:00:00Z";
    let condition =
        |type_: &str| json!({"type": type_, "status": "True", "lastTransitionTime": since});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": format!("team-{}", resource % 20), "uid": name,
            "creationTimestamp": since,
            "labels": {"app": format!("chat-{resource}"), "pod-template-hash": "7d4b9c"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "chat", "uid": "u",
                "controller": true,
            }],
        },
        "spec": {"terminationGracePeriodSeconds": 600, "nodeName": "node", "containers": [{
            "name": "vllm", "image": format!("vllm/vllm-openai:v{resource}"),
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
        }]},
        "status": {
            "phase": "Running", "podIP": format!("10.{}.{}.{number}", resource / 250, resource % 250),
            "conditions": [condition("PodScheduled"), condition("Ready")],
            "containerStatuses": [{
                "name": "vllm", "ready": true, "restartCount": 0, "image": "", "imageID": "",
                "state": {"running": {"startedAt": since}},
            }],
        },
    });
    serde_json::from_value(pod).unwrap()
}

/// It holds the images of fifty resources.
fn node(number: u32) -> Node {
    let image = |of: u32| format!("docker.io/vllm/vllm-openai:v{}", (number * 50 + of) % RESOURCES);
    let digest = |of: u32| format!("docker.io/vllm/vllm-openai@sha256:{of:064x}");
    let images: Vec<_> =
        (0..50).map(|of| json!({"names": [digest(number * 50 + of), image(of)]})).collect();
    let node = json!({
        "metadata": {"name": format!("gpu-{number}"), "uid": format!("gpu-{number}")},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"nvidia.com/gpu": "8"}, "images": images,
        },
    });
    let mut node = serde_json::from_value(node).unwrap();
    slim(&mut node);
    node
}

fn settings(resource: u32) -> Settings {
    let object = json!({
        "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
        "metadata": {"name": format!("chat-{resource}")},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
            "mode": "Act", "maxReplicas": 20, "maxConcurrency": 8,
        },
    });
    let object: InferenceAutoscaler = serde_json::from_value(object).unwrap();
    Settings::of(&object.spec, "models").unwrap()
}

/// Time that this thread has computed, where the system tells: on a machine that others use too, a
/// clock on the wall tells of them.
fn computed() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Resident memory in MiB, where the system tells.
fn resident_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? / 1024)
}

fn main() {
    let (store, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Init);
    for resource in 0..RESOURCES {
        for number in 0..PODS_EACH {
            writer.apply_watcher_event(&Event::InitApply(pod(resource, number)));
        }
    }
    writer.apply_watcher_event(&Event::InitDone);
    let mut pools: Vec<(u32, Settings, Roster, Controller)> = (0..RESOURCES)
        .map(|resource| {
            let settings = settings(resource);
            let id = PoolId(format!("team-{}/chat-{resource}", resource % 20));
            let controller = Controller::new(id, 1, settings.policy.clone(), Memory::default());
            (resource, settings, Roster::default(), controller)
        })
        .collect();
    let nodes: Vec<Node> = (0..NODES).map(node).collect();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let now = Instant::from_nanos((NOW_S + 2 * round) * 1_000_000_000);
        let began = computed().unwrap();
        for (resource, settings, roster, controller) in &mut pools {
            let namespace = format!("team-{}", *resource % 20);
            let selected = selector::parse(&format!("app=chat-{resource}")).unwrap();
            let nothing = std::collections::BTreeMap::new();
            let mine = store.state_filter(|pod: &Pod| {
                pod.metadata.namespace.as_deref() == Some(namespace.as_str())
                    && selected.matches(pod.metadata.labels.as_ref().unwrap_or(&nothing))
            });
            let beside = Beside { answers: true, ..Beside::default() };
            let seen = mine.iter().filter_map(|pod| see(pod, None, &beside, now)).collect();
            let wants = Wants::of(&mine[0], None);
            let holds = |node: &Node| MachineState {
                image: wants.image.as_deref().and_then(|image| holds_image(node, image)),
                weights: None,
            };
            let placeable_on = landing(&wants, nodes.iter(), None, holds);
            assert_eq!(placeable_on.len(), 2);
            let mut replicas = roster.take(seen, PODS_EACH, now);
            assert_eq!(replicas.len(), PODS_EACH as usize);
            for replica in &mut replicas {
                replica.observation.in_flight = Some(Sample::new(4, now));
                replica.observation.queue_depth = Some(Sample::new(0, now));
            }
            let observed = replicas.iter().map(|replica| replica.observation.clone()).collect();
            let ticked = controller.tick(Observation {
                placeable_on,
                ..Observation::of(controller.next_tick(), now, observed)
            });
            let situation = Situation {
                settings,
                mode: settings.mode,
                asked: PODS_EACH,
                replicas: &replicas,
                blind: Duration::ZERO,
                drains_aside: false,
                idle: false,
            };
            std::hint::black_box(writes(&situation, &ticked.plan));
        }
        rounds.push(computed().unwrap() - began);
    }
    rounds.sort_unstable();
    let (median, longest) = (rounds[rounds.len() / 2], rounds[rounds.len() - 1]);
    println!(
        "{RESOURCES} resources, {} pods, {NODES} nodes: a round of all ticks computes for {median:.0?} (longest of {ROUNDS} \
         {longest:.0?}), of one {:.2?}; resident {} MiB",
        RESOURCES * PODS_EACH,
        median / RESOURCES,
        resident_mib().map_or_else(|| "?".to_owned(), |mib| mib.to_string()),
    );
}
