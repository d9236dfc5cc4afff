//! The pool: engine, bounds, SLO, cold start, machines, and what preheat is told of them.

use std::time::Duration;

use preheat_core::{
    ColdStartPrior, Concurrency, Policy, PolicyError, PolicySpec, Probability, ReplicaCount,
    Standby,
};
use preheat_engine::{
    CompileCache, EngineConfig, EngineProfile, ImageSource, ShiftedLogNormal, SleepProfile,
    StartupInputs, StartupProfile, WeightsSource,
};
use preheat_sim::cold_start::{ColdStartConfig, GpuSupply};
use preheat_sim::router::Router;
use preheat_sim::run::{Drain, ReplicasInitial, ScaleDown, SimulationConfig, Victim};
use preheat_sim::view::PoolBounds;
use serde_saphyr::{Location, Spanned};

use crate::error::{ScenarioError, Source, out_of_range};
use crate::values::{at, at_least_one, duration_or, number, one_of, share};
use crate::wire::{
    ColdStartWire, CompileCacheWire, DrainWire, EngineWire, PerNodeWire, PhaseWire, PhasesWire,
    RouterWire, ScaleDownWire, ScenarioWire, VictimWire, WeightsWire,
};

/// Kubernetes' default.
const GRACE_DEFAULT: Duration = Duration::from_secs(30);
/// As fast as images are commonly pulled and unpacked.
const IMAGE_BYTES_PER_SEC_DEFAULT: u64 = 200_000_000;
/// As the engine model allows it.
const SIGMA: std::ops::RangeInclusive<f64> = 0.0..=9.0;

/// The simulated pool, without what goes wrong, and preheat's policy for it.
pub(crate) fn resolve(
    wire: &ScenarioWire,
    seed: u64,
    source: &Source<'_>,
) -> Result<(SimulationConfig, Policy), ScenarioError> {
    let (profile, mut engine) = engine(&wire.engine.value, source)?;
    let (startup, believed) = cold_start(&wire.cold_start, profile, source)?;
    let mut spec = PolicySpec { cold_start_prior: believed, ..PolicySpec::default() };
    let replicas = &wire.replicas.value;
    spec.replicas_min = ReplicaCount(replicas.min.as_ref().map_or(1, |min| min.value));
    spec.replicas_max = ReplicaCount(replicas.max.value);
    if let Some(slo) = &wire.slo {
        spec.slo.threshold = duration_or(&slo.ttft, spec.slo.threshold);
        spec.slo.quantile = share("slo.quantile", &slo.quantile, spec.slo.quantile.get(), source)?;
        spec.slo_tpot = slo.tpot.as_ref().map(|tpot| tpot.value.0);
    }
    let mut standby_price = 1.0;
    if let Some(standby) = &wire.standby {
        let price = share("standby.price", &standby.price, 1.0, source)?;
        standby_price = price.get();
        let to_sleep = duration_or(&standby.sleep, engine.sleep.offload);
        let to_wake = duration_or(&standby.wake, engine.sleep.wake_offloaded);
        engine.sleep = SleepProfile::fixed(to_sleep, to_wake);
        let replicas = standby.replicas.as_ref().map(|replicas| ReplicaCount(replicas.value));
        spec.standby = Some(Standby { price, wake_prior: to_wake, replicas });
    }
    if let Some(scale_down) = &wire.scale_down {
        spec.drain_timeout = duration_or(&scale_down.drain_timeout, spec.drain_timeout);
    }
    let policy = spec.validate().map_err(|error| {
        let (key, place) = in_file_words(&error, wire);
        let allowed = error.allowed.replace("replicas_max", "replicas.max");
        source.error(place, out_of_range(key, &error.value, &allowed))
    })?;
    let spec = policy.spec();
    let bounds = PoolBounds {
        replicas_min: spec.replicas_min.0,
        replicas_max: spec.replicas_max.0,
        ttft_slo: spec.slo.threshold,
        attainment_slo: spec.slo.quantile.get(),
        tpot_slo: spec.slo_tpot,
    };
    let initial = replicas.initial.as_ref();
    let mut config = SimulationConfig {
        gpus_per_replica: profile.gpus,
        seed,
        standby_price,
        router: wire.router.as_ref().map_or_else(Router::default, |router| router.value.into()),
        scale_down: scale_down(wire.scale_down.as_ref(), source)?,
        ..SimulationConfig::new(engine, bounds, startup)
    };
    if let Some(initial) = initial {
        let (min, max) = (bounds.replicas_min, bounds.replicas_max);
        source.require((min..=max).contains(&initial.value), Some(initial.referenced), || {
            let allowed = format!("from replicas.min, which is {min}, to replicas.max, {max}");
            out_of_range("replicas.initial", initial.value, &allowed)
        })?;
        config.replicas_initial = ReplicasInitial::Count(initial.value);
    }
    config.start_timeout = duration_or(&wire.cold_start.value.timeout, config.start_timeout);
    if let Some(gpus) = &wire.gpus {
        let nodes = at_least_one("gpus.nodes", &gpus.nodes, source)?;
        let gpus_each = gpus.gpus_each.value;
        source.require(gpus_each >= profile.gpus, Some(gpus.gpus_each.referenced), || {
            let allowed = format!("at least {}, which one replica has", profile.gpus);
            out_of_range("gpus.gpusEach", gpus_each, &allowed)
        })?;
        config.gpus = GpuSupply::Nodes { nodes, gpus_each };
    }
    Ok((config, policy))
}

