//! Speed of sharing GPUs out: `cargo bench -p preheat-core --bench quota`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use preheat_core::{Claim, GpuWorth, Instant, PolicySpec, QuotaMemory, ReplicaCount, allot};

fn claims(pools: u32) -> BTreeMap<String, Claim> {
    let of = |n: u32| {
        let (priority, worth) = ((n % 3) as i32, GpuWorth::saturating(f64::from(n % 5)));
        let claim = Claim::new(&PolicySpec::default(), 1 + n % 2, priority, worth);
        let (wanted, held) = (ReplicaCount(1 + n % 7), ReplicaCount(1 + n % 4));
        (format!("pool{n}"), Claim { wanted, needed_now: wanted, held, ..claim })
    };
    (0..pools).map(of).collect()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("quota");
    for pools in [10, 1000, 10_000] {
        let claims = claims(pools);
        let at = |secs| Instant::ORIGIN.saturating_add(Duration::from_secs(secs));
        for (name, gpus) in [("scarce", 4 * pools), ("plenty", 20 * pools)] {
            let memory = allot(gpus, &claims, &QuotaMemory::default(), at(0)).memory;
            group.bench_function(BenchmarkId::new(name, pools), |bencher| {
                bencher.iter(|| allot(gpus, black_box(&claims), black_box(&memory), at(1000)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
