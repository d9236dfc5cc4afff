//! What hundreds of resources cost against a real apiserver: `make bench-kube`.
//!
//! Every Deployment has pods that are bound and ready but have no engine of their own: one server
//! answers for all of them as an engine would that has a request inside. The controller is a process
//! of its own, with the shipped rights, so that its memory and its time are its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use preheat_core::Instant;
use preheat_kube::manifests::{NAME, NAMESPACE};
use preheat_kube::resource::InferenceAutoscaler;
use preheat_kube::{ControllerOptions, KubeController, LeaseOptions, connect};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::journal::{Journal, JournalOptions, JournalReader, Selection};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::control_plane::ControlPlane;
use crate::kubelet::now;
use crate::objects::{apply_all, define};

const RESOURCES: usize = 500;
const PODS_EACH: usize = 10;
/// Eight pods on each.
const NODES: usize = RESOURCES * PODS_EACH / 8;
const NAMESPACES: usize = 20;
/// Calls under way at a time while all this is made.
const CALLS: usize = 16;
/// Watched for this long, once it has run for as long.
const WATCHED: Duration = Duration::from_secs(60);
/// Time between two ticks of a resource: the default.
const TICK: Duration = Duration::from_secs(2);

/// Makes everything, lets a controller run over it, and prints what that took.
pub(crate) async fn measure(binaries: PathBuf) {
    let plane = ControlPlane::start(&binaries).await;
    apply_all(&plane.admin(), &preheat_kube::manifests::rbac()).await;
    define(&plane.admin(), json!(preheat_kube::resource::definition())).await;
    let names: Vec<Value> = (0..NAMESPACES)
        .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": team(n)}}))
        .collect();
    apply_all(&plane.admin(), &names).await;
    let nodes: Vec<Value> = (0..NODES)
        .map(|n| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node(n)}}))
        .collect();
    apply_all(&plane.admin(), &nodes).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let engines = tokio::spawn(answer(listener));
    let kubelet = tokio::spawn(make_ready(plane.admin()));
    make(&plane.admin(), port).await;
    until_ready(&plane.admin()).await;
    kubelet.abort();
    let pods = RESOURCES * PODS_EACH;
    println!("{RESOURCES} InferenceAutoscalers, {pods} pods are ready on {NODES} nodes");

    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal.db");
    let mut controller = tokio::process::Command::new(std::env::current_exe().unwrap())
        .arg("hundreds-controller")
        .env(KUBECONFIG, plane.preheat_kubeconfig().await)
        .env(JOURNAL, &journal)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let processes = [vec![("preheat", controller.id().unwrap())], plane.processes().to_vec()];
    let processes = processes.concat();
    tokio::time::sleep(WATCHED).await;
    let from = wall_clock();
    let before: Vec<Duration> = processes.iter().map(|(_, pid)| computed(*pid)).collect();
    tokio::time::sleep(WATCHED).await;
    let until = wall_clock();
    for ((name, pid), before) in processes.iter().zip(before) {
        let cores = (computed(*pid) - before).as_secs_f64() / WATCHED.as_secs_f64();
        let (resident, most) = (memory_mib(*pid, "VmRSS:"), memory_mib(*pid, "VmHWM:"));
        println!("{name}: {cores:.2} cores, {resident} MiB resident, {most} MiB at most");
    }
    drop(controller.stdin.take());
    assert!(controller.wait().await.unwrap().success());
    let path = journal.clone();
    let intervals = tokio::task::spawn_blocking(move || intervals(&path, from, until));
    tell(intervals.await.unwrap());
    engines.abort();
    plane.stop().await;
}

const KUBECONFIG: &str = "PREHEAT_HUNDREDS_KUBECONFIG";
const JOURNAL: &str = "PREHEAT_HUNDREDS_JOURNAL";

/// The controller, until standard input ends.
pub(crate) async fn control() {
    let path = |name: &str| PathBuf::from(std::env::var_os(name).unwrap());
    let client = connect(Some(&path(KUBECONFIG)), None).await.unwrap();
    let journal = Journal::open(path(JOURNAL), JournalOptions::default());
    let options = ControllerOptions {
        namespace: None,
        lease: Some(LeaseOptions {
            namespace: NAMESPACE.to_owned(),
            name: NAME.to_owned(),
            identity: "hundreds".to_owned(),
        }),
        journal_file: path(JOURNAL),
        instance: "hundreds".to_owned(),
        metrics: None,
        demand: None,
        headline: |_, explanation| explanation.reason.name().to_owned(),
    };
    let clock = Clock::start(TimeScale::REAL);
    let controller = KubeController::start(client, clock, Some(journal.clone()), options).await;
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(controller.unwrap().run(stopped));
    let ends = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    let _ended = tokio::task::spawn_blocking(ends).await.unwrap();
    stop.send_replace(true);
    running.await.unwrap();
    let health = tokio::task::spawn_blocking(move || journal.close()).await.unwrap();
    println!("journal: {} records dropped", health.dropped_records);
}

fn team(number: usize) -> String {
    format!("team-{}", number % NAMESPACES)
}

fn node(number: usize) -> String {
    format!("node-{}", number % NODES)
}

