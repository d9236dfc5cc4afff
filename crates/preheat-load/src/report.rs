//! What a run's clients saw, in model time.
//!
//! **Invariant:** requests = completed + failed + unfinished, and each of the three counts in
//! the attainment's denominator. A quantile of nothing is none, not zero.

use std::collections::BTreeMap;

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::LoadConfig;
use crate::outcome::{ErrorKind, Outcome};

/// A run's result; the field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadReport {
    /// The requests whose time came.
    pub requests: u64,
    /// Those that were answered in full.
    pub completed: u64,
    /// Those that were not: refused, cut, too late, not sent for want of room.
    pub failed: u64,
    /// Those still under way when a cancelled run stopped waiting.
    pub unfinished: u64,
    /// The requests of the trace whose time had not come when the run was cancelled.
    pub not_sent: u64,
    /// The share of `requests` that completed and met each SLO there is.
    pub attainment: Option<f64>,
    /// The SLO on TTFT that attainment is about.
    pub ttft_slo_s: Option<f64>,
    /// The SLO on TPOT that attainment is about.
    pub tpot_slo_s: Option<f64>,
    /// From when a request should have been sent to its first token, of all that got one.
    pub ttft_s: Option<Quantiles>,
    /// Between successive events with tokens of a request, of all requests. An event may hold
    /// several tokens: `output_tokens` ÷ `events` is how many.
    pub itl_s: Option<Quantiles>,
    /// The mean time per output token after the first, of completed requests.
    pub tpot_s: Option<Quantiles>,
    /// From when a request should have been sent to its end, of completed requests.
    pub e2e_s: Option<Quantiles>,
    /// How late requests were sent, by this program's own fault.
    pub lag_s: Option<Quantiles>,
    /// How many requests failed of what: `connect`, `reset`, `http_<status>`, `error_event`,
    /// `cut`, `incomplete`, `malformed`, `timeout`, `client_limit`.
    pub errors: BTreeMap<String, u64>,
    /// Requests that failed after tokens had begun to come, by the server's side.
    pub streams_cut: u64,
    /// How often a request was sent again.
    pub retries: u64,
    /// The prompt tokens of completed requests, as the server counts them.
    pub input_tokens: u64,
    /// The output tokens of completed requests, as the server counts them.
    pub output_tokens: u64,
    /// The events with tokens of completed requests.
    pub events: u64,
    /// Completed requests whose output tokens the server did not count: events stand for them.
    pub usage_missing: u64,
    /// Requests whose prompt was cut to [`crate::PROMPT_WORDS_MAX`] words.
    pub prompts_clipped: u64,
    /// From the run's start to its last request's end.
    pub duration_s: f64,
    /// Requests per second up to the last arrival.
    pub arrival_rate: Option<f64>,
    /// Model seconds per second of wall time.
    pub time_scale: f64,
}

impl LoadReport {
    /// Tokens of an event in the mean; `None` before an answer is complete.
    pub fn tokens_per_event(&self) -> Option<f64> {
        (self.events > 0).then(|| self.output_tokens as f64 / self.events as f64)
    }
}

/// Quantiles of a duration in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are no longer.
    pub p90: f64,
    /// 99 of 100 are no longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// Collects outcomes into a report.
#[derive(Debug)]
pub(crate) struct Recorder {
    clock: Clock,
    attained: u64,
    ttft: Durations,
    itl: Durations,
    tpot: Durations,
    e2e: Durations,
    lag: Durations,
    report: LoadReport,
}

/// What a recorder cannot know of a run's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunEnd {
    pub(crate) unfinished: u64,
    pub(crate) not_sent: u64,
    pub(crate) retries: u64,
    pub(crate) arrival_last_s: Option<f64>,
}

impl Recorder {
    pub(crate) fn new(config: &LoadConfig, clock: Clock) -> Result<Self, CreationError> {
        Ok(Self {
            clock,
            attained: 0,
            ttft: Durations::new()?,
            itl: Durations::new()?,
            tpot: Durations::new()?,
            e2e: Durations::new()?,
            lag: Durations::new()?,
            report: empty_report(config),
        })
    }

    pub(crate) fn completed(&self) -> u64 {
        self.report.completed
    }

    pub(crate) fn failed(&self) -> u64 {
        self.report.failed
    }

    pub(crate) fn clipped_prompt(&mut self) {
        self.report.prompts_clipped += 1;
    }

