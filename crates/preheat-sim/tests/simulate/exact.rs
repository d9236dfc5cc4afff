//! One replica is the engine alone, a jump is its steps, equal seeds give equal bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{Engine, EngineConfig, EngineEvent, EngineRequest, EventDetail, RequestId};
use preheat_engine::{EngineProfile, Stepping};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::faults::Crash;
use preheat_sim::report::RunReport;
use preheat_sim::router::Router;
use preheat_sim::run::{Drain, ReplicasInitial, ScaleDown, Simulation, SimulationConfig, Victim};
use preheat_traffic::TraceRequest;
use proptest::prelude::*;

use crate::common::{Script, at, bounds, config, fixed, poisson};

fn run(config: &SimulationConfig, trace: &[TraceRequest], replicas: u32) -> RunReport {
    let config =
        SimulationConfig { replicas_initial: ReplicasInitial::Count(replicas), ..config.clone() };
    let simulation = Simulation::new(config).unwrap();
    simulation.run(trace.iter().copied(), &mut fixed(replicas)).unwrap()
}

/// Sorted times to first token and of whole answers, from the engine alone.
fn engine_alone(config: EngineConfig, trace: &[TraceRequest]) -> (Vec<Duration>, Instant) {
    let mut engine = Engine::new(config).with_detail(EventDetail::Requests);
    let mut events = Vec::new();
    let mut arrived = BTreeMap::new();
    for (id, request) in (0..).map(RequestId).zip(trace) {
        let now = Instant::ORIGIN.saturating_add(request.arrival);
        engine.advance(now, &mut events);
        let (prompt_tokens, output_tokens) = (request.input_tokens, request.output_tokens);
        engine.submit(now, EngineRequest { id, prompt_tokens, output_tokens }).unwrap();
        arrived.insert(id, now);
    }
    engine.advance(Instant::from_nanos(u64::MAX), &mut events);
    let mut ttft = Vec::new();
    let mut last = Instant::ORIGIN;
    for event in events {
        match event {
            EngineEvent::FirstToken { id, at } => ttft.push(at.since(arrived[&id])),
            EngineEvent::Finished { at, .. } => last = last.max(at),
            _ => {}
        }
    }
    ttft.sort();
    (ttft, last)
}

fn close(quantile: Option<f64>, sorted: &[Duration], level: f64) {
    let rank = ((sorted.len() as f64 * level).ceil() as usize).max(1);
    let exact = sorted[rank - 1].as_secs_f64();
    let got = quantile.unwrap();
    assert!((got / exact - 1.0).abs() < 0.004, "{got} s, exactly {exact} s at {level}");
}

#[test]
fn one_replica_is_the_engine_alone() {
    for (slots, rate) in [(8, 6.0), (8, 12.0), (64, 30.0)] {
        let trace = poisson(3, &[(120, rate)]);
        let mut config = config();
        config.engine.max_num_seqs = Concurrency::new(slots).unwrap();
        config.initial_start_charged = false;
        let report = run(&config, &trace, 1);
        let (ttft, last) = engine_alone(config.engine, &trace);
        assert_eq!(report.completed, trace.len() as u64);
        close(report.ttft_s.p50, &ttft, 0.5);
        close(report.ttft_s.p99, &ttft, 0.99);
        // The run ends with the last answer, to the nanosecond.
        assert_eq!(report.gpu_hours, last.as_nanos() as f64 / 3.6e12, "{slots} slots");
    }
}

#[test]
fn equal_seeds_give_equal_bytes_and_others_do_not() {
    let trace = poisson(1, &[(300, 20.0)]);
    let json = |seed| {
        let mut config = SimulationConfig { seed, series: true, ..config() };
        config.faults.scrape_loss = preheat_core::Probability::saturating(0.2);
        config.faults.slow = preheat_core::Probability::saturating(0.5);
        config.faults.slow_factor = Some(1.4);
        serde_json::to_string(&run(&config, &trace, 12)).unwrap()
    };
    assert_eq!(json(7), json(7));
    assert_ne!(json(7).replace("\"seed\":7", ""), json(9).replace("\"seed\":9", ""));
}

