//! One pool: its names, its policy, its engine; and what pools may not share.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{
    Concurrency, Policy, PolicyError, PolicySpec, Probability, ReplicaCount, Standby, WAKE_PRIOR,
};
use serde_saphyr::{Location, Spanned};

use super::HoldConfig;
use super::engine::{EmulatedColdStart, EngineConfig};
use super::error::{ConfigError, Problem, Source};
use super::quota::{self, QuotaConfig};
use super::schedules;
use super::values::{DurationText, at};
use super::wire::{PoolWire, StandbyWire};
use crate::name::is_name;
use crate::schedule::Schedules;

/// Interchangeable replicas of one model.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Its name; also part of file names.
    pub name: String,
    /// What clients may ask for by name; at least one.
    pub model_names: Vec<String>,
    /// How it is scaled.
    pub policy: Policy,
    /// Demand that is known beforehand.
    pub schedules: Schedules,
    /// Its standing among pools that share GPUs.
    pub quota: QuotaConfig,
    /// How its replicas are run.
    pub engine: EngineConfig,
}

/// Where a pool's parts stand in the file.
pub(super) struct PoolPlace {
    pub(super) whole: Location,
    name: Location,
    ports: Location,
    gpus: Option<Location>,
    quota: quota::Given,
}

pub(super) fn resolve_all(
    wire: Vec<Spanned<PoolWire>>,
    source: &Source<'_>,
) -> Result<Vec<(PoolConfig, PoolPlace)>, ConfigError> {
    source.require(!wire.is_empty(), None, || Problem::PoolsEmpty)?;
    wire.into_iter().map(|pool| PoolConfig::resolve(pool, source)).collect()
}

impl PoolConfig {
    fn resolve(
        wire: Spanned<PoolWire>,
        source: &Source<'_>,
    ) -> Result<(Self, PoolPlace), ConfigError> {
        let whole = wire.referenced;
        let wire = wire.value;
        let (quota, quota_given) = quota::resolve(&wire, source)?;
        let place = PoolPlace {
            whole,
            name: wire.name.referenced,
            ports: wire.engine.ports.referenced,
            gpus: at(&wire.engine.gpus_per_replica),
            quota: quota_given,
        };
        let name = wire.name.value.clone();
        source.require(is_name(&name), Some(place.name), || Problem::PoolName(name.clone()))?;
        let model_names = model_names(&wire, source)?;
        let policy = policy(&wire, whole, source)?;
        let schedules = schedules::resolve(wire.schedules, policy.spec().replicas_max, source)?;
        let prior = policy.spec().cold_start_prior;
        let standby_at = at(&wire.standby);
        let believed = EmulatedColdStart { p50: prior.p50, p90: prior.p90 };
        let engine = EngineConfig::resolve(wire.engine, &name, believed, source)?;
        let max = policy.spec().replicas_max.0;
        let ports = engine.ports.count();
        source.require(ports >= max, Some(place.ports), || Problem::PortsTooFew { ports, max })?;
        let can_sleep = standby_at.is_none() || engine.sleep.is_some();
        source.require(can_sleep, standby_at, || Problem::StandbyWithoutSleep)?;
        Ok((Self { name, model_names, policy, schedules, quota, engine }, place))
    }
}

