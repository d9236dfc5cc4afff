//! What one run came to, as far as a comparison needs it.

use std::collections::BTreeMap;

use preheat_sim::report::RunReport;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One policy with one setting on one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    /// Knobs that were set; empty for the policy's own defaults.
    pub knobs: BTreeMap<String, f64>,
    /// Share of all requests that were answered within the SLO.
    pub attainment: f64,
    /// GPU-hours, from the moment a start is ordered.
    pub gpu_hours: f64,
    /// Median TTFT, in seconds.
    pub ttft_p50_s: Option<f64>,
    /// 99th percentile of TTFT, in seconds.
    pub ttft_p99_s: Option<f64>,
    /// 99th percentile of TPOT, in seconds.
    pub tpot_p99_s: Option<f64>,
    /// Requests that got no complete answer.
    pub failed: u64,
    /// Answers cut after their first token.
    pub streams_cut: u64,
    /// Replicas ordered.
    pub starts: u64,
    /// Most replicas at once.
    pub replicas_peak: u32,
    /// How often growing turned into shrinking or back.
    pub direction_changes: u64,
}

impl Outcome {
    /// What a report says.
    pub fn of(knobs: BTreeMap<String, f64>, report: &RunReport) -> Self {
        Self {
            knobs,
            attainment: report.attainment,
            gpu_hours: report.gpu_hours,
            ttft_p50_s: report.ttft_s.p50,
            ttft_p99_s: report.ttft_s.p99,
            tpot_p99_s: report.tpot_s.p99,
            failed: report.failed,
            streams_cut: report.streams_cut,
            starts: report.starts,
            replicas_peak: report.replicas_peak,
            direction_changes: report.direction_changes,
        }
    }
}