/// Deployments, and a resource for each.
async fn make(admin: &Client, port: u16) {
    let each = futures_util::stream::iter(0..RESOURCES).map(|number| async move {
        let name = format!("chat-{number}");
        let labels = json!({"app": name});
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {
                "replicas": PODS_EACH,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "terminationGracePeriodSeconds": 600,
                        "containers": [{"name": "vllm", "image": "engine"}],
                    },
                },
            },
        });
        let deployment: Deployment = serde_json::from_value(deployment).unwrap();
        let deployments: Api<Deployment> = Api::namespaced(admin.clone(), &team(number));
        deployments.create(&PostParams::default(), &deployment).await.unwrap();
        let resource = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": name},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "mode": "Act", "minReplicas": PODS_EACH, "maxReplicas": 2 * PODS_EACH,
                "maxConcurrency": 8, "engine": {"metricsPort": port},
            },
        });
        let resource: InferenceAutoscaler = serde_json::from_value(resource).unwrap();
        let resources: Api<InferenceAutoscaler> = Api::namespaced(admin.clone(), &team(number));
        resources.create(&PostParams::default(), &resource).await.unwrap();
    });
    each.buffer_unordered(CALLS).for_each(|()| async {}).await;
}

/// Binds every pod and says that it is ready, until aborted.
async fn make_ready(admin: Client) {
    let stream = watcher(Api::<Pod>::all(admin.clone()), watcher::Config::default());
    let unbound = stream.default_backoff().touched_objects().filter_map(|pod| async {
        pod.ok().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()))
    });
    let made = unbound.enumerate().map(|(number, pod)| {
        let pods: Api<Pod> = Api::namespaced(admin.clone(), &pod.namespace().unwrap());
        async move {
            let name = pod.name_any();
            let binding = json!({
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": node(number)},
            });
            let params = PostParams::default();
            let bound: kube::Result<Value> =
                pods.create_subresource("binding", &name, &params, &binding).await;
            if bound.is_err() {
                // It was touched twice before it was bound.
                return;
            }
            let condition =
                |type_: &str| json!({"type": type_, "status": "True", "lastTransitionTime": now()});
            let status = json!({"status": {
                "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}],
                "conditions": [condition("Ready"), condition("ContainersReady")],
                "containerStatuses": [{
                    "name": "vllm", "ready": true, "restartCount": 0, "image": "engine",
                    "imageID": "engine", "state": {"running": {"startedAt": now()}},
                }],
            }});
            let patch = Patch::Strategic(&status);
            pods.patch_status(&name, &PatchParams::default(), &patch).await.unwrap();
        }
    });
    let mut made = pin!(made.buffer_unordered(CALLS));
    while made.next().await.is_some() {}
}

async fn until_ready(admin: &Client) {
    let deployments: Api<Deployment> = Api::all(admin.clone());
    loop {
        let listed = deployments.list(&Default::default()).await.unwrap();
        let ready = listed.items.iter().map(|deployment| {
            deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0)
        });
        if usize::try_from(ready.sum::<i32>()).unwrap() >= RESOURCES * PODS_EACH {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Answers every request as vLLM would that has one of its own inside.
async fn answer(listener: TcpListener) {
    let body = "vllm:num_requests_running{model_name=\"m\"} 1.0\n\
                vllm:num_requests_waiting{model_name=\"m\"} 0.0\n\
                vllm:kv_cache_usage_perc{model_name=\"m\"} 0.1\n\
                vllm:request_success_total{finished_reason=\"stop\",model_name=\"m\"} 9.0\n\
                vllm:prompt_tokens_total{model_name=\"m\"} 900.0\n\
                vllm:generation_tokens_total{model_name=\"m\"} 1800.0\n";
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    while let Ok((mut stream, _)) = listener.accept().await {
        let text = text.clone();
        tokio::spawn(async move {
            let mut request = vec![0; 4096];
            // A request for metrics fits one packet and has no body.
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Times between successive ticks of each resource, ascending.
fn intervals(journal: &Path, from: Instant, until: Instant) -> Vec<Duration> {
    let reader = JournalReader::open_read_only(journal).unwrap();
    let selection = Selection { from: Some(from), until: Some(until), ..Selection::default() };
    let mut last: BTreeMap<String, Instant> = BTreeMap::new();
    let mut intervals = Vec::new();
    for stored in reader.entries(selection) {
        let entry = stored.unwrap().entry;
        if entry.body.observation().is_none() {
            continue;
        }
        if let Some(before) = last.insert(entry.pool.clone(), entry.at) {
            intervals.push(entry.at.since(before));
        }
    }
    assert_eq!(last.len(), RESOURCES, "every resource is decided on");
    intervals.sort_unstable();
    intervals
}

fn tell(intervals: Vec<Duration>) {
    let at = |q: f64| intervals[((intervals.len() - 1) as f64 * q) as usize];
    let in_time = intervals.iter().filter(|interval| **interval < TICK.mul_f64(1.5)).count();
    println!(
        "{} ticks in {WATCHED:?}, {TICK:?} apart by their interval: p50 {:.2?}, p99 {:.2?}, longest {:.2?}; \
         {:.2} % within 1.5 intervals",
        intervals.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        100.0 * in_time as f64 / intervals.len() as f64,
    );
}

fn wall_clock() -> Instant {
    let now = k8s_openapi::jiff::Timestamp::now().as_nanosecond();
    Instant::from_nanos(u64::try_from(now).unwrap())
}

/// Time that a process has computed. A tick of the system's clock is a hundredth of a second.
fn computed(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<u64> =
        after_name.split_whitespace().skip(11).take(2).map(|n| n.parse().unwrap()).collect();
    Duration::from_millis(10 * fields.iter().sum::<u64>())
}

fn memory_mib(pid: u32, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
