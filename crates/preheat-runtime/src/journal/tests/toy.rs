//! A pool of pretend replicas that start, serve, drain and stop, with uneven traffic.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{
    Action, Concurrency, Counters, GatewayObservation, Instant, LatencyMean, LatencyWindow,
    Observation, Plan, Policy, PolicySpec, Probability, ReplicaCount, ReplicaId,
    ReplicaObservation, ReplicaPhase, Sample, Standby, TickId, Utilization,
};

use crate::controller::{Controller, Ticked};

const TICK: Duration = Duration::from_secs(2);
const COLD_START: Duration = Duration::from_secs(25);

pub(crate) struct Toy {
    pub(crate) now: Instant,
    replicas: BTreeMap<ReplicaId, (ReplicaPhase, Instant, Instant)>,
    next_id: u64,
    noise: u64,
    arrivals: fn(u64) -> u64,
}

pub(crate) fn policy(change: impl FnOnce(&mut PolicySpec)) -> Policy {
    let mut spec = PolicySpec {
        replicas_min: ReplicaCount(0),
        replicas_max: ReplicaCount(12),
        scale_down_window: Duration::from_secs(60),
        service_time_prior: Duration::from_secs(4),
        standby: Some(Standby {
            price: Probability::saturating(0.25),
            wake_prior: Duration::from_secs(5),
            replicas: Some(ReplicaCount(1)),
        }),
        ..PolicySpec::default()
    };
    change(&mut spec);
    spec.validate().unwrap()
}

/// Nothing, then much, then some, then nothing: each five minutes.
fn waves(tick: u64) -> u64 {
    [0, 30, 9, 0][(tick / 150 % 4) as usize]
}

