//! Who holds an InferencePool's requests: its endpoint picker's pods, by the pool and its Service.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use preheat_core::Instant;
use serde_json::Value;

use super::{Cluster, WriteError, chain, deadline};
use crate::picker;

/// Between two reads of a pool: whom it names changes hardly ever.
const POOL_INTERVAL: Duration = Duration::from_secs(30);

impl Cluster {
    /// Where the pods of a pool's picker tell their metrics, with the pods' names.
    pub(crate) async fn pickers(
        &self,
        namespace: &str,
        pool: &str,
        now: Instant,
    ) -> Result<Vec<(String, SocketAddr)>, String> {
        let name = self.picker_service(namespace, pool, now).await?;
        let services = self.services(namespace).ok_or("Services can't be listed")?;
        let is_named = |service: &&Arc<Service>| service.metadata.name.as_ref() == Some(&name);
        let service = services.iter().find(is_named);
        let service = service.ok_or_else(|| {
            format!("there is no Service `{name}`, which the InferencePool `{pool}` names")
        })?;
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone());
        let selector = selector.unwrap_or_default();
        let port = picker::metrics_port(service);
        let pods = self.pods.state_filter(|pod: &Pod| {
            pod.metadata.namespace.as_deref() == Some(namespace) && picker::serves(pod, &selector)
        });
        let address = |pod: &Arc<Pod>| {
            let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
            Some((pod.metadata.name.clone()?, SocketAddr::new(address, port)))
        };
        let pods: Vec<(String, SocketAddr)> = pods.iter().filter_map(address).collect();
        if pods.is_empty() {
            return Err(format!("no pod of the Service `{name}`, its endpoint picker, is ready"));
        }
        Ok(pods)
    }

    /// The Service that an InferencePool names.
    async fn picker_service(
        &self,
        namespace: &str,
        pool: &str,
        now: Instant,
    ) -> Result<String, String> {
        let key = (namespace.to_owned(), pool.to_owned());
        let known = || self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: &Instant| now.since(*at) < POOL_INTERVAL;
        if let Some((_, service)) = known().get(&key).filter(|(at, _)| is_fresh(at)) {
            return Ok(service.clone());
        }
        let gvk = GroupVersionKind::gvk("inference.networking.k8s.io", "v1", "InferencePool");
        let kind = ApiResource::from_gvk_with_plural(&gvk, "inferencepools");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind);
        let found = deadline(api.get(pool)).await.map_err(|error| {
            if matches!(&error, WriteError::Api(kube::Error::Api(status)) if status.code == 404) {
                return format!("there is no InferencePool `{pool}` in this namespace");
            }
            chain(&error)
        })?;
        let spec = found.data.get("spec").unwrap_or(&Value::Null);
        let service = picker::service_of(spec)?.to_owned();
        let mut pools = known();
        pools.retain(|_, (at, _)| is_fresh(at));
        pools.insert(key, (now, service.clone()));
        Ok(service)
    }
}
