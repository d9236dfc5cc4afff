//! What if a pool had been scaled in another way: its journal's past, replayed.
//!
//! **Invariant:** nothing is ordered of the pool; what is asked runs as one of the simulations, within
//! their bounds.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use preheat_compare::what_if::{Configured, WhatIfError, WhatIfRequest};
use preheat_core::Instant;
use preheat_runtime::journal::JournalReader;

use super::{Api, Refusal, fresh, no_such_pool};
use crate::past;

/// Wall time of one question: of a day with 300,000 requests, as configured and four times more, a
/// build without optimization takes half a minute.
const TIME_MAX: Duration = Duration::from_secs(120);
/// Share of the work that reading the journal is taken to be.
const READING: f64 = 0.2;

pub(crate) async fn what_if_choices(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(pool) = path?;
    let choices = api.blocking(move |api| Ok(configured(&api.reader()?, &pool)?.choices()));
    Ok(fresh(choices.await?))
}

pub(crate) async fn what_if(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Json<WhatIfRequest>, JsonRejection>,
) -> Result<Response, Refusal> {
    let (Path(pool), Json(request)) = (path?, body?);
    let asked = pool.clone();
    let checked = api.blocking(move |api| {
        let reader = api.reader()?;
        let what_if = request.check(&configured(&reader, &asked)?)?;
        Ok((reader, what_if))
    });
    let (reader, what_if) = checked.await?;
    let simulation = api.simulations.submit(TIME_MAX, move |steering| {
        let until = what_if.until.map(|until| Instant::ORIGIN.saturating_add(until));
        let go_on = &mut |read| steering.go_on(READING * read);
        let (retold, notes) = past::read(&reader, &pool, what_if.last, until, go_on)?;
        let go_on = &mut |done| steering.go_on(READING + (1.0 - READING) * done);
        let answer = what_if.run(&retold, notes, go_on).map_err(|error| error.to_string())?;
        serde_json::to_value(&answer).map_err(|error| error.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, fresh(simulation)).into_response())
}

/// How a pool is configured, as its journal tells.
fn configured(reader: &JournalReader, pool: &str) -> Result<Configured, Refusal> {
    match past::configured(reader, pool)? {
        Some(configured) => Ok(configured),
        None => Err(no_such_pool(pool, &reader.pools()?)),
    }
}

impl From<WhatIfError> for Refusal {
    fn from(error: WhatIfError) -> Self {
        let refusal = Self::bad(error.message);
        match error.hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    }
}
