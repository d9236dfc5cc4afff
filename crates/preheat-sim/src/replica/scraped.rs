//! What scrapes of one engine brought, and when it can be seen.
//!
//! **Invariant:** nothing is seen before its scrape's delay has passed; a lost scrape leaves what
//! was seen before, which grows old.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::{Counters, Instant, LatencyMean, Sample};

use crate::view::EngineMetrics;

/// Prometheus answers a query with samples at most this old.
const LOOKBACK: Duration = Duration::from_secs(300);
/// Scrapes on their way at most; beyond it the delay is out of all proportion to the interval.
const ON_THEIR_WAY_MAX: usize = 1024;

/// The scrapes of one engine's life.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scraped {
    /// Newest that can be seen.
    seen: Option<EngineMetrics>,
    on_their_way: VecDeque<EngineMetrics>,
    /// The newest, and what was counted between it and the one before.
    last: Option<EngineMetrics>,
    counters: Option<Sample<Counters>>,
    itl: Option<Sample<LatencyMean>>,
}

impl Scraped {
    /// Takes in a scrape that arrives later.
    pub(crate) fn send(&mut self, metrics: EngineMetrics) {
        if self.on_their_way.len() >= ON_THEIR_WAY_MAX {
            self.on_their_way.pop_front();
        }
        self.on_their_way.push_back(metrics);
    }

    /// The newest that a query at `now` finds.
    pub(crate) fn visible(&mut self, now: Instant, delay: Duration) -> Option<EngineMetrics> {
        while self.on_their_way.front().is_some_and(|m| m.at.saturating_add(delay) <= now) {
            self.seen = self.on_their_way.pop_front();
        }
        self.seen.filter(|metrics| now.since(metrics.at) <= LOOKBACK)
    }

    /// Takes in a scrape that is there at once, as preheat's own.
    pub(crate) fn record(&mut self, metrics: EngineMetrics) {
        if let Some(last) = &self.last {
            let counters = Counters {
                over: metrics.at.since(last.at),
                completions: metrics.completions_total - last.completions_total,
                prompt_tokens: metrics.prompt_tokens_total - last.prompt_tokens_total,
                generation_tokens: metrics.generation_tokens_total - last.generation_tokens_total,
                preemptions: Some(metrics.preemptions_total - last.preemptions_total),
            };
            self.counters = Some(Sample::new(counters, metrics.at));
            self.itl = itl(last, &metrics).map(|itl| Sample::new(itl, metrics.at));
        }
        self.last = Some(metrics);
    }

    pub(crate) const fn last(&self) -> Option<&EngineMetrics> {
        self.last.as_ref()
    }

    pub(crate) const fn counters(&self) -> Option<Sample<Counters>> {
        self.counters
    }

    pub(crate) const fn itl(&self) -> Option<Sample<LatencyMean>> {
        self.itl
    }
}

/// Mean gap between tokens from one scrape to the next, as the sums of an engine's histogram tell it.
fn itl(before: &EngineMetrics, after: &EngineMetrics) -> Option<LatencyMean> {
    let count = after.itl_count.checked_sub(before.itl_count).filter(|count| *count > 0)?;
    let secs = after.itl_seconds_sum - before.itl_seconds_sum;
    let mean = Duration::try_from_secs_f64(secs / count as f64).ok()?;
    Some(LatencyMean { over: after.at.since(before.at), count, mean })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_is_seen_after_its_delay_and_for_five_minutes() {
        let at = |secs| Instant::ORIGIN.saturating_add(Duration::from_secs(secs));
        let delay = Duration::from_secs(5);
        let mut scraped = Scraped::default();
        for secs in [10, 20] {
            scraped.send(EngineMetrics { at: at(secs), ..EngineMetrics::default() });
        }
        let mut seen = |secs| scraped.visible(at(secs), delay).map(|metrics| metrics.at);
        assert_eq!(seen(14), None);
        assert_eq!(seen(15), Some(at(10)));
        assert_eq!(seen(24), Some(at(10)));
        assert_eq!(seen(25), Some(at(20)));
        assert_eq!(seen(320), Some(at(20)));
        assert_eq!(seen(321), None);
    }

    #[test]
    fn itl_is_that_of_the_time_between_two_scrapes() {
        let at = |secs| Instant::ORIGIN.saturating_add(Duration::from_secs(secs));
        let metrics = |secs, itl_seconds_sum, itl_count| EngineMetrics {
            at: at(secs),
            itl_seconds_sum,
            itl_count,
            ..EngineMetrics::default()
        };
        let mut scraped = Scraped::default();
        scraped.record(metrics(10, 5.0, 200));
        assert_eq!(scraped.itl(), None);
        scraped.record(metrics(12, 9.0, 300));
        let itl = LatencyMean {
            over: Duration::from_secs(2),
            count: 100,
            mean: Duration::from_millis(40),
        };
        assert_eq!(scraped.itl(), Some(Sample::new(itl, at(12))));
        scraped.record(metrics(14, 9.0, 300));
        assert_eq!(scraped.itl(), None, "nothing was measured");
    }
}
