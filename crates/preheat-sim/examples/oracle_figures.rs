//! The figures of `docs/oracle.md`, by slot length and margin:
//! `cargo run --release -p preheat-sim --example oracle_figures`.

#![expect(clippy::print_stdout, reason = "it is there to print")]

use std::error::Error;
use std::time::Duration;

use preheat_core::Concurrency;
use preheat_engine::{EngineConfig, EngineProfile};
use preheat_sim::oracle::{
    Costs, DemandSpec, Opening, Oracle, OracleSpec, Reference, ServiceModel, SlotDemand, Tally,
    demand,
};
use preheat_traffic::{EmbeddedTrace, embedded};

fn main() -> Result<(), Box<dyn Error>> {
    let trace = embedded(EmbeddedTrace::AzureConversation, 1);
    let engine = EngineConfig::for_profile(
        EngineProfile::find("qwen3-32b-fp8-h100").ok_or("no such profile")?,
    );
    let (summary, slots) = (trace.summary(), Concurrency::new(8).ok_or("no slots")?);
    let (input, output) = (summary.input_tokens.mean, summary.output_tokens.mean);
    let service = ServiceModel::of_engine(&engine, slots, input, output);
    println!("{service:?}");
    for (slot_s, margin) in [(1_u32, 0.0), (5, 0.0), (30, 0.0), (60, 0.0), (1, 0.2)] {
        let slot = Duration::from_secs(slot_s.into());
        let demand = demand(&trace, &DemandSpec { slot, service, margin })?;
        let lead_slots = 180 / slot_s;
        let minute = demand.iter().take((60 / slot_s) as usize);
        let opening = Opening::Fleet(minute.map(SlotDemand::need).max().unwrap_or(0));
        let costs = Costs { replica_slot: f64::from(slot_s) / 3_600.0, start: 0.0 };
        let spec = OracleSpec { slot, demand, lead_slots, costs, sleep: None, opening };
        let oracle = Oracle::new(spec)?;
        let unavoidable = oracle.misses_unavoidable() / oracle.requests();
        println!("{slot_s} s slots, margin {margin}, {opening:?}, {unavoidable:.4} unavoidable");
        for epsilon in [0.0, 0.01, 0.05] {
            let Reference { bound, tally, .. } = oracle.at_most(epsilon)?;
            let Tally { cost, starts, .. } = tally;
            println!("  ε {epsilon}: {bound:.3} ≤ {cost:.3}, {starts} starts");
        }
    }
    Ok(())
}
