//! Logs of containers, a bounded part at a time.

use std::time::Duration;

use futures_util::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::LogParams;

use super::Cluster;
use crate::engine_logs::{LogWanted, READ_BYTES_MAX};

/// Longest wait for a log: a tick goes on without it.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

impl Cluster {
    /// What a log says from where it was read to, each line after its time.
    pub(crate) async fn log(
        &self,
        namespace: &str,
        wanted: &LogWanted,
    ) -> Result<Vec<u8>, LogError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = LogParams {
            container: Some(wanted.container.clone()),
            limit_bytes: Some(READ_BYTES_MAX.into()),
            since_time: wanted.since,
            timestamps: true,
            ..LogParams::default()
        };
        let read = async {
            let stream = pods.log_stream(&wanted.pod, &params).await?;
            let mut text = Vec::new();
            // An apiserver may send somewhat more than it was asked for.
            let _length = stream.take(READ_BYTES_MAX.into()).read_to_end(&mut text).await?;
            Ok(text)
        };
        tokio::time::timeout(LOG_TIMEOUT, read).await.unwrap_or(Err(LogError::Timeout))
    }
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    /// The apiserver refused, or could not be reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It broke off.
    #[error(transparent)]
    Read(#[from] std::io::Error),
    /// No answer in time.
    #[error("no answer within {LOG_TIMEOUT:?}")]
    Timeout,
}

impl LogError {
    /// Whether the apiserver does not allow it.
    pub(crate) const fn is_refusal(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 403)
    }
}
