//! The validated configuration of one pool's autoscaling.
//!
//! **Invariant:** an invalid [`Policy`] cannot exist: the only way to one is
//! [`PolicySpec::validate`], which names the key, its value and the allowed range.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::part::Part;
use crate::units::{Concurrency, Probability, ReplicaCount};

/// What an SLO is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SloMetric {
    /// Time from arrival to first token, queueing included.
    Ttft,
}

/// A service level objective: at quantile `quantile`, `metric` stays within `threshold`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// What is measured.
    pub metric: SloMetric,
    /// Share of requests that must be within the threshold, e.g. 0.99 for P99.
    pub quantile: Probability,
    /// The bound.
    pub threshold: Duration,
}

/// What is believed about a pool's cold start before one was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStartPrior {
    /// Median time from order to ready.
    pub p50: Duration,
    /// 90th percentile of it.
    pub p90: Duration,
}

/// At most `replicas`, or `share` of the fleet if that is more, within any `period`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleRateLimit {
    /// The change allowed to any fleet.
    pub replicas: u32,
    /// The change allowed to a large one, as a share of it.
    pub share: Probability,
    /// Within this time.
    pub period: Duration,
}

/// A rung to keep replicas on: they hold less than ready ones, and are back sooner than new ones.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standby {
    /// What a sleeping replica costs, as a share of one that is awake: 1 where it keeps its GPU for
    /// itself.
    pub price: Probability,
    /// Time to wake assumed until wakes were seen.
    pub wake_prior: Duration,
    /// So many sleep beside those that are awake; `None` for as many as pay.
    pub replicas: Option<ReplicaCount>,
}

/// The knobs of a [`Policy`], not yet checked. [`PolicySpec::default`] is meant to need no tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicySpec {
    /// Fewest replicas ready or on their way; 0 allows scale to zero.
    pub replicas_min: ReplicaCount,
    /// Most replicas that may exist, starting and draining ones included.
    pub replicas_max: ReplicaCount,
    /// The aim.
    pub slo: Slo,
    /// Longest mean time between tokens. A replica is given no more slots than keep it, as far as
    /// what its engine measures tells.
    pub slo_tpot: Option<Duration>,
    /// Slots per replica, where `max-num-seqs` can't be read from the engine.
    pub concurrency_cap: Option<Concurrency>,
    /// Time between two decisions.
    pub tick_interval: Duration,
    /// A signal older than this is not believed.
    pub staleness_max: Duration,
    /// Cold start assumed until starts were seen.
    pub cold_start_prior: ColdStartPrior,
    /// Service time assumed until completions were seen.
    pub service_time_prior: Duration,
    /// Time within which a backlog that is left when new replicas arrive should be gone.
    pub backlog_drain_time: Duration,
    /// Window over which arrivals and slots in use are averaged.
    pub arrival_window: Duration,
    /// A replica is given up only when none of the last this-long needed it. The rule that is
    /// followed may hold it for longer.
    pub scale_down_window: Duration,
    /// How fast the pool may shrink.
    pub scale_down_limit: ScaleRateLimit,
    /// Most replicas starting at one time.
    pub starts_max: u32,
    /// Whether replicas may sleep; `None` where their engine can't.
    pub standby: Option<Standby>,
    /// A draining replica is stopped after this even if requests are still in it.
    pub drain_timeout: Duration,
    /// Parts of the policy to leave out; `None` but where somebody wants to know what it is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<Part>,
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            replicas_min: ReplicaCount(1),
            replicas_max: ReplicaCount(8),
            slo: Slo {
                metric: SloMetric::Ttft,
                quantile: Probability::saturating(0.99),
                threshold: Duration::from_secs(2),
            },
            slo_tpot: None,
            concurrency_cap: None,
            tick_interval: Duration::from_secs(2),
            staleness_max: Duration::from_secs(15),
            cold_start_prior: ColdStartPrior {
                p50: Duration::from_secs(120),
                p90: Duration::from_secs(180),
            },
            service_time_prior: Duration::from_secs(10),
            backlog_drain_time: Duration::from_secs(30),
            arrival_window: Duration::from_secs(30),
            scale_down_window: Duration::from_secs(60),
            scale_down_limit: ScaleRateLimit {
                replicas: 1,
                share: Probability::saturating(0.5),
                period: Duration::from_secs(30),
            },
            starts_max: 1000,
            standby: None,
            drain_timeout: Duration::from_secs(600),
            without: None,
        }
    }
}

/// A contradiction or an impossible value in a [`PolicySpec`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}; it must be {allowed}")]
pub struct PolicyError {
    /// The field of [`PolicySpec`].
    pub key: &'static str,
    /// The value given.
    pub value: String,
    /// What would be accepted.
    pub allowed: String,
}

/// A checked [`PolicySpec`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PolicySpec", into = "PolicySpec")]
pub struct Policy(PolicySpec);

impl Policy {
    /// The checked knobs, to read.
    pub const fn spec(&self) -> &PolicySpec {
        &self.0
    }

    /// The same, without a part of the policy.
    #[must_use]
    pub fn without(self, part: Option<Part>) -> Self {
        Self(PolicySpec { without: part, ..self.0 })
    }
}

impl TryFrom<PolicySpec> for Policy {
    type Error = PolicyError;

    fn try_from(spec: PolicySpec) -> Result<Self, PolicyError> {
        spec.validate()
    }
}

impl From<Policy> for PolicySpec {
    fn from(policy: Policy) -> Self {
        policy.0
    }
}

