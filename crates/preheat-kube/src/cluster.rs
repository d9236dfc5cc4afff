//! Everything that is read from and written to the apiserver, each call with a deadline.
//!
//! **Invariant:** a scale is written only where it is as it was read, and only while this process
//! leads.

mod logs;
mod picker;
mod set_aside;
mod watches;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind, Selector, SelectorExt};
use kube::discovery::{Scope, pinned_kind};
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, Resource};
use preheat_core::Instant;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::events::{EventsSeen, PodEvents};
use crate::lease::{Leadership, REQUEST_TIMEOUT};
use crate::nodes::{self, Taken};
use crate::ownership::Conflict;
use crate::pods::DELETION_COST;
use crate::publication::Follower;
use crate::report::Trouble;
use crate::resource::{InferenceAutoscaler, InferenceAutoscalerStatus, Mode, TargetRef};
use crate::writes::CostWrite;
use watches::{api, slim, watched, watched_events};

/// preheat's name as a writer.
pub(crate) const FIELD_MANAGER: &str = "preheat";
/// A scale changes its version with every pod that becomes ready: it is tried again that often.
const SCALE_TRIES: u32 = 3;
/// Between two sums of the devices that all pods hold: every pool asks, and one start more or less
/// makes no lead time.
const TAKEN_INTERVAL: Duration = Duration::from_secs(1);

/// The apiserver, and shared views of what it holds.
pub(crate) struct Cluster {
    client: Client,
    pub(crate) leadership: Leadership,
    pods: Store<Pod>,
    nodes: Store<Node>,
    /// Devices in use, and when they were last added up; absent where not all pods are seen.
    taken: Option<Mutex<(Instant, Arc<Taken>)>>,
    autoscalers: Store<InferenceAutoscaler>,
    hpas: Store<HorizontalPodAutoscaler>,
    services: Store<Service>,
    events: Arc<Mutex<EventsSeen>>,
    kinds: Mutex<BTreeMap<(String, String), ApiResource>>,
    /// Services of InferencePools' endpoint pickers, and when they were read, by namespace and pool.
    pools: Mutex<BTreeMap<(String, String), (Instant, String)>>,
    recorder: Recorder,
    /// Sent to whenever a resource of ours has changed.
    pub(crate) changes: watch::Sender<u64>,
}

/// A target's scale as it was read, and where it is written.
pub(crate) struct ReadScale {
    api: Api<DynamicObject>,
    scale: Scale,
    pub(crate) asked: u32,
    pub(crate) selector: String,
    /// The target's identity.
    pub(crate) uid: Option<String>,
}

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// This process does not lead any more.
    #[error("another preheat leads now")]
    NotLeading,
    /// Somebody else changed the replicas between reading and writing.
    #[error("somebody else wrote the scale in between")]
    Overtaken,
    /// The apiserver refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// No answer in time: whether it arrived is not known.
    #[error("no answer within {REQUEST_TIMEOUT:?}")]
    Timeout,
}

