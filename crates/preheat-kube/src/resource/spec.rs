//! The resource's shape, key by key, with the rules that the apiserver itself enforces.
//!
//! **Invariant:** every string and list is bounded, so that the cost of the rules can be.

#![expect(unreachable_pub, reason = "the derive macro repeats the structs where nobody can reach")]
#![expect(clippy::duplicated_attributes, reason = "several printed columns have the same type")]

use kube::{CustomResource, KubeSchema};
use preheat_api::dialect::{Dialect, DialectName, MetricNames, MetricQueriesSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::demand::DemandSpec;
use super::sharing::{QuotaSpec, ScheduleItem};
use super::sleeping::{SleepSpec, StandbySpec};
use super::status::InferenceAutoscalerStatus;

/// Scales the replicas of one model, ahead of the demand.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "preheat.dev",
    version = "v1alpha1",
    kind = "InferenceAutoscaler",
    plural = "inferenceautoscalers",
    shortname = "infas",
    category = "autoscaling",
    namespaced,
    status = "InferenceAutoscalerStatus",
    derive = "PartialEq",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.targetRef.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetRef.name"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.minReplicas"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.maxReplicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(
        name = "Standby",
        type_ = "integer",
        json_path = ".status.standbyReplicas",
        priority = 1
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas")
    .message("minReplicas must be at most maxReplicas")
    .field_path(".minReplicas"))]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas > 0 || has(self.demand)")
    .message("minReplicas: 0 needs demand, which tells where requests are seen that find no replica")
    .field_path(".minReplicas"))]
#[x_kube(validation = Rule::new("!has(self.fallback) || self.fallback.replicas <= self.maxReplicas")
    .message("fallback.replicas must be at most maxReplicas")
    .field_path(".fallback.replicas"))]
#[x_kube(validation = Rule::new("!has(self.schedules) || self.schedules.all(s, s.replicas <= self.maxReplicas)")
    .message("schedules may ask for maxReplicas at most")
    .field_path(".schedules"))]
#[x_kube(validation = Rule::new("!has(self.standby) || !has(self.standby.replicas) || self.standby.replicas <= self.maxReplicas")
    .message("standby.replicas must be at most maxReplicas")
    .field_path(".standby.replicas"))]
#[x_kube(validation = Rule::new("has(self.quota) || (!has(self.priority) && !has(self.worthPerGpuHour))")
    .message("priority and worthPerGpuHour decide nothing without a quota"))]
#[x_kube(validation = Rule::new("!has(self.quota) || !has(self.engine) || !has(self.engine.gpusPerReplica) || self.engine.gpusPerReplica <= self.quota.gpuSlots")
    .message("gpusPerReplica must be at most quota.gpuSlots")
    .field_path(".quota.gpuSlots"))]
#[x_kube(validation = Rule::new("!has(self.quota) || !has(self.engine) || !has(self.engine.gpusPerReplica) || self.engine.gpusPerReplica > 0")
    .message("replicas that take no GPUs share none: leave quota out")
    .field_path(".quota"))]
pub struct InferenceAutoscalerSpec {
    /// What is scaled: anything in the same namespace with a scale subresource.
    pub target_ref: TargetRef,
    /// `Observe` writes nothing but this resource's status; `Act` writes the target's scale; `Publish`
    /// leaves that to a HorizontalPodAutoscaler or KEDA, which read the count here.
    #[serde(default)]
    pub mode: Mode,
    /// In which directions nothing is written for now, whatever is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// The engine inside each replica, and where its metrics are.
    #[serde(default)]
    pub engine: Engine,
    /// Fewest replicas ready or on their way, 1 unless given. 0 needs `demand`: the engines of a target
    /// without a pod tell nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub min_replicas: Option<u32>,
    /// Most replicas that may exist, starting and draining ones included.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: u32,
    /// Where requests are seen that find no replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<DemandSpec>,
    /// Replicas that sleep, out of traffic, to be woken within seconds. Pods' template and Services'
    /// selectors need the label `preheat.dev/traffic: "on"` for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<StandbySpec>,
    /// Most replicas starting at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_starts: Option<u32>,
    /// The service level objective.
    #[serde(default)]
    pub slo: SloSpec,
    /// Batch slots of one replica, where the engine does not tell its `max-num-seqs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_concurrency: Option<u32>,
    /// Time that a request holds a slot, assumed until some were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub service_time: Option<String>,
    /// How long a start takes, assumed until some were seen.
    #[serde(default)]
    pub cold_start: ColdStart,
    /// A replica that ends may take this long to finish its requests. Its pods'
    /// terminationGracePeriodSeconds should be at least that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub drain_timeout: Option<String>,
    /// How scaling behaves.
    #[serde(default)]
    pub behavior: Behavior,
    /// Time within which a backlog that is left when new replicas arrive should be gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub backlog_drain_time: Option<String>,
    /// Arrivals are averaged over this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub arrival_window: Option<String>,
    /// Time between two decisions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub tick_interval: Option<String>,
    /// A signal older than this is not believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub staleness: Option<String>,
    /// Demand that is known beforehand: so many replicas are ready when an entry begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["name"]))]
    pub schedules: Vec<ScheduleItem>,
    /// The GPUs that it shares with other resources of its namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaSpec>,
    /// Served before a lower one where GPUs are shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: Option<i32>,
    /// What an hour of a GPU is worth here, in any currency that all who share GPUs share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1_000_000.0))]
    pub worth_per_gpu_hour: Option<f64>,
    /// What to hold when no replica has told anything for long, or there is none and nobody tells of
    /// demand. Without it, what is there is held; where minReplicas is 0, it is one replica after 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<FallbackSpec>,
}

