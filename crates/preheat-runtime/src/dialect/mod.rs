//! What one scrape of an engine says, in preheat's words. Each engine's own names for it are in
//! [`known`], and nowhere else.
//!
//! **Invariant:** a series that was not in the body is `None`, never zero.

use std::collections::BTreeSet;

use preheat_core::Utilization;

pub mod known;
mod reader;
mod series;
pub mod table;
mod untold;

pub use reader::{Dialects, Unrecognised};
pub use table::{Signal, Text};
pub use untold::{Told, Untold};

/// One scrape of one replica, summed over the engines inside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineScrape {
    /// Whose metrics they were read as, as a configuration calls it.
    pub dialect: Option<&'static str>,
    /// Name the engine serves its model under. An engine with several names labels its series with
    /// the first only, so this is no ground to reject a replica.
    pub model_name: Option<String>,
    /// Requests holding a batch slot.
    pub running: Option<u32>,
    /// Requests waiting for a slot.
    pub waiting: Option<u32>,
    /// Share of KV blocks in use.
    pub kv_utilization: Option<Utilization>,
    /// Tokens that fit the KV cache.
    pub kv_capacity_tokens: Option<u64>,
    /// Awake or asleep. A sleeping engine shows 0 running and 0 waiting while requests hang in it.
    pub sleep: Option<SleepState>,
    /// Totals since the engine started.
    pub counters: EngineCounters,
    /// Time to first token since the engine started.
    pub ttft: Option<Histogram>,
    /// Inter-token latency since the engine started.
    pub itl: Option<Histogram>,
    /// Which name told each signal that was told.
    pub told_by: Vec<(Signal, Text)>,
    /// What the dialect tells and the body does not: of another version, or renamed.
    pub untold: Vec<Untold>,
}

impl EngineScrape {
    /// What it lacks that must be told, by itself, as a sentence: nobody knows what was told before.
    pub fn trouble(&self) -> Option<String> {
        Told::default().trouble(self, &BTreeSet::new())
    }
}

/// Totals since an engine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Requests that ended well.
    pub completions: Option<u64>,
    /// Prompt tokens computed.
    pub prompt_tokens: Option<u64>,
    /// Tokens generated.
    pub generation_tokens: Option<u64>,
    /// Requests thrown out of the batch for want of KV blocks.
    pub preemptions: Option<u64>,
}

/// How deep an engine sleeps, lightest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SleepState {
    /// It serves.
    Awake,
    /// Weights are in host memory, the KV cache is dropped.
    WeightsOffloaded,
    /// Weights are gone too.
    DiscardAll,
}

/// A cumulative histogram with the bucket bounds that the engine wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Ascending by `le`; the last one's is infinite and its count is the number of measurements.
    buckets: Vec<Bucket>,
    /// Sum of all measurements; NaN when the engine didn't tell.
    sum: f64,
}

/// Measurements of at most `le`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Upper bound, included.
    pub le: f64,
    /// How many measurements were no larger.
    pub count: u64,
}

impl Histogram {
    /// A histogram from its buckets in any order. `None` when a bound is NaN or there twice, or
    /// when the total is unknown: neither an infinite bucket nor a count.
    pub fn new(mut buckets: Vec<Bucket>, count: Option<u64>, sum: Option<f64>) -> Option<Self> {
        if buckets.iter().any(|bucket| bucket.le.is_nan()) {
            return None;
        }
        buckets.sort_by(|a, b| a.le.total_cmp(&b.le));
        if buckets.windows(2).any(|pair| pair[0].le == pair[1].le) {
            return None;
        }
        if buckets.last().is_none_or(|last| last.le != f64::INFINITY) {
            buckets.push(Bucket { le: f64::INFINITY, count: count? });
        }
        // A scrape that races with an observation can see a bucket behind the one before it.
        let mut count_min = 0;
        for bucket in &mut buckets {
            count_min = bucket.count.max(count_min);
            bucket.count = count_min;
        }
        Some(Self { buckets, sum: sum.unwrap_or(f64::NAN) })
    }

    /// Its buckets, ascending; the last one is infinite.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// How many measurements there are.
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |last| last.count)
    }

    /// Sum of all measurements; NaN when it is unknown.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Whether both have the same bounds, without which they can't be subtracted.
    pub fn same_layout(&self, other: &Self) -> bool {
        let bounds = |histogram: &Self| histogram.buckets.len();
        bounds(self) == bounds(other)
            && self.buckets.iter().zip(&other.buckets).all(|(a, b)| a.le == b.le)
    }
}

#[cfg(test)]
mod tests;