impl Cluster {
    /// Begins to watch, in one namespace or all of them.
    pub(crate) fn watching(
        client: Client,
        namespace: Option<&str>,
        leadership: Leadership,
        instance: String,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let changes = watch::Sender::new(0);
        let pods = watched(tasks, api(&client, namespace), watch::Sender::new(0), slim);
        let nodes = watched(tasks, Api::all(client.clone()), watch::Sender::new(0), nodes::slim);
        let autoscalers = watched(tasks, api(&client, namespace), changes.clone(), |_| {});
        let hpas = watched(tasks, api(&client, namespace), watch::Sender::new(0), |_| {});
        let services =
            watched(tasks, api(&client, namespace), watch::Sender::new(0), set_aside::slim);
        let events = watched_events(tasks, api(&client, namespace));
        let taken = namespace.is_none().then(Mutex::default);
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(instance) };
        let recorder = Recorder::new(client.clone(), reporter);
        let kinds = Mutex::default();
        Self {
            client,
            leadership,
            pods,
            nodes,
            taken,
            autoscalers,
            hpas,
            services,
            events,
            kinds,
            pools: Mutex::default(),
            recorder,
            changes,
        }
    }

    /// Resolves when everything that is watched has been listed once, but for nodes, events and Services:
    /// they only tell more of starts, and what may sleep, and who updates preheat before its rights must
    /// not wait for ever.
    pub(crate) async fn listed(&self) {
        // A watcher ends only with this process.
        let _pods = self.pods.wait_until_ready().await;
        let _autoscalers = self.autoscalers.wait_until_ready().await;
        let _hpas = self.hpas.wait_until_ready().await;
    }

    pub(crate) fn autoscalers(&self) -> Vec<Arc<InferenceAutoscaler>> {
        self.autoscalers.state()
    }

    pub(crate) fn autoscaler(
        &self,
        key: &ObjectRef<InferenceAutoscaler>,
    ) -> Option<Arc<InferenceAutoscaler>> {
        self.autoscalers.get(key)
    }

    pub(crate) fn pods(&self, namespace: &str, selector: &Selector) -> Vec<Arc<Pod>> {
        let nothing = BTreeMap::new();
        self.pods.state_filter(|pod| {
            let metadata = &pod.metadata;
            metadata.namespace.as_deref() == Some(namespace)
                && selector.matches(metadata.labels.as_ref().unwrap_or(&nothing))
        })
    }

    /// What the events of these pods tell, by uid.
    pub(crate) fn pod_events(&self, pods: &[Arc<Pod>]) -> BTreeMap<String, Arc<PodEvents>> {
        let seen = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let uids = pods.iter().filter_map(|pod| pod.metadata.uid.as_ref());
        uids.filter_map(|uid| Some((uid.clone(), seen.of(uid)?))).collect()
    }

    /// All nodes; none until they have been listed, or where they may not be.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes.state()
    }

    /// Devices that pods hold, by node; `None` where pods of one namespace are seen only.
    pub(crate) fn taken(&self, now: Instant) -> Option<Arc<Taken>> {
        let mut last = self.taken.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.saturating_add(TAKEN_INTERVAL) <= now {
            let pods = self.pods.state();
            *last = (now, Arc::new(nodes::taken(pods.iter().map(Arc::as_ref))));
        }
        Some(Arc::clone(&last.1))
    }

    /// Who else is there to write this resource's target.
    pub(crate) fn rival(&self, resource: &InferenceAutoscaler) -> Option<Conflict> {
        let (metadata, target) = (&resource.metadata, &resource.spec.target_ref);
        if let Some(hpa) = self.hpa(resource) {
            match (Follower::of(&hpa), resource.spec.mode) {
                (Some(_), Mode::Publish | Mode::Observe) => {}
                (Some(Follower { name, .. }), Mode::Act) => return Some(Conflict::Reader { name }),
                (None, _) => {
                    let name = hpa.metadata.name.clone().unwrap_or_default();
                    return Some(Conflict::Autoscaler { name });
                }
            }
        }
        let age = |metadata: &kube::api::ObjectMeta| {
            (metadata.creation_timestamp.as_ref().map(|at| at.0), metadata.name.clone())
        };
        let older = self.autoscalers.find(|other| {
            let theirs = &other.spec.target_ref;
            other.metadata.namespace == metadata.namespace
                && theirs.kind == target.kind
                && theirs.name == target.name
                && group(&theirs.api_version) == group(&target.api_version)
                && age(&other.metadata) < age(metadata)
        });
        older.map(|other| Conflict::SameTarget {
            name: other.metadata.name.clone().unwrap_or_default(),
        })
    }

    /// Who writes the scale that this resource publishes.
    pub(crate) fn follower(&self, resource: &InferenceAutoscaler) -> Option<Follower> {
        Follower::of(&*self.hpa(resource)?)
    }

    /// The HorizontalPodAutoscaler of a resource's target.
    fn hpa(&self, resource: &InferenceAutoscaler) -> Option<Arc<HorizontalPodAutoscaler>> {
        let (metadata, target) = (&resource.metadata, &resource.spec.target_ref);
        self.hpas.find(|hpa| {
            let theirs = hpa.spec.as_ref().map(|spec| &spec.scale_target_ref);
            hpa.metadata.namespace == metadata.namespace
                && theirs.is_some_and(|theirs| {
                    theirs.kind == target.kind
                        && theirs.name == target.name
                        && group(theirs.api_version.as_deref().unwrap_or_default())
                            == group(&target.api_version)
                })
        })
    }

    /// The resources, for whoever tells of them.
    pub(crate) fn store(&self) -> Store<InferenceAutoscaler> {
        self.autoscalers.clone()
    }

    /// Reads a target's scale.
    pub(crate) async fn scale(
        &self,
        namespace: &str,
        target: &TargetRef,
    ) -> Result<ReadScale, Trouble> {
        let kind = self.kind(target).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let scale = deadline(api.get_scale(&target.name)).await.map_err(|error| {
            if matches!(&error, WriteError::Api(kube::Error::Api(status)) if status.code == 404) {
                // The kind itself may be gone.
                self.kinds.lock().unwrap_or_else(PoisonError::into_inner).clear();
                let (kind, name) = (target.kind.clone(), target.name.clone());
                return Trouble::TargetMissing { kind, name };
            }
            trouble(&error)
        })?;
        let asked = scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0);
        let selector = scale.status.as_ref().and_then(|status| status.selector.clone());
        Ok(ReadScale {
            api,
            asked: u32::try_from(asked).unwrap_or(0),
            selector: selector.unwrap_or_default(),
            uid: scale.metadata.uid.clone(),
            scale,
        })
    }

    async fn kind(&self, target: &TargetRef) -> Result<ApiResource, Trouble> {
        let key = (target.api_version.clone(), target.kind.clone());
        let known = || self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kind) = known().get(&key) {
            return Ok(kind.clone());
        }
        let (group, version) =
            target.api_version.split_once('/').unwrap_or(("", target.api_version.as_str()));
        let gvk = GroupVersionKind::gvk(group, version, &target.kind);
        let refused = |problem: &str| Trouble::TargetKind {
            api_version: target.api_version.clone(),
            kind: target.kind.clone(),
            problem: problem.to_owned(),
        };
        let found = deadline(pinned_kind(&self.client, &gvk)).await;
        let (kind, capabilities) = found.map_err(|error| match error {
            WriteError::Api(kube::Error::Discovery(error)) => refused(&error.to_string()),
            WriteError::Api(kube::Error::Api(status)) if status.code == 404 => {
                refused("the cluster has no such API")
            }
            other @ (WriteError::Api(_)
            | WriteError::Timeout
            | WriteError::NotLeading
            | WriteError::Overtaken) => trouble(&other),
        })?;
        if capabilities.scope != Scope::Namespaced {
            return Err(refused("it is not namespaced"));
        }
        let scales = capabilities.subresources.iter().any(|(sub, _)| sub.plural.ends_with("scale"));
        if !scales {
            return Err(refused("it has no scale subresource"));
        }
        known().insert(key, kind.clone());
        Ok(kind)
    }

    /// Writes a scale that still asks for what was read.
    pub(crate) async fn write_scale(
        &self,
        read: &ReadScale,
        name: &str,
        replicas: u32,
    ) -> Result<(), WriteError> {
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let mut scale = read.scale.clone();
        let before = scale.spec.as_ref().and_then(|spec| spec.replicas);
        for _ in 0..SCALE_TRIES {
            if !self.leadership.leads() {
                return Err(WriteError::NotLeading);
            }
            scale.spec.get_or_insert_default().replicas = i32::try_from(replicas).ok();
            match deadline(read.api.replace_scale(name, &params, &scale)).await {
                Err(WriteError::Api(kube::Error::Api(status))) if status.code == 409 => {}
                other => return other.map(|_| ()),
            }
            scale = deadline(read.api.get_scale(name)).await?;
            if scale.spec.as_ref().and_then(|spec| spec.replicas) != before {
                return Err(WriteError::Overtaken);
            }
        }
        Err(WriteError::Overtaken)
    }

    /// Gives pods their deletion costs. A pod that is gone needs none.
    pub(crate) async fn write_costs(
        &self,
        namespace: &str,
        costs: &[CostWrite],
    ) -> Result<(), WriteError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        for write in costs {
            if !self.leadership.leads() {
                return Err(WriteError::NotLeading);
            }
            let cost = write.cost.map(|cost| cost.to_string());
            let patch = json!({"metadata": {
                "uid": write.uid, "annotations": {DELETION_COST: cost},
            }});
            let params = PatchParams {
                field_manager: Some(FIELD_MANAGER.to_owned()),
                ..PatchParams::default()
            };
            let patched = deadline(pods.patch(&write.pod, &params, &Patch::Merge(&patch))).await;
            match patched {
                Err(WriteError::Api(kube::Error::Api(status)))
                    if matches!(status.code, 404 | 409) => {}
                other => {
                    other?;
                }
            }
        }
        Ok(())
    }

    /// Writes a resource's status.
    pub(crate) async fn write_status(
        &self,
        resource: &InferenceAutoscaler,
        status: &InferenceAutoscalerStatus,
    ) -> Result<(), WriteError> {
        if !self.leadership.leads() {
            return Err(WriteError::NotLeading);
        }
        let metadata = &resource.metadata;
        let (namespace, name) = (
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        );
        let api: Api<InferenceAutoscaler> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({
            "apiVersion": InferenceAutoscaler::api_version(&()),
            "kind": InferenceAutoscaler::kind(&()),
            // One that was made anew under the same name is not meant.
            "metadata": {"name": name, "uid": metadata.uid},
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        deadline(api.patch_status(name, &params, &Patch::Apply(&patch))).await.map(|_| ())
    }

    /// Tells the cluster's users what happened. Nothing depends on its arriving.
    pub(crate) async fn tell(
        &self,
        resource: &InferenceAutoscaler,
        type_: EventType,
        reason: &str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(NOTE_CHARS_MAX).collect()),
            action: "Scale".to_owned(),
            secondary: None,
        };
        self.publish(resource, event).await;
    }

    async fn publish(&self, resource: &InferenceAutoscaler, event: Event) {
        let reason = &event.reason;
        let reference = resource.object_ref(&());
        if let Err(error) = deadline(self.recorder.publish(&event, &reference)).await {
            tracing::debug!(%error, reason, "an event was not published");
        }
    }
}

/// An event's note may be 1 kB long.
const NOTE_CHARS_MAX: usize = 250;

/// The group of an API version: a target may be named by any of its versions.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

async fn deadline<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, call).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(WriteError::Timeout),
    }
}

fn trouble(error: &WriteError) -> Trouble {
    if let WriteError::Api(kube::Error::Api(status)) = error
        && status.code == 403
    {
        return Trouble::Forbidden(status.message.clone());
    }
    Trouble::Unreachable(chain(error))
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
