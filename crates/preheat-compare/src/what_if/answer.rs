//! What a question came to: figures of each run, and minute by minute for a chart.
//!
//! **Invariant:** columns of minutes have one length; what is not known of a minute is absent.

use std::time::Duration;

use preheat_sim::report::RunReport;
use schemars::JsonSchema;
use serde::Serialize;

use super::WhatIfSettings;
use crate::backtest::{Happened, History, Trust};
use crate::outcome::Outcome;

/// What there was, and what would have been.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIfAnswer {
    /// Which pool.
    pub pool: String,
    /// When the past begins, in seconds since the world's origin.
    pub from_s: f64,
    /// When it ends.
    pub until_s: f64,
    /// Requests in it.
    pub requests: usize,
    /// The engine profile of every run.
    pub profile: String,
    /// Slots of a replica in every run.
    pub max_num_seqs: u32,
    /// How far it can be believed.
    pub trust: Trust,
    /// What was measured at the time; absent where nobody told of replicas.
    pub happened: Option<Happened>,
    /// The fleet as it was, in the model: beside `happened`, how good the model is.
    pub replayed: Option<Outcome>,
    /// preheat as configured.
    pub configured: WhatIfRun,
    /// In the order in which they were asked for.
    pub alternatives: Vec<WhatIfRun>,
    /// What was measured, minute by minute.
    pub minutes: WhatIfMinutes,
}

/// One run on the past.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIfRun {
    /// How the pool was scaled in it.
    pub settings: WhatIfSettings,
    /// What it came to.
    pub outcome: Outcome,
    /// No plan is cheaper at this SLO in this pool, in the slot model; absent where the past is more
    /// than can be planned.
    pub optimum_gpu_hours: Option<f64>,
    /// Replicas that exist at the end of each minute, sleeping ones left out.
    pub replicas: Vec<Option<u32>>,
    /// Share of each minute's requests that were answered within the SLO.
    pub attainment: Vec<Option<f64>>,
}

/// Columns of minutes.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIfMinutes {
    /// When each begins, in seconds since the world's origin.
    pub at_s: Vec<f64>,
    /// Requests that came.
    pub arrivals: Vec<Option<f64>>,
    /// Replicas that existed at its end, sleeping ones left out.
    pub replicas: Vec<Option<f64>>,
    /// Share of its first tokens that were within the pool's own SLO on TTFT.
    pub attainment: Vec<Option<f64>>,
}

pub(super) fn run_of(
    settings: WhatIfSettings,
    outcome: Outcome,
    optimum_gpu_hours: Option<f64>,
    report: &RunReport,
    minutes: usize,
) -> WhatIfRun {
    let row = |minute: usize| report.series.get(minute);
    let exist = |minute| row(minute).map(|row| row.ready + row.starting + row.draining);
    let attained = |minute| {
        let row = row(minute).filter(|row| row.arrivals > 0)?;
        Some(rounded(row.within_slo as f64 / row.arrivals as f64))
    };
    WhatIfRun {
        settings,
        outcome,
        optimum_gpu_hours,
        replicas: (0..minutes).map(exist).collect(),
        attainment: (0..minutes).map(attained).collect(),
    }
}

/// The history's steps as minutes.
pub(super) fn measured(begin_s: f64, history: &History, minutes: usize) -> WhatIfMinutes {
    let mut columns = WhatIfMinutes {
        at_s: (0..minutes).map(|minute| begin_s + minute as f64 * 60.0).collect(),
        arrivals: vec![None; minutes],
        replicas: vec![None; minutes],
        attainment: vec![None; minutes],
    };
    let mut tokens = vec![(0.0, 0.0); minutes];
    for (index, step) in history.steps.iter().enumerate() {
        let minute = (index as f64 * history.step.as_secs_f64() / 60.0) as usize;
        let (Some(arrivals), Some(replicas), Some((first, in_time))) = (
            columns.arrivals.get_mut(minute),
            columns.replicas.get_mut(minute),
            tokens.get_mut(minute),
        ) else {
            continue;
        };
        if let Some(came) = step.arrivals {
            *arrivals = Some(arrivals.unwrap_or(0.0) + came);
        }
        *replicas = step.existing.or(step.ready).or(*replicas);
        *first += step.first_tokens.unwrap_or(0.0);
        *in_time += step.in_time.unwrap_or(0.0);
    }
    for (attained, (first, in_time)) in columns.attainment.iter_mut().zip(tokens) {
        *attained = (first > 0.0).then(|| rounded(in_time / first));
    }
    columns
}

/// Four digits: more than a chart shows, and half the bytes.
fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

/// A duration in words.
pub(super) fn secs(duration: Duration) -> String {
    format!("{:.0} s", duration.as_secs_f64())
}
