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
use preheat_api::journal::EntryBody;
use preheat_compare::backtest::{Past, Retold};
use preheat_compare::what_if::{Configured, STEP, WhatIf, WhatIfError, WhatIfRequest};
use preheat_core::Instant;
use preheat_runtime::journal::{JournalError, JournalReader};

use super::{Api, Refusal, fresh, no_such_pool};
use crate::simulations::Steering;

/// Ticks of a past: a day at two seconds each, twice. They are three seconds of one core.
const TICKS_MAX: usize = 90_000;
/// Ticks read at once, so that few are in memory.
const PAGE_TICKS: u32 = 500;
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
        let (retold, notes) = read(&reader, &pool, &what_if, steering)?;
        let go_on = &mut |done| steering.go_on(READING + (1.0 - READING) * done);
        let answer = what_if.run(&retold, notes, go_on).map_err(|error| error.to_string())?;
        serde_json::to_value(&answer).map_err(|error| error.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, fresh(simulation)).into_response())
}

/// How a pool is configured, as its journal tells.
fn configured(reader: &JournalReader, pool: &str) -> Result<Configured, Refusal> {
    let checkpoint = reader.last_checkpoint(pool)?;
    let Some(EntryBody::Checkpoint(checkpoint)) = checkpoint.map(|stored| stored.entry.body) else {
        return Err(no_such_pool(pool, &reader.pools()?));
    };
    let newest = reader.ticks_before(pool, u64::MAX, PAGE_TICKS)?;
    let seen = newest.iter().filter_map(|stored| stored.entry.body.observation());
    Ok(Configured::of(pool, checkpoint.policy.into(), seen))
}

/// The past that is asked about, and what is to be known of it.
fn read(
    reader: &JournalReader,
    pool: &str,
    what_if: &WhatIf,
    steering: &Steering<'_>,
) -> Result<(Retold, Vec<String>), String> {
    let told = |error: JournalError| error.to_string();
    let newest = reader.last_record(pool).map_err(told)?.map(|stored| stored.entry.at);
    let at = |since_origin: Duration| Instant::ORIGIN.saturating_add(since_origin);
    let until = what_if.until.map(at).or(newest).unwrap_or(Instant::ORIGIN);
    let from = until.saturating_sub(what_if.last);
    let length = what_if.last.as_secs_f64().max(1.0);
    let (mut past, mut ticks, mut next) = (Past::new(STEP), 0, from);
    loop {
        let page = reader.ticks_by_time(pool, next, after(until), PAGE_TICKS).map_err(told)?;
        let Some(last) = page.last().map(|stored| stored.entry.at) else { break };
        page.iter().filter_map(|stored| stored.entry.body.observation()).for_each(|observation| {
            past.take(observation);
        });
        // No two ticks of a pool are at one moment.
        (ticks, next) = (ticks + page.len(), after(last));
        if ticks > TICKS_MAX {
            return Err(format!(
                "there are more than {TICKS_MAX} ticks in this time, which is what is read here; ask \
                 for less of it, or run `preheat backtest`"
            ));
        }
        if !steering.go_on(READING * last.since(from).as_secs_f64() / length) {
            return Err("stopped".to_owned());
        }
    }
    if ticks == 0 {
        return Err("the journal has no tick of this pool in this time".to_owned());
    }
    let policy = |at| {
        let checkpoint = reader.checkpoint_at(pool, at).map_err(told)?;
        Ok::<_, String>(checkpoint.and_then(|stored| match stored.entry.body {
            EntryBody::Checkpoint(checkpoint) => Some(checkpoint.policy),
            EntryBody::Decided(_) | EntryBody::Held(_) => None,
        }))
    };
    let retold = past.end();
    let (then, now) = (policy(retold.begin)?, policy(Instant::from_nanos(u64::MAX))?);
    let is_changed = then.is_some_and(|then| Some(then) != now);
    let note = "policy: it was another one when this time began; as configured is what it was last";
    Ok((retold, Vec::from_iter(is_changed.then(|| note.to_owned()))))
}

/// The next moment there is.
fn after(at: Instant) -> Instant {
    at.saturating_add(Duration::from_nanos(1))
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
