//! A kubelet for every pod of the cluster: binds it to a node, pulls its image, runs its init
//! containers and an emulated engine for it, and lets that finish its requests when the pod is
//! deleted. It writes what a real one writes on the way.
//!
//! Each pod has a loopback address of its own, so that all engines listen on the same port.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{EnvVar, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use preheat_core::Concurrency;
use preheat_emulator::EmulatorOptions;
use preheat_engine::{EngineProfile, StartupProfile};
use preheat_kube::traffic::Traffic;
use preheat_runtime::clock::{Clock, TimeScale};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::container_logs::ContainerLogs;
use crate::events::Events;
use crate::nodes::{NODE_OF_ITS_OWN, Nodes};

/// Where every engine listens.
pub(crate) const PORT: u16 = 8000;
/// The model that all of them serve.
pub(crate) const MODEL: &str = "tiny";
/// How long an engine takes to start: short for a test, and longer than several ticks.
const START_UP: Duration = Duration::from_millis(1500);
/// The same of one on a node of its own, in parts that whole seconds tell apart.
const LOADING: Duration = Duration::from_secs(2);
const WARMING: Duration = Duration::from_secs(3);
/// Batch slots of an engine.
pub(crate) const SLOTS: u32 = 4;

/// Time until the volumes and the sandbox of a pod with a node of its own are there.
const SANDBOX_TIME: Duration = Duration::from_secs(2);
/// Time that an init container takes where its node has not run it before.
const WEIGHTS_TIME: Duration = Duration::from_secs(2);

/// Ready pods that are in traffic and not ending, by namespace: what the EndpointSlice of a Service
/// that heeds the label would list. A real one takes no loopback addresses.
pub(crate) type Endpoints = Arc<Mutex<BTreeMap<String, Vec<SocketAddr>>>>;

/// The kubelet. Its engines end with it.
pub(crate) struct Kubelet {
    endpoints: Endpoints,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Kubelet {
    pub(crate) fn start(client: Client) -> Self {
        let endpoints = Endpoints::default();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(client, Arc::clone(&endpoints), stopped));
        Self { endpoints, stop, task }
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Arc::clone(&self.endpoints)
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// One life for each pod, told when its pod is to go and with which grace.
async fn run(client: Client, endpoints: Endpoints, mut stopped: watch::Receiver<bool>) {
    let mut tasks = JoinSet::new();
    let logs = ContainerLogs::default();
    let nodes = Nodes::new(client.clone(), logs.serve(&mut tasks).await);
    let pods: Api<Pod> = Api::all(client.clone());
    let stream = watcher(pods, watcher::Config::default()).default_backoff().touched_objects();
    let mut stream = pin!(stream);
    let mut lives: BTreeMap<String, watch::Sender<Told>> = BTreeMap::new();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            _sent = stopped.wait_for(|stopped| *stopped) => break,
        };
        let Some(Ok(pod)) = event else { continue };
        let Some(uid) = pod.uid() else { continue };
        let deleted = pod.metadata.deletion_timestamp.is_some();
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let going = deleted.then(|| Duration::from_secs(u64::try_from(grace).unwrap_or(0)));
        let is_out = Traffic::of(pod.metadata.labels.as_ref()) == Traffic::Off;
        let now = Told { going, is_out };
        match lives.get(&uid) {
            Some(life) => {
                life.send_if_modified(|told| {
                    // Who is to go is not told twice.
                    let is_new = told.going.is_none() && *told != now;
                    if is_new {
                        *told = now;
                    }
                    is_new
                });
            }
            None if !deleted => {
                let (life, told) = watch::channel(now);
                let number = lives.len();
                lives.insert(uid, life);
                let (client, endpoints) = (client.clone(), Arc::clone(&endpoints));
                let around = Around { endpoints, nodes: nodes.clone(), logs: logs.clone() };
                tasks.spawn(PodLife::new(client, around, &pod, number).run(told));
            }
            None => {}
        }
    }
    tasks.shutdown().await;
}

/// What a pod's life is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    /// That it is to go, and with which grace.
    going: Option<Duration>,
    /// Whether it is out of traffic.
    is_out: bool,
}

struct PodLife {
    pods: Api<Pod>,
    events: Events,
    name: String,
    namespace: String,
    container: String,
    image: String,
    inits: Vec<String>,
    /// Whether it shares its node with nobody of its namespace.
    alone: bool,
    address: SocketAddr,
    /// Whether its engine has the endpoints that put it to sleep.
    dev_mode: bool,
    around: Around,
    status: Mutex<PodText>,
}