/// A small engine: KV memory or slots run out quickly.
fn small(kv_tokens: u64, slots: u32, async_scheduling: bool) -> EngineConfig {
    let profile = EngineProfile::find("llama3.1-8b-bf16-h100").unwrap();
    EngineConfig {
        max_num_seqs: Concurrency::new(slots).unwrap(),
        kv_capacity_tokens: kv_tokens,
        max_num_batched_tokens: 512,
        max_model_len: 1024,
        async_scheduling,
        ..EngineConfig::for_profile(profile)
    }
}

fn workload() -> impl Strategy<Value = Vec<TraceRequest>> {
    let request = (0_u64..400_000, 1_u32..500, 1_u32..300);
    proptest::collection::vec(request, 1..120).prop_map(|gaps| {
        let mut now = Duration::ZERO;
        let mut next = |(gap, input_tokens, output_tokens)| {
            // A third arrive together with the one before.
            now += Duration::from_micros(if gap % 3 == 0 { 0 } else { gap });
            TraceRequest { arrival: now, input_tokens, output_tokens }
        };
        gaps.into_iter().map(&mut next).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The same in a fleet that changes under its requests, to the last byte.
    #[test]
    fn a_jump_is_its_steps_while_replicas_come_and_go(
        trace in workload(),
        slots in 1_u32..12,
        steps in proptest::collection::vec(1_u32..7, 1..8),
        crashes in proptest::collection::vec((1_u64..30, 0_u32..4), 0..4),
        grace in proptest::option::of(0_u64..4),
        seed in any::<u64>(),
    ) {
        let mut jump = SimulationConfig {
            series: true,
            seed,
            startup: ColdStartConfig::Fixed(Duration::from_secs(2)),
            scale_down: ScaleDown {
                victim: Victim::Random,
                drain: grace.map_or(Drain::Graceful, |secs| {
                    Drain::Kill { grace: Duration::from_secs(secs) }
                }),
            },
            ..SimulationConfig::new(small(4_000, slots, true), bounds(9), config().startup)
        };
        jump.faults.crashes =
            crashes.into_iter().map(|(secs, index)| Crash { at: at(secs), index }).collect();
        jump.faults.slow = preheat_core::Probability::saturating(0.5);
        jump.faults.slow_factor = Some(1.3);
        let each = SimulationConfig { stepping: Stepping::EachStep, ..jump.clone() };
        let steps: Vec<(u64, u32)> = (0..).step_by(3).zip(steps).collect();
        let run = |config: SimulationConfig| {
            let simulation = Simulation::new(config).unwrap();
            let report = simulation.run(trace.iter().copied(), &mut Script::of(&steps)).unwrap();
            serde_json::to_string(&report).unwrap()
        };
        prop_assert_eq!(run(jump), run(each));
    }

    /// Ends that are seen late, requests that get lost and KV memory that is given out twice stop a
    /// run, so this is also the test of the lower bounds that engines are left alone by.
    #[test]
    fn a_jump_is_its_steps(
        trace in workload(),
        kv_tokens in 1_600_u64..8_000,
        slots in 1_u32..24,
        is_async in any::<bool>(),
        replicas in 1_u32..5,
        router in prop_oneof![
            Just(Router::LeastOutstanding), Just(Router::RoundRobin), Just(Router::CentralQueue),
        ],
    ) {
        let startup = config().startup;
        let jump = SimulationConfig {
            router,
            series: true,
            ..SimulationConfig::new(small(kv_tokens, slots, is_async), bounds(9), startup)
        };
        let each = SimulationConfig { stepping: Stepping::EachStep, ..jump.clone() };
        let (jump, each) = (run(&jump, &trace, replicas), run(&each, &trace, replicas));
        prop_assert_eq!(jump.completed, trace.len() as u64);
        prop_assert_eq!(serde_json::to_string(&jump).unwrap(), serde_json::to_string(&each).unwrap());
    }
}
