//! A pool's decisions, newest first, and one of them with every number.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use preheat_api::journal::EntryBody;
use preheat_api::status::Direction;
use preheat_api::v1::{Decision, DecisionLog, DecisionSummary};
use preheat_api::words;
use preheat_core::{Action, Instant, Plan, ReplicaPhase};
use preheat_runtime::journal::{JournalReader, StoredEntry};
use serde::Deserialize;

use super::{Api, Refusal, fresh, no_such_pool};

/// Decisions in one answer unless told otherwise, and at most.
const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 200;
/// Ticks looked at for one answer: most of them did nothing.
const TICKS_LOOKED_AT_MAX: u32 = 10_000;
/// Ticks looked at between two looks at how many were found.
const TICKS_PER_PAGE: u32 = 200;

/// Which decisions are asked for.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DecisionsQuery {
    before: Option<u64>,
    limit: Option<u32>,
    #[serde(default)]
    all: bool,
}

pub(crate) async fn decisions(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<DecisionsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let (Path(name), Query(query)) = (path?, query?);
    let log = api.blocking(move |api| {
        let reader = api.reader()?;
        if reader.span(&name)?.is_none() {
            return Err(no_such_pool(&name, &reader.pools()?));
        }
        read(&reader, name, query)
    });
    Ok(fresh(log.await?))
}

pub(crate) async fn decision(
    State(api): State<Api>,
    path: Result<Path<(String, u64)>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path((name, seq)) = path?;
    let found = api.blocking(move |api| {
        let stored = api.reader()?.entry(seq)?;
        let stored = stored.filter(|stored| stored.entry.pool == name);
        stored.as_ref().and_then(whole).ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, format!("{name:?} has no decision {seq}"))
                .with_hint("it may be older than what the journal keeps")
        })
    });
    Ok(fresh(found.await?))
}

fn read(
    reader: &JournalReader,
    pool: String,
    query: DecisionsQuery,
) -> Result<DecisionLog, Refusal> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX) as usize;
    let mut before = query.before.unwrap_or(i64::MAX.unsigned_abs());
    let mut decisions = Vec::new();
    for _ in 0..TICKS_LOOKED_AT_MAX / TICKS_PER_PAGE {
        let page = reader.ticks_before(&pool, before, TICKS_PER_PAGE)?;
        if page.is_empty() {
            return Ok(DecisionLog { pool, decisions, next_before: None });
        }
        for stored in &page {
            before = stored.seq;
            decisions
                .extend(summary(stored).filter(|_| query.all || is_change(&stored.entry.body)));
            if decisions.len() == limit {
                return Ok(DecisionLog { pool, decisions, next_before: Some(before) });
            }
        }
    }
    Ok(DecisionLog { pool, decisions, next_before: Some(before) })
}

/// Whether something was done, or should have been.
pub(super) fn is_change(body: &EntryBody) -> bool {
    body.violation().is_some() || body.plan().is_some_and(|plan| !plan.actions.is_empty())
}

/// A tick in a line; `None` for a checkpoint.
pub(super) fn summary(stored: &StoredEntry) -> Option<DecisionSummary> {
    let body = &stored.entry.body;
    let (plan, observation) = (body.plan()?, body.observation()?);
    let count = |counts: fn(ReplicaPhase) -> bool| {
        let counted = observation.replicas.iter().filter(|replica| counts(replica.phase)).count();
        u32::try_from(counted).unwrap_or(u32::MAX)
    };
    Some(DecisionSummary {
        seq: stored.seq,
        tick: stored.entry.tick.0,
        at_s: stored.entry.at.as_secs_f64(),
        direction: direction(plan),
        desired: plan.desired.0,
        ready: count(|phase| phase == ReplicaPhase::Ready),
        starting: count(ReplicaPhase::is_starting),
        reason: body.explanation().map(|explanation| explanation.reason.name().to_owned()),
        headline: words::entry(body)?,
    })
}

/// In universal time: who reads it may be anywhere.
fn moment(at: Instant) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(at.as_nanos()));
    timestamp.map_or_else(
        |_| format!("{:.0} s", at.as_secs_f64()),
        |timestamp| timestamp.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// No plan does both (D6).
fn direction(plan: &Plan) -> Direction {
    let grows = |action: &Action| match action {
        Action::Start { .. } | Action::Wake { .. } | Action::Resume { .. } => true,
        Action::Drain { .. } | Action::Sleep { .. } | Action::Stop { .. } => false,
    };
    match plan.actions.first() {
        None => Direction::Hold,
        Some(_) if plan.actions.iter().any(grows) => Direction::Up,
        Some(_) => Direction::Down,
    }
}

fn whole(stored: &StoredEntry) -> Option<Decision> {
    let body = &stored.entry.body;
    let json = |value: serde_json::Result<serde_json::Value>| value.unwrap_or_default();
    Some(Decision {
        summary: summary(stored)?,
        details: body
            .explanation()
            .zip(body.observation())
            .map(|(explanation, observation)| words::details(explanation, observation, moment))
            .unwrap_or_default(),
        violation: body.violation().cloned(),
        plan: json(serde_json::to_value(body.plan())),
        explanation: json(serde_json::to_value(body.explanation())),
    })
}
