//! What the resource's status says. Only preheat writes it.
//!
//! **Invariant:** every string and list is bounded.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::Mode;

/// What preheat sees, wants and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InferenceAutoscalerStatus {
    /// The generation of the spec that this speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// What it does and why, in one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub summary: Option<String>,
    /// The mode that is in force: `Observe` also while another writer is in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Why the last decision was as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub reason: Option<String>,
    /// Replicas that the target's scale asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<u32>,
    /// Replicas that may serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<u32>,
    /// Replicas on their way to ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starting_replicas: Option<u32>,
    /// Replicas that sleep, out of traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_replicas: Option<u32>,
    /// Replicas that finish their last requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining_replicas: Option<u32>,
    /// Replicas that preheat wants ready or on their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<u32>,
    /// Replicas that others should ask the target for, in the mode `Publish`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_replicas: Option<u32>,
    /// When that was last confirmed, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub published_at: Option<String>,
    /// What preheat last wrote to the target's scale: any other value there is somebody else's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_replicas: Option<u32>,
    /// When it wrote that, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub last_scale_time: Option<String>,
    /// Which pods are the target's, as its scale says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub selector: Option<String>,
    /// Starts that became ready, a day; absent until an hour was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_per_day: Option<f64>,
    /// How long starts take, by what their node held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub cold_starts: Vec<ColdStartStatus>,
    /// Nodes where a replica has been ready, and which so have loaded this model's weights.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)))]
    pub weights_nodes: Vec<String>,
    /// How things are, one entry for each type.
    #[serde(default)]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How long starts take on nodes that held the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColdStartStatus {
    /// Whether the image was there; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<bool>,
    /// Whether the weights were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<bool>,
    /// Starts that became ready.
    pub seen: u32,
    /// Median, in seconds.
    pub p50_seconds: f64,
    /// 90th percentile, in seconds.
    pub p90_seconds: f64,
}

/// One aspect of how things are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Which aspect.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why, as one word.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Why, as a sentence.
    #[schemars(length(max = 32_768))]
    pub message: String,
    /// When its status last changed, RFC 3339.
    #[schemars(length(max = 64))]
    pub last_transition_time: String,
    /// The generation of the spec that it speaks of.
    #[serde(default)]
    pub observed_generation: i64,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}
