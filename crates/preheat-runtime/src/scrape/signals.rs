//! Per replica: the last good scrape, and what came out of comparing it with those before.
//!
//! **Invariant:** a failed scrape changes no signal. What was seen last keeps the time it was seen
//! at and grows stale; it never turns into zero.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preheat_core::{Counters, LatencyMean, LatencyWindow, ReplicaId, ReplicaObservation, Sample};

use super::ScrapeResult;
use super::deltas::{LatencyHistory, continues, counters_between, itl_between, restarted};
use crate::dialect::{EngineScrape, Signal, SleepState, Told};

/// Time that latency quantiles are taken over, unless a caller says otherwise: long enough for a
/// p99 that rests on more than a handful of requests, short enough to follow a change of load.
pub const LATENCY_WINDOW_DEFAULT: Duration = Duration::from_secs(60);

/// The signals of every replica of a pool.
#[derive(Clone, Debug)]
pub struct SignalStore {
    latency_window: Duration,
    /// Of replicas that are gone, too: an upgrade replaces one by another.
    told: Told,
    replicas: BTreeMap<ReplicaId, ReplicaSignals>,
}

/// The signals of one replica.
#[derive(Clone, Debug)]
pub struct ReplicaSignals {
    last: Option<Sample<EngineScrape>>,
    kv_capacity_tokens: Option<u64>,
    counters: Option<Sample<Counters>>,
    ttft: LatencyHistory,
    itl: Option<Sample<LatencyMean>>,
    failures_in_a_row: u32,
    /// What it told in this life.
    told: BTreeSet<Signal>,
    /// What the last scrapes that failed or lacked something had in common.
    trouble: Option<String>,
    trouble_told: bool,
}

impl Default for SignalStore {
    fn default() -> Self {
        Self::new(LATENCY_WINDOW_DEFAULT)
    }
}

impl SignalStore {
    /// An empty store whose latency quantiles are over the last `latency_window` of model time.
    pub fn new(latency_window: Duration) -> Self {
        Self { latency_window, told: Told::default(), replicas: BTreeMap::new() }
    }

    /// Takes in the results of one round of scrapes.
    pub fn record_all(&mut self, results: impl IntoIterator<Item = (ReplicaId, ScrapeResult)>) {
        for (id, result) in results {
            self.record(id, result);
        }
    }

    /// Takes in one result. A scrape that isn't later than the last one is dropped.
    pub fn record(&mut self, id: ReplicaId, result: ScrapeResult) {
        let latency_window = self.latency_window;
        let signals =
            self.replicas.entry(id).or_insert_with(|| ReplicaSignals::new(latency_window));
        match result {
            Ok(scrape) => {
                self.told.remember(&scrape.value);
                signals.succeeded(scrape, &self.told);
            }
            Err(error) => {
                signals.failures_in_a_row = signals.failures_in_a_row.saturating_add(1);
                // What does not come back by itself is said; that it did not answer is seen anyway.
                if let Some(trouble) = error.trouble(&self.told) {
                    signals.set_trouble(Some(trouble));
                }
            }
        }
    }

    /// What replicas' metrics lack that they told or must tell, each said once, and of the first
    /// that lacks it: after an upgrade all of them do.
    pub fn new_troubles(&mut self) -> Vec<(ReplicaId, String)> {
        let told = self.replicas.values().filter(|signals| signals.trouble_told);
        let mut told: BTreeSet<String> = told.filter_map(|it| it.trouble.clone()).collect();
        let new = |(id, signals): (&ReplicaId, &mut ReplicaSignals)| {
            let trouble = signals.trouble.clone()?;
            signals.trouble_told = true;
            told.insert(trouble.clone()).then_some((*id, trouble))
        };
        self.replicas.iter_mut().filter_map(new).collect()
    }

    /// What is known of a replica.
    pub fn get(&self, id: ReplicaId) -> Option<&ReplicaSignals> {
        self.replicas.get(&id)
    }

    /// Fills in what an engine tells of itself. A replica that was never scraped is left as it is.
    pub fn fill(&self, observation: &mut ReplicaObservation) {
        if let Some(signals) = self.replicas.get(&observation.id) {
            signals.fill(observation);
        }
    }

