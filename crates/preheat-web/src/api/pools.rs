//! Fleet, pool, and a pool's history.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use preheat_api::status::Status;
use preheat_api::v1::{Fleet, Pool, Span};
use serde::Deserialize;

use super::{Api, Refusal, fresh, no_such_pool};
use crate::history::{self, Range};

/// Steps of a history unless told otherwise.
const POINTS_DEFAULT: u32 = 600;

pub(crate) async fn fleet(State(api): State<Api>) -> Result<Response, Refusal> {
    let fleet = api.blocking(|api| Ok(api.fleet())).await?;
    Ok(fresh(fleet))
}

pub(crate) async fn pool(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(name) = path?;
    let pool = api.blocking(move |api| api.pool(&name)).await?;
    Ok(fresh(pool))
}

/// What part of a history is asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    from_s: f64,
    until_s: f64,
    points: Option<u32>,
}

pub(crate) async fn history(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (Path(name), Query(query)) = (path?, query?);
    let points = query.points.unwrap_or(POINTS_DEFAULT);
    let range = Range::new(query.from_s, query.until_s, points).ok_or_else(|| {
        Refusal::bad("from_s and until_s must be seconds since the origin, from_s the smaller, and at most a year apart")
    })?;
    let history = api.blocking(move |api| {
        let reader = api.reader()?;
        if reader.span(&name)?.is_none() {
            return Err(no_such_pool(&name, &reader.pools()?));
        }
        Ok(history::read(&reader, &api.minutes, &name, range)?)
    });
    Ok(fresh(history.await?))
}

impl Api {
    /// Every pool. Blocks where the status comes from a file.
    pub(super) fn fleet(&self) -> Fleet {
        let status = (self.source.status)();
        let mut fleet = Fleet::of(&status, self.source.live);
        self.work_out_spending(&status);
        for pool in &mut fleet.pools {
            pool.spent = self.spending.of(&pool.pool);
        }
        fleet
    }

    /// One pool, with what the journal has of it. Blocks.
    pub(super) fn pool(&self, name: &str) -> Result<Pool, Refusal> {
        let status = (self.source.status)();
        let pool = Pool::of(&status, name, self.source.live, self.recorded(name));
        let mut pool = pool.ok_or_else(|| no_such_pool(name, &names(&status)))?;
        self.work_out_spending(&status);
        pool.summary.spent = self.spending.of(name);
        let board = self.source.controls.as_deref();
        pool.controls = board.and_then(|board| board.get(name, status.clock.now).ok());
        Ok(pool)
    }

    fn work_out_spending(&self, status: &Status) {
        if let Some(journal) = &self.source.journal {
            self.spending.refresh(&status.pools, journal, &self.simulations);
        }
    }

    /// `None` as well while the journal can't be read: then its own requests say why.
    fn recorded(&self, pool: &str) -> Option<Span> {
        let (from, until) = self.reader().ok()?.span(pool).ok()??;
        Some(Span { from_s: from.as_secs_f64(), until_s: until.as_secs_f64() })
    }
}

fn names(status: &Status) -> Vec<String> {
    status.pools.iter().map(|pool| pool.pool.clone()).collect()
}
