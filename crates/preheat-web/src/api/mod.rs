//! Version 1 of the HTTP API: requests in, `preheat_api::v1` out.
//!
//! **Invariant:** whatever reads a file runs where blocking is allowed, and only so many at a time.

mod controls;
mod decisions;
mod events;
mod figures;
mod lab;
mod pools;
mod what_if;

mod refusal;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};
use preheat_runtime::journal::{JournalError, JournalReader};
use serde::Serialize;
use tokio::sync::Semaphore;

pub(crate) use self::controls::{controls, set_controls};
pub(crate) use self::decisions::{decision, decisions};
pub(crate) use self::events::{fleet_events, pool_events};
pub(crate) use self::figures::{figures, pasts};
pub(crate) use self::lab::{cancel, lesson, simulate, simulation, sizing};
pub(crate) use self::pools::{fleet, history, pool};
pub(crate) use self::refusal::Refusal;
pub(crate) use self::what_if::{what_if, what_if_choices};
use crate::access::Token;
use crate::history::Minutes;
use crate::simulations::Simulations;
use crate::source::Source;
use crate::spending::Spending;

/// Journals read at one time: beside them a core is left to the control loop.
const READS_MAX: usize = 2;
/// Wait for a turn to read.
const READ_TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Streams of events at one time; the other connections are for everything else.
pub(crate) const STREAMS_MAX: usize = 32;

/// What every request works with.
#[derive(Clone)]
pub(crate) struct Api {
    source: Source,
    control_token: Option<Token>,
    minutes: Arc<Minutes>,
    reads: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    simulations: Arc<Simulations>,
    spending: Arc<Spending>,
}

impl Api {
    pub(crate) fn new(source: Source, control_token: Option<Token>) -> Self {
        Self {
            simulations: Arc::new(Simulations::new(source.live)),
            source,
            control_token,
            minutes: Arc::default(),
            spending: Arc::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, Refusal> {
        let turn = Arc::clone(&self.reads).acquire_owned();
        let turn = tokio::time::timeout(READ_TURN_TIMEOUT, turn).await;
        let Ok(Ok(turn)) = turn else {
            let busy = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "others are being answered");
            return Err(busy.with_hint("ask again in a few seconds"));
        };
        let api = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let answer = work(&api);
            drop(turn);
            answer
        });
        done.await.unwrap_or_else(|_panic| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "answering failed"))
        })
    }

    /// Opens the journal.
    fn reader(&self) -> Result<JournalReader, Refusal> {
        let Some(path) = &self.source.journal else {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "no journal is kept"));
        };
        Ok(JournalReader::open_read_only(path)?)
    }
}

impl From<JournalError> for Refusal {
    fn from(error: JournalError) -> Self {
        let hint = error.hint();
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
        match hint {
            Some(hint) => refusal.with_hint(hint),
            None => refusal,
        }
    }
}

/// JSON that is true now and not later.
fn fresh(body: impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn no_such_pool(pool: &str, known: &[String]) -> Refusal {
    let refusal = Refusal::new(StatusCode::NOT_FOUND, format!("there is no pool {pool:?}"));
    refusal.with_hint(format!("there are: {}", known.join(", ")))
}
