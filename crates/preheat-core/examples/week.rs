//! What a week of history makes of a decision: its slowest ones, what a pool takes in memory, and
//! ten thousand pools on one core. `cargo run --release -p preheat-core --example week`

#![expect(clippy::print_stdout, reason = "it is there to print")]

#[path = "../benches/pool/mod.rs"]
mod pool;

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use pool::{TICK, observation};
use preheat_core::{Memory, Policy, PolicySpec, ReplicaCount, decide};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ticks of a week.
const WEEK: u64 = 7 * 24 * 1_800;
const REPLICAS: u64 = 1_000;
const POOLS: usize = 10_000;
/// Replicas of each of many pools.
const REPLICAS_OF_MANY: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let spec =
        PolicySpec { replicas_max: ReplicaCount(2 * REPLICAS as u32), ..PolicySpec::default() };
    let policy = spec.validate()?;
    let mut took: Vec<Duration> = Vec::with_capacity(WEEK as usize);
    let memory = live(&policy, REPLICAS, Memory::default(), |time| took.push(time));
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "{REPLICAS} replicas, a week: decide() p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs",
        at(0.5),
        at(0.99),
        at(0.999)
    );

    println!("its memory in the journal: {} kB", serde_json::to_vec(&memory)?.len() / 1_000);

    let one = live(&policy, REPLICAS_OF_MANY, Memory::default(), |_| {});
    let before = resident_kb()?;
    let mut pools: Vec<Memory> = (0..POOLS).map(|_| one.clone()).collect();
    let a_pool = (resident_kb()? - before) as f64 / POOLS as f64;
    let next = observation(WEEK, REPLICAS_OF_MANY, 40);
    let began = Instant::now();
    for memory in &mut pools {
        *memory = black_box(decide(&policy, memory, &next).memory);
    }
    println!(
        "{POOLS} pools of {REPLICAS_OF_MANY} replicas: all decided in {:.2} s on one core, {a_pool:.0} kB a pool",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A week of a daily swing, tick by tick; `each` is told how long each decision took.
fn live(
    policy: &Policy,
    replicas: u64,
    mut memory: Memory,
    mut each: impl FnMut(Duration),
) -> Memory {
    for tick in 0..WEEK {
        let hour = (TICK.as_secs() * tick % DAY.as_secs()) as f64 / DAY.as_secs_f64();
        let swing = (hour * std::f64::consts::TAU).sin();
        // From 5 to 60 in flight in each, and now and then three more.
        let in_flight = (32.0 + 27.0 * swing) as u32 + u32::from(tick % 97 < 9) * 3;
        let seen = observation(tick, replicas, in_flight);
        let began = Instant::now();
        memory = black_box(decide(policy, &memory, &seen).memory);
        each(began.elapsed());
    }
    memory
}

/// Memory of this process, in kB (Linux).
fn resident_kb() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.ok_or("/proc/self/status has no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
