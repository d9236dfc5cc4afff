//! One pool: its names, its policy, its engine; and what pools may not share.

use std::collections::BTreeMap;

use preheat_core::Policy;
use serde_saphyr::{Location, Spanned};

use super::HoldConfig;
use super::engine::{EmulatedColdStart, EngineConfig};
use super::error::{ConfigError, Problem, Source};
use super::quota::{self, QuotaConfig};
use super::schedules;
use super::values::{DurationText, at};
use super::wire::{PoolWire, StandbyWire};
use crate::name::is_name;
use crate::pool_keys::{KeyError, PoolKeys, StandbyKeys};
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
    if let Some(standby) = &wire.standby {
        let StandbyWire { price, replicas, .. } = &standby.value;
        let problem = || Problem::StandbyPriceMissing;
        let given = price.is_some() || replicas.is_some();
        source.require(given, Some(standby.referenced), problem)?;
    }
    keys(wire).policy().map_err(|KeyError { key, value, allowed }| {
        let location = key_at(&key, wire).unwrap_or(pool_at);
        source.error(Some(location), Problem::OutOfRange { key, value, allowed })
    })
}

fn keys(wire: &PoolWire) -> PoolKeys {
    fn value<T: Copy>(given: &Option<Spanned<T>>) -> Option<T> {
        given.as_ref().map(|spanned| spanned.value)
    }
    let time = |given: &Option<Spanned<DurationText>>| value(given).map(|text| text.0);
    let scale_down = &wire.behavior.scale_down;
    PoolKeys {
        min_replicas: value(&wire.min_replicas),
        max_replicas: value(&wire.max_replicas),
        standby: wire.standby.as_ref().map(|standby| StandbyKeys {
            price: value(&standby.value.price),
            wake: time(&standby.value.wake),
            replicas: value(&standby.value.replicas),
        }),
        max_starts: value(&wire.max_starts),
        slo_ttft: time(&wire.slo.ttft),
        slo_tpot: time(&wire.slo.tpot),
        slo_quantile: value(&wire.slo.quantile),
        max_concurrency: value(&wire.max_concurrency),
        service_time: time(&wire.service_time),
        cold_start_p50: time(&wire.cold_start.p50),
        cold_start_p90: time(&wire.cold_start.p90),
        drain_timeout: time(&wire.drain_timeout),
        stabilization_window: time(&scale_down.stabilization_window),
        limit_replicas: value(&scale_down.limit.replicas),
        limit_share: value(&scale_down.limit.share),
        limit_period: time(&scale_down.limit.period),
        backlog_drain_time: time(&wire.backlog_drain_time),
        arrival_window: time(&wire.arrival_window),
        tick_interval: time(&wire.tick_interval),
        staleness: time(&wire.staleness),
    }
}

/// Where a key was given; for one left at its default, where the key that it collides with was.
fn key_at(key: &str, wire: &PoolWire) -> Option<Location> {
    let limit = &wire.behavior.scale_down.limit;
    match key {
        "minReplicas" => at(&wire.min_replicas).or(at(&wire.max_replicas)),
        "maxReplicas" => at(&wire.max_replicas),
        "standby.price" => wire.standby.as_ref().and_then(|standby| at(&standby.value.price)),
        "standby.replicas" => at(&wire.standby).or(at(&wire.max_replicas)),
        "maxStarts" => at(&wire.max_starts),
        "maxConcurrency" => at(&wire.max_concurrency),
        "behavior.scaleDown.limit.replicas" => at(&limit.replicas),
        "behavior.scaleDown.limit.share" => at(&limit.share),
        "behavior.scaleDown.limit.period" => at(&limit.period),
        "behavior.scaleDown.stabilizationWindow" => {
            at(&wire.behavior.scale_down.stabilization_window)
        }
        "slo.quantile" => at(&wire.slo.quantile),
        "slo.ttft" => at(&wire.slo.ttft),
        "slo.tpot" => at(&wire.slo.tpot),
        "coldStart.p90" => at(&wire.cold_start.p90),
        "serviceTime" => at(&wire.service_time),
        "backlogDrainTime" => at(&wire.backlog_drain_time),
        "drainTimeout" => at(&wire.drain_timeout),
        "tickInterval" => at(&wire.tick_interval),
        "staleness" => at(&wire.staleness).or(at(&wire.tick_interval)),
        "arrivalWindow" => at(&wire.arrival_window).or(at(&wire.tick_interval)),
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
