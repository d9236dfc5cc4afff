//! Speed of one decision: `cargo bench -p preheat-core`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use preheat_core::{
    Concurrency, Counters, GatewayObservation, Instant, LatencyMean, Memory, Observation,
    PolicySpec, ReplicaCount, ReplicaId, ReplicaObservation, ReplicaPhase, Sample, TickId, decide,
};

fn observation(tick: u64, replicas: u64) -> Observation {
    let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000 + 2 * tick));
    let counters = Counters {
        over: Duration::from_secs(2),
        completions: 12,
        prompt_tokens: 13_000,
        generation_tokens: 2_500,
        preemptions: 0,
    };
    let itl =
        LatencyMean { over: Duration::from_secs(2), count: 2_400, mean: Duration::from_millis(30) };
    let replica = |id| ReplicaObservation {
        id: ReplicaId(id),
        phase: ReplicaPhase::Ready,
        phase_since: Instant::ORIGIN,
        start_ordered_at: Instant::ORIGIN,
        restarts: 0,
        in_flight: Some(Sample::new(40, now)),
        queue_depth: Some(Sample::new(0, now)),
        kv_utilization: None,
        max_num_seqs: Concurrency::new(64),
        kv_capacity_tokens: Some(148_398),
        counters: Some(Sample::new(counters, now)),
        ttft: None,
        itl: Some(Sample::new(itl, now)),
        outstanding: Some(Sample::new(40, now)),
    };
    let gateway = GatewayObservation {
        observed_at: now,
        over: Duration::from_secs(2),
        arrivals: 12 * replicas,
        completions: 12 * replicas,
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
    Observation {
        tick: TickId(tick),
        now,
        replicas,
        gateway: Some(gateway),
        replicas_placeable: None,
        replicas_allowed: None,
        scheduled: Vec::new(),
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for replicas in [10, 100, 1000] {
        let spec = PolicySpec { replicas_max: ReplicaCount(2000), ..PolicySpec::default() };
        let Ok(policy) = spec.validate() else { return };
        let mut memory = Memory::default();
        for tick in 0..500 {
            memory = decide(&policy, &memory, &observation(tick, replicas)).memory;
        }
        let next = observation(500, replicas);
        group.bench_function(BenchmarkId::from_parameter(replicas), |bencher| {
            bencher.iter(|| decide(&policy, black_box(&memory), black_box(&next)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
