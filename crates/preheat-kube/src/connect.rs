//! A client for the cluster: by a kubeconfig, or by the service account of the pod it runs in.

use std::path::Path;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cluster::chain;
use crate::controller::StartError;

/// Connects by `kubeconfig`; without one by the usual files, and in a pod by its service account.
///
/// # Errors
/// When none of them can be read, or makes no client.
pub async fn connect(
    kubeconfig: Option<&Path>,
    context: Option<&str>,
) -> Result<Client, StartError> {
    let unusable = |error: &dyn std::error::Error| StartError::Kubeconfig(chain(error));
    let options =
        KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    let config = match (kubeconfig, context) {
        (Some(file), _) => {
            let read = Kubeconfig::read_from(file).map_err(|error| unusable(&error))?;
            Config::from_custom_kubeconfig(read, &options)
                .await
                .map_err(|error| unusable(&error))?
        }
        (None, Some(_)) => {
            Config::from_kubeconfig(&options).await.map_err(|error| unusable(&error))?
        }
        (None, None) => Config::infer().await.map_err(|error| unusable(&error))?,
    };
    Client::try_from(config).map_err(|error| unusable(&error))
}
