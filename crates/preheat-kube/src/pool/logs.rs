//! Engines' logs, in the loop of their pool.

use std::sync::Arc;

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::events::EventType;

use super::Pool;
use crate::cluster::chain;
use crate::resource::{InferenceAutoscaler, Settings};

impl Pool {
    /// Reads the logs of engines that start, as far as that is due. Nothing depends on it but how well
    /// starts are known.
    pub(super) async fn read_logs(
        &mut self,
        resource: &InferenceAutoscaler,
        settings: &Settings,
        pods: &[Arc<Pod>],
    ) {
        if !settings.engine_logs {
            return;
        }
        let container = settings.engine.container.as_deref();
        let due = self.ground.logs.due(pods, container, self.shared.clock.now());
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let cluster = &self.shared.cluster;
        let reads = due.iter().map(|wanted| cluster.log(namespace, wanted));
        let mut failure = None;
        for (wanted, read) in due.iter().zip(join_all(reads).await) {
            match read {
                Ok(text) => self.ground.logs.take(&wanted.uid, &text),
                Err(error) => failure = Some((wanted, error)),
            }
        }
        if due.is_empty() {
            return;
        }
        if let (Some((wanted, error)), false) = (&failure, self.logs_unread) {
            let hint = if error.is_refusal() {
                "; deploy/engine-logs.yaml gives the right to read logs"
            } else {
                ""
            };
            let (pod, error) = (&wanted.pod, chain(error));
            let note = format!(
                "loading and warming up are not told apart, as the log of {pod} can't be read{hint}: \
                 {error}"
            );
            tracing::warn!(pool = %self.id, "{note}");
            cluster.tell(resource, EventType::Warning, "LogsUnread", &note).await;
        }
        self.logs_unread = failure.is_some();
    }
}
