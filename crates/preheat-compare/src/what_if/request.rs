//! What is asked of a pool's past, and what can be, as it goes over HTTP.
//!
//! **Invariant:** data only.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is asked about unless said.
const LAST_DEFAULT_S: f64 = 6.0 * 3600.0;

/// What is asked of a pool's past.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatIfRequest {
    /// How long before `until_s` the past begins: 21600 unless given, at most 86400.
    #[serde(default = "last_default_s")]
    pub last_s: f64,
    /// When it ends, in seconds since the world's origin; with the journal unless given.
    #[serde(default)]
    pub until_s: Option<f64>,
    /// Engine profile; the one whose KV cache is as large as the engines tell unless given.
    #[serde(default)]
    pub profile: Option<String>,
    /// Slots of a replica; as the engines tell unless given.
    #[serde(default)]
    pub max_num_seqs: Option<u32>,
    /// From 1 to 4.
    pub alternatives: Vec<Alternative>,
}

/// Something else than what is configured. What is absent is as configured.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alternative {
    /// Who scales, by its name in `preheat simulate`: `preheat` unless given.
    #[serde(default)]
    pub policy: Option<String>,
    /// Values for some of its knobs; its project's defaults for the others.
    #[serde(default)]
    pub knobs: BTreeMap<String, f64>,
    /// Fewest replicas.
    #[serde(default)]
    pub replicas_min: Option<u32>,
    /// Most replicas.
    #[serde(default)]
    pub replicas_max: Option<u32>,
    /// SLO on TTFT.
    #[serde(default)]
    pub slo_ttft_s: Option<f64>,
    /// Share of requests that should be within it.
    #[serde(default)]
    pub slo_quantile: Option<f64>,
    /// Time from order to ready, of every start; the median of those seen unless given.
    #[serde(default)]
    pub cold_start_s: Option<f64>,
    /// What a sleeping replica costs, as a share of one that is awake.
    #[serde(default)]
    pub standby_price: Option<f64>,
    /// Whether replicas don't sleep, whatever is configured.
    #[serde(default)]
    pub no_standby: bool,
}

const fn last_default_s() -> f64 {
    LAST_DEFAULT_S
}

/// How a pool is scaled in one of the runs.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIfSettings {
    /// Who scales.
    pub policy: String,
    /// Knobs that are set; the others are as its project ships them.
    pub knobs: BTreeMap<String, f64>,
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas.
    pub replicas_max: u32,
    /// SLO on TTFT.
    pub slo_ttft_s: f64,
    /// Share of requests that should be within it.
    pub slo_quantile: f64,
    /// Time from order to ready. Before a run, what the configuration says of it.
    pub cold_start_s: f64,
    /// Price of a sleeping replica; absent where none sleeps.
    pub standby_price: Option<f64>,
}

/// What can be asked, and how the pool is configured.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIfChoices {
    /// Which pool.
    pub pool: String,
    /// What it was last decided by.
    pub configured: WhatIfSettings,
    /// Names of the policies; `static` wants a number after a colon, as in `static:4`.
    pub policies: Vec<String>,
    /// Names of the engine profiles.
    pub profiles: Vec<String>,
    /// The one that is taken unless another is asked for.
    pub profile: String,
    /// Slots of a replica; absent where no engine tells, and then the profile's.
    pub max_num_seqs: Option<u32>,
    /// Longest past.
    pub last_s_max: f64,
    /// Most alternatives.
    pub alternatives_max: usize,
    /// Most replicas.
    pub replicas_max: u32,
}
