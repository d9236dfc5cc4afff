//! Where demand is seen that finds no replica.
//!
//! **Invariant:** as in `spec`, every string and list is bounded.

#![expect(unreachable_pub, reason = "the derive macro repeats the structs where nobody can reach")]

use kube::KubeSchema;
use preheat_api::dialect::{DemandQueries, QueriesError};
use serde::{Deserialize, Serialize};

/// Who tells of requests whether or not there is a replica: a gateway, or an endpoint picker.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.inferencePool) != has(self.queries)")
    .message("demand has either inferencePool or queries"))]
pub struct DemandSpec {
    /// The InferencePool of this namespace whose endpoint picker holds them, with flow control on. A
    /// Prometheus is asked for it where preheat knows one, else the picker itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"))]
    pub inference_pool: Option<String>,
    /// PromQL that tells of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<DemandQueriesSpec>,
}

/// Expressions of PromQL, each of which tells of the whole pool: what an expression gives is added.
/// Each by itself must show a request that finds no replica.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.held) || has(self.arrivals)")
    .message("demand needs a query: held or arrivals"))]
pub struct DemandQueriesSpec {
    /// Requests that wait now because no replica can take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub held: Option<String>,
    /// Requests that have arrived, in all, those that were turned away included; no rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub arrivals: Option<String>,
}

impl DemandSpec {
    /// The same as queries, checked; for a resource of `namespace`.
    ///
    /// # Errors
    /// What is wrong with an expression.
    pub fn checked(&self, namespace: &str) -> Result<DemandQueries, QueriesError> {
        match (&self.inference_pool, &self.queries) {
            (Some(pool), None) => DemandQueries::of_inference_pool(namespace, pool),
            (None, Some(queries)) => {
                DemandQueries::of(queries.held.as_deref(), queries.arrivals.as_deref())
            }
            (None, None) | (Some(_), Some(_)) => Err(QueriesError::DemandSources),
        }
    }
}
