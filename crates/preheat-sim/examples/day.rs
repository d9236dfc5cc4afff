//! The largest run that is promised: 10,000 replicas and a day of 1,000 requests a second, under
//! preheat. `/usr/bin/time -v cargo run --release -p preheat-sim --example day` tells time and memory.

#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::error::Error;
use std::time::Duration;

use preheat_core::{PolicySpec, ReplicaCount};
use preheat_engine::{EngineConfig, EngineProfile};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_sim::view::PoolBounds;
use preheat_traffic::TraceRequest;

const REPLICAS: u32 = 10_000;
const REQUESTS: u64 = 86_400_000;

fn main() -> Result<(), Box<dyn Error>> {
    let profile = EngineProfile::find("llama3.1-8b-bf16-h100").ok_or("the profile is gone")?;
    let bounds = PoolBounds {
        replicas_min: REPLICAS,
        replicas_max: REPLICAS,
        ttft_slo: Duration::from_secs(2),
        attainment_slo: 0.99,
        tpot_slo: None,
    };
    let startup = ColdStartConfig::Fixed(Duration::from_secs(120));
    let config = SimulationConfig {
        replicas_initial: ReplicasInitial::Count(REPLICAS),
        ..SimulationConfig::new(EngineConfig::for_profile(profile), bounds, startup)
    };
    let spec = PolicySpec {
        replicas_min: ReplicaCount(REPLICAS),
        replicas_max: ReplicaCount(REPLICAS),
        ..PolicySpec::default()
    };
    // Read as it goes: memory is bounded by what is in flight.
    let day = (0..REQUESTS).map(|n| TraceRequest {
        arrival: Duration::from_millis(n),
        input_tokens: 512,
        output_tokens: 128 + (n % 257) as u32,
    });
    let mut preheat = Preheat::new(spec.validate()?);
    let report = Simulation::new(config)?.run_preheat(day, &mut preheat)?;
    println!("{} of {} requests completed", report.completed, report.requests);
    Ok(())
}
