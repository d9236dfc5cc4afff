//! Sizes that only an optimised build gets through: run with
//! `cargo test --release -p preheat-sim --test simulate -- --ignored`.

use std::time::Duration;

use preheat_core::{Policy, PolicySpec, ReplicaCount};
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_traffic::TraceRequest;

use crate::common::{bounds, config, engine, fixed, poisson, secs};

/// A day at a thousand requests per second, read as it goes.
fn day() -> impl Iterator<Item = TraceRequest> {
    (0..86_400_000_u64).map(|n| TraceRequest {
        arrival: Duration::from_millis(n),
        input_tokens: 512,
        output_tokens: 128 + (n % 257) as u32,
    })
}

fn huge() -> SimulationConfig {
    SimulationConfig {
        replicas_initial: ReplicasInitial::Count(10_000),
        bounds: bounds(10_000),
        ..config()
    }
}

#[test]
#[ignore = "minutes"]
fn ten_thousand_replicas_and_a_day() {
    let mut scaler = fixed(10_000);
    scaler.period = secs(15);
    let report = Simulation::new(huge()).unwrap().run(day(), &mut scaler).unwrap();
    assert_eq!(report.completed, 86_400_000);
}

#[test]
#[ignore = "minutes"]
fn a_day_under_preheat() {
    let max = ReplicaCount(10_000);
    let spec = PolicySpec {
        replicas_max: max,
        replicas_min: max,
        starts_max: 500,
        ..PolicySpec::default()
    };
    let mut preheat = Preheat::new(Policy::try_from(spec).unwrap());
    let report = Simulation::new(huge()).unwrap().run_preheat(day(), &mut preheat).unwrap();
    assert_eq!(report.completed, 86_400_000);
}

#[test]
#[ignore = "seconds"]
fn a_million_requests_too_many() {
    for (slots, kv_capacity_tokens) in [(8, 100_000), (1024, 20_000)] {
        let mut config = SimulationConfig {
            replicas_initial: ReplicasInitial::Count(8),
            drain_max: Duration::from_secs(1_000_000),
            ..config()
        };
        config.engine.max_num_seqs = engine(slots).max_num_seqs;
        config.engine.kv_capacity_tokens = kv_capacity_tokens;
        let trace = poisson(1, &[(2_500, 400.0)]);
        let report = Simulation::new(config).unwrap().run(trace, &mut fixed(8)).unwrap();
        assert_eq!(report.completed, report.requests);
    }
}
