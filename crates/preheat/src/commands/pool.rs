//! From arguments to a workload: traffic on a pool of the simulated world.

use preheat_compare::Workload;
use preheat_core::{ColdStartPrior, Concurrency, PolicySpec, Probability, ReplicaCount, Standby};
use preheat_emulator::find_profile;
use preheat_engine::{EngineConfig, SleepProfile};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::run::{ReplicasInitial, SimulationConfig};
use preheat_sim::view::PoolBounds;
use preheat_traffic::Trace;

use crate::cli::PoolArgs;
use crate::failure::hinted;

/// Puts a trace on the pool that the arguments describe.
pub(crate) fn workload(args: &PoolArgs, name: String, trace: Trace) -> anyhow::Result<Workload> {
    let config = config(args)?;
    // Whatever preheat would refuse is refused now, and not after an hour of other runs.
    let spec = spec(args)?.validate()?.into();
    Ok(Workload { name, profile: args.profile.clone(), trace, config, spec })
}

fn config(args: &PoolArgs) -> anyhow::Result<SimulationConfig> {
    let profile = find_profile(&args.profile)?;
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(seqs) = args.max_num_seqs {
        engine.max_num_seqs = Concurrency::new(seqs)
            .ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))?;
    }
    let bounds = PoolBounds {
        replicas_min: args.min_replicas,
        replicas_max: args.max_replicas,
        ttft_slo: args.slo_ttft,
        attainment_slo: args.slo_quantile,
        tpot_slo: args.slo_tpot,
    };
    let startup = ColdStartConfig::Fixed(args.cold_start);
    let mut config = SimulationConfig::new(engine, bounds, startup);
    config.gpus_per_replica = profile.gpus;
    config.seed = args.seed;
    if let Some(standby) = standby(args)? {
        config.standby_price = standby.price.get();
        config.engine.sleep = SleepProfile::fixed(config.engine.sleep.offload, standby.wake_prior);
    }
    if let Some(entry) = args.schedule.iter().find(|entry| entry.replicas.0 > args.max_replicas) {
        return Err(hinted(
            format!("--schedule asks for {}, above --max-replicas", entry.replicas),
            format!("ask for at most {}, or raise --max-replicas", args.max_replicas),
        ));
    }
    config.scheduled.clone_from(&args.schedule);
    if let Some(count) = args.initial_replicas {
        config.replicas_initial = ReplicasInitial::Count(count);
    }
    Ok(config)
}

/// The rung that replicas sleep on, if they do.
fn standby(args: &PoolArgs) -> anyhow::Result<Option<Standby>> {
    let Some(price) = args.standby_price else { return Ok(None) };
    let price = Probability::new(price).ok_or_else(|| {
        hinted("--standby-price is no ratio", "give 0.25 for a quarter of an awake one's price")
    })?;
    Ok(Some(Standby { price, wake_prior: args.standby_wake, replicas: None }))
}

/// The defaults of a pool that is told its bounds, its SLO, and how long a start takes.
fn spec(args: &PoolArgs) -> anyhow::Result<PolicySpec> {
    let mut spec = PolicySpec {
        replicas_min: ReplicaCount(args.min_replicas),
        replicas_max: ReplicaCount(args.max_replicas),
        slo_tpot: args.slo_tpot,
        cold_start_prior: ColdStartPrior { p50: args.cold_start, p90: args.cold_start },
        standby: standby(args)?,
        ..PolicySpec::default()
    };
    spec.slo.threshold = args.slo_ttft;
    spec.slo.quantile = Probability::new(args.slo_quantile)
        .ok_or_else(|| hinted("--slo-quantile is no ratio", "give 0.99 for P99"))?;
    Ok(spec)
}
