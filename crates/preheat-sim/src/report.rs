//! What a run comes to. Counting is here, deciding what counts is the cluster's matter.
//!
//! **Invariant:** every request counts: those that failed, were turned away or did not finish miss
//! the SLO.

mod histogram;

use std::time::Duration;

use histogram::Histogram;
use preheat_core::{FirstTokens, Instant};
use serde::{Deserialize, Serialize};

use crate::view::PoolBounds;

/// A run's result. Field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The autoscaler.
    pub policy: String,
    /// The run's seed.
    pub seed: u64,
    /// Requests that arrived.
    pub requests: u64,
    /// Requests that were answered completely.
    pub completed: u64,
    /// All others: refused, cut, lost, unfinished.
    pub failed: u64,
    /// Share of all requests that were answered within the SLO.
    pub attainment: f64,
    /// Arrival to first token, over requests that got one.
    pub ttft_s: Quantiles,
    /// Time per token after the first, over requests that completed with more than one.
    pub tpot_s: Quantiles,
    /// GPU-hours, from the moment a start is ordered (and placed) until its replica is gone.
    pub gpu_hours: f64,
    /// Replicas ordered, the initial ones not counted.
    pub starts: u64,
    /// Replicas given up.
    pub stops: u64,
    /// Most replicas that existed at once.
    pub replicas_peak: u32,
    /// How often growing turned into shrinking or back.
    pub direction_changes: u64,
    /// Answers that were cut after their first token.
    pub streams_cut: u64,
    /// Minute by minute, where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Minute>,
}

/// Quantiles in seconds; absent when nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// The fleet at the end of a minute, and what arrived in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Minute {
    /// Which, from 0.
    pub minute: u64,
    /// Requests that arrived.
    pub arrivals: u64,
    /// Those of them that met the SLO.
    pub within_slo: u64,
    /// Replicas that this minute's arrivals keep busy.
    pub need: f64,
    /// Replicas that the autoscaler wants.
    pub desired: u32,
    /// Ready replicas.
    pub ready: u32,
    /// Replicas on their way.
    pub starting: u32,
    /// Replicas that finish what they have.
    pub draining: u32,
    /// Sleeping replicas.
    pub standby: u32,
    /// Requests held or queued.
    pub queue: u64,
}

/// Which way a fleet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// One answered request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) arrived_at: Instant,
    pub(crate) first_token_at: Instant,
    pub(crate) finished_at: Instant,
    pub(crate) output_tokens: u32,
}

const NANOS_PER_MINUTE: u64 = 60_000_000_000;

/// Counts as the run goes.
#[derive(Debug)]
pub(crate) struct Tally {
    ttft_slo_nanos: u64,
    tpot_slo_nanos: u64,
    pub(crate) requests: u64,
    pub(crate) prompt_tokens: u64,
    pub(crate) completed: u64,
    pub(crate) completed_tokens: u64,
    pub(crate) failed: u64,
    pub(crate) rejected: u64,
    within_slo: u64,
    /// The same by minute of arrival.
    within_slo_by_minute: Vec<u64>,
    ttft: Histogram,
    pub(crate) first_tokens: FirstTokens,
    tpot: Histogram,
    pub(crate) starts: u64,
    pub(crate) stops: u64,
    pub(crate) replicas_peak: u32,
    direction: Option<Direction>,
    direction_changes: u64,
    pub(crate) streams_cut: u64,
    /// GPU time, in nanoseconds.
    gpu_nanos: u128,
    /// GPU time of sleeping replicas, before their price.
    standby_nanos: u128,
    pub(crate) series: Vec<Minute>,
}

