//! How many requests per second one simulated engine gets through.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use preheat_core::Instant;
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EngineProfile, EngineRequest, EventDetail, RequestId,
    Stepping,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Requests per run.
const REQUESTS: u64 = 20_000;

/// One arrival.
type Arrival = (Instant, EngineRequest);

/// Poisson arrivals at `rate` per second, prompts 128–896 and outputs 64–448 tokens, uniform.
fn arrivals(rate: f64) -> Vec<Arrival> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let mut now_secs = 0.0;
    let mut arrival = |id| {
        now_secs -= libm::log(unit()) / rate;
        let prompt_tokens = 128 + (unit() * 769.0) as u32;
        let output_tokens = 64 + (unit() * 385.0) as u32;
        let request = EngineRequest { id: RequestId(id), prompt_tokens, output_tokens };
        (Instant::from_nanos((now_secs * 1e9) as u64), request)
    };
    (0..REQUESTS).map(&mut arrival).collect()
}

/// Runs all arrivals through one engine, as a discrete-event simulator would.
fn run(profile: &EngineProfile, arrivals: &[Arrival], stepping: Stepping) -> u64 {
    let mut engine = Engine::new(EngineConfig::for_profile(profile))
        .with_detail(EventDetail::Requests)
        .with_stepping(stepping);
    let mut events: Vec<EngineEvent> = Vec::new();
    let mut seen = 0;
    for (at, request) in arrivals {
        engine.advance(*at, &mut events);
        seen += events.len() as u64;
        events.clear();
        let taken = engine.submit(*at, *request);
        assert_eq!(taken, Ok(()));
    }
    engine.advance(Instant::from_nanos(u64::MAX), &mut events);
    assert_eq!(engine.stats().finished_total, REQUESTS);
    seen + events.len() as u64
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("requests");
    group.throughput(Throughput::Elements(REQUESTS)).sample_size(20);
    let cases = [
        ("8b-h100/20-per-s", "llama3.1-8b-bf16-h100", 20.0, Stepping::Jump),
        ("8b-h100/20-per-s/each-step", "llama3.1-8b-bf16-h100", 20.0, Stepping::EachStep),
        ("8b-h100/1-per-s", "llama3.1-8b-bf16-h100", 1.0, Stepping::Jump),
        ("8b-h100/1-per-s/each-step", "llama3.1-8b-bf16-h100", 1.0, Stepping::EachStep),
        ("27b-h100/6-per-s", "qwen-27b-fp8-h100", 6.0, Stepping::Jump),
        ("27b-h100/overload", "qwen-27b-fp8-h100", 60.0, Stepping::Jump),
    ];
    for (name, profile, rate, stepping) in cases {
        let Some(profile) = EngineProfile::find(profile) else { continue };
        let arrivals = arrivals(rate);
        group.bench_function(name, |bencher| {
            bencher.iter(|| run(profile, black_box(&arrivals), stepping));
        });
    }
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
