//! What goes wrong in a run. Data only; by default nothing does.

use std::time::Duration;

use preheat_core::{Instant, Probability};

/// Everything that goes wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Faults {
    /// Share of scrapes that are lost.
    pub scrape_loss: Probability,
    /// While one of these lasts, nothing is scraped.
    pub metrics_outages: Vec<Window>,
    /// Share of starts that fail half way and begin again after a back-off.
    pub start_failure: Probability,
    /// Share of starts that hang for good, beside those that the cold start itself draws.
    pub start_stuck: Probability,
    /// Engines that die and are restarted by whoever supervises them.
    pub crashes: Vec<Crash>,
    /// Share of replicas with a noisy neighbour.
    pub slow: Probability,
    /// How many times as long their steps take; 1.4 was measured on a shared GPU.
    pub slow_factor: Option<f64>,
    /// Times in which the autoscaler is away; what it remembers it still knows afterwards.
    pub controller_outages: Vec<Window>,
    /// Times at which whoever runs the replicas begins to replace them all.
    pub rollouts: Vec<Rollout>,
}

/// From a moment on, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its begin.
    pub from: Instant,
    /// Its length.
    pub lasts: Duration,
}

impl Window {
    /// Whether `at` is inside, the begin included and the end not.
    pub fn contains(&self, at: Instant) -> bool {
        at >= self.from && at < self.from.saturating_add(self.lasts)
    }
}

/// One engine's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crash {
    /// When.
    pub at: Instant,
    /// Which: the number of a replica among those that serve then, oldest first, round and round.
    pub index: u32,
}

/// One rollout: each replica that exists is replaced by a new one. Replacements count as starts and
/// stops, come on top of the bounds, and wait for places like all others; a sleeping replica is
/// replaced by one that is awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// When it begins.
    pub at: Instant,
    /// Replacements on their way at one time, beside what is replaced; none replaces nothing.
    pub surge: u32,
}

impl Faults {
    pub(crate) fn metrics_are_out(&self, at: Instant) -> bool {
        self.metrics_outages.iter().any(|window| window.contains(at))
    }

    pub(crate) fn controller_is_away(&self, at: Instant) -> bool {
        self.controller_outages.iter().any(|window| window.contains(at))
    }
}
