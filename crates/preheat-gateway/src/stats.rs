//! What the gateway counts beside the per-pool meters. Knows nothing of requests or pools.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters over the whole gateway, written on its hot path.
#[derive(Debug, Default)]
pub struct GatewayStats {
    pub(crate) cancelled: AtomicU64,
    pub(crate) retries_connect: AtomicU64,
    pub(crate) retries_closed: AtomicU64,
    pub(crate) retries_refused: AtomicU64,
    pub(crate) unroutable: AtomicU64,
    pub(crate) connections: AtomicU64,
    /// Set when a shutdown's time is over: what is cut off from here on is our failure.
    pub(crate) cutting_off: AtomicBool,
}

/// The counters' values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GatewayTotals {
    /// Requests whose client left before their end; neither completed nor failed.
    pub cancelled: u64,
    /// Attempts repeated because a backend could not be reached.
    pub retries_connect: u64,
    /// Attempts repeated because an engine broke off before it began to answer.
    pub retries_closed: u64,
    /// Attempts repeated because an engine refused (503, or 500 while draining).
    pub retries_refused: u64,
    /// Requests turned away before a pool was known: malformed, too large, too slow, unknown model.
    pub unroutable: u64,
    /// Client connections accepted.
    pub connections: u64,
}

impl GatewayStats {
    /// The values now.
    pub fn totals(&self) -> GatewayTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GatewayTotals {
            cancelled: get(&self.cancelled),
            retries_connect: get(&self.retries_connect),
            retries_closed: get(&self.retries_closed),
            retries_refused: get(&self.retries_refused),
            unroutable: get(&self.unroutable),
            connections: get(&self.connections),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
