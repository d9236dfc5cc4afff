//! One scenario's namespace: its Deployment, its resource, the preheats that run there, and what can
//! be waited for.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use nix::unistd::Pid;
use preheat_core::{ColdStartSample, EndedStart, Explanation, Plan, StartFollower};
use preheat_kube::manifests::NAMESPACE;
use preheat_kube::resource::{Condition, InferenceAutoscaler, InferenceAutoscalerStatus};
use preheat_kube::traffic::TRAFFIC_LABEL;
use preheat_kube::{ControllerOptions, KubeController, LeaseOptions, PoolStatuses};
use preheat_publish::Counts;
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::journal::{Journal, JournalOptions, JournalReader, Selection, replay};
use preheat_runtime::prometheus::Prometheus;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;
use crate::kubelet::{Endpoints, Kubelet};
use crate::nodes::NODE_OF_ITS_OWN;
use crate::objects::apply_all;

/// The Deployment, and the resource that scales it.
pub(crate) const NAME: &str = "chat";

static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// A namespace of its own.
pub(crate) struct Scenario {
    pub(crate) admin: Client,
    pub(crate) preheat: Client,
    pub(crate) namespace: String,
    pub(crate) endpoints: Endpoints,
    pub(crate) apiserver: Pid,
    /// Of one who may do everything.
    pub(crate) kubeconfig: PathBuf,
    pub(crate) folder: tempfile::TempDir,
}

/// A preheat that runs in this process.
pub(crate) struct Preheat {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    pub(crate) leading: watch::Receiver<bool>,
    pub(crate) counts: Counts,
    pub(crate) statuses: PoolStatuses,
    journal: Journal,
    journal_file: PathBuf,
}

