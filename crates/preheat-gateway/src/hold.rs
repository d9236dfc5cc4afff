//! Requests that wait until their pool has a backend. Knows nothing of HTTP.
//!
//! **Invariant:** requests of one pool are released in the order of their arrival.
//!
//! **Invariant:** no wake-up is lost: whoever enters the queue asks for a round of release after
//! that, so a backend that came between its look at the table and its entry is seen.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use preheat_core::Instant;
use preheat_runtime::routing::{PoolId, PoolRoutes, RoutingTable};
use tokio::sync::{Notify, oneshot};

use crate::pick::Assigned;

/// Place in the queue: by arrival, then by entry.
type Place = (Instant, u64);

/// All held requests.
#[derive(Debug)]
pub(crate) struct HoldQueue {
    requests_max: usize,
    bytes_max: usize,
    /// Asks for a round of release.
    pub(crate) wake: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: BTreeMap<PoolId, BTreeMap<Place, oneshot::Sender<Assigned>>>,
    entered: u64,
    requests: usize,
    bytes: usize,
}

/// One request's place; leaves the queue when dropped.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    queue: &'a HoldQueue,
    pool: &'a PoolId,
    place: Place,
    bytes: usize,
    pub(crate) released: oneshot::Receiver<Assigned>,
}

/// The queue has no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HoldFull;

impl HoldQueue {
    pub(crate) fn new(requests_max: usize, bytes_max: usize) -> Self {
        Self { requests_max, bytes_max, wake: Notify::new(), state: Mutex::default() }
    }

    pub(crate) fn enter<'a>(
        &'a self,
        pool: &'a PoolId,
        arrived_at: Instant,
        bytes: usize,
    ) -> Result<Waiting<'a>, HoldFull> {
        let mut state = self.lock();
        if state.requests >= self.requests_max || state.bytes + bytes > self.bytes_max {
            return Err(HoldFull);
        }
        let place = (arrived_at, state.entered);
        let (release, released) = oneshot::channel();
        state.entered += 1;
        state.requests += 1;
        state.bytes += bytes;
        state.waiting.entry(pool.clone()).or_default().insert(place, release);
        drop(state);
        self.wake.notify_one();
        Ok(Waiting { queue: self, pool, place, bytes, released })
    }

    /// Gives the waiting requests of each pool the backends that `pick` finds for them, until it
    /// finds none.
    pub(crate) fn release(
        &self,
        table: &RoutingTable,
        pick: impl Fn(&PoolRoutes) -> Option<Assigned>,
    ) {
        let mut state = self.lock();
        if state.requests == 0 {
            return;
        }
        for routes in table.pools_by_model.values() {
            let Some(waiting) = state.waiting.get_mut(&routes.pool) else { continue };
            while let Some(first) = waiting.first_entry() {
                let Some(mut assigned) = pick(routes) else { break };
                // One that has just left passes its backend on to the next.
                let mut release = first.remove();
                while let Err(unused) = release.send(assigned) {
                    let Some((_, next)) = waiting.pop_first() else { break };
                    (assigned, release) = (unused, next);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the maps is one call; a panic could at worst leave a count too high.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.requests -= 1;
        state.bytes -= self.bytes;
        if let Some(waiting) = state.waiting.get_mut(self.pool) {
            waiting.remove(&self.place);
            if waiting.is_empty() {
                state.waiting.remove(self.pool);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use preheat_core::ReplicaId;
    use preheat_runtime::traffic_meter::PoolMeter;

    use super::*;
    use crate::aside::BackendKey;

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
    }

    fn table(pool: &PoolId) -> (RoutingTable, Arc<PoolMeter>) {
        let meter = Arc::new(PoolMeter::default());
        let routes =
            PoolRoutes { pool: pool.clone(), backends: Vec::new(), meter: Arc::clone(&meter) };
        let table =
            RoutingTable { pools_by_model: BTreeMap::from([("m".into(), Arc::new(routes))]) };
        (table, meter)
    }

    fn assigned(meter: &Arc<PoolMeter>, port: u16) -> Assigned {
        let backend = BackendKey { replica: ReplicaId(0), address: ([127, 0, 0, 1], port).into() };
        Assigned { backend, outstanding: meter.replica(ReplicaId(0)).begin() }
    }

    #[test]
    fn both_limits_hold_and_places_are_given_back() {
        let pool = PoolId("p".into());
        let queue = HoldQueue::new(2, 100);
        let one = queue.enter(&pool, at(1), 60).unwrap();
        assert_eq!(queue.enter(&pool, at(2), 41).err(), Some(HoldFull));
        let two = queue.enter(&pool, at(2), 40).unwrap();
        assert_eq!(queue.enter(&pool, at(3), 0).err(), Some(HoldFull));
        drop(one);
        assert!(queue.enter(&pool, at(3), 60).is_ok());
        drop(two);
        let state = queue.lock();
        assert!(state.waiting.is_empty());
        assert_eq!((state.requests, state.bytes), (0, 0));
    }

    #[test]
    fn releases_in_order_of_arrival_and_skips_who_left() {
        let pool = PoolId("p".into());
        let queue = HoldQueue::new(9, 100);
        let mut late = queue.enter(&pool, at(9), 1).unwrap();
        let mut gone = queue.enter(&pool, at(1), 1).unwrap();
        let mut early = queue.enter(&pool, at(2), 1).unwrap();
        gone.released.close();
        let (table, meter) = table(&pool);
        let next = std::cell::Cell::new(0);
        let pick = |left: u16| {
            let next = &next;
            let meter = &meter;
            move |_: &PoolRoutes| {
                next.set(next.get() + 1);
                (next.get() <= left).then(|| assigned(meter, next.get()))
            }
        };
        queue.release(&table, pick(1));
        assert_eq!(early.released.try_recv().unwrap().backend.address.port(), 1);
        assert!(late.released.try_recv().is_err());
        next.set(1);
        queue.release(&table, pick(2));
        assert_eq!(late.released.try_recv().unwrap().backend.address.port(), 2);
        assert_eq!(meter.replica(ReplicaId(0)).outstanding(), 0);
    }
}
