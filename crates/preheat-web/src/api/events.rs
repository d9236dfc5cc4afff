//! Streams of what changes, as server-sent events.
//!
//! A `fleet` or `pool` event is the whole of it, so that only the last one matters. A `decision` event
//! bears the number of its entry: a client that comes back with `Last-Event-ID` is told what it
//! missed, or, when that is too much, `reset`: read the log anew.
//!
//! **Invariant:** a stream holds nothing but a place, a number and the last event.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use http::{HeaderMap, StatusCode};
use preheat_runtime::journal::Selection;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::decisions::{is_change, summary};
use super::{Api, Refusal};

/// Wall time between two looks: people see no more.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Entries read to tell a client what it missed: an hour of a pool at the usual interval.
const MISSED_MAX: usize = 2000;

/// A stream under way.
struct Streaming {
    api: Api,
    /// Absent for the fleet.
    pool: Option<String>,
    /// The last entry that was looked at; absent until the journal could be read.
    seen_seq: Option<u64>,
    /// What the last look found.
    last: String,
    is_first: bool,
    _place: OwnedSemaphorePermit,
}

pub(crate) async fn fleet_events(State(api): State<Api>) -> Result<Response, Refusal> {
    Ok(stream(Streaming::new(api, None, None)?))
}

pub(crate) async fn pool_events(
    State(api): State<Api>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Path(name) = path?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let last = match last {
        None | Some("") => None,
        Some(text) => {
            Some(text.parse().map_err(|_| Refusal::bad("Last-Event-ID is no number of an entry"))?)
        }
    };
    // Refused now rather than in the stream when there is no such pool.
    let known = name.clone();
    api.blocking(move |api| api.pool(&known)).await?;
    Ok(stream(Streaming::new(api, Some(name), last)?))
}

fn stream(streaming: Streaming) -> Response {
    let events = stream::unfold(streaming, |mut streaming| async move {
        loop {
            if !std::mem::take(&mut streaming.is_first) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            let looked;
            (streaming, looked) = streaming.look().await?;
            if !looked.is_empty() {
                return Some((stream::iter(looked.into_iter().map(Ok)), streaming));
            }
        }
    });
    let events: std::pin::Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>> =
        Box::pin(futures_util::StreamExt::flatten(events));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Streaming {
    fn new(api: Api, pool: Option<String>, seen_seq: Option<u64>) -> Result<Self, Refusal> {
        let Ok(place) = Arc::clone(&api.streams).try_acquire_owned() else {
            let refusal =
                Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many streams are open");
            return Err(refusal.with_hint("close some of the dashboard's tabs"));
        };
        Ok(Self { api, pool, seen_seq, last: String::new(), is_first: true, _place: place })
    }

    /// What is new. `None` when nothing more can come.
    async fn look(mut self) -> Option<(Self, Vec<Event>)> {
        let api = self.api.clone();
        let looked = api.blocking(move |_| {
            let mut events = Vec::new();
            match self.pool.clone() {
                None => self.tell_if_new("fleet", &self.api.fleet(), &mut events),
                Some(pool) => {
                    let seen = self.api.pool(&pool)?;
                    self.tell_if_new("pool", &seen, &mut events);
                    // While the journal can't be read, its own requests say why.
                    let _unreadable = self.decisions(&pool, &mut events);
                }
            }
            Ok((self, events))
        });
        looked.await.ok()
    }

    fn tell_if_new(&mut self, name: &str, body: &impl Serialize, events: &mut Vec<Event>) {
        let Ok(text) = serde_json::to_string(body) else { return };
        if text != self.last {
            events.push(Event::default().event(name).data(&text));
            self.last = text;
        }
    }

    fn decisions(&mut self, pool: &str, events: &mut Vec<Event>) -> Result<(), Refusal> {
        let reader = self.api.reader()?;
        let newest = reader.last_record(pool)?.map_or(0, |stored| stored.seq);
        let Some(seen) = self.seen_seq else {
            self.seen_seq = Some(newest);
            events.push(Event::default().event("caught-up").id(newest.to_string()).data("{}"));
            return Ok(());
        };
        // A journal that was begun anew counts from one again.
        let mut is_reset = newest < seen;
        let mut missed = Vec::new();
        if !is_reset && newest > seen {
            let selection =
                Selection { pool: Some(pool.to_owned()), after_seq: seen, ..Selection::default() };
            for (read, stored) in reader.entries(selection).enumerate() {
                if read == MISSED_MAX {
                    is_reset = true;
                    break;
                }
                let stored = stored?;
                if is_change(&stored.entry.body) {
                    missed.extend(summary(&stored));
                }
            }
        }
        self.seen_seq = Some(newest);
        if is_reset {
            events.push(Event::default().event("reset").id(newest.to_string()).data("{}"));
            return Ok(());
        }
        for decision in missed {
            let Ok(text) = serde_json::to_string(&decision) else { continue };
            let id = decision.seq.to_string();
            events.push(Event::default().event("decision").id(id).data(text));
        }
        Ok(())
    }
}