    /// Records an outcome; gives its TTFT in model seconds, if it has one.
    pub(crate) fn record(&mut self, outcome: &Outcome) -> Option<f64> {
        let model_s = |wall| self.clock.model_s(wall);
        let ttft_s = outcome.ttft.map(model_s);
        let tpot_s = outcome.tpot.map(model_s);
        self.lag.record_s(model_s(outcome.lag));
        if let Some(ttft_s) = ttft_s {
            self.ttft.record_s(ttft_s);
        }
        for gap_us in &outcome.gaps_us {
            self.itl
                .record_s(self.clock.model_s(std::time::Duration::from_micros((*gap_us).into())));
        }
        match outcome.result {
            Ok(()) => {
                self.e2e.record_s(self.clock.model_s(outcome.e2e));
                self.complete(outcome, ttft_s, tpot_s);
            }
            Err(kind) => self.fail(outcome, kind),
        }
        ttft_s
    }

    fn complete(&mut self, outcome: &Outcome, ttft_s: Option<f64>, tpot_s: Option<f64>) {
        if let Some(tpot_s) = tpot_s {
            self.tpot.record_s(tpot_s);
        }
        let report = &mut self.report;
        report.completed += 1;
        report.input_tokens += outcome.input_tokens;
        report.output_tokens += outcome.output_tokens;
        report.events += outcome.events;
        report.usage_missing += u64::from(outcome.usage_missing);
        // A completed answer has a choice, so it has a TTFT; one of a single token has no TPOT.
        let in_ttft = report.ttft_slo_s.is_none_or(|slo| ttft_s.is_some_and(|ttft| ttft <= slo));
        let in_tpot = report.tpot_slo_s.is_none_or(|slo| tpot_s.is_none_or(|tpot| tpot <= slo));
        self.attained += u64::from(in_ttft && in_tpot);
    }

    fn fail(&mut self, outcome: &Outcome, kind: ErrorKind) {
        self.report.failed += 1;
        self.report.streams_cut += u64::from(outcome.stream_cut);
        *self.report.errors.entry(kind.name().into_owned()).or_insert(0) += 1;
    }

    pub(crate) fn finish(self, end: RunEnd) -> LoadReport {
        let finished = self.report.completed + self.report.failed;
        let requests = finished + end.unfinished;
        let of_requests = |number: u64| number as f64 / requests as f64;
        LoadReport {
            requests,
            unfinished: end.unfinished,
            not_sent: end.not_sent,
            retries: end.retries,
            attainment: (requests > 0).then(|| of_requests(self.attained)),
            ttft_s: self.ttft.quantiles(),
            itl_s: self.itl.quantiles(),
            tpot_s: self.tpot.quantiles(),
            e2e_s: self.e2e.quantiles(),
            lag_s: self.lag.quantiles(),
            duration_s: self.clock.elapsed_s(),
            arrival_rate: end
                .arrival_last_s
                .filter(|last_s| *last_s > 0.0)
                .map(|last_s| requests as f64 / last_s),
            ..self.report
        }
    }
}

fn empty_report(config: &LoadConfig) -> LoadReport {
    LoadReport {
        requests: 0,
        completed: 0,
        failed: 0,
        unfinished: 0,
        not_sent: 0,
        attainment: None,
        ttft_slo_s: config.ttft_slo.map(|slo| slo.as_secs_f64()),
        tpot_slo_s: config.tpot_slo.map(|slo| slo.as_secs_f64()),
        ttft_s: None,
        itl_s: None,
        tpot_s: None,
        e2e_s: None,
        lag_s: None,
        errors: BTreeMap::new(),
        streams_cut: 0,
        retries: 0,
        input_tokens: 0,
        output_tokens: 0,
        events: 0,
        usage_missing: 0,
        prompts_clipped: 0,
        duration_s: 0.0,
        arrival_rate: None,
        time_scale: config.time_scale,
    }
}

/// A histogram of durations in microseconds, three digits exact.
#[derive(Debug)]
struct Durations(Histogram<u64>);

impl Durations {
    /// A day; what is longer counts as a day.
    const US_MAX: u64 = 86_400_000_000;

    fn new() -> Result<Self, CreationError> {
        Histogram::new_with_bounds(1, Self::US_MAX, 3).map(Self)
    }

    fn record_s(&mut self, seconds: f64) {
        self.0.saturating_record((seconds * 1e6).round() as u64);
    }

    fn quantiles(&self) -> Option<Quantiles> {
        let seconds = |us: u64| us as f64 / 1e6;
        let at = |quantile| seconds(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Quantiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            max: seconds(self.0.max()),
        })
    }
}