/// What is scaled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetRef {
    /// Its API version, such as `apps/v1` or `leaderworkerset.x-k8s.io/v1`.
    #[schemars(length(min = 1, max = 317), regex(pattern = r"^([a-z0-9.-]+/)?v[0-9][a-z0-9]*$"))]
    pub api_version: String,
    /// Its kind, such as `Deployment`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Whether decisions are carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Decide, and show what would be done; change nothing.
    #[default]
    Observe,
    /// Write the target's scale.
    Act,
    /// Tell the count to a HorizontalPodAutoscaler or KEDA, which write the target's scale.
    Publish,
}

impl Mode {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observe => "Observe",
            Self::Act => "Act",
            Self::Publish => "Publish",
        }
    }
}

/// In which directions nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pause {
    /// Not up.
    ScaleUp,
    /// Not down.
    ScaleDown,
    /// Neither.
    All,
}

/// The engine inside each replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Engine {
    /// Whose metrics they are.
    #[serde(default, rename = "type")]
    pub type_: EngineType,
    /// The port that they are served at.
    #[serde(default = "port_default")]
    #[schemars(range(min = 1, max = 65_535))]
    pub metrics_port: u16,
    /// The path that they are served at.
    #[serde(default = "path_default")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[!-~]*$"))]
    pub metrics_path: String,
    /// What its metrics are called, where `type` does not know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// PromQL that tells of them, where a Prometheus is asked in the engines' place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queries: Option<Queries>,
    /// The engine's container, where it is not a pod's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub container: Option<String>,
    /// How it sleeps, for `standby`, where its paths are not vLLM's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sleep: Option<SleepSpec>,
    /// GPUs of one replica, for what it costs.
    #[serde(default = "gpus_default")]
    #[schemars(range(min = 0, max = 1024))]
    pub gpus_per_replica: u32,
}

/// Names of metrics, by what they tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Requests in the batch, a gauge.
    #[schemars(schema_with = "metric")]
    pub running: String,
    /// Requests that wait for a place in it, a gauge.
    #[schemars(schema_with = "metric")]
    pub waiting: String,
    /// Share of the KV cache in use, a gauge from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub kv_utilization: Option<String>,
    /// Requests that ended well, a counter. Without it and both of tokens, nobody knows what arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub completions: Option<String>,
    /// Prompt tokens, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub prompt_tokens: Option<String>,
    /// Generated tokens, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub generation_tokens: Option<String>,
    /// Time to first token, a histogram of seconds, without `_bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub ttft: Option<String>,
    /// Inter-token latency, a histogram of seconds, without `_bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "metric")]
    pub itl: Option<String>,
}

impl Metrics {
    /// The same, as they are read.
    pub fn names(&self) -> MetricNames {
        MetricNames {
            running: Some(self.running.clone()),
            waiting: Some(self.waiting.clone()),
            kv_utilization: self.kv_utilization.clone(),
            completions: self.completions.clone(),
            prompt_tokens: self.prompt_tokens.clone(),
            generation_tokens: self.generation_tokens.clone(),
            preemptions: None,
            ttft: self.ttft.clone(),
            itl: self.itl.clone(),
        }
    }
}

/// Expressions of PromQL, by what they tell. Each gives one value or more for each pod, by the label
/// that names pods; those of one pod are added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queries {
    /// Requests in the batch.
    #[schemars(length(min = 1, max = 4096))]
    pub running: String,
    /// Requests that wait for a place in it.
    #[schemars(length(min = 1, max = 4096))]
    pub waiting: String,
    /// Share of the KV cache in use, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub kv_utilization: Option<String>,
    /// Requests that ended well, in all; no rate. Without it and both of tokens, nobody knows what
    /// arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub completions: Option<String>,
    /// Prompt tokens, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub prompt_tokens: Option<String>,
    /// Generated tokens, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub generation_tokens: Option<String>,
}

