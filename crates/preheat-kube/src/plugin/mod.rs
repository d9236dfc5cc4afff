//! What `kubectl preheat` asks the apiserver for: resources and the events about them.
//!
//! It reads what any user of the cluster may be allowed to read, and not preheat's admin port, which
//! tells its own machine only.
//!
//! **Invariant:** nothing is written.

mod advice;
mod nodes;
mod text;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

use crate::cluster::chain;
use crate::nodes::slim;
use crate::resource::InferenceAutoscaler;

pub use advice::{Advice, Model, advise};
pub use nodes::{NodeRow, advice_text, model, node_rows, node_table};
pub use text::{status, why};

/// Why something could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The resource is not defined.
    #[error("the cluster has no InferenceAutoscalers: preheat is not installed there")]
    NotDefined,
    /// There is none of that name.
    #[error("there is no InferenceAutoscaler `{name}` in the namespace {namespace}")]
    Missing {
        /// Its name, as given.
        name: String,
        /// Where it was looked for.
        namespace: String,
        /// What there is.
        others: Vec<String>,
    },
    /// The apiserver refuses, or does not answer.
    #[error("the apiserver does not tell: {0}")]
    Api(String),
}

impl PluginError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::NotDefined => {
                "install it: docs/kubernetes.md of preheat says how".to_owned()
            }
            Self::Missing { others, .. } if others.is_empty() => {
                "that namespace has none; -n names another, and `kubectl preheat status -A` lists all"
                    .to_owned()
            }
            Self::Missing { others, .. } => format!("it has: {}", others.join(", ")),
            Self::Api(_) => "`kubectl get infas` asks the same server for the same".to_owned(),
        }
    }
}

/// The resources of a namespace, or of all; by namespace and name.
///
/// # Errors
/// When the apiserver does not tell.
pub async fn resources(
    client: &Client,
    namespace: Option<&str>,
) -> Result<Vec<InferenceAutoscaler>, PluginError> {
    let api: Api<InferenceAutoscaler> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(PluginError::NotDefined),
        Err(error) => Err(PluginError::Api(chain(&error))),
    }
}

/// The one of that name.
///
/// # Errors
/// When there is none, or the apiserver does not tell.
pub async fn resource(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Result<InferenceAutoscaler, PluginError> {
    let all = resources(client, Some(namespace)).await?;
    let of_name = |resource: &&InferenceAutoscaler| resource.metadata.name.as_deref() == Some(name);
    if let Some(found) = all.iter().find(of_name) {
        return Ok(found.clone());
    }
    let others = all.into_iter().filter_map(|resource| resource.metadata.name).collect();
    Err(PluginError::Missing { name: name.to_owned(), namespace: namespace.to_owned(), others })
}

/// What happened to a resource, as far as the cluster remembers (an hour, by default).
///
/// # Errors
/// When the apiserver does not tell.
pub async fn events(
    client: &Client,
    resource: &InferenceAutoscaler,
) -> Result<Vec<Event>, PluginError> {
    let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
    let uid = resource.metadata.uid.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let about = ListParams::default().fields(&format!("involvedObject.uid={uid}"));
    let listed = api.list(&about).await;
    listed.map(|list| list.items).map_err(|error| PluginError::Api(chain(&error)))
}

/// The cluster's nodes, slimmed.
///
/// # Errors
/// When the apiserver does not tell.
pub async fn nodes(client: &Client) -> Result<Vec<Arc<Node>>, PluginError> {
    let listed = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let listed = listed.map_err(|error| PluginError::Api(chain(&error)))?;
    let slimmed = listed.items.into_iter().map(|mut node| {
        slim(&mut node);
        Arc::new(node)
    });
    Ok(slimmed.collect())
}

/// The pods of a resource's target, as its status says which these are; none before it does.
///
/// # Errors
/// When the apiserver does not tell.
pub async fn pods(
    client: &Client,
    resource: &InferenceAutoscaler,
) -> Result<Vec<Arc<Pod>>, PluginError> {
    let selector = resource.status.as_ref().and_then(|status| status.selector.as_deref());
    let Some(selector) = selector.filter(|selector| !selector.is_empty()) else {
        return Ok(Vec::new());
    };
    let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(selector)).await;
    let listed = listed.map_err(|error| PluginError::Api(chain(&error)))?;
    Ok(listed.items.into_iter().map(Arc::new).collect())
}
