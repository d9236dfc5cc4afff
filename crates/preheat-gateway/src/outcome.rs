//! Sees to it that every request that arrived is counted as exactly one outcome. Knows the meters,
//! and nothing of connections.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use preheat_core::Instant;
use preheat_runtime::clock::Clock;
use preheat_runtime::traffic_meter::{PoolMeter, ReplicaMeter};

use crate::sse::SseScanner;
use crate::stats::{GatewayStats, count};

/// One request from its arrival to its outcome; dropped without one, its client has left.
pub(crate) struct Arrival {
    pub(crate) meter: Arc<PoolMeter>,
    pub(crate) arrived_at: Instant,
    stats: Arc<GatewayStats>,
    settled: bool,
}

impl Arrival {
    pub(crate) fn new(
        meter: Arc<PoolMeter>,
        stats: Arc<GatewayStats>,
        arrived_at: Instant,
    ) -> Self {
        meter.arrived();
        Self { meter, arrived_at, stats, settled: false }
    }

    pub(crate) fn rejected(mut self) {
        self.settled = true;
        self.meter.rejected();
    }

    pub(crate) fn failed(mut self) {
        self.settled = true;
        self.meter.failed();
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if self.settled {
        } else if self.stats.cutting_off.load(Ordering::Relaxed) {
            self.meter.failed();
        } else {
            count(&self.stats.cancelled);
        }
    }
}

/// Measures a response as it is passed on, and judges how it ended.
pub(crate) struct Progress {
    arrival: Arrival,
    replica: Arc<ReplicaMeter>,
    clock: Clock,
    sent_at: Instant,
    status: http::StatusCode,
    /// Present for an event stream.
    sse: Option<SseScanner>,
    event_at: Option<Instant>,
}

impl Progress {
    pub(crate) fn new(
        arrival: Arrival,
        replica: Arc<ReplicaMeter>,
        clock: Clock,
        sent_at: Instant,
        head: &http::response::Parts,
    ) -> Self {
        let sse = is_event_stream(&head.headers).then(SseScanner::default);
        Self { arrival, replica, clock, sent_at, status: head.status, sse, event_at: None }
    }

    /// `data` is about to be passed on.
    ///
    /// An event may carry several tokens, and events that arrive together share the gap before
    /// them evenly: when each was produced can't be seen from here.
    pub(crate) fn passing(&mut self, data: &[u8]) {
        let Some(sse) = &mut self.sse else { return };
        let events = sse.scan(data);
        if events == 0 || !self.status.is_success() {
            return;
        }
        let now = self.clock.now();
        match self.event_at.replace(now) {
            None => {
                let ttft = now.since(self.arrival.arrived_at);
                self.arrival.meter.first_token(ttft, &self.replica, now);
            }
            Some(before) => {
                let gap = now.since(before) / events;
                (0..events).for_each(|_| self.arrival.meter.next_token(gap));
            }
        }
    }

    /// The engine ended its response properly. What it said decides: a turned-away request was
    /// rejected, and an event stream is complete only if it says so (an engine that is terminated
    /// ends its streams with status 200, an error event, and the usual end).
    pub(crate) fn ended(mut self) {
        let complete = self.sse.as_ref().is_none_or(SseScanner::is_complete);
        self.arrival.settled = true;
        let meter = &self.arrival.meter;
        match self.status.as_u16() {
            429 | 503 => meter.rejected(),
            500.. => meter.failed(),
            200..=299 if !complete => meter.failed(),
            _ => meter.completed(self.clock.now().since(self.sent_at)),
        }
    }

    /// The engine broke off.
    pub(crate) fn broke_off(self) {
        self.arrival.failed();
    }
}

fn is_event_stream(headers: &http::HeaderMap) -> bool {
    let value = |name| headers.get(name).map(http::HeaderValue::as_bytes);
    let kind = value(http::header::CONTENT_TYPE).unwrap_or_default();
    // A compressed stream can't be read here, so it is judged as any other body.
    let readable = value(http::header::CONTENT_ENCODING).is_none_or(|how| how == b"identity");
    readable
        && kind
            .get(..b"text/event-stream".len())
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/event-stream"))
}
