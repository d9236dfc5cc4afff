//! Backends that could not be reached lately and get nothing for a while, until the routing table
//! catches up. Knows nothing of requests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use preheat_core::{Instant, ReplicaId};
use preheat_runtime::routing::Backend;

/// One backend; a replica that is started anew at the same address is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BackendKey {
    pub(crate) replica: ReplicaId,
    pub(crate) address: SocketAddr,
}

impl From<&Backend> for BackendKey {
    fn from(backend: &Backend) -> Self {
        Self { replica: backend.replica, address: backend.address }
    }
}

/// The backends set aside, each with when it may be tried again.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Spares the hot path the lock while there are none.
    any: AtomicBool,
    until: Mutex<BTreeMap<BackendKey, Instant>>,
}

impl Aside {
    pub(crate) fn put(&self, backend: BackendKey, until: Instant) {
        let mut map = self.lock();
        map.insert(backend, until);
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    pub(crate) fn contains(&self, backend: BackendKey, now: Instant) -> bool {
        !self.is_empty() && self.lock().get(&backend).is_some_and(|&until| now < until)
    }

    /// Forgets those whose time is over; returns when the next one's is.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let mut map = self.lock();
        map.retain(|_, until| now < *until);
        self.any.store(!map.is_empty(), Ordering::Release);
        map.values().min().copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<BackendKey, Instant>> {
        // Each change is one call on the map, so a panic elsewhere can't leave it half-changed.
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
