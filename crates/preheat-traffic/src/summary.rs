//! A trace in a few numbers.
//!
//! Absent is not zero: what a trace is too short to have (a rate, the gaps' variation) is none.

use std::time::Duration;

use serde::Serialize;

use crate::lengths;
use crate::trace::{Trace, TraceRequest};

/// The most bins that [`Trace::counts`] makes: 115 days of seconds.
pub const BINS_MAX: usize = 10_000_000;

/// A trace in a few numbers; the field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many requests.
    pub requests: u64,
    /// First arrival to last, in seconds.
    pub span_s: f64,
    /// Requests per second over the span.
    pub rate_mean: Option<f64>,
    /// Requests per second in the busiest 10 s (of bins that start at multiples of 10 s).
    pub rate_peak_10s: f64,
    /// Requests per second in the busiest 60 s.
    pub rate_peak_60s: f64,
    /// `rate_peak_60s` ÷ `rate_mean`.
    pub peak_to_mean_60s: Option<f64>,
    /// The coefficient of variation of the gaps between arrivals; 1 for a Poisson process.
    pub gap_cv: Option<f64>,
    /// Prompt lengths.
    pub input_tokens: TokenQuantiles,
    /// Answer lengths.
    pub output_tokens: TokenQuantiles,
}

/// How long prompts or answers are, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TokenQuantiles {
    /// All requests' tokens together.
    pub total: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: u32,
    /// Nine of ten are no longer.
    pub p90: u32,
    /// 99 of 100 are no longer.
    pub p99: u32,
    /// The longest.
    pub max: u32,
}

impl Trace {
    /// The trace in a few numbers.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let span_s = self.span().as_secs_f64();
        let requests = self.requests.len() as u64;
        let rate_mean = (span_s > 0.0).then(|| requests as f64 / span_s);
        let rate_peak_60s = self.rate_peak(Duration::from_secs(60));
        Summary {
            requests,
            span_s,
            rate_mean,
            rate_peak_10s: self.rate_peak(Duration::from_secs(10)),
            rate_peak_60s,
            peak_to_mean_60s: rate_mean.map(|mean| rate_peak_60s / mean),
            gap_cv: self.gap_cv(),
            input_tokens: self.tokens(|request| request.input_tokens),
            output_tokens: self.tokens(|request| request.output_tokens),
        }
    }

    /// How many requests each bin of `width` has, from time zero to the last arrival, silent
    /// bins included; none when that is more than [`BINS_MAX`] bins.
    #[must_use]
    pub fn counts(&self, width: Duration) -> Option<Vec<u32>> {
        let mut counts = Vec::new();
        for request in &self.requests {
            let bin = request.arrival.as_nanos().checked_div(width.as_nanos())?;
            let bin = usize::try_from(bin).ok().filter(|bin| *bin < BINS_MAX)?;
            if counts.len() <= bin {
                counts.resize(bin + 1, 0);
            }
            if let Some(count) = counts.get_mut(bin) {
                *count += 1;
            }
        }
        Some(counts)
    }

    /// The arrivals are sorted, so the busiest bin is the longest run in one bin.
    fn rate_peak(&self, width: Duration) -> f64 {
        let bin = |request: &TraceRequest| request.arrival.as_nanos() / width.as_nanos();
        let runs = self.requests.chunk_by(|one, next| bin(one) == bin(next));
        runs.map(<[TraceRequest]>::len).max().unwrap_or(0) as f64 / width.as_secs_f64()
    }

    fn gap_cv(&self) -> Option<f64> {
        let arrival_s = |request: &TraceRequest| request.arrival.as_secs_f64();
        let pairs = self.requests.iter().zip(self.requests.iter().skip(1));
        let gaps: Vec<f64> = pairs.map(|(one, next)| arrival_s(next) - arrival_s(one)).collect();
        let number = gaps.len() as f64;
        let mean = gaps.iter().sum::<f64>() / number;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / number;
        (gaps.len() >= 2 && mean > 0.0).then(|| libm::sqrt(variance) / mean)
    }

    fn tokens(&self, of: fn(&TraceRequest) -> u32) -> TokenQuantiles {
        let mut sorted: Vec<u32> = self.requests.iter().map(of).collect();
        sorted.sort_unstable();
        let total: u64 = sorted.iter().map(|tokens| u64::from(*tokens)).sum();
        TokenQuantiles {
            total,
            mean: if sorted.is_empty() { 0.0 } else { total as f64 / sorted.len() as f64 },
            p50: lengths::quantile(&sorted, 0.5),
            p90: lengths::quantile(&sorted, 0.9),
            p99: lengths::quantile(&sorted, 0.99),
            max: lengths::quantile(&sorted, 1.0),
        }
    }
}
