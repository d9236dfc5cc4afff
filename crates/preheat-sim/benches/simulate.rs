//! How many requests per second of wall time a simulated cluster gets through, on one core.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use preheat_core::{Concurrency, Policy, PolicySpec, ReplicaCount};
use preheat_engine::{EngineConfig, EngineProfile};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::router::Router;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_sim::scaler::Scaler;
use preheat_sim::view::{FleetView, MetricsPipeline, PoolBounds};
use preheat_traffic::TraceRequest;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A fleet that stays as it is, seen through a stock Prometheus.
struct Fixed(u32);

impl Scaler for Fixed {
    fn name(&self) -> &str {
        "static"
    }

    fn period(&self) -> Duration {
        Duration::from_secs(15)
    }

    fn pipeline(&self) -> MetricsPipeline {
        MetricsPipeline { scrape_interval: Duration::from_secs(15), delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        black_box(view);
        self.0
    }
}

/// Poisson arrivals, all of 512 prompt and 256 output tokens.
fn trace(requests: u64, rate: f64) -> Vec<TraceRequest> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut now = 0.0;
    let mut next = || {
        let unit = ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        now -= libm::log(unit) / rate;
        let arrival = Duration::from_secs_f64(now);
        TraceRequest { arrival, input_tokens: 512, output_tokens: 256 }
    };
    (0..requests).map(|_| next()).collect()
}

fn simulation(replicas: u32, max_num_seqs: Option<u32>, router: Router) -> Option<Simulation> {
    let profile = EngineProfile::find("llama3.1-8b-bf16-h100")?;
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(slots) = max_num_seqs.and_then(Concurrency::new) {
        engine.max_num_seqs = slots;
    }
    let bounds = PoolBounds {
        replicas_min: 1,
        replicas_max: 2 * replicas,
        ttft_slo: Duration::from_secs(2),
        attainment_slo: 0.99,
        tpot_slo: None,
    };
    let startup = ColdStartConfig::Fixed(Duration::from_secs(120));
    let config = SimulationConfig {
        router,
        replicas_initial: ReplicasInitial::Count(replicas),
        ..SimulationConfig::new(engine, bounds, startup)
    };
    Simulation::new(config).ok()
}

fn preheat(replicas: u32) -> Option<Preheat> {
    let replicas_max = ReplicaCount(2 * replicas);
    let spec = PolicySpec { replicas_max, ..PolicySpec::default() };
    Policy::try_from(spec).ok().map(Preheat::new)
}

fn completed(report: Option<RunReport>) -> u64 {
    let report = report.filter(|report| report.completed == report.requests);
    report.map_or(0, |report| report.completed)
}

/// Eight replicas at a moderate 6 requests per second each.
fn steady(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steady-8-replicas");
    for (requests, samples) in [(10_000, 20), (1_000_000, 10)] {
        let trace = trace(requests, 48.0);
        group.throughput(Throughput::Elements(requests)).sample_size(samples);
        let routers = [
            ("least-outstanding", Router::LeastOutstanding),
            ("round-robin", Router::RoundRobin),
            ("central-queue", Router::CentralQueue),
        ];
        for (name, router) in routers {
            let Some(simulation) = simulation(8, None, router) else { continue };
            group.bench_with_input(BenchmarkId::new(name, requests), &trace, |bencher, trace| {
                bencher.iter(|| {
                    let report = simulation.run(trace.iter().copied(), &mut Fixed(8));
                    assert_eq!(completed(report.ok()), requests);
                });
            });
        }
    }
    group.finish();
}

/// A hundred replicas with everything: scrapes, ticks, and preheat's decisions every two seconds.
fn full_loop(criterion: &mut Criterion) {
    const REQUESTS: u64 = 1_000_000;
    let mut group = criterion.benchmark_group("full-loop-100-replicas");
    group.throughput(Throughput::Elements(REQUESTS)).sample_size(10);
    for (name, slots, rate) in [("6-per-s", None, 600.0), ("8-slots", Some(8), 300.0)] {
        let Some(simulation) = simulation(100, slots, Router::LeastOutstanding) else { continue };
        let trace = trace(REQUESTS, rate);
        group.bench_with_input(BenchmarkId::new("preheat", name), &trace, |bencher, trace| {
            bencher.iter(|| {
                let mut preheat = preheat(100)?;
                let report = simulation.run_preheat(trace.iter().copied(), &mut preheat);
                assert_eq!(completed(report.ok()), REQUESTS);
                Some(())
            });
        });
        group.bench_with_input(BenchmarkId::new("static", name), &trace, |bencher, trace| {
            bencher.iter(|| {
                let report = simulation.run(trace.iter().copied(), &mut Fixed(100));
                assert_eq!(completed(report.ok()), REQUESTS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, steady, full_loop);
criterion_main!(benches);