fn engine(
    wire: &EngineWire,
    source: &Source<'_>,
) -> Result<(&'static EngineProfile, EngineConfig), ScenarioError> {
    let name = &wire.profile;
    let profile = EngineProfile::find(&name.value).ok_or_else(|| {
        let known: Vec<&str> = EngineProfile::all().iter().map(|profile| profile.name).collect();
        let allowed = format!("one of {}", known.join(", "));
        source.error(Some(name.referenced), out_of_range("engine.profile", &name.value, &allowed))
    })?;
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(seqs) = &wire.max_num_seqs {
        let slots = at_least_one("engine.maxNumSeqs", seqs, source)?;
        engine.max_num_seqs = Concurrency::new(slots).unwrap_or(engine.max_num_seqs);
        engine.check().map_err(|error| source.error(Some(seqs.referenced), error.to_string()))?;
    }
    Ok((profile, engine))
}

/// How starts go, and what preheat believes of them before it has seen one.
fn cold_start(
    wire: &Spanned<ColdStartWire>,
    profile: &EngineProfile,
    source: &Source<'_>,
) -> Result<(ColdStartConfig, ColdStartPrior), ScenarioError> {
    let ColdStartWire { fixed, phases, per_node, believed, .. } = &wire.value;
    let given = [("fixed", at(fixed)), ("phases", at(phases)), ("perNode", at(per_node))];
    one_of("`coldStart`", &given, wire.referenced, source)?;
    let (config, first) = if let Some(phases) = phases {
        let profile = self::phases(&phases.value, source)?;
        (ColdStartConfig::Profile(profile), profile)
    } else if let Some(per_node) = per_node {
        let inputs = inputs(&per_node.value, profile);
        (ColdStartConfig::per_node(inputs), StartupProfile::from_inputs(&inputs))
    } else {
        let total = duration_or(fixed, Duration::ZERO);
        (ColdStartConfig::Fixed(total), StartupProfile::fixed(total))
    };
    // The sum of quantiles is not the quantile of the sum, but above it: a careful belief.
    let sum = |level: f64| {
        let level = Probability::saturating(level);
        let all = [&first.pulling, &first.loading, &first.warming];
        all.iter().fold(Duration::ZERO, |sum, phase| sum.saturating_add(phase.quantile(level)))
    };
    let prior = believed.as_ref().map_or_else(
        || ColdStartPrior { p50: sum(0.5), p90: sum(0.9) },
        |given| ColdStartPrior { p50: given.p50.value.0, p90: given.p90.value.0 },
    );
    Ok((config, prior))
}

fn phases(wire: &PhasesWire, source: &Source<'_>) -> Result<StartupProfile, ScenarioError> {
    let phase = |name: &str, wire: &Option<Spanned<PhaseWire>>| {
        wire.as_ref().map_or(Ok(ShiftedLogNormal::ZERO), |wire| phase(name, wire, source))
    };
    Ok(StartupProfile {
        pulling: phase("pulling", &wire.pulling)?,
        loading: phase("loading", &wire.loading)?,
        warming: phase("warming", &wire.warming)?,
        never: share("coldStart.phases.never", &wire.never, 0.0, source)?,
    })
}

