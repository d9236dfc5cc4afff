//! Chooses the backend with the fewest outstanding requests. Knows nothing of connections.

use std::sync::atomic::{AtomicUsize, Ordering};

use preheat_core::Instant;
use preheat_runtime::routing::{Backend, PoolRoutes};
use preheat_runtime::traffic_meter::Outstanding;

use crate::aside::{Aside, BackendKey};

/// A backend chosen for one request, which counts as outstanding there for as long as this lives.
#[derive(Debug)]
pub(crate) struct Assigned {
    pub(crate) backend: BackendKey,
    pub(crate) outstanding: Outstanding,
}

/// Which backends a choice may fall on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    /// Any, but this one only if there is no other.
    Prefer { other_than: Option<BackendKey> },
    /// Any but this one.
    Only { other_than: BackendKey },
}

/// Chooses backends; equals are taken in turn.
#[derive(Debug, Default)]
pub(crate) struct Picker {
    turn: AtomicUsize,
}

impl Picker {
    /// The least outstanding backend that is not set aside, or nothing if there is none.
    pub(crate) fn pick(
        &self,
        pool: &PoolRoutes,
        aside: &Aside,
        choice: Choice,
        now: Instant,
    ) -> Option<Assigned> {
        let (avoided, or_avoided) = match choice {
            Choice::Prefer { other_than } => (other_than, other_than.is_some()),
            Choice::Only { other_than } => (Some(other_than), false),
        };
        let usable = |backend: &Backend| !aside.contains(BackendKey::from(backend), now);
        let preferred =
            |backend: &Backend| Some(BackendKey::from(backend)) != avoided && usable(backend);
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let chosen = least(&pool.backends, turn, preferred);
        let chosen = if or_avoided {
            chosen.or_else(|| least(&pool.backends, turn, usable))
        } else {
            chosen
        };
        chosen.map(|backend| Assigned {
            backend: BackendKey::from(backend),
            outstanding: backend.meter.begin(),
        })
    }
}

fn least(backends: &[Backend], turn: usize, fits: impl Fn(&Backend) -> bool) -> Option<&Backend> {
    let (before, after) = backends.split_at(turn % backends.len().max(1));
    after
        .iter()
        .chain(before)
        .filter(|backend| fits(backend))
        .min_by_key(|backend| backend.meter.outstanding())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use preheat_core::ReplicaId;
    use preheat_runtime::routing::PoolId;
    use preheat_runtime::traffic_meter::PoolMeter;

    use super::*;

    fn pool(replicas: u64) -> PoolRoutes {
        let meter = Arc::new(PoolMeter::default());
        let backends = (0..replicas)
            .map(|n| Backend {
                replica: ReplicaId(n),
                address: ([127, 0, 0, 1], 1000 + n as u16).into(),
                meter: meter.replica(ReplicaId(n)),
            })
            .collect();
        PoolRoutes { pool: PoolId("p".into()), backends, meter }
    }

    const ANY: Choice = Choice::Prefer { other_than: None };

    #[test]
    fn equals_take_turns_and_the_least_outstanding_wins() {
        let (pool, picker, aside) = (pool(3), Picker::default(), Aside::default());
        let now = Instant::ORIGIN;
        let mut picked: Vec<Assigned> =
            (0..6).filter_map(|_| picker.pick(&pool, &aside, ANY, now)).collect();
        let each: Vec<u32> = pool.backends.iter().map(|b| b.meter.outstanding()).collect();
        assert_eq!(each, [2, 2, 2]);
        let freed = picked.remove(4).backend;
        assert_eq!(picker.pick(&pool, &aside, ANY, now).map(|a| a.backend), Some(freed));

        drop(picked);
        let starts: Vec<u64> = (0..3)
            .filter_map(|_| picker.pick(&pool, &aside, ANY, now))
            .map(|a| a.backend.replica.0)
            .collect();
        let mut sorted = starts.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2], "idle equals in turn, got {starts:?}");
    }

    #[test]
    fn aside_and_avoided_backends_are_left_out() {
        let (pool, picker, aside) = (pool(2), Picker::default(), Aside::default());
        let now = Instant::ORIGIN;
        let keys: Vec<BackendKey> = pool.backends.iter().map(BackendKey::from).collect();
        let pick = |choice, now| picker.pick(&pool, &aside, choice, now).map(|a| a.backend);
        let prefer = Choice::Prefer { other_than: Some(keys[0]) };
        let only = Choice::Only { other_than: keys[0] };
        assert_eq!(pick(prefer, now), Some(keys[1]));
        let until = now.saturating_add(Duration::from_secs(1));
        aside.put(keys[1], until);
        assert_eq!(pick(prefer, now), Some(keys[0]));
        assert_eq!(pick(only, now), None);
        aside.put(keys[0], until);
        assert_eq!(pick(ANY, now), None);
        assert_eq!(pick(only, until), Some(keys[1]));
        assert_eq!(aside.expire(until), None);
        assert!(aside.is_empty());
    }

    #[test]
    fn an_empty_pool_has_nothing_to_pick() {
        let picker = Picker::default();
        let picked = picker.pick(&pool(0), &Aside::default(), ANY, Instant::ORIGIN);
        assert!(picked.is_none());
    }
}
