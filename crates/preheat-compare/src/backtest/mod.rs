//! A pool's own past: rebuilt from what was recorded of it, and replayed under other autoscalers.
//!
//! ```text
//! counters and gauges ──History──► Trace, Trust ──Workload──► what each autoscaler would have made of it
//! ```
//!
//! **Invariant:** what was not recorded is told as such in [`Trust`]; nothing is made up in silence.

mod figures;
mod history;
mod past;
mod recommend;
mod recorded;

pub use figures::{Beside, PastFigures};
pub use history::{Cumulative, Gauge, History, HistoryError, Step, Trust};
pub use past::{Past, Retold};
pub use recommend::{Recommendation, recommend};
pub(crate) use recorded::Recorded;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;

/// What a backtest found. Field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Backtest {
    /// What was replayed.
    pub name: String,
    /// How far it can be believed.
    pub trust: Trust,
    /// What was measured at the time.
    pub happened: Option<Happened>,
    /// The fleet as it was, in the model: beside [`Self::happened`], how good the model is.
    pub replayed: Option<Outcome>,
    /// Each autoscaler, by name.
    pub policies: Vec<(String, Outcome)>,
    /// No plan is cheaper at the SLO's attainment, in the slot model.
    pub optimum_gpu_hours: Option<f64>,
    /// What to set.
    pub recommendation: Recommendation,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Happened {
    /// Share of first tokens within the SLO on TTFT; absent where the history does not tell.
    pub attainment: Option<f64>,
    /// GPU-hours.
    pub gpu_hours: f64,
    /// Most replicas at once.
    pub replicas_peak: u32,
}