fn model_names(wire: &PoolWire, source: &Source<'_>) -> Result<Vec<String>, ConfigError> {
    let pool = &wire.name.value;
    let name_at = Some(wire.name.referenced);
    let names: Vec<(String, Location)> = match (&wire.model_name, &wire.model_names) {
        (Some(name), None) => vec![(name.value.clone(), name.referenced)],
        (None, Some(names)) => {
            names.value.iter().map(|name| (name.value.clone(), name.referenced)).collect()
        }
        (Some(_), Some(names)) => {
            let problem = Problem::ModelTwice(pool.clone());
            return Err(source.error(Some(names.referenced), problem));
        }
        (None, None) => Vec::new(),
    };
    source.require(!names.is_empty(), name_at, || Problem::ModelMissing(pool.clone()))?;
    for (index, (name, location)) in names.iter().enumerate() {
        source.require(!name.trim().is_empty(), Some(*location), || Problem::ModelEmpty)?;
        let repeated = names[..index].iter().any(|(before, _)| before == name);
        source.require(!repeated, Some(*location), || Problem::ModelDuplicated {
            model: name.clone(),
            pool: pool.clone(),
        })?;
    }
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

fn policy(wire: &PoolWire, pool_at: Location, source: &Source<'_>) -> Result<Policy, ConfigError> {
    let mut spec = PolicySpec::default();
    let set_duration = |target: &mut Duration, value: &Option<Spanned<DurationText>>| {
        if let Some(given) = value {
            *target = given.value.0;
        }
    };
    let set_count = |target: &mut ReplicaCount, value: &Option<Spanned<u32>>| {
        if let Some(given) = value {
            *target = ReplicaCount(given.value);
        }
    };
    set_count(&mut spec.replicas_min, &wire.min_replicas);
    set_count(&mut spec.replicas_max, &wire.max_replicas);
    set_duration(&mut spec.slo.threshold, &wire.slo.ttft);
    set_duration(&mut spec.service_time_prior, &wire.service_time);
    set_duration(&mut spec.drain_timeout, &wire.drain_timeout);
    set_duration(&mut spec.backlog_drain_time, &wire.backlog_drain_time);
    set_duration(&mut spec.arrival_window, &wire.arrival_window);
    set_duration(&mut spec.tick_interval, &wire.tick_interval);
    set_duration(&mut spec.staleness_max, &wire.staleness);
    let scale_down = &wire.behavior.scale_down;
    set_duration(&mut spec.scale_down_window, &scale_down.stabilization_window);
    set_duration(&mut spec.scale_down_limit.period, &scale_down.limit.period);
    if let Some(replicas) = &scale_down.limit.replicas {
        spec.scale_down_limit.replicas = replicas.value;
    }
    if let Some(share) = &scale_down.limit.share {
        let key = "behavior.scaleDown.limit.share";
        let problem = || Problem::out_of_range(key, share.value, "from 0 to 1");
        spec.scale_down_limit.share = Probability::new(share.value)
            .ok_or_else(|| source.error(Some(share.referenced), problem()))?;
    }
    if let Some(starts) = &wire.max_starts {
        spec.starts_max = starts.value;
    }
    set_cold_start(&mut spec, wire);
    spec.standby = wire.standby.as_ref().map(|given| standby(given, source)).transpose()?;
    if let Some(quantile) = &wire.slo.quantile {
        let problem =
            || Problem::out_of_range("slo.quantile", quantile.value, "at least 0.5 and below 1");
        spec.slo.quantile = Probability::new(quantile.value)
            .ok_or_else(|| source.error(Some(quantile.referenced), problem()))?;
    }
    if let Some(slots) = &wire.max_concurrency {
        let problem = || Problem::out_of_range("maxConcurrency", slots.value, "at least 1");
        let cap = Concurrency::new(slots.value)
            .ok_or_else(|| source.error(Some(slots.referenced), problem()))?;
        spec.concurrency_cap = Some(cap);
    }
    spec.validate().map_err(|error| {
        let location = key_at(error.key, wire).unwrap_or(pool_at);
        source.error(Some(location), in_file_words(&error))
    })
}

/// How many sleep follows from what sleep costs, or is given. Of either one must be.
fn standby(wire: &Spanned<StandbyWire>, source: &Source<'_>) -> Result<Standby, ConfigError> {
    let StandbyWire { price, wake, replicas } = &wire.value;
    let share = match (price, replicas) {
        (None, None) => {
            return Err(source.error(Some(wire.referenced), Problem::StandbyPriceMissing));
        }
        (None, Some(_)) => 1.0,
        (Some(price), _) => price.value,
    };
    let problem = || Problem::out_of_range("standby.price", share, "from 0 to 1");
    let price = Probability::new(share).ok_or_else(|| source.error(at(price), problem()))?;
    let wake_prior = wake.as_ref().map_or(WAKE_PRIOR, |wake| wake.value.0);
    let replicas = replicas.as_ref().map(|replicas| ReplicaCount(replicas.value));
    Ok(Standby { price, wake_prior, replicas })
}

/// One figure alone moves the other out of its way, in the default's proportion of 2 to 3.
fn set_cold_start(spec: &mut PolicySpec, wire: &PoolWire) {
    let p50 = wire.cold_start.p50.as_ref().map(|d| d.value.0);
    let p90 = wire.cold_start.p90.as_ref().map(|d| d.value.0);
    let prior = &mut spec.cold_start_prior;
    match (p50, p90) {
        (Some(p50), Some(p90)) => (prior.p50, prior.p90) = (p50, p90),
        (Some(p50), None) => (prior.p50, prior.p90) = (p50, p50 * 3 / 2),
        (None, Some(p90)) => (prior.p50, prior.p90) = (p90 * 2 / 3, p90),
        (None, None) => {}
    }
}

/// The policy's field names and the file's keys.
const KEYS: [(&str, &str); 17] = [
    ("replicas_min", "minReplicas"),
    ("replicas_max", "maxReplicas"),
    ("standby.replicas", "standby.replicas"),
    ("starts_max", "maxStarts"),
    ("scale_down_limit.replicas", "behavior.scaleDown.limit.replicas"),
    ("scale_down_limit.period", "behavior.scaleDown.limit.period"),
    ("scale_down_window", "behavior.scaleDown.stabilizationWindow"),
    ("slo.quantile", "slo.quantile"),
    ("slo.threshold", "slo.ttft"),
    ("cold_start_prior.p50", "coldStart.p50"),
    ("cold_start_prior.p90", "coldStart.p90"),
    ("service_time_prior", "serviceTime"),
    ("backlog_drain_time", "backlogDrainTime"),
    ("drain_timeout", "drainTimeout"),
    ("tick_interval", "tickInterval"),
    ("staleness_max", "staleness"),
    ("arrival_window", "arrivalWindow"),
];

fn in_file_words(error: &PolicyError) -> Problem {
    let translate = |text: &str| {
        KEYS.iter().fold(text.to_owned(), |text, (field, key)| text.replace(field, key))
    };
    let (key, allowed) = (translate(error.key), translate(&error.allowed));
    Problem::OutOfRange { key, value: error.value.clone(), allowed }
}

/// Where a field was given; for one left at its default, where the key that it collides with was.
fn key_at(field: &str, wire: &PoolWire) -> Option<Location> {
    let scale_down = &wire.behavior.scale_down;
    match field {
        "replicas_min" => at(&wire.min_replicas).or(at(&wire.max_replicas)),
        "replicas_max" => at(&wire.max_replicas),
        "standby.replicas" => at(&wire.standby).or(at(&wire.max_replicas)),
        "starts_max" => at(&wire.max_starts),
        "scale_down_limit.replicas" => at(&scale_down.limit.replicas),
        "scale_down_limit.period" => at(&scale_down.limit.period),
        "scale_down_window" => at(&scale_down.stabilization_window),
        "slo.quantile" => at(&wire.slo.quantile),
        "slo.threshold" => at(&wire.slo.ttft),
        "cold_start_prior.p90" => at(&wire.cold_start.p90),
        "service_time_prior" => at(&wire.service_time),
        "backlog_drain_time" => at(&wire.backlog_drain_time),
        "drain_timeout" => at(&wire.drain_timeout),
        "tick_interval" => at(&wire.tick_interval),
        "staleness_max" => at(&wire.staleness).or(at(&wire.tick_interval)),
        "arrival_window" => at(&wire.arrival_window).or(at(&wire.tick_interval)),
        _ => None,
    }
}

/// Checks what pools must not share, and whether the GPUs suffice for every minimum at once.
pub(super) fn check_together(
    pools: &[(PoolConfig, PoolPlace)],
    gpu_slots: Option<u32>,
    gpu_slots_at: Option<Location>,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    let mut pool_by_model: BTreeMap<&str, &str> = BTreeMap::new();
    for (index, (pool, place)) in pools.iter().enumerate() {
        for (other, other_place) in &pools[..index] {
            // File systems may not tell `A` from `a`.
            let same = other.name.eq_ignore_ascii_case(&pool.name);
            source.require(!same, Some(place.name), || Problem::PoolDuplicated {
                name: pool.name.clone(),
                first_line: other_place.name.line(),
            })?;
            let (ports, other_ports) = (pool.engine.ports, other.engine.ports);
            source.require(!ports.overlaps(other_ports), Some(place.ports), || {
                Problem::PortsOverlap { ports, other: other.name.clone(), other_ports }
            })?;
        }
        for model in &pool.model_names {
            let before = pool_by_model.insert(model, &pool.name);
            source.require(before.is_none(), Some(place.whole), || Problem::ModelDuplicated {
                model: model.clone(),
                pool: before.unwrap_or_default().to_owned(),
            })?;
        }
    }
    for (pool, place) in pools {
        quota::check(&place.quota, pool.engine.gpus_per_replica, gpu_slots, source)?;
    }
    let Some(slots) = gpu_slots else { return Ok(()) };
    for (pool, place) in pools {
        let gpus = pool.engine.gpus_per_replica;
        source.require(gpus <= slots, place.gpus.or(gpu_slots_at), || {
            let allowed = format!("at most gpuSlots, which is {slots}");
            Problem::out_of_range("engine.gpusPerReplica", gpus, allowed)
        })?;
    }
    let minimum = |pool: &PoolConfig| {
        u64::from(pool.engine.gpus_per_replica) * u64::from(pool.policy.spec().replicas_min.0)
    };
    let needed: u64 = pools.iter().map(|(pool, _)| minimum(pool)).sum();
    let detail = || {
        let part = |(pool, _): &(PoolConfig, PoolPlace)| {
            let (gpus, min) = (pool.engine.gpus_per_replica, pool.policy.spec().replicas_min);
            format!("{gpus} × {min} of pool `{}`", pool.name)
        };
        let parts: Vec<String> = pools.iter().map(part).collect();
        format!("gpusPerReplica × minReplicas: {}", parts.join(" + "))
    };
    source.require(u64::from(slots) >= needed, gpu_slots_at, || Problem::GpuSlotsTooFew {
        slots,
        needed,
        detail: detail(),
    })
}

/// A listener inside a pool's ports would be taken for a replica, or take a replica's port.
pub(super) fn check_listener(
    pools: &[(PoolConfig, PoolPlace)],
    key: &'static str,
    listen: std::net::SocketAddr,
    location: Option<Location>,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    for (pool, place) in pools {
        let ports = pool.engine.ports;
        source.require(!ports.contains(listen.port()), location.or(Some(place.ports)), || {
            Problem::ListenInPorts { key, listen, pool: pool.name.clone(), ports }
        })?;
    }
    Ok(())
}

/// Where the limits of the hold queue stand in the file.
pub(super) struct HoldPlace {
    pub(super) timeout: Option<Location>,
    pub(super) requests_max: Option<Location>,
}

/// A pool that starts from zero starts for requests that are held: there must be room for one, and
/// it must be held for as long as a start takes.
pub(super) fn check_hold(
    pools: &[(PoolConfig, PoolPlace)],
    hold: HoldConfig,
    hold_at: &HoldPlace,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    for (pool, place) in pools {
        let spec = pool.policy.spec();
        if spec.replicas_min.0 > 0 {
            continue;
        }
        let here = Some(place.whole);
        source.require(hold.requests_max > 0, hold_at.requests_max.or(here), || {
            let allowed = format!("at least 1, as pool `{}` starts from zero", pool.name);
            Problem::out_of_range("gateway.hold.requestsMax", hold.requests_max, allowed)
        })?;
        let (timeout, p90) = (hold.timeout, spec.cold_start_prior.p90);
        source.require(timeout >= p90, hold_at.timeout.or(here), || {
            Problem::HoldShorterThanColdStart { pool: pool.name.clone(), timeout, p90 }
        })?;
    }
    Ok(())
}
