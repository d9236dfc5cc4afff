//! The keys that say how a pool is scaled, and the policy that they make: the same keys, the same
//! checks and the same words in a local configuration file and in a cluster's resource.
//!
//! **Invariant:** a contradiction is an error that names key, value and allowed range; it is never
//! repaired silently.

use std::time::Duration;

use preheat_core::{
    Concurrency, Policy, PolicyError, PolicySpec, Probability, ReplicaCount, Standby, WAKE_PRIOR,
};

/// What was given; what is absent has its default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolKeys {
    /// `minReplicas`.
    pub min_replicas: Option<u32>,
    /// `maxReplicas`.
    pub max_replicas: Option<u32>,
    /// `standby`.
    pub standby: Option<StandbyKeys>,
    /// `maxStarts`.
    pub max_starts: Option<u32>,
    /// `slo.ttft`.
    pub slo_ttft: Option<Duration>,
    /// `slo.tpot`.
    pub slo_tpot: Option<Duration>,
    /// `slo.quantile`.
    pub slo_quantile: Option<f64>,
    /// `maxConcurrency`.
    pub max_concurrency: Option<u32>,
    /// `serviceTime`.
    pub service_time: Option<Duration>,
    /// `coldStart.p50`.
    pub cold_start_p50: Option<Duration>,
    /// `coldStart.p90`.
    pub cold_start_p90: Option<Duration>,
    /// `drainTimeout`.
    pub drain_timeout: Option<Duration>,
    /// `behavior.scaleDown.stabilizationWindow`.
    pub stabilization_window: Option<Duration>,
    /// `behavior.scaleDown.limit.replicas`.
    pub limit_replicas: Option<u32>,
    /// `behavior.scaleDown.limit.share`.
    pub limit_share: Option<f64>,
    /// `behavior.scaleDown.limit.period`.
    pub limit_period: Option<Duration>,
    /// `backlogDrainTime`.
    pub backlog_drain_time: Option<Duration>,
    /// `arrivalWindow`.
    pub arrival_window: Option<Duration>,
    /// `tickInterval`.
    pub tick_interval: Option<Duration>,
    /// `staleness`.
    pub staleness: Option<Duration>,
}

/// What `standby` says; `price` or `replicas` must be given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StandbyKeys {
    /// `standby.price`.
    pub price: Option<f64>,
    /// `standby.wake`.
    pub wake: Option<Duration>,
    /// `standby.replicas`.
    pub replicas: Option<u32>,
}

/// A key whose value is out of range or contradicts another's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is {value}; it must be {allowed}")]
pub struct KeyError {
    /// As its user writes it, with dots between levels.
    pub key: String,
    /// What it is.
    pub value: String,
    /// What would be accepted.
    pub allowed: String,
}

impl PoolKeys {
    /// The policy that they make.
    ///
    /// # Errors
    /// The first key that is out of range or contradicts another.
    pub fn policy(&self) -> Result<Policy, KeyError> {
        let mut spec = PolicySpec::default();
        let count = |target: &mut ReplicaCount, given: Option<u32>| {
            *target = given.map_or(*target, ReplicaCount);
        };
        count(&mut spec.replicas_min, self.min_replicas);
        count(&mut spec.replicas_max, self.max_replicas);
        let time = |target: &mut Duration, given: Option<Duration>| {
            *target = given.unwrap_or(*target);
        };
        time(&mut spec.slo.threshold, self.slo_ttft);
        spec.slo_tpot = self.slo_tpot;
        time(&mut spec.service_time_prior, self.service_time);
        time(&mut spec.drain_timeout, self.drain_timeout);
        time(&mut spec.backlog_drain_time, self.backlog_drain_time);
        time(&mut spec.arrival_window, self.arrival_window);
        time(&mut spec.tick_interval, self.tick_interval);
        time(&mut spec.staleness_max, self.staleness);
        time(&mut spec.scale_down_window, self.stabilization_window);
        time(&mut spec.scale_down_limit.period, self.limit_period);
        let limit = &mut spec.scale_down_limit;
        limit.replicas = self.limit_replicas.unwrap_or(limit.replicas);
        if let Some(share) = self.limit_share {
            let key = "behavior.scaleDown.limit.share";
            limit.share = Probability::new(share).ok_or_else(|| out(key, share, "from 0 to 1"))?;
        }
        spec.starts_max = self.max_starts.unwrap_or(spec.starts_max);
        self.set_cold_start(&mut spec);
        spec.standby = self.standby.as_ref().map(StandbyKeys::standby).transpose()?;
        if let Some(quantile) = self.slo_quantile {
            let refused = || out("slo.quantile", quantile, "at least 0.5 and below 1");
            spec.slo.quantile = Probability::new(quantile).ok_or_else(refused)?;
        }
        if let Some(slots) = self.max_concurrency {
            let refused = || out("maxConcurrency", slots, "at least 1");
            spec.concurrency_cap = Some(Concurrency::new(slots).ok_or_else(refused)?);
        }
        spec.validate().map_err(|error| in_keys(&error))
    }

