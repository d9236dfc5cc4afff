//! A pool as a decision sees it, for measuring.

use std::time::Duration;

use preheat_core::{
    Concurrency, Counters, GatewayObservation, Instant, LatencyMean, Observation, ReplicaId,
    ReplicaObservation, ReplicaPhase, Sample, TickId,
};

/// Time between two ticks.
pub(crate) const TICK: Duration = Duration::from_secs(2);

/// A tick of a pool whose replicas are all ready, with so many requests in flight in each.
pub(crate) fn observation(tick: u64, replicas: u64, in_flight: u32) -> Observation {
    let now = Instant::ORIGIN
        .saturating_add(Duration::from_secs(1000) + TICK.saturating_mul(tick as u32));
    // 40 in flight are 6 requests/s.
    let arrivals = u64::from(in_flight) * 3 / 10;
    let counters = Counters {
        over: TICK,
        completions: arrivals,
        prompt_tokens: 13_000,
        generation_tokens: 2_500,
        preemptions: Some(0),
    };
    let itl = LatencyMean { over: TICK, count: 2_400, mean: Duration::from_millis(30) };
    let replica = |id| ReplicaObservation {
        in_flight: Some(Sample::new(in_flight, now)),
        queue_depth: Some(Sample::new(0, now)),
        max_num_seqs: Concurrency::new(64),
        kv_capacity_tokens: Some(148_398),
        counters: Some(Sample::new(counters, now)),
        itl: Some(Sample::new(itl, now)),
        outstanding: Some(Sample::new(in_flight, now)),
        ..ReplicaObservation::untold(ReplicaId(id), ReplicaPhase::Ready, Instant::ORIGIN)
    };
    let gateway = GatewayObservation {
        observed_at: now,
        over: TICK,
        arrivals: arrivals * replicas,
        completions: arrivals * replicas,
        failures: 0,
        rejections: 0,
        held: 0,
        held_oldest: None,
        ttft: None,
        first_tokens: None,
        itl: None,
        engine_time: None,
    };
    let replicas = (0..replicas).map(replica).collect();
    Observation { gateway: Some(gateway), ..Observation::of(TickId(tick), now, replicas) }
}
