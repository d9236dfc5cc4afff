//! From arguments to a workload: traffic on a pool of the simulated world.

use std::time::Duration;

use preheat_compare::{PoolError, PoolSetup, Workload};
use preheat_core::{ColdStartPrior, Concurrency, PolicySpec, Probability, ReplicaCount, Standby};
use preheat_traffic::Trace;

use crate::cli::PoolArgs;
use crate::failure::hinted;

/// Time from order to ready where nobody says and nothing was seen.
const COLD_START_DEFAULT: Duration = Duration::from_secs(180);

/// Puts a trace on the pool that the arguments describe.
pub(crate) fn workload(args: &PoolArgs, name: String, trace: Trace) -> anyhow::Result<Workload> {
    setup(args, cold_start(args))?.workload(name, trace).map_err(refused)
}

/// Time from order to ready, as given or as usual.
pub(crate) fn cold_start(args: &PoolArgs) -> Duration {
    args.cold_start.unwrap_or(COLD_START_DEFAULT)
}

/// The pool that the arguments describe, with this cold start: the defaults of one that is told its
/// bounds, its SLO, and how long a start takes.
pub(crate) fn setup(args: &PoolArgs, cold_start: Duration) -> anyhow::Result<PoolSetup> {
    let max_num_seqs = match args.max_num_seqs {
        None => None,
        Some(slots) => Some(
            Concurrency::new(slots)
                .ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))?,
        ),
    };
    let mut spec = PolicySpec {
        replicas_min: ReplicaCount(args.min_replicas),
        replicas_max: ReplicaCount(args.max_replicas),
        slo_tpot: args.slo_tpot,
        cold_start_prior: ColdStartPrior { p50: cold_start, p90: cold_start },
        standby: standby(args)?,
        ..PolicySpec::default()
    };
    spec.slo.threshold = args.slo_ttft;
    spec.slo.quantile = Probability::new(args.slo_quantile)
        .ok_or_else(|| hinted("--slo-quantile is no ratio", "give 0.99 for P99"))?;
    Ok(PoolSetup {
        profile: args.profile.clone(),
        max_num_seqs,
        spec,
        cold_start,
        replicas_initial: args.initial_replicas,
        scheduled: args.schedule.clone(),
        seed: args.seed,
    })
}

/// Says what to do about a pool that can't be.
pub(crate) fn refused(error: PoolError) -> anyhow::Error {
    match error {
        PoolError::Scheduled { announced, max } => hinted(
            format!("--schedule asks for {announced}, above --max-replicas"),
            format!("ask for at most {max}, or raise --max-replicas"),
        ),
        PoolError::Profile { .. } | PoolError::Policy(_) => error.into(),
    }
}

/// The rung that replicas sleep on, if they do.
fn standby(args: &PoolArgs) -> anyhow::Result<Option<Standby>> {
    let Some(price) = args.standby_price else { return Ok(None) };
    let price = Probability::new(price).ok_or_else(|| {
        hinted("--standby-price is no ratio", "give 0.25 for a quarter of an awake one's price")
    })?;
    Ok(Some(Standby { price, wake_prior: args.standby_wake, replicas: None }))
}
