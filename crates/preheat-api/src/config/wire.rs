//! The file's shape, key by key, before anything is checked or defaulted.
//!
//! **Invariant:** every value that a check can complain about carries its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::values::{BytesText, DurationText, OneOrMore};
use crate::dialect::MetricNames;

type Set<T> = Option<Spanned<T>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileWire {
    pub(super) state_dir: Option<PathBuf>,
    pub(super) time_scale: Set<f64>,
    pub(super) gpu_slots: Set<u32>,
    pub(super) gateway: Option<GatewayWire>,
    #[serde(default)]
    pub(super) admin: AdminWire,
    pub(super) journal: Option<JournalWire>,
    #[serde(default)]
    pub(super) pools: Vec<Spanned<PoolWire>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct GatewayWire {
    pub(super) listen: Set<String>,
    pub(super) hold: Option<HoldWire>,
    pub(super) body_bytes_max: Set<BytesText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HoldWire {
    pub(super) requests_max: Set<u32>,
    pub(super) bytes_max: Set<BytesText>,
    pub(super) timeout: Set<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdminWire {
    pub(super) listen: Set<String>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) control_token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JournalWire {
    pub(super) retention: Set<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PoolWire {
    pub(super) name: Spanned<String>,
    pub(super) model_name: Set<String>,
    pub(super) model_names: Set<Vec<Spanned<String>>>,
    pub(super) min_replicas: Set<u32>,
    pub(super) max_replicas: Set<u32>,
    pub(super) standby: Set<StandbyWire>,
    pub(super) max_starts: Set<u32>,
    #[serde(default)]
    pub(super) slo: SloWire,
    pub(super) max_concurrency: Set<u32>,
    pub(super) service_time: Set<DurationText>,
    #[serde(default)]
    pub(super) cold_start: ColdStartWire,
    pub(super) drain_timeout: Set<DurationText>,
    #[serde(default)]
    pub(super) behavior: BehaviorWire,
    pub(super) backlog_drain_time: Set<DurationText>,
    pub(super) arrival_window: Set<DurationText>,
    pub(super) tick_interval: Set<DurationText>,
    pub(super) staleness: Set<DurationText>,
    #[serde(default)]
    pub(super) schedules: Vec<Spanned<ScheduleWire>>,
    pub(super) priority: Set<i32>,
    pub(super) worth_per_gpu_hour: Set<f64>,
    pub(super) engine: EngineWire,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScheduleWire {
    pub(super) name: Spanned<String>,
    pub(super) days: Set<OneOrMore>,
    pub(super) dates: Set<OneOrMore>,
    pub(super) from: Spanned<String>,
    pub(super) until: Spanned<String>,
    pub(super) timezone: Spanned<String>,
    pub(super) replicas: Spanned<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StandbyWire {
    pub(super) price: Set<f64>,
    pub(super) wake: Set<DurationText>,
    pub(super) replicas: Set<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SloWire {
    pub(super) ttft: Set<DurationText>,
    pub(super) tpot: Set<DurationText>,
    pub(super) quantile: Set<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ColdStartWire {
    pub(super) p50: Set<DurationText>,
    pub(super) p90: Set<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BehaviorWire {
    #[serde(default)]
    pub(super) scale_down: ScaleDownWire,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScaleDownWire {
    pub(super) stabilization_window: Set<DurationText>,
    #[serde(default)]
    pub(super) limit: ScaleLimitWire,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ScaleLimitWire {
    pub(super) replicas: Set<u32>,
    pub(super) share: Set<f64>,
    pub(super) period: Set<DurationText>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EngineWire {
    pub(super) command: Set<Vec<Spanned<String>>>,
    pub(super) emulated: Set<EmulatedWire>,
    pub(super) ports: Spanned<String>,
    pub(super) gpus_per_replica: Set<u32>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) readiness: ReadinessWire,
    pub(super) metrics_path: Set<String>,
    pub(super) dialect: Set<String>,
    pub(super) metrics: Set<MetricNames>,
    pub(super) sleep: Option<SleepWire>,
    pub(super) shutdown_timeout: Set<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EmulatedWire {
    pub(super) profile: Set<String>,
    pub(super) max_num_seqs: Set<u32>,
    pub(super) max_num_batched_tokens: Set<u32>,
    pub(super) kv_capacity_tokens: Set<u64>,
    pub(super) max_model_len: Set<u32>,
    #[serde(default)]
    pub(super) cold_start: ColdStartWire,
    pub(super) seed: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReadinessWire {
    pub(super) path: Set<String>,
    pub(super) canary: Option<bool>,
    pub(super) canary_model: Option<String>,
    pub(super) timeout: Set<DurationText>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SleepWire {
    pub(super) sleep_path: Set<String>,
    pub(super) wake_path: Set<String>,
    pub(super) state_path: Set<String>,
}
