//! What the simulator makes of `preheat demo`'s traffic, from the defaults of `preheat simulate`
//! step by step to the demo as it is: `cargo run --release -p preheat-sim --example demo`.

#![expect(clippy::print_stdout, reason = "it is there to print")]

#[path = "../tests/fidelity/demo.rs"]
mod demo;

use std::error::Error;
use std::time::Duration;

use preheat_core::{ColdStartPrior, PolicySpec, ReplicaCount};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};

/// The demo's belief of starts.
const COLD_START: ColdStartPrior =
    ColdStartPrior { p50: Duration::from_secs(140), p90: Duration::from_secs(170) };
/// Model time from the first tick of the live run to its traffic, as its journal has it.
const IDLE: Duration = Duration::from_millis(169_758);
/// Mean time between its ticks: the two seconds of the policy, and 2 ms of wall time for a scrape.
const TICK_INTERVAL: Duration = Duration::from_millis(2_046);
/// Where in a tick the traffic begins.
const PHASES: u32 = 16;
/// Draws of how long starts take.
const SEEDS: u64 = 24;

/// A run under preheat.
#[derive(Clone, Debug)]
struct Setting {
    pool: SimulationConfig,
    /// Time before the traffic begins.
    idle: Duration,
    /// Between two decisions.
    tick_interval: Duration,
}

fn main() -> Result<(), Box<dyn Error>> {
    let live = Setting { pool: demo::pool()?, idle: IDLE, tick_interval: TICK_INTERVAL };
    let simulate = Setting {
        pool: SimulationConfig {
            startup: ColdStartConfig::Fixed(COLD_START.p50),
            replicas_initial: ReplicasInitial::ForFirst(Duration::from_secs(60)),
            ..live.pool.clone()
        },
        idle: Duration::ZERO,
        tick_interval: Duration::from_secs(2),
    };
    let idle = Setting { idle: IDLE, tick_interval: TICK_INTERVAL, ..simulate.clone() };
    println!("| setting | runs | attainment: lowest | median | highest | below 0.9 |");
    println!("|---|---|---|---|---|---|");
    print("as `preheat simulate` begins it", &[simulate])?;
    print("a pool that was idle before", &phases(&idle))?;
    let draws: Vec<Setting> = phases(&live).iter().flat_map(draws).collect();
    print("and starts that vary", &draws)?;
    print("and take as long as the demo's", &phases(&live))?;
    print("and the tick where it was", std::slice::from_ref(&live))?;
    println!();
    tell("preheat in the simulated world", &live.run()?);
    let followed = demo::follow_live_plan()?;
    tell("the live run's plan in the simulated world", &followed);
    let (live, simulated) = (demo::live_ready()?, demo::simulated_ready(&followed));
    let same = live.iter().zip(&simulated).filter(|(live, simulated)| live == simulated).count();
    println!("as many replicas ready as live in {same} of {} minutes", live.len());
    Ok(())
}

impl Setting {
    fn run(&self) -> Result<RunReport, Box<dyn Error>> {
        let bounds = &self.pool.bounds;
        let spec = PolicySpec {
            replicas_min: ReplicaCount(bounds.replicas_min),
            replicas_max: ReplicaCount(bounds.replicas_max),
            cold_start_prior: COLD_START,
            tick_interval: self.tick_interval,
            ..PolicySpec::default()
        };
        let mut preheat = Preheat::new(spec.validate()?);
        // The first tick comes an interval after the run began.
        let traffic = demo::traffic(self.idle.saturating_add(self.tick_interval))?;
        Ok(Simulation::new(self.pool.clone())?.run_preheat(traffic, &mut preheat)?)
    }
}

/// The same, with the traffic beginning at other moments between two ticks.
fn phases(setting: &Setting) -> Vec<Setting> {
    let step = setting.tick_interval / PHASES;
    let later = |k: u32| Setting { idle: setting.idle + step * k, ..setting.clone() };
    (0..PHASES).map(later).collect()
}

/// The same, with other draws of how long starts take.
fn draws(setting: &Setting) -> Vec<Setting> {
    let drawn = |seed: u64| {
        let mut drawn = setting.clone();
        if let ColdStartConfig::PerReplica { profile, .. } = drawn.pool.startup {
            // Far enough apart that no two draws share a replica's.
            drawn.pool.startup = ColdStartConfig::PerReplica { profile, seed: seed * 1_000 };
        }
        drawn
    };
    (1..=SEEDS).map(drawn).collect()
}

fn tell(name: &str, report: &RunReport) {
    let seconds = |quantile: Option<f64>| quantile.unwrap_or_default();
    println!(
        "{name}: attainment {:.4}, TTFT p50 {:.2} s, p90 {:.2} s, p99 {:.2} s, {} started, {} stopped",
        report.attainment,
        seconds(report.ttft_s.p50),
        seconds(report.ttft_s.p90),
        seconds(report.ttft_s.p99),
        report.starts,
        report.stops
    );
}

fn print(name: &str, settings: &[Setting]) -> Result<(), Box<dyn Error>> {
    let mut attained = Vec::new();
    for setting in settings {
        attained.push(setting.run()?.attainment);
    }
    attained.sort_by(f64::total_cmp);
    let at = |index: usize| attained.get(index).copied().unwrap_or_default();
    let (lowest, median) = (at(0), at(attained.len() / 2));
    let highest = attained.last().copied().unwrap_or_default();
    let low = attained.iter().filter(|attained| **attained < 0.9).count();
    let runs = attained.len();
    println!("| {name} | {runs} | {lowest:.3} | {median:.3} | {highest:.3} | {low} |");
    Ok(())
}