impl Tally {
    pub(crate) fn new(bounds: &PoolBounds) -> Self {
        let tpot_slo_nanos = bounds.tpot_slo.map_or(u64::MAX, nanos);
        Self {
            ttft_slo_nanos: nanos(bounds.ttft_slo),
            tpot_slo_nanos,
            requests: 0,
            prompt_tokens: 0,
            completed: 0,
            completed_tokens: 0,
            failed: 0,
            rejected: 0,
            within_slo: 0,
            within_slo_by_minute: Vec::new(),
            ttft: Histogram::default(),
            first_tokens: FirstTokens::default(),
            tpot: Histogram::default(),
            starts: 0,
            stops: 0,
            replicas_peak: 0,
            direction: None,
            direction_changes: 0,
            streams_cut: 0,
            gpu_nanos: 0,
            standby_nanos: 0,
            series: Vec::new(),
        }
    }

    pub(crate) fn first_token(&mut self, ttft: Duration, after_start: bool) {
        let ttft = nanos(ttft);
        self.ttft.record(ttft);
        let is_late = ttft > self.ttft_slo_nanos;
        let tokens = &mut self.first_tokens;
        tokens.count += 1;
        tokens.late += u64::from(is_late);
        tokens.late_after_start += u64::from(is_late && after_start);
    }

    pub(crate) fn answered(&mut self, answer: &Answer) {
        self.completed += 1;
        self.completed_tokens += u64::from(answer.output_tokens);
        let ttft = nanos(answer.first_token_at.since(answer.arrived_at));
        let mut within = ttft <= self.ttft_slo_nanos;
        let gaps = u64::from(answer.output_tokens).saturating_sub(1);
        let streamed = nanos(answer.finished_at.since(answer.first_token_at));
        if let Some(tpot) = streamed.checked_div(gaps) {
            self.tpot.record(tpot);
            within &= tpot <= self.tpot_slo_nanos;
        }
        self.within_slo += u64::from(within);
        if within {
            // A run has at most some ten thousand minutes.
            let minute = (answer.arrived_at.as_nanos() / NANOS_PER_MINUTE) as usize;
            if self.within_slo_by_minute.len() <= minute {
                self.within_slo_by_minute.resize(minute + 1, 0);
            }
            self.within_slo_by_minute[minute] += 1;
        }
    }

    pub(crate) fn moved(&mut self, direction: Direction) {
        let turned = self.direction.is_some_and(|before| before != direction);
        self.direction_changes += u64::from(turned);
        self.direction = Some(direction);
    }

    pub(crate) fn charge(&mut self, gpus: u32, time: Duration, is_standby: bool) {
        let gpu_nanos = u128::from(gpus) * time.as_nanos();
        if is_standby {
            self.standby_nanos += gpu_nanos;
        } else {
            self.gpu_nanos += gpu_nanos;
        }
    }

    pub(crate) fn into_report(self, policy: &str, seed: u64, standby_price: f64) -> RunReport {
        const NANOS_PER_HOUR: f64 = 3.6e12;
        let gpu_nanos = self.gpu_nanos as f64 + self.standby_nanos as f64 * standby_price;
        let mut series = self.series;
        for (row, within) in series.iter_mut().zip(self.within_slo_by_minute) {
            row.within_slo = within;
        }
        let attainment = match self.requests {
            0 => 1.0,
            requests => self.within_slo as f64 / requests as f64,
        };
        RunReport {
            policy: policy.to_owned(),
            seed,
            requests: self.requests,
            completed: self.completed,
            failed: self.failed,
            attainment,
            ttft_s: quantiles(&self.ttft),
            tpot_s: quantiles(&self.tpot),
            gpu_hours: gpu_nanos / NANOS_PER_HOUR,
            starts: self.starts,
            stops: self.stops,
            replicas_peak: self.replicas_peak,
            direction_changes: self.direction_changes,
            streams_cut: self.streams_cut,
            series,
        }
    }
}

fn quantiles(histogram: &Histogram) -> Quantiles {
    Quantiles {
        p50: histogram.quantile_secs(0.50),
        p90: histogram.quantile_secs(0.90),
        p99: histogram.quantile_secs(0.99),
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