fn phase(
    name: &str,
    wire: &Spanned<PhaseWire>,
    source: &Source<'_>,
) -> Result<ShiftedLogNormal, ScenarioError> {
    let PhaseWire { min, median, sigma } = &wire.value;
    let key = |last: &str| format!("coldStart.phases.{name}.{last}");
    let min_time = duration_or(min, Duration::ZERO);
    let rest = median.value.0.checked_sub(min_time).ok_or_else(|| {
        let allowed = format!("at least min, which is {min_time:?}");
        let message = out_of_range(&key("median"), format!("{:?}", median.value.0), &allowed);
        source.error(Some(median.referenced), message)
    })?;
    let sigma_value =
        sigma.as_ref().map_or(Ok(0.0), |sigma| number(&key("sigma"), sigma, SIGMA, source))?;
    // Inside the range that was just checked.
    Ok(ShiftedLogNormal::new(min_time, rest, sigma_value).unwrap_or(ShiftedLogNormal::ZERO))
}

fn inputs(wire: &PerNodeWire, profile: &EngineProfile) -> StartupInputs {
    let per_sec = wire.image_bytes_per_sec.as_ref();
    let bytes_per_sec = per_sec.map_or(IMAGE_BYTES_PER_SEC_DEFAULT, |rate| rate.value);
    StartupInputs {
        image: wire.image_bytes.as_ref().map_or(ImageSource::Cached, |bytes| {
            ImageSource::Registry { bytes: bytes.value, bytes_per_sec }
        }),
        weights_bytes: wire.weights_bytes.as_ref().map_or(profile.weights_bytes, |b| b.value),
        weights: match wire.weights.value {
            WeightsWire::RemoteStore => WeightsSource::RemoteStore,
            WeightsWire::LocalNvme => WeightsSource::LocalNvme,
            WeightsWire::PageCache => WeightsSource::PageCache,
        },
        compile_cache: match wire.compile_cache.as_ref().map(|cache| cache.value) {
            Some(CompileCacheWire::Hit) => CompileCache::Hit,
            Some(CompileCacheWire::Miss) | None => CompileCache::Miss,
        },
    }
}

fn scale_down(
    wire: Option<&ScaleDownWire>,
    source: &Source<'_>,
) -> Result<ScaleDown, ScenarioError> {
    let Some(wire) = wire else {
        return Ok(ScaleDown { victim: Victim::Newest, drain: Drain::Graceful });
    };
    let kills = matches!(wire.drain.as_ref().map(|drain| drain.value), Some(DrainWire::Kill));
    source.require(kills || wire.grace.is_none(), at(&wire.grace), || {
        "`scaleDown.grace` has no meaning without `drain: kill`".to_owned()
    })?;
    Ok(ScaleDown {
        victim: match wire.victim.as_ref().map(|victim| victim.value) {
            Some(VictimWire::Random) => Victim::Random,
            Some(VictimWire::Newest) | None => Victim::Newest,
        },
        drain: if kills {
            Drain::Kill { grace: duration_or(&wire.grace, GRACE_DEFAULT) }
        } else {
            Drain::Graceful
        },
    })
}

impl From<RouterWire> for Router {
    fn from(wire: RouterWire) -> Self {
        match wire {
            RouterWire::LeastOutstanding => Self::LeastOutstanding,
            RouterWire::RoundRobin => Self::RoundRobin,
            RouterWire::CentralQueue => Self::CentralQueue,
        }
    }
}

/// The file's key for a field of the policy, and where it stands.
fn in_file_words(error: &PolicyError, wire: &ScenarioWire) -> (&'static str, Option<Location>) {
    let replicas = &wire.replicas.value;
    let whole = Some(wire.replicas.referenced);
    let slo = wire.slo.as_ref();
    let believed = wire.cold_start.value.believed.as_ref();
    let standby = wire.standby.as_ref();
    let scale_down = wire.scale_down.as_ref();
    match error.key {
        "replicas_min" => ("replicas.min", at(&replicas.min).or(whole)),
        "replicas_max" => ("replicas.max", Some(replicas.max.referenced)),
        "slo.threshold" => ("slo.ttft", slo.and_then(|slo| at(&slo.ttft))),
        "slo_tpot" => ("slo.tpot", slo.and_then(|slo| at(&slo.tpot))),
        "slo.quantile" => ("slo.quantile", slo.and_then(|slo| at(&slo.quantile))),
        "standby.replicas" => {
            ("standby.replicas", standby.and_then(|standby| at(&standby.replicas)))
        }
        "drain_timeout" => {
            ("scaleDown.drainTimeout", scale_down.and_then(|wire| at(&wire.drain_timeout)))
        }
        "cold_start_prior.p90" => {
            ("coldStart.believed.p90", believed.map(|believed| believed.p90.referenced))
        }
        other => (other, None),
    }
}