/// What all pods share.
struct Around {
    endpoints: Endpoints,
    nodes: Nodes,
    logs: ContainerLogs,
}

/// What was written of a pod.
#[derive(Default)]
struct PodText {
    /// Conditions and since when they are as they are.
    conditions: BTreeMap<&'static str, (bool, String)>,
    inits: Vec<Value>,
}

impl PodLife {
    fn new(client: Client, around: Around, pod: &Pod, number: usize) -> Self {
        let namespace = pod.namespace().unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let dev_mode =
            |env: &EnvVar| env.name == "VLLM_SERVER_DEV_MODE" && env.value.as_deref() == Some("1");
        let [high, low] = u16::try_from(number + 1).unwrap().to_be_bytes();
        let spec = pod.spec.as_ref().unwrap();
        let inits = spec.init_containers.iter().flatten();
        Self {
            events: Events::of(client.clone(), pod),
            pods: Api::namespaced(client, &namespace),
            name: pod.name_any(),
            namespace,
            container: container.name.clone(),
            dev_mode: container.env.iter().flatten().any(dev_mode),
            image: container.image.clone().unwrap(),
            inits: inits.map(|container| container.name.clone()).collect(),
            alone: pod.labels().contains_key(NODE_OF_ITS_OWN),
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 77, high, low)), PORT),
            around,
            status: Mutex::default(),
        }
    }

    /// From binding to the end. An object that vanishes meanwhile ends it early.
    async fn run(self, mut told: watch::Receiver<Told>) {
        let life = async {
            let node = self.place().await?;
            let creating =
                if self.inits.is_empty() { "ContainerCreating" } else { "PodInitializing" };
            let waiting = json!({"waiting": {"reason": creating}});
            self.set(&waiting, false).await?;
            if self.alone {
                tokio::time::sleep(SANDBOX_TIME).await;
            }
            if self.around.nodes.has(&node, &self.image) {
                self.events.found(&self.container, &self.image).await?;
            } else {
                self.events.pulling(&self.container, &self.image).await?;
                self.around.nodes.pull(&node, &self.image).await?;
                self.events.pulled(&self.container, &self.image).await?;
            }
            self.initialize(&node, &waiting).await?;
            self.serve(told.clone()).await
        };
        let lived: kube::Result<()> = life.await;
        if lived.is_ok() {
            told_to_go(&mut told).await;
            let params = DeleteParams::default().grace_period(0);
            // It may be gone by now.
            let _deleted = self.pods.delete(&self.name, &params).await;
        }
        self.around.nodes.leave(&self.name);
    }

    /// Binds it to a node, which is made first where there is none for it.
    async fn place(&self) -> kube::Result<String> {
        let alone = self.alone.then_some(self.namespace.as_str());
        let node = match self.around.nodes.free(alone, &self.name) {
            Some(node) => node,
            None => {
                let unschedulable = json!({"status": {"conditions": [{
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                    "lastTransitionTime": now(),
                }]}});
                let patch = Patch::Strategic(&unschedulable);
                self.pods.patch_status(&self.name, &PatchParams::default(), &patch).await?;
                self.events.unschedulable().await?;
                self.around.nodes.make(&self.namespace, &self.name).await?
            }
        };
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let params = PostParams::default();
        let _bound: Value =
            self.pods.create_subresource("binding", &self.name, &params, &binding).await?;
        self.events.scheduled(&node).await?;
        Ok(node)
    }

    /// Runs its init containers, which fetch weights and leave them on the node.
    async fn initialize(&self, node: &str, waiting: &Value) -> kube::Result<()> {
        for name in &self.inits {
            let status = |state: Value| {
                json!({
                    "name": name, "ready": false, "restartCount": 0, "image": "weights",
                    "imageID": "weights", "state": state,
                })
            };
            let began = now();
            self.status
                .lock()
                .unwrap()
                .inits
                .push(status(json!({"running": {"startedAt": began}})));
            self.set(waiting, false).await?;
            if self.around.nodes.first_run(node, &self.namespace, name) {
                tokio::time::sleep(WEIGHTS_TIME).await;
            }
            let ended = json!({"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": began, "finishedAt": now(),
            }});
            *self.status.lock().unwrap().inits.last_mut().unwrap() = status(ended);
        }
        self.set(waiting, false).await
    }

    /// Runs the engine until the pod is to go and its requests have ended.
    async fn serve(&self, mut told: watch::Receiver<Told>) -> kube::Result<()> {
        let running = json!({"running": {"startedAt": now()}});
        self.set(&running, false).await?;
        let (lines, mut log) = mpsc::unbounded_channel();
        let mut shutdown = told.clone();
        let name = format!("{}/{}/{}", self.namespace, self.name, self.container);
        let log_file = Lines { lines, log: (self.around.logs.clone(), name), partial: Vec::new() };
        let engine = preheat_emulator::run(
            self.options(),
            Clock::start(TimeScale::REAL),
            log_file,
            async move {
                told_to_go(&mut shutdown).await;
            },
        );
        let mut engine = pin!(engine);
        let serves = async {
            while let Some(line) = log.recv().await {
                if line.contains("Application startup complete") {
                    return;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            _ended = &mut engine => return Ok(()),
            () = serves => {}
        }
        // The engine must go on while the apiserver is told.
        let ready = async {
            self.set(&running, true).await?;
            loop {
                let now = *told.borrow_and_update();
                self.list(now.going.is_none() && !now.is_out);
                if now.going.is_some() || told.changed().await.is_err() {
                    return kube::Result::Ok(());
                }
            }
        };
        let (ended, ready) = tokio::join!(engine, ready);
        ended.unwrap();
        self.list(false);
        ready
    }

    /// How its engine is emulated. On a node of its own it takes its time, phase by phase.
    fn options(&self) -> EmulatorOptions {
        let profile = &EngineProfile::all()[0];
        let startup = if self.alone {
            StartupProfile::fixed_phases(Duration::ZERO, LOADING, WARMING)
        } else {
            StartupProfile::fixed(START_UP)
        };
        let mut options = EmulatorOptions::for_profile(self.address, MODEL, profile, startup);
        options.engine.max_num_seqs = Concurrency::new(SLOTS).unwrap();
        // The kubelet gives it a pod's grace period; no stream of a test is longer.
        options.shutdown_timeout = Duration::from_secs(60);
        options.dev_mode = self.dev_mode;
        options
    }

    /// Puts it into its Service's endpoints, or takes it out.
    fn list(&self, listed: bool) {
        let mut endpoints = self.around.endpoints.lock().unwrap();
        let mine = endpoints.entry(self.namespace.clone()).or_default();
        mine.retain(|address| *address != self.address);
        if listed {
            mine.push(self.address);
        }
    }

    async fn set(&self, state: &Value, ready: bool) -> kube::Result<()> {
        let patch = self.text(state, ready);
        let params = PatchParams::default();
        self.pods.patch_status(&self.name, &params, &Patch::Strategic(&patch)).await?;
        Ok(())
    }

    /// The whole of its status.
    fn text(&self, state: &Value, ready: bool) -> Value {
        let running = state.get("running").is_some();
        let mut status = self.status.lock().unwrap();
        let initialized =
            status.inits.iter().filter(|init| init["state"].get("terminated").is_some());
        let initialized = initialized.count() == self.inits.len();
        let holds = [
            ("PodReadyToStartContainers", true),
            ("Initialized", initialized),
            ("ContainersReady", ready),
            ("Ready", ready),
        ];
        for (type_, holds) in holds {
            let entry = status.conditions.entry(type_).or_insert_with(|| (holds, now()));
            if entry.0 != holds {
                *entry = (holds, now());
            }
        }
        let conditions = status.conditions.iter().map(|(type_, (holds, since))| {
            let status = if *holds { "True" } else { "False" };
            json!({"type": type_, "status": status, "lastTransitionTime": since})
        });
        json!({"status": {
            "phase": if running { "Running" } else { "Pending" },
            "podIP": self.address.ip(),
            "podIPs": [{"ip": self.address.ip()}],
            "conditions": conditions.collect::<Vec<_>>(),
            "initContainerStatuses": status.inits,
            "containerStatuses": [{
                "name": self.container, "ready": ready, "restartCount": 0,
                "image": self.image, "imageID": self.image, "state": state,
            }],
        }})
    }
}

/// As the apiserver writes times: in whole seconds.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%FT%TZ").to_string()
}

/// Resolves when its pod is to go, or the kubelet ends.
async fn told_to_go(told: &mut watch::Receiver<Told>) {
    let _kept = told.wait_for(|told| told.going.is_some()).await;
}

/// A log that is kept, and read line by line.
struct Lines {
    lines: mpsc::UnboundedSender<String>,
    /// The container's.
    log: (ContainerLogs, String),
    partial: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).into_owned();
                let (logs, container) = &self.log;
                logs.append(container, &line);
                // Nobody reads it any more after the start.
                let _sent = self.lines.send(line);
                self.partial.clear();
            } else {
                self.partial.push(byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
