//! Every policy in a simulated cluster: a small step of load that each has to live through.

use std::time::Duration;

use preheat_core::Concurrency;
use preheat_engine::{EngineConfig, EngineProfile};
use preheat_traffic::TraceRequest;

use super::{by_name, names};
use crate::cold_start::ColdStartConfig;
use crate::report::RunReport;
use crate::run::{Simulation, SimulationConfig};
use crate::view::PoolBounds;

/// One request a second for five minutes, four a second for ten, one again for fifteen.
fn step() -> Vec<TraceRequest> {
    let rate_of = |second| if (300..900).contains(&second) { 4 } else { 1 };
    let arrivals = (0..1800_u64).flat_map(|second| {
        (0..rate_of(second)).map(move |n| Duration::from_millis(second * 1000 + n * 250))
    });
    arrivals
        .map(|arrival| TraceRequest { arrival, input_tokens: 1000, output_tokens: 200 })
        .collect()
}

fn run(name: &str) -> RunReport {
    let profile = EngineProfile::find("qwen3-32b-fp8-h100").unwrap();
    let mut engine = EngineConfig::for_profile(profile);
    engine.max_num_seqs = Concurrency::new(8).unwrap();
    let bounds = PoolBounds {
        replicas_min: 1,
        replicas_max: 20,
        ttft_slo: Duration::from_secs(2),
        attainment_slo: 0.99,
        tpot_slo: Some(Duration::from_millis(100)),
    };
    let startup = ColdStartConfig::Fixed(Duration::from_secs(60));
    let simulation = Simulation::new(SimulationConfig::new(engine, bounds, startup)).unwrap();
    let mut scaler = by_name(name, &bounds).unwrap();
    simulation.run(step(), scaler.as_mut()).unwrap()
}

#[test]
fn every_policy_serves_all_within_its_bounds_the_same_each_time() {
    for name in names() {
        let report = run(name);
        assert_eq!(report.completed, report.requests, "{name}");
        assert!(report.replicas_peak <= 20, "{name}");
        assert_eq!(run(name), report, "{name}");
    }
}

#[test]
fn each_reacts_to_a_step_if_its_defaults_can_see_it() {
    // A target of 100 a replica never comes near on 8 slots; 16 running neither; KV stays low, and so
    // does the CPU.
    let blind =
        ["static", "knative", "kubeai", "skyserve", "aibrix", "wva-v1", "dynamo-load", "hpa-cpu"];
    for name in names().filter(|name| !blind.contains(name)) {
        let report = run(name);
        assert!(report.starts > 0, "{name}");
    }
}
