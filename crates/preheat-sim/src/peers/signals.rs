//! Readings that several policies take from a view, and their windows over time.
//!
//! **Invariant:** a reading of nothing is `None`, never zero; who reads it decides what that means.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use preheat_core::{Instant, ReplicaId};

use crate::view::{EngineMetrics, FleetView, ProxyView, ReplicaState};

/// `status.replicas`: what exists and was not told to go.
pub(crate) fn provisioned(view: &FleetView<'_>) -> u32 {
    view.count(ReplicaState::Starting) + view.count(ReplicaState::Ready)
}

/// `sum(…)` over the series of ready engines; `None` when there is no series.
pub(crate) fn sum(view: &FleetView<'_>, gauge: fn(&EngineMetrics) -> f64) -> Option<f64> {
    view.ready_metrics().map(gauge).reduce(|a, b| a + b)
}

/// Values and their times, over a window that ends now.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    length: Duration,
    values: VecDeque<(Instant, f64)>,
}

impl Window {
    pub(crate) const fn new(length: Duration) -> Self {
        Self { length, values: VecDeque::new() }
    }

    /// Adds a value and forgets those that are `length` old or older.
    pub(crate) fn push(&mut self, now: Instant, value: f64) {
        self.values.push_back((now, value));
        let length = self.length;
        while self.values.front().is_some_and(|(at, _)| now.since(*at) >= length)
            && self.values.len() > 1
        {
            self.values.pop_front();
        }
    }

    pub(crate) fn clear(&mut self) {
        self.values.clear();
    }

    /// Mean of what there is: a window that has just begun is averaged over its part.
    pub(crate) fn mean(&self) -> Option<f64> {
        self.mean_over(self.length)
    }

