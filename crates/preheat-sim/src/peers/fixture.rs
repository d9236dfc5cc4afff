//! Fleets for the tests of policies.

use std::time::Duration;

use preheat_core::{Concurrency, Instant, ReplicaId};

use crate::view::{EngineMetrics, FleetView, PoolBounds, ProxyView, ReplicaState, ReplicaView};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn at(second: u64) -> Instant {
    Instant::ORIGIN.saturating_add(secs(second))
}

pub(crate) fn bounds(replicas_min: u32, replicas_max: u32) -> PoolBounds {
    PoolBounds {
        replicas_min,
        replicas_max,
        ttft_slo: secs(3),
        attainment_slo: 0.99,
        tpot_slo: Some(Duration::from_millis(100)),
    }
}

/// A fleet at a point in time, with 32 slots and 100,000 KV tokens per replica.
pub(crate) struct Fleet {
    pub(crate) now: u64,
    pub(crate) desired: Option<u32>,
    pub(crate) replicas: Vec<ReplicaView>,
    pub(crate) proxy: ProxyView,
    pub(crate) slots: u32,
}

impl Fleet {
    pub(crate) fn new(now: u64) -> Self {
        let proxy = ProxyView { at: at(now), ..ProxyView::default() };
        Self { now, desired: None, replicas: Vec::new(), proxy, slots: 32 }
    }

    pub(crate) fn ready(mut self, count: u32, set: impl Fn(&mut EngineMetrics)) -> Self {
        for _ in 0..count {
            let mut metrics = EngineMetrics { at: at(self.now), ..EngineMetrics::default() };
            set(&mut metrics);
            self.push(ReplicaState::Ready, Some(metrics));
        }
        self
    }

    /// Ready, but no scrape has come.
    pub(crate) fn blind(mut self, count: u32) -> Self {
        (0..count).for_each(|_| self.push(ReplicaState::Ready, None));
        self
    }

    pub(crate) fn starting(mut self, count: u32) -> Self {
        (0..count).for_each(|_| self.push(ReplicaState::Starting, None));
        self
    }

    pub(crate) fn desired(mut self, desired: u32) -> Self {
        self.desired = Some(desired);
        self
    }

    pub(crate) fn proxy(mut self, set: impl FnOnce(&mut ProxyView)) -> Self {
        set(&mut self.proxy);
        self
    }

    fn push(&mut self, state: ReplicaState, metrics: Option<EngineMetrics>) {
        let ready_at = (state == ReplicaState::Ready).then_some(Instant::ORIGIN);
        self.replicas.push(ReplicaView {
            id: ReplicaId(self.replicas.len() as u64),
            state,
            ordered_at: Instant::ORIGIN,
            ready_at,
            metrics,
        });
    }

    pub(crate) fn view(&self) -> FleetView<'_> {
        FleetView {
            now: at(self.now),
            desired: self.desired.unwrap_or(self.replicas.len() as u32),
            replicas: &self.replicas,
            proxy: self.proxy,
            max_num_seqs: Concurrency::new(self.slots).unwrap(),
            kv_capacity_tokens: 100_000,
            gpus_per_replica: 1,
        }
    }
}
