//! What a pool's newest past cost, beside what the offline optimum would have spent on the same
//! requests.
//!
//! **Invariant:** the figures are those of [`super::WhatIf`] for the pool as it is configured.

use std::time::Duration;

use preheat_core::Instant;
use preheat_engine::EngineProfile;

use super::check::{Case, Configured, REQUESTS_MAX};
use crate::backtest::{Happened, History, HistoryError, Retold};
use crate::error::CompareError;
use crate::optimum::Optimum;
use crate::pool::PoolError;

/// The longest past that is looked at.
pub const SPENT_OVER: Duration = Duration::from_secs(24 * 3600);
/// Of a shorter past the optimum is not told: the fleet that it began with makes up most of it.
const SHORTEST: Duration = Duration::from_secs(10 * 60);

/// What was spent, and what would have been.
#[derive(Debug)]
pub struct Spent {
    /// When the past begins: later than it was read from where more came than is planned for.
    pub from: Instant,
    /// When it ends.
    pub until: Instant,
    /// What was measured; absent where nobody told of replicas.
    pub happened: Option<Happened>,
    /// GPU-hours that no plan of the slot model undercuts at the attainment that the SLO asks for.
    pub optimum_gpu_hours: Result<f64, SpentError>,
}

/// Why there is no optimum.
#[derive(Debug, thiserror::Error)]
pub enum SpentError {
    /// Too little has been seen.
    #[error("the journal has less than {} minutes of it", SHORTEST.as_secs() / 60)]
    Short,
    /// There is no traffic in it.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// There can be no such pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// It is more than can be planned.
    #[error(transparent)]
    Plan(#[from] CompareError),
}

impl Configured {
    /// What `retold`, a past of this pool, cost, where its replicas have so many GPUs each; unless
    /// given, those of the engine that it is taken to have.
    pub fn spent(&self, mut retold: Retold, gpus_per_replica: Option<u32>) -> Spent {
        let first = planned_from(&retold.history);
        retold.begin = retold.begin.saturating_add(retold.history.step * first as u32);
        let history = &mut retold.history;
        history.steps.drain(..first);
        let case = self.as_configured();
        let gpus = gpus_per_replica.unwrap_or_else(|| {
            EngineProfile::find(&case.setup.profile).map_or(1, |profile| profile.gpus)
        });
        let case = case.on_past(history.cold_start_median(), &retold.scheduled);
        Spent {
            from: retold.begin,
            until: retold.begin.saturating_add(history.step * history.steps.len() as u32),
            happened: history.happened(gpus, case.setup.cold_start),
            optimum_gpu_hours: optimum(&case, history, gpus),
        }
    }
}

fn optimum(case: &Case, history: &History, gpus: u32) -> Result<f64, SpentError> {
    if history.step * (history.steps.len() as u32) < SHORTEST {
        return Err(SpentError::Short);
    }
    let (trace, _) = history.trace(case.setup.seed)?;
    let mut workload = case.setup.workload_of_past(String::new(), trace)?;
    workload.config.gpus_per_replica = gpus;
    let attainment = workload.config.bounds.attainment_slo;
    Ok(Optimum::of(&workload)?.bound_gpu_hours(attainment)?)
}

/// The first step of the newest stretch that has no more requests than are planned for.
fn planned_from(history: &History) -> usize {
    let mut came = 0.0;
    let newest_first = history.steps.iter().rev().take_while(|step| {
        came += step.arrivals.unwrap_or(0.0);
        came <= REQUESTS_MAX
    });
    history.steps.len() - newest_first.count()
}