    /// Mean over the newest part of the window.
    pub(crate) fn mean_over(&self, length: Duration) -> Option<f64> {
        let now = self.values.back()?.0;
        let recent = self.values.iter().rev().take_while(|(at, _)| now.since(*at) < length);
        let (sum, count) = recent.fold((0.0, 0_u32), |(sum, n), (_, value)| (sum + value, n + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    pub(crate) fn max(&self) -> Option<f64> {
        self.values.iter().map(|(_, value)| *value).reduce(f64::max)
    }

    pub(crate) fn min(&self) -> Option<f64> {
        self.values.iter().map(|(_, value)| *value).reduce(f64::min)
    }
}

/// A proxy's counters over time.
#[derive(Clone, Debug)]
pub(crate) struct ProxyHistory {
    length: Duration,
    past: VecDeque<ProxyView>,
}

impl ProxyHistory {
    pub(crate) const fn new(length: Duration) -> Self {
        Self { length, past: VecDeque::new() }
    }

    /// Takes in the counters. Of those older than the window the newest is kept: the window
    /// begins there.
    pub(crate) fn record(&mut self, proxy: ProxyView) {
        self.past.push_back(proxy);
        while self.past.get(1).is_some_and(|second| proxy.at.since(second.at) >= self.length) {
            self.past.pop_front();
        }
    }

    /// Counters at the begin of the last `length`: the newest reading at least that old, else the
    /// oldest there is.
    fn begin(&self, length: Duration) -> ProxyView {
        let now = self.past.back().map(|proxy| proxy.at).unwrap_or_default();
        let old = self.past.iter().rev().find(|proxy| now.since(proxy.at) >= length);
        old.or_else(|| self.past.front()).copied().unwrap_or_default()
    }

    fn last(&self) -> ProxyView {
        self.past.back().copied().unwrap_or_default()
    }

    /// Requests that arrived in the last `length`.
    pub(crate) fn arrivals(&self, length: Duration) -> f64 {
        (self.last().arrivals_total - self.begin(length).arrivals_total) as f64
    }

    /// Requests that ended in the window.
    pub(crate) fn completions(&self) -> f64 {
        (self.last().completions_total - self.begin(self.length).completions_total) as f64
    }

    /// Mean prompt of the window's arrivals.
    pub(crate) fn prompt_tokens_mean(&self) -> Option<f64> {
        let (now, then) = (self.last(), self.begin(self.length));
        let tokens = now.arrived_prompt_tokens_total - then.arrived_prompt_tokens_total;
        ratio(tokens as f64, self.arrivals(self.length))
    }

    /// Mean answer of the window's completions.
    pub(crate) fn generation_tokens_mean(&self) -> Option<f64> {
        let (now, then) = (self.last(), self.begin(self.length));
        let tokens = now.completed_generation_tokens_total - then.completed_generation_tokens_total;
        ratio(tokens as f64, self.completions())
    }
}

/// Engines' scrapes over time, for `rate()` and `max_over_time()`.
#[derive(Clone, Debug)]
pub(crate) struct EngineHistory {
    length: Duration,
    engines: BTreeMap<ReplicaId, VecDeque<EngineMetrics>>,
}

impl EngineHistory {
    pub(crate) const fn new(length: Duration) -> Self {
        Self { length, engines: BTreeMap::new() }
    }

    /// Takes in the newest scrapes of ready engines and forgets the others.
    pub(crate) fn record(&mut self, view: &FleetView<'_>) {
        let ready = view.replicas.iter().filter(|r| r.state == ReplicaState::Ready);
        let seen: BTreeMap<_, _> = ready.filter_map(|r| Some((r.id, r.metrics?))).collect();
        self.engines.retain(|id, _| seen.contains_key(id));
        for (id, metrics) in seen {
            let past = self.engines.entry(id).or_default();
            // An engine that was restarted begins anew.
            if past.back().is_some_and(|last| metrics.completions_total < last.completions_total) {
                past.clear();
            }
            if past.back().is_none_or(|last| metrics.at > last.at) {
                past.push_back(metrics);
            }
            while past.front().is_some_and(|old| view.now.since(old.at) > self.length) {
                past.pop_front();
            }
        }
    }

    /// Sum over engines of a counter's increase in the window.
    pub(crate) fn increase(&self, counter: impl Fn(&EngineMetrics) -> f64) -> f64 {
        let ends = self.engines.values().filter_map(|past| past.front().zip(past.back()));
        ends.map(|(first, last)| (counter(last) - counter(first)).max(0.0)).sum()
    }

    /// Each engine's largest reading of a gauge in the window.
    pub(crate) fn max_of(&self, id: ReplicaId, gauge: fn(&EngineMetrics) -> f64) -> Option<f64> {
        self.engines.get(&id)?.iter().map(gauge).reduce(f64::max)
    }

    /// Each engine's two newest scrapes, if the newest came at `since` or later.
    pub(crate) fn steps(
        &self,
        since: Instant,
    ) -> impl Iterator<Item = (&EngineMetrics, &EngineMetrics)> {
        self.engines.values().filter_map(move |past| {
            let mut newest = past.iter().rev();
            let last = newest.next().filter(|last| last.at >= since)?;
            Some((newest.next()?, last))
        })
    }
}

/// `a / b`, if there is any `b`.
pub(crate) fn ratio(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, at, secs};

    #[test]
    fn a_window_forgets_what_is_as_old_as_itself() {
        let mut window = Window::new(secs(60));
        for (second, value) in [(0, 10.0), (30, 4.0), (60, 2.0)] {
            window.push(at(second), value);
        }
        assert_eq!(window.mean(), Some(3.0));
        assert_eq!(window.mean_over(secs(6)), Some(2.0));
        assert_eq!((window.max(), window.min()), (Some(4.0), Some(2.0)));
    }

    #[test]
    fn a_proxy_history_counts_back_to_the_begin_of_its_window() {
        let mut history = ProxyHistory::new(secs(60));
        for tick in 0..5_u64 {
            let proxy = ProxyView {
                at: at(tick * 20),
                arrivals_total: tick * 40,
                arrived_prompt_tokens_total: tick * 40 * 100,
                ..ProxyView::default()
            };
            history.record(proxy);
        }
        assert_eq!(history.arrivals(secs(60)), 120.0);
        assert_eq!(history.arrivals(secs(20)), 40.0);
        assert_eq!(history.prompt_tokens_mean(), Some(100.0));
        assert_eq!(history.generation_tokens_mean(), None);
    }

    #[test]
    fn no_series_is_not_a_sum_of_zero() {
        let fleet = Fleet::new(0).starting(2);
        assert_eq!(sum(&fleet.view(), |m| f64::from(m.waiting)), None);
        let fleet = Fleet::new(0).ready(2, |m| m.waiting = 3);
        assert_eq!(sum(&fleet.view(), |m| f64::from(m.waiting)), Some(6.0));
    }
}