    /// One figure alone moves the other out of its way, in the default's proportion of 2 to 3.
    fn set_cold_start(&self, spec: &mut PolicySpec) {
        let prior = &mut spec.cold_start_prior;
        match (self.cold_start_p50, self.cold_start_p90) {
            (Some(p50), Some(p90)) => (prior.p50, prior.p90) = (p50, p90),
            (Some(p50), None) => (prior.p50, prior.p90) = (p50, p50 * 3 / 2),
            (None, Some(p90)) => (prior.p50, prior.p90) = (p90 * 2 / 3, p90),
            (None, None) => {}
        }
    }
}

impl StandbyKeys {
    /// How many sleep follows from what sleep costs, or is given.
    fn standby(&self) -> Result<Standby, KeyError> {
        if self.price.is_none() && self.replicas.is_none() {
            return Err(out("standby", "empty", "given a `price` or `replicas`"));
        }
        let share = self.price.unwrap_or(1.0);
        let refused = || out("standby.price", share, "from 0 to 1");
        Ok(Standby {
            price: Probability::new(share).ok_or_else(refused)?,
            wake_prior: self.wake.unwrap_or(WAKE_PRIOR),
            replicas: self.replicas.map(ReplicaCount),
        })
    }
}

fn out(key: &str, value: impl ToString, allowed: &str) -> KeyError {
    KeyError { key: key.to_owned(), value: value.to_string(), allowed: allowed.to_owned() }
}

/// The policy's field names and the keys.
const KEYS: [(&str, &str); 18] = [
    ("replicas_min", "minReplicas"),
    ("replicas_max", "maxReplicas"),
    ("standby.replicas", "standby.replicas"),
    ("starts_max", "maxStarts"),
    ("scale_down_limit.replicas", "behavior.scaleDown.limit.replicas"),
    ("scale_down_limit.period", "behavior.scaleDown.limit.period"),
    ("scale_down_window", "behavior.scaleDown.stabilizationWindow"),
    ("slo.quantile", "slo.quantile"),
    ("slo.threshold", "slo.ttft"),
    ("slo_tpot", "slo.tpot"),
    ("cold_start_prior.p50", "coldStart.p50"),
    ("cold_start_prior.p90", "coldStart.p90"),
    ("service_time_prior", "serviceTime"),
    ("backlog_drain_time", "backlogDrainTime"),
    ("drain_timeout", "drainTimeout"),
    ("tick_interval", "tickInterval"),
    ("staleness_max", "staleness"),
    ("arrival_window", "arrivalWindow"),
];

fn in_keys(error: &PolicyError) -> KeyError {
    let translate = |text: &str| {
        KEYS.iter().fold(text.to_owned(), |text, (field, key)| text.replace(field, key))
    };
    KeyError {
        key: translate(error.key),
        value: error.value.clone(),
        allowed: translate(&error.allowed),
    }
}