impl Toy {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::from_nanos(1_700_000_000_000_000_123),
            replicas: BTreeMap::new(),
            next_id: 0,
            noise: 1,
            arrivals: waves,
        }
    }

    /// A pool of `count` ready replicas under steady load.
    pub(crate) fn ready(count: u64) -> Self {
        let mut toy = Self::new();
        toy.arrivals = |_| 200;
        for id in 0..count {
            let entry = (ReplicaPhase::Ready, toy.now, toy.now.saturating_sub(COLD_START));
            toy.replicas.insert(ReplicaId(id), entry);
        }
        toy.next_id = count;
        toy
    }

    /// Runs `ticks` ticks.
    pub(crate) fn drive(&mut self, controller: &mut Controller, ticks: u64) -> Vec<Ticked> {
        (0..ticks).map(|_| self.step(controller)).collect()
    }

    pub(crate) fn step(&mut self, controller: &mut Controller) -> Ticked {
        let observation = self.observe(controller.next_tick());
        let ticked = controller.tick(observation);
        self.apply(&ticked.plan);
        self.now = self.now.saturating_add(TICK);
        ticked
    }

    pub(crate) fn observe(&mut self, tick: TickId) -> Observation {
        let now = self.now;
        for (phase, since, ordered) in self.replicas.values_mut() {
            let warm = match phase {
                ReplicaPhase::Loading => *ordered,
                ReplicaPhase::Waking(_) => since.saturating_sub(COLD_START / 2),
                ReplicaPhase::Pending
                | ReplicaPhase::Provisioning
                | ReplicaPhase::Pulling
                | ReplicaPhase::Warming
                | ReplicaPhase::Ready
                | ReplicaPhase::Draining
                | ReplicaPhase::Stopped
                | ReplicaPhase::Standby(_) => continue,
            };
            if now.since(warm) >= COLD_START {
                (*phase, *since) = (ReplicaPhase::Ready, now);
            }
        }
        let arrivals = (self.arrivals)(tick.0);
        let ready = self.replicas.values().filter(|r| r.0 == ReplicaPhase::Ready).count() as u64;
        let noise = self.noise(7);
        let arrivals = if arrivals == 0 { 0 } else { arrivals + noise };
        let share = u32::try_from((arrivals * 2).checked_div(ready).unwrap_or(0)).unwrap();
        let in_flight = if arrivals > 0 { share } else { 0 };
        let blind = self.noise(40) == 0;
        let ids: Vec<ReplicaId> = self.replicas.keys().copied().collect();
        let replicas = ids.into_iter().map(|id| self.replica(id, in_flight, blind)).collect();
        let gateway = (self.noise(15) != 0).then(|| self.gateway(arrivals, ready));
        Observation { gateway, replicas_placeable: Some(9), ..Observation::of(tick, now, replicas) }
    }

    fn replica(&mut self, id: ReplicaId, in_flight: u32, blind: bool) -> ReplicaObservation {
        let (phase, phase_since, start_ordered_at) = self.replicas[&id];
        let seen_at = self.now.saturating_sub(Duration::from_millis(self.noise(900)));
        let serves = phase == ReplicaPhase::Ready;
        let inside = if serves { in_flight } else { 0 };
        let asked = serves || phase == ReplicaPhase::Draining;
        let seen = (asked && !blind).then(|| Sample::new(inside, seen_at));
        let counters = Counters {
            over: TICK,
            completions: self.noise(u64::from(inside) + 1),
            prompt_tokens: self.noise(5000),
            generation_tokens: self.noise(9000),
            preemptions: Some(0),
        };
        let latency = LatencyWindow {
            count: 20 + self.noise(9),
            mean: Duration::from_nanos(20_000_000 + self.noise(999_999)),
            p50: Duration::from_nanos(18_000_000 + self.noise(999_999)),
            p90: Duration::from_nanos(30_000_000 + self.noise(999_999)),
            p99: Duration::from_nanos(50_000_000 + self.noise(999_999)),
        };
        let kv = Utilization::saturating(self.noise(1_000_003) as f64 / 1_000_003.0);
        ReplicaObservation {
            start_ordered_at,
            in_flight: seen,
            queue_depth: seen.map(|s| Sample { value: 0, ..s }),
            kv_utilization: seen.map(|s| Sample::new(kv, s.observed_at)),
            max_num_seqs: Concurrency::new(16),
            kv_capacity_tokens: Some(131_072),
            counters: seen.map(|s| Sample::new(counters, s.observed_at)),
            ttft: seen.map(|s| Sample::new(latency, s.observed_at)),
            itl: seen.map(|s| {
                let LatencyWindow { count, mean, .. } = latency;
                Sample::new(LatencyMean { over: TICK, count, mean }, s.observed_at)
            }),
            outstanding: Some(Sample::new(inside, self.now)),
            ..ReplicaObservation::untold(id, phase, phase_since)
        }
    }

    fn gateway(&mut self, arrivals: u64, ready: u64) -> GatewayObservation {
        GatewayObservation {
            observed_at: self.now,
            over: TICK,
            arrivals,
            completions: arrivals.min(ready * 8),
            failures: 0,
            rejections: 0,
            held: if ready == 0 { u32::try_from(arrivals).unwrap() } else { 0 },
            held_oldest: None,
            ttft: None,
            first_tokens: None,
            itl: None,
            engine_time: None,
        }
    }

    fn apply(&mut self, plan: &Plan) {
        let now = self.now;
        for action in &plan.actions {
            let (id, phase) = match *action {
                Action::Start { count } => {
                    for _ in 0..count {
                        let entry = (ReplicaPhase::Loading, now, now);
                        self.replicas.insert(ReplicaId(self.next_id), entry);
                        self.next_id += 1;
                    }
                    continue;
                }
                Action::Wake { replica } => {
                    (replica, ReplicaPhase::Waking(preheat_core::Rung::Sleeping))
                }
                Action::Resume { replica } => (replica, ReplicaPhase::Ready),
                Action::Drain { replica } => (replica, ReplicaPhase::Draining),
                Action::Sleep { replica, rung } => (replica, ReplicaPhase::Standby(rung)),
                Action::Stop { replica, .. } => {
                    self.replicas.remove(&replica);
                    continue;
                }
            };
            if let Some(entry) = self.replicas.get_mut(&id) {
                (entry.0, entry.1) = (phase, now);
            }
        }
    }

    /// The same numbers in every run.
    fn noise(&mut self, below: u64) -> u64 {
        self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.noise >> 33) % below
    }
}