/// Longest window that memory can hold at the coarsest bin (see `memory`).
const WINDOW_MAX: Duration = Duration::from_secs(3600);
/// More replicas than this in one pool is a typing mistake; it also bounds every list.
const REPLICAS_LIMIT: u32 = 10_000;
/// A tick faster than this is noise; a slower one than `WINDOW_MAX` no control.
const TICK_MIN: Duration = Duration::from_millis(10);

impl PolicySpec {
    /// Checks every knob on its own and against the others.
    ///
    /// # Errors
    /// The first knob that is out of range or contradicts another, with what would be allowed.
    pub fn validate(self) -> Result<Policy, PolicyError> {
        self.check_counts()?;
        self.check_slo()?;
        self.check_times()?;
        Ok(Policy(self))
    }

    fn check_counts(&self) -> Result<(), PolicyError> {
        let (min, max) = (self.replicas_min, self.replicas_max);
        let limit = format!("from 1 to {REPLICAS_LIMIT}");
        require((1..=REPLICAS_LIMIT).contains(&max.0), "replicas_max", max, &limit)?;
        let at_most = format!("at most replicas_max, which is {max}");
        require(min <= max, "replicas_min", min, &at_most)?;
        if let Some(replicas) = self.standby.and_then(|standby| standby.replicas) {
            require(replicas <= max, "standby.replicas", replicas, &at_most)?;
        }
        require(self.starts_max >= 1, "starts_max", self.starts_max, "at least 1")?;
        let shrink = self.scale_down_limit.replicas;
        require(shrink >= 1, "scale_down_limit.replicas", shrink, "at least 1")
    }

    fn check_slo(&self) -> Result<(), PolicyError> {
        let quantile = self.slo.quantile.get();
        let inside = (0.5..1.0).contains(&quantile);
        require(inside, "slo.quantile", quantile, "at least 0.5 and below 1")?;
        let threshold = self.slo.threshold;
        let inside = threshold > Duration::ZERO && threshold <= WINDOW_MAX;
        require_time(inside, "slo.threshold", threshold, "above 0s and at most 1h")?;
        let tpot = self.slo_tpot.unwrap_or(WINDOW_MAX);
        let inside = tpot > Duration::ZERO && tpot <= WINDOW_MAX;
        require_time(inside, "slo_tpot", tpot, "above 0s and at most 1h")
    }

    fn check_times(&self) -> Result<(), PolicyError> {
        let tick = self.tick_interval;
        let inside = tick >= TICK_MIN && tick <= Duration::from_secs(300);
        require_time(inside, "tick_interval", tick, "from 10ms to 5m")?;
        let stale = self.staleness_max;
        require_time(stale >= tick, "staleness_max", stale, "at least tick_interval")?;
        let arrival = self.arrival_window;
        require_time(arrival >= tick, "arrival_window", arrival, "at least tick_interval")?;
        let windows = [
            ("arrival_window", arrival),
            ("scale_down_window", self.scale_down_window),
            ("scale_down_limit.period", self.scale_down_limit.period),
        ];
        for (key, value) in windows {
            require_time(value <= WINDOW_MAX, key, value, "at most 1h")?;
        }
        let prior = self.cold_start_prior;
        let ordered = prior.p50 <= prior.p90;
        require_time(ordered, "cold_start_prior.p90", prior.p90, "at least cold_start_prior.p50")?;
        let positive = [
            ("service_time_prior", self.service_time_prior),
            ("backlog_drain_time", self.backlog_drain_time),
            ("drain_timeout", self.drain_timeout),
        ];
        for (key, value) in positive {
            require_time(value > Duration::ZERO, key, value, "above 0s")?;
        }
        Ok(())
    }
}

fn require(
    holds: bool,
    key: &'static str,
    value: impl ToString,
    allowed: &str,
) -> Result<(), PolicyError> {
    if holds {
        return Ok(());
    }
    Err(PolicyError { key, value: value.to_string(), allowed: allowed.to_owned() })
}

fn require_time(
    holds: bool,
    key: &'static str,
    value: Duration,
    allowed: &str,
) -> Result<(), PolicyError> {
    require(holds, key, format!("{value:?}"), allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut PolicySpec), expected: &str) {
        let mut spec = PolicySpec::default();
        change(&mut spec);
        let got = spec.validate().map_or_else(|e| e.to_string(), |_| "valid".to_owned());
        assert_eq!(got, expected);
    }

    #[test]
    fn validation_names_key_value_and_range() {
        check(|_| {}, "valid");
        check(
            |s| s.replicas_min = ReplicaCount(9),
            "`replicas_min` is 9; it must be at most replicas_max, which is 8",
        );
        check(
            |s| s.replicas_max = ReplicaCount(0),
            "`replicas_max` is 0; it must be from 1 to 10000",
        );
        check(
            |s| s.slo.threshold = Duration::ZERO,
            "`slo.threshold` is 0ns; it must be above 0s and at most 1h",
        );
        check(
            |s| s.slo_tpot = Some(Duration::ZERO),
            "`slo_tpot` is 0ns; it must be above 0s and at most 1h",
        );
        check(
            |s| s.staleness_max = Duration::from_secs(1),
            "`staleness_max` is 1s; it must be at least tick_interval",
        );
        check(
            |s| s.arrival_window = Duration::from_secs(1),
            "`arrival_window` is 1s; it must be at least tick_interval",
        );
    }
}