impl Scenario {
    pub(crate) async fn new(plane: &ControlPlane, kubelet: &Kubelet) -> Self {
        let namespace = format!("s{}", NAMESPACES.fetch_add(1, Ordering::Relaxed));
        let made =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply_all(&plane.admin(), &[made]).await;
        Self {
            admin: plane.admin(),
            preheat: plane.preheat().await,
            namespace,
            endpoints: kubelet.endpoints(),
            apiserver: plane.apiserver(),
            kubeconfig: plane.kubeconfig(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn autoscalers(&self) -> Api<InferenceAutoscaler> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Makes the Deployment, and waits until all its replicas are ready.
    pub(crate) async fn deploy(&self, replicas: i32) {
        self.deploy_as(workload(replicas), replicas).await;
    }

    /// The same with an init container that fetches weights, each pod on a node of its own.
    pub(crate) async fn deploy_on_nodes(&self, replicas: i32) {
        let mut spec = workload(replicas);
        let template = &mut spec["template"];
        template["metadata"]["labels"][NODE_OF_ITS_OWN] = "yes".into();
        template["spec"]["initContainers"] = json!([{"name": "weights", "image": "weights"}]);
        self.deploy_as(spec, replicas).await;
    }

    async fn deploy_as(&self, spec: Value, replicas: i32) {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME},
            "spec": spec,
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        self.deployments().create(&PostParams::default(), &deployment).await.unwrap();
        self.until_ready(replicas).await;
    }

    /// Makes the Deployment with the label that keeps pods out of traffic, of engines that can sleep or
    /// can't, and a Service that heeds the label or does not.
    pub(crate) async fn deploy_labelled(&self, replicas: i32, can_sleep: bool, heeds: bool) {
        let mut spec = workload(replicas);
        spec["template"]["metadata"]["labels"] = json!({"app": NAME, TRAFFIC_LABEL: "on"});
        if can_sleep {
            let env = json!([{"name": "VLLM_SERVER_DEV_MODE", "value": "1"}]);
            spec["template"]["spec"]["containers"][0]["env"] = env;
        }
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME}, "spec": spec,
        });
        let deployment = serde_json::from_value(deployment).unwrap();
        self.deployments().create(&PostParams::default(), &deployment).await.unwrap();
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME},
            "spec": {"clusterIP": "None", "ports": [{"port": 8000}], "selector": {"app": NAME}},
        });
        let service = serde_json::from_value(service).unwrap();
        self.services().create(&PostParams::default(), &service).await.unwrap();
        self.heed(heeds).await;
        self.until_ready(replicas).await;
    }

    /// Lets the Service heed the label, or not.
    pub(crate) async fn heed(&self, heeds: bool) {
        let value = heeds.then_some("on");
        let patch = json!({"spec": {"selector": {TRAFFIC_LABEL: value}}});
        let params = PatchParams::default();
        self.services().patch(NAME, &params, &Patch::Merge(&patch)).await.unwrap();
    }

    fn services(&self) -> Api<Service> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    pub(crate) fn stateful_sets(&self) -> Api<StatefulSet> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// Makes a StatefulSet instead, and waits until all its replicas are ready.
    pub(crate) async fn deploy_stateful_set(&self, replicas: i32) {
        let mut spec = workload(replicas);
        spec["podManagementPolicy"] = "Parallel".into();
        let set = json!({
            "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": NAME},
            "spec": spec,
        });
        let set = serde_json::from_value(set).unwrap();
        self.stateful_sets().create(&PostParams::default(), &set).await.unwrap();
        self.until_set_ready(replicas).await;
    }

    /// Waits until exactly so many of the StatefulSet's replicas are there, and ready.
    pub(crate) async fn until_set_ready(&self, replicas: i32) {
        let ready = move |set: Option<&StatefulSet>| {
            set.and_then(|set| set.status.as_ref()).is_some_and(|status| {
                status.replicas == replicas && status.ready_replicas.unwrap_or(0) == replicas
            })
        };
        await_condition(self.stateful_sets(), NAME, ready).await.unwrap();
    }

    /// Waits until so many replicas are asked for, and exactly these are ready.
    pub(crate) async fn until_ready(&self, replicas: i32) {
        let ready = move |deployment: Option<&Deployment>| {
            deployment.is_some_and(|deployment| {
                let status = deployment.status.clone().unwrap_or_default();
                deployment.spec.as_ref().and_then(|spec| spec.replicas) == Some(replicas)
                    && status.ready_replicas.unwrap_or(0) == replicas
                    && status.replicas.unwrap_or(0) == replicas
            })
        };
        await_condition(self.deployments(), NAME, ready).await.unwrap();
    }

    /// Waits until at least so many replicas are asked for.
    pub(crate) async fn until_asked(&self, replicas: i32) {
        let asked = move |deployment: Option<&Deployment>| {
            let spec = deployment.and_then(|deployment| deployment.spec.as_ref());
            spec.and_then(|spec| spec.replicas) >= Some(replicas)
        };
        await_condition(self.deployments(), NAME, asked).await.unwrap();
    }

    /// What the Deployment asks for.
    pub(crate) async fn asked(&self) -> i32 {
        self.deployments().get(NAME).await.unwrap().spec.unwrap().replicas.unwrap()
    }

    /// Somebody else sets the scale.
    pub(crate) async fn set_scale(&self, replicas: i32) {
        let patch = json!({"spec": {"replicas": replicas}});
        let params = PatchParams::default();
        self.deployments().patch_scale(NAME, &params, &Patch::Merge(&patch)).await.unwrap();
    }

    /// Makes the resource: quick, with these keys over the usual ones.
    pub(crate) async fn autoscale(&self, more: Value) -> InferenceAutoscaler {
        let object = autoscaler(more);
        self.autoscalers().create(&PostParams::default(), &object).await.unwrap()
    }

    /// Changes the resource's spec.
    pub(crate) async fn change(&self, spec: Value) {
        let patch = json!({"spec": spec});
        let params = PatchParams::default();
        self.autoscalers().patch(NAME, &params, &Patch::Merge(&patch)).await.unwrap();
    }

    /// Deletes the Deployment and waits until no pod of it is left.
    pub(crate) async fn undeploy(&self) {
        let deleted = self.deployments().delete(NAME, &DeleteParams::background()).await.unwrap();
        drop(deleted);
        let gone = |deployment: Option<&Deployment>| deployment.is_none();
        await_condition(self.deployments(), NAME, gone).await.unwrap();
    }

    /// Waits until the status is like that, and returns it.
    pub(crate) async fn until(
        &self,
        holds: impl Fn(&InferenceAutoscalerStatus) -> bool,
    ) -> InferenceAutoscalerStatus {
        let seen = |resource: Option<&InferenceAutoscaler>| {
            resource.and_then(|resource| resource.status.as_ref()).is_some_and(&holds)
        };
        let resource = await_condition(self.autoscalers(), NAME, seen).await.unwrap().unwrap();
        resource.status.unwrap()
    }

    /// Starts a preheat with its own service account, that takes part in the election by `lease`.
    pub(crate) async fn preheat(&self, name: &str) -> Preheat {
        self.preheat_that_asks(name, None).await
    }

    /// The same, with a Prometheus that tells of demand.
    pub(crate) async fn preheat_that_asks(
        &self,
        name: &str,
        demand: Option<Prometheus>,
    ) -> Preheat {
        let journal_file = self.folder.path().join(format!("{name}.db"));
        let journal = Journal::open(&journal_file, JournalOptions::default());
        let options = ControllerOptions {
            namespace: Some(self.namespace.clone()),
            lease: Some(LeaseOptions {
                namespace: NAMESPACE.to_owned(),
                name: preheat_kube::manifests::NAME.to_owned(),
                identity: format!("{}-{name}", self.namespace),
            }),
            journal_file: journal_file.clone(),
            instance: name.to_owned(),
            metrics: None,
            demand,
            headline,
        };
        let clock = Clock::start(TimeScale::REAL);
        let client = self.preheat.clone();
        let controller =
            KubeController::start(client, clock, Some(journal.clone()), options).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let (leading, statuses) = (controller.leading(), controller.statuses());
        let counts = controller.counts();
        let task = tokio::spawn(controller.run(stopped));
        Preheat { stop, task, leading, statuses, counts, journal, journal_file }
    }
}

