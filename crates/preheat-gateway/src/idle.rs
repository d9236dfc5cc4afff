//! Connections to backends that wait for their next request. Knows nothing of requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_core::Instant;

use crate::aside::BackendKey;
use crate::upstream::Upstream;

/// Idle connections by backend, the most recently used last.
pub(crate) struct IdlePool {
    idle_timeout: Duration,
    per_backend_max: usize,
    by_backend: Mutex<BTreeMap<BackendKey, VecDeque<Idle>>>,
}

struct Idle {
    upstream: Box<Upstream>,
    since: Instant,
}

impl IdlePool {
    /// `idle_timeout` is in model time.
    pub(crate) fn new(idle_timeout: Duration, per_backend_max: usize) -> Self {
        Self { idle_timeout, per_backend_max, by_backend: Mutex::default() }
    }

    /// The most recently used connection that is still open.
    pub(crate) fn take(&self, backend: BackendKey, now: Instant) -> Option<Box<Upstream>> {
        loop {
            // Only the most recent one is looked at under the lock, and its socket after it.
            let mut idle = self.lock().get_mut(&backend)?.pop_back()?;
            let fresh = now.since(idle.since) < self.idle_timeout;
            if fresh && idle.upstream.is_idle() {
                idle.upstream.reused = true;
                return Some(idle.upstream);
            }
        }
    }

    /// Keeps a connection whose response has ended.
    pub(crate) fn put(&self, backend: BackendKey, mut upstream: Box<Upstream>, now: Instant) {
        if !upstream.is_idle() {
            return;
        }
        let mut map = self.lock();
        let idle = map.entry(backend).or_default();
        let surplus = if idle.len() < self.per_backend_max { None } else { idle.pop_front() };
        idle.push_back(Idle { upstream, since: now });
        drop(map);
        drop(surplus);
    }

    /// Closes what has been idle for too long or belongs to a backend that isn't `listed`.
    pub(crate) fn sweep(&self, now: Instant, listed: impl Fn(BackendKey) -> bool) {
        let mut map = self.lock();
        map.retain(|&backend, idle| {
            while idle.front().is_some_and(|oldest| now.since(oldest.since) >= self.idle_timeout) {
                idle.pop_front();
            }
            !idle.is_empty() && listed(backend)
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BackendKey, VecDeque<Idle>>> {
        // Losing an idle connection is the worst that a panic under this lock could cause.
        self.by_backend.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
