//! The events that a scheduler and a kubelet write of a pod, each as its own kind of author does.

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::kubelet::now;

/// Events of one pod.
pub(crate) struct Events {
    api: Api<Event>,
    pod: Value,
}

impl Events {
    pub(crate) fn of(client: Client, pod: &Pod) -> Self {
        let namespace = pod.namespace().unwrap();
        let reference = json!({
            "kind": "Pod", "apiVersion": "v1", "namespace": namespace, "name": pod.name_any(),
            "uid": pod.uid(),
        });
        Self { api: Api::namespaced(client, &namespace), pod: reference }
    }

    pub(crate) async fn unschedulable(&self) -> kube::Result<()> {
        self.by_scheduler("FailedScheduling", "0/1 nodes are available.").await
    }

    pub(crate) async fn scheduled(&self, node: &str) -> kube::Result<()> {
        self.by_scheduler("Scheduled", &format!("Successfully assigned it to {node}")).await
    }

    pub(crate) async fn pulling(&self, container: &str, image: &str) -> kube::Result<()> {
        self.by_kubelet("Pulling", container, &format!("Pulling image \"{image}\"")).await
    }

    pub(crate) async fn pulled(&self, container: &str, image: &str) -> kube::Result<()> {
        let message =
            format!("Successfully pulled image \"{image}\" in 2s (2s including waiting).");
        self.by_kubelet("Pulled", container, &message).await
    }

    pub(crate) async fn found(&self, container: &str, image: &str) -> kube::Result<()> {
        let message = format!("Container image \"{image}\" already present on machine");
        self.by_kubelet("Pulled", container, &message).await
    }

    /// With the time of the newer API.
    async fn by_scheduler(&self, reason: &str, message: &str) -> kube::Result<()> {
        self.write(json!({
            "involvedObject": self.pod, "reason": reason, "message": message, "type": "Normal",
            "eventTime": Timestamp::now().strftime("%FT%T.000000Z").to_string(),
            "action": "Binding", "reportingComponent": "default-scheduler",
            "reportingInstance": "default-scheduler-test",
        }))
        .await
    }

    /// With that of the older one, and the container.
    async fn by_kubelet(&self, reason: &str, container: &str, message: &str) -> kube::Result<()> {
        let mut pod = self.pod.clone();
        pod["fieldPath"] = format!("spec.containers{{{container}}}").into();
        self.write(json!({
            "involvedObject": pod, "reason": reason, "message": message, "type": "Normal",
            "firstTimestamp": now(), "lastTimestamp": now(), "count": 1,
            "source": {"component": "kubelet", "host": "node"},
        }))
        .await
    }

    async fn write(&self, mut event: Value) -> kube::Result<()> {
        event["metadata"] = json!({"generateName": "pod-"});
        let event: Event = serde_json::from_value(event).unwrap();
        self.api.create(&PostParams::default(), &event).await.map(drop)
    }
}
