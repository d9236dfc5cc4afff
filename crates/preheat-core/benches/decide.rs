//! Speed of one decision: `cargo bench -p preheat-core`.

mod pool;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use pool::observation;
use preheat_core::{Memory, PolicySpec, ReplicaCount, decide};

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for replicas in [10, 100, 1000] {
        let spec = PolicySpec { replicas_max: ReplicaCount(2000), ..PolicySpec::default() };
        let Ok(policy) = spec.validate() else { return };
        let mut memory = Memory::default();
        for tick in 0..500 {
            memory = decide(&policy, &memory, &observation(tick, replicas, 40)).memory;
        }
        let next = observation(500, replicas, 40);
        group.bench_function(BenchmarkId::from_parameter(replicas), |bencher| {
            bencher.iter(|| decide(&policy, black_box(&memory), black_box(&next)));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
