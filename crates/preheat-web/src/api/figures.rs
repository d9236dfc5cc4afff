//! The figures of a pool's past, for who sizes with them: of a journal's pools, or of what was recorded
//! elsewhere.

use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use preheat_api::status::PoolStatus;
use preheat_compare::backtest::{Beside, PastFigures};

use super::{Api, Refusal, fresh, no_such_pool};
use crate::past;
use crate::simulations::Full;

/// The past that is looked at in a journal: a day has its busiest and its quiet hours.
const PAST: Duration = Duration::from_secs(24 * 3600);

/// Names of those that have a past.
pub(crate) async fn pasts(State(api): State<Api>) -> Result<Response, Refusal> {
    Ok(fresh(api.blocking(|api| Ok(api.pasts())).await?))
}

pub(crate) async fn figures(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(name) = path?;
    if let Some(figures) = api.source.figures.as_deref().filter(|figures| figures.pool == name) {
        return Ok(fresh(figures));
    }
    // A day of a journal is a second or two of a core.
    let Some(turn) = api.simulations.turn().await else { return Err(Full.into()) };
    let figures = api.blocking(move |api| {
        let figures = api.figures(&name);
        drop(turn);
        figures
    });
    Ok(fresh(figures.await?))
}

impl Api {
    /// Blocks where the status comes from a file.
    fn pasts(&self) -> Vec<String> {
        let elsewhere = self.source.figures.iter().map(|figures| figures.pool.clone());
        let mut names: Vec<String> = elsewhere.collect();
        if self.source.journal.is_some() {
            let decided = (self.source.status)().pools.into_iter().filter(|p| p.decision.is_some());
            names.extend(decided.map(|pool| pool.pool));
        }
        names
    }

    fn figures(&self, name: &str) -> Result<PastFigures, Refusal> {
        let status = (self.source.status)();
        let Some(pool) = status.pools.iter().find(|pool| pool.pool == name) else {
            return Err(no_such_pool(name, &self.pasts()));
        };
        let (retold, _) = past::read(&self.reader()?, name, PAST, None, &mut |_| true)
            .map_err(|error| Refusal::bad(error).with_hint("type the figures that you know"))?;
        Ok(PastFigures::of(name, &retold.history, &beside(pool)))
    }
}

/// What the pool's last decision knew.
fn beside(pool: &PoolStatus) -> Beside {
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let decision = pool.decision.as_ref();
    Beside {
        told_by: "what its last decision knew".to_owned(),
        cold_start: decision.and_then(|decision| seconds(decision.cold_start_p50_s)),
        slo_ttft: pool.slo.as_ref().and_then(|slo| seconds(slo.threshold_s)),
        max_num_seqs: decision.map(|decision| decision.concurrency_cap),
        latency: decision.and_then(|decision| seconds(decision.service_time_s)),
        profile: None,
    }
}
