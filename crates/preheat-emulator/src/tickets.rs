//! What a request leaves behind when it is dropped, however that comes about: a record in the
//! HTTP metrics, a cancelled request in the engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use preheat_core::Instant;
use preheat_engine::RequestId;
use preheat_runtime::clock::Clock;
use tokio::sync::mpsc;

use crate::engine_task::Command;
use crate::http_metrics::{HttpMetrics, HttpRecord};

/// Counts a request in the HTTP metrics when it is dropped.
#[derive(Debug)]
pub(crate) struct HttpTicket {
    /// `None` for routes that vLLM leaves out of these metrics.
    metrics: Option<Arc<Mutex<HttpMetrics>>>,
    clock: Clock,
    began_at: Instant,
    record: HttpRecord,
}

impl HttpTicket {
    /// `record` is complete but for the response.
    pub(crate) fn new(
        metrics: Option<Arc<Mutex<HttpMetrics>>>,
        clock: Clock,
        record: HttpRecord,
    ) -> Self {
        let began_at = clock.now();
        Self { metrics, clock, began_at, record }
    }

    /// What the response's head says.
    pub(crate) fn answered(&mut self, status: http::StatusCode, response_bytes: u64) {
        self.record.status = match status.as_u16() / 100 {
            2 => "2xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.record.response_bytes = response_bytes;
    }
}

impl Drop for HttpTicket {
    fn drop(&mut self) {
        let Some(metrics) = &self.metrics else { return };
        self.record.duration_secs = self.clock.now().since(self.began_at).as_secs_f64();
        metrics.lock().unwrap_or_else(PoisonError::into_inner).record(self.record);
    }
}

/// Cancels a request inside the engine when it is dropped before [`EngineTicket::close`].
#[derive(Debug)]
pub(crate) struct EngineTicket {
    id: RequestId,
    commands: mpsc::UnboundedSender<Command>,
    is_open: bool,
    /// Held for its drop.
    _load: LoadTicket,
}

impl EngineTicket {
    pub(crate) fn new(
        id: RequestId,
        commands: mpsc::UnboundedSender<Command>,
        load: &Arc<AtomicU32>,
    ) -> Self {
        Self { id, commands, is_open: true, _load: LoadTicket::new(load) }
    }

    /// The answer has ended: there is nothing to cancel.
    pub(crate) const fn close(&mut self) {
        self.is_open = false;
    }
}

impl Drop for EngineTicket {
    fn drop(&mut self) {
        if self.is_open {
            let _ = self.commands.send(Command::Cancel(self.id));
        }
    }
}

/// One more in `/load` for as long as it lives.
#[derive(Debug)]
struct LoadTicket(Arc<AtomicU32>);

impl LoadTicket {
    fn new(load: &Arc<AtomicU32>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for LoadTicket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
