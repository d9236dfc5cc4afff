//! What keeps pods out of traffic: their label, and the Services that may heed it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::Event;
use serde_json::json;

use super::{Cluster, FIELD_MANAGER, NOTE_CHARS_MAX, WriteError, deadline};
use crate::pods::DELETION_COST;
use crate::resource::InferenceAutoscaler;
use crate::standby::Told;
use crate::traffic::{TRAFFIC_LABEL, Traffic};
use crate::writes::COST_ASIDE;

impl Cluster {
    /// A namespace's Services; `None` until they have been listed once, which a cluster may refuse.
    pub(crate) fn services(&self, namespace: &str) -> Option<Vec<Arc<Service>>> {
        let listed = self.services.wait_until_ready().now_or_never();
        listed.is_some_and(|listed| listed.is_ok()).then(|| {
            self.services
                .state_filter(|service| service.metadata.namespace.as_deref() == Some(namespace))
        })
    }

    /// Takes a pod out of traffic, or puts it back. Out of it, it is the first to go whoever shrinks
    /// the target.
    pub(crate) async fn write_traffic(
        &self,
        namespace: &str,
        (pod, uid): (&str, &str),
        traffic: Traffic,
    ) -> Result<(), WriteError> {
        if !self.leadership.leads() {
            return Err(WriteError::NotLeading);
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let cost = (traffic == Traffic::Off).then(|| COST_ASIDE.to_string());
        let patch = json!({"metadata": {
            "uid": uid,
            "labels": {TRAFFIC_LABEL: traffic.value()},
            "annotations": {DELETION_COST: cost},
        }});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        deadline(pods.patch(pod, &params, &Patch::Merge(&patch))).await.map(drop)
    }

    /// Tells the cluster's users what happened to a pod.
    pub(crate) async fn tell_of_pod(&self, resource: &InferenceAutoscaler, told: Told) {
        let namespace = resource.metadata.namespace.clone();
        let event = Event {
            type_: told.type_,
            reason: told.reason.to_owned(),
            note: Some(told.note.chars().take(NOTE_CHARS_MAX).collect()),
            action: "Standby".to_owned(),
            // Events of the same about different pods are not taken together.
            secondary: Some(ObjectReference { namespace, ..told.pod }),
        };
        self.publish(resource, event).await;
    }

    /// Whether a pod is out of traffic now, by the apiserver's own word.
    pub(crate) async fn is_out(
        &self,
        namespace: &str,
        (pod, uid): (&str, &str),
    ) -> Result<bool, WriteError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let found = deadline(pods.get(pod)).await?.metadata;
        let labels: Option<&BTreeMap<String, String>> = found.labels.as_ref();
        Ok(found.uid.as_deref() == Some(uid)
            && found.deletion_timestamp.is_none()
            && Traffic::of(labels) == Traffic::Off)
    }
}

/// Drops what nobody here reads.
pub(super) fn slim(service: &mut Service) {
    service.metadata.managed_fields = None;
    service.status = None;
}