impl Preheat {
    /// Ends it as SIGTERM does, and replays everything it decided. How many ticks that were.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.send_replace(true);
        self.task.await.unwrap();
        let (journal, file) = (self.journal, self.journal_file);
        let replayed = tokio::task::spawn_blocking(move || {
            journal.close();
            replay(&JournalReader::open_read_only(file).unwrap(), None).unwrap()
        });
        let report = replayed.await.unwrap();
        assert!(report.first_difference.is_none() && report.differed == 0, "{report:?}");
        report.agreed
    }

    /// Ends it as SIGTERM does; the cold starts that it saw, in the order of their ends.
    pub(crate) async fn stop_and_tell_starts(self) -> Vec<ColdStartSample> {
        let file = self.journal_file.clone();
        assert!(self.stop().await > 0);
        let read = tokio::task::spawn_blocking(move || {
            let reader = JournalReader::open_read_only(file).unwrap();
            let mut follower = StartFollower::default();
            let mut starts = Vec::new();
            for stored in reader.entries(Selection::default()) {
                let entry = stored.unwrap().entry;
                let ended = entry.body.observation().map(|seen| follower.observe(seen));
                starts.extend(ended.into_iter().flatten().filter_map(|ended| match ended {
                    EndedStart::ColdStart(start) => Some(start),
                    EndedStart::Wake(_) => None,
                }));
            }
            starts
        });
        read.await.unwrap()
    }

    /// Ends it as SIGKILL does: nothing is given back.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// What Deployments and StatefulSets have in common.
fn workload(replicas: i32) -> Value {
    let labels = json!({"app": NAME});
    json!({
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 60,
                "containers": [{"name": "vllm", "image": "engine"}],
            },
        },
    })
}

/// The resource, quick enough for a test.
pub(crate) fn autoscaler(more: Value) -> InferenceAutoscaler {
    let mut spec = json!({
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
        "maxReplicas": 4, "maxConcurrency": crate::kubelet::SLOTS,
        "coldStart": {"p50": "2s", "p90": "3s"}, "serviceTime": "1s",
        "tickInterval": "250ms", "staleness": "2s", "arrivalWindow": "2s", "drainTimeout": "60s",
        "behavior": {"scaleDown": {
            "stabilizationWindow": "3s", "limit": {"replicas": 4, "period": "1s"},
        }},
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let object = json!({
        "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
        "metadata": {"name": NAME}, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

pub(crate) fn condition<'a>(
    status: &'a InferenceAutoscalerStatus,
    type_: &str,
) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether a condition is there for this reason.
pub(crate) fn is(status: &InferenceAutoscalerStatus, type_: &str, reason: &str) -> bool {
    condition(status, type_).is_some_and(|condition| condition.reason == reason)
}

fn headline(plan: &Plan, explanation: &Explanation) -> String {
    format!("{}: {} desired", explanation.reason.name(), plan.desired)
}