    /// Drops a replica that is gone.
    pub fn forget(&mut self, id: ReplicaId) {
        self.replicas.remove(&id);
    }

    /// Drops all replicas but those that `exists` holds for.
    pub fn retain(&mut self, mut exists: impl FnMut(ReplicaId) -> bool) {
        self.replicas.retain(|&id, _| exists(id));
    }
}

impl ReplicaSignals {
    const fn new(latency_window: Duration) -> Self {
        Self {
            last: None,
            kv_capacity_tokens: None,
            counters: None,
            ttft: LatencyHistory::new(latency_window),
            itl: None,
            failures_in_a_row: 0,
            told: BTreeSet::new(),
            trouble: None,
            trouble_told: false,
        }
    }

    /// What its metrics lack that they told before or must tell.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn set_trouble(&mut self, trouble: Option<String>) {
        if self.trouble != trouble {
            (self.trouble, self.trouble_told) = (trouble, false);
        }
    }

    /// The last good scrape.
    pub const fn last(&self) -> Option<&Sample<EngineScrape>> {
        self.last.as_ref()
    }

    /// Awake or asleep, as the engine said last.
    pub fn sleep(&self) -> Option<Sample<SleepState>> {
        let last = self.last.as_ref()?;
        Some(Sample::new(last.value.sleep?, last.observed_at))
    }

    /// Scrapes that failed since the last good one.
    pub const fn failures_in_a_row(&self) -> u32 {
        self.failures_in_a_row
    }

    /// What was counted between the last two good scrapes. `None` when one lacked a total. Until
    /// the next good one it stays the same, told apart by its time.
    pub const fn counters(&self) -> Option<Sample<Counters>> {
        self.counters
    }

    /// TTFT over the window.
    pub fn ttft(&self) -> Option<Sample<LatencyWindow>> {
        self.ttft.window()
    }

    /// ITL between the last two good scrapes. `None` when no token came between them.
    pub const fn itl(&self) -> Option<Sample<LatencyMean>> {
        self.itl
    }

    fn succeeded(&mut self, scrape: Sample<EngineScrape>, told: &Told) {
        self.failures_in_a_row = 0;
        let last = self.last.as_ref().map(|last| &last.value);
        if !last.is_some_and(|last| {
            last.dialect == scrape.value.dialect && continues(last, &scrape.value)
        }) {
            self.told.clear();
        }
        self.told.extend(scrape.value.told_by.iter().map(|(signal, _)| *signal));
        let has = |signal: &Signal| scrape.value.told_by.iter().any(|(told, _)| told == signal);
        let lost = self.told.iter().filter(|signal| !has(signal)).copied().collect();
        self.set_trouble(told.trouble(&scrape.value, &lost));
        let mut is_restart = false;
        if let Some(last) = &self.last {
            if scrape.observed_at <= last.observed_at {
                return;
            }
            is_restart = restarted(&last.value, &scrape.value);
            let counters = counters_between(last, &scrape);
            self.counters = counters.map(|value| Sample::new(value, scrape.observed_at));
            let itl = itl_between(last, &scrape);
            self.itl = itl.map(|value| Sample::new(value, scrape.observed_at));
        }
        match &scrape.value.ttft {
            Some(histogram) => self.ttft.push(scrape.observed_at, histogram, is_restart),
            // A restart that this histogram missed would be lost on it.
            None if is_restart => self.ttft.clear(),
            None => {}
        }
        self.kv_capacity_tokens = scrape.value.kv_capacity_tokens.or(self.kv_capacity_tokens);
        self.last = Some(scrape);
    }

    fn fill(&self, observation: &mut ReplicaObservation) {
        let Some(last) = &self.last else { return };
        let seen = &last.value;
        let at = last.observed_at;
        observation.in_flight = seen.running.map(|value| Sample::new(value, at));
        observation.queue_depth = seen.waiting.map(|value| Sample::new(value, at));
        observation.kv_utilization = seen.kv_utilization.map(|value| Sample::new(value, at));
        observation.kv_capacity_tokens = self.kv_capacity_tokens;
        observation.counters = self.counters;
        observation.ttft = self.ttft();
        observation.itl = self.itl();
    }
}

#[cfg(test)]
mod tests;