impl From<&Queries> for MetricQueriesSpec {
    fn from(queries: &Queries) -> Self {
        Self {
            running: Some(queries.running.clone()),
            waiting: Some(queries.waiting.clone()),
            kv_utilization: queries.kv_utilization.clone(),
            completions: queries.completions.clone(),
            prompt_tokens: queries.prompt_tokens.clone(),
            generation_tokens: queries.generation_tokens.clone(),
        }
    }
}

/// The name of a metric.
fn metric(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 256,
        "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$",
    })
}

/// Whose metrics they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EngineType {
    /// Told by their names.
    #[default]
    Auto,
    /// vLLM's, also served by what imitates it.
    #[serde(rename = "vLLM")]
    Vllm,
    /// SGLang's.
    #[serde(rename = "SGLang")]
    Sglang,
    /// Those of `trtllm-serve`, which are at `/prometheus/metrics`.
    #[serde(rename = "TensorRT-LLM")]
    TensorRtLlm,
    /// Triton's, with the TensorRT-LLM backend.
    Triton,
    /// Text Generation Inference's.
    #[serde(rename = "TGI")]
    Tgi,
    /// Those of llama.cpp's server.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// Those of Dynamo's frontend.
    Dynamo,
    /// The endpoint picker's.
    EndpointPicker,
}

impl EngineType {
    /// How they are read.
    pub const fn dialect(self) -> Dialect {
        let name = match self {
            Self::Auto => return Dialect::Auto,
            Self::Vllm => DialectName::Vllm,
            Self::Sglang => DialectName::Sglang,
            Self::TensorRtLlm => DialectName::TensorRtLlm,
            Self::Triton => DialectName::Triton,
            Self::Tgi => DialectName::Tgi,
            Self::LlamaCpp => DialectName::LlamaCpp,
            Self::Dynamo => DialectName::Dynamo,
            Self::EndpointPicker => DialectName::EndpointPicker,
        };
        Dialect::Known(name)
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            type_: EngineType::default(),
            metrics_port: port_default(),
            metrics_path: path_default(),
            metrics: None,
            queries: None,
            container: None,
            sleep: None,
            gpus_per_replica: gpus_default(),
        }
    }
}

const fn port_default() -> u16 {
    8000
}

fn path_default() -> String {
    "/metrics".to_owned()
}

const fn gpus_default() -> u32 {
    1
}

/// The service level objective.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SloSpec {
    /// Time to first token, queueing included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub ttft: Option<String>,
    /// Time per output token after the first: a replica counts as full where it would be longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub tpot: Option<String>,
    /// Share of requests that must be within it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.5, max = 0.99999))]
    pub quantile: Option<f64>,
}

/// How long a start takes.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.p50) || !has(self.p90) || duration(self.p50) <= duration(self.p90)")
    .message("p90 must be at least p50")
    .field_path(".p90"))]
pub struct ColdStart {
    /// Median time from order to ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub p50: Option<String>,
    /// 90th percentile of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub p90: Option<String>,
    /// A label of the nodes that hold this model's weights, as a cache that places them writes it;
    /// any value but `false` counts. Without it, nodes hold them where a replica has been ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 317),
        regex(pattern = r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$")
    )]
    pub weights_node_label: Option<String>,
    /// Whether the engine's log is read while it starts, up to where its weights are loaded: what
    /// loading takes and what warming up takes are told apart by it. Needs the right to read pods' logs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub engine_logs: bool,
}

/// How scaling behaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// When it shrinks.
    #[serde(default)]
    pub scale_down: ScaleDown,
}

/// When a pool shrinks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleDown {
    /// A replica is given up only when none of the last this-long needed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub stabilization_window: Option<String>,
    /// How fast.
    #[serde(default)]
    pub limit: ScaleLimit,
}

/// At most `replicas`, or `share` of the fleet if that is more, within any `period`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleLimit {
    /// The change allowed to any fleet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: Option<u32>,
    /// The change allowed to a large one, as a share of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub share: Option<f64>,
    /// Within this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub period: Option<String>,
}

/// What to hold when no replica has told anything for long. It never shrinks what is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FallbackSpec {
    /// For how long nothing must have been told.
    #[schemars(schema_with = "duration")]
    pub after: String,
    /// At least so many replicas.
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: u32,
}

/// `500ms`, `90s`, `1m30s`, `2h`: what `preheat_api::config::parse_duration` reads, less days, which
/// the rules' own `duration()` does not know.
pub(super) fn duration(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 32,
        "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
    })
}
