//! What `preheat demo` runs, in the simulated world: the same traffic, engines, bounds and policy.
//! Shared by the test beside it and by `examples/demo.rs`.

use std::error::Error;
use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{EngineConfig, EngineProfile, StartupProfile, StepProfile};
use preheat_sim::cold_start::{ColdStartConfig, GpuSupply};
use preheat_sim::report::RunReport;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_sim::scaler::Scaler;
use preheat_sim::view::{FleetView, MetricsPipeline, PoolBounds};
use preheat_traffic::{EmbeddedTrace, Shaping, Trace, TraceRequest, embedded};

/// The demo's, seed included.
const SEED: u64 = 1;
const PROFILE: &str = "qwen-27b-fp8-h100";
const MAX_NUM_SEQS: u32 = 64;
const REPLICAS_MIN: u32 = 3;
const REPLICAS_MAX: u32 = 8;
const TTFT_SLO: Duration = Duration::from_secs(2);
const COLD_START_P50: Duration = Duration::from_secs(140);
const COLD_START_P90: Duration = Duration::from_secs(170);
const TRACE_FROM: Duration = Duration::from_secs(6 * 60);
const TRACE_UNTIL: Duration = Duration::from_secs(6 * 60 + 2200);
/// Step times of the live run's engines, which a later fit of the profile does not change.
#[rustfmt::skip]
const LIVE_STEPS: StepProfile = StepProfile::from_table_ms(
    [
        22.4455, 22.3841, 23.0033, 23.4178, 29.6349, 29.5178, 31.4865, 31.5191,
        33.5751, 33.4821, 33.5828, 46.3701, 44.7374, 44.7819, 56.1341, 67.5307,
        67.5875, 96.6103, 125.69, 125.812, 156.852, 239.613, 239.667, 461.608,
        964.687,
    ],
    3.2634e-6, 8.59137e-5, 1.79953,
);
/// In the mix, chats come at this many times their recorded rate.
const CONVERSATION_SCALE: f64 = 3.0;

/// What the live run's plan did, in seconds since its traffic began, and how many replicas it
/// added or gave up.
const PLAN: [(f64, i32); 13] = [
    (43.2, 1),
    (212.4, 1),
    (216.5, 3),
    (529.1, -1),
    (817.5, -1),
    (848.3, -1),
    (879.1, -1),
    (991.3, 1),
    (1056.8, 1),
    (1066.9, 1),
    (1649.0, -1),
    (1841.7, 1),
    (2141.9, -1),
];
/// Whole minutes, so that those of a series are those of the traffic.
const IDLE_MINUTES: u32 = 3;

/// The demo's pool. Its engines draw their starts from the seed and their number.
pub(crate) fn pool() -> Result<SimulationConfig, Box<dyn Error>> {
    let profile = EngineProfile::find(PROFILE).ok_or("the profile is gone")?;
    let mut engine = EngineConfig { profile: LIVE_STEPS, ..EngineConfig::for_profile(profile) };
    engine.max_num_seqs = Concurrency::new(MAX_NUM_SEQS).ok_or("no slots")?;
    let bounds = PoolBounds {
        replicas_min: REPLICAS_MIN,
        replicas_max: REPLICAS_MAX,
        ttft_slo: TTFT_SLO,
        attainment_slo: 0.99,
        tpot_slo: None,
    };
    let startup = ColdStartConfig::PerReplica { profile: starts()?, seed: SEED };
    Ok(SimulationConfig {
        seed: SEED,
        replicas_initial: ReplicasInitial::Count(REPLICAS_MIN),
        gpus: GpuSupply::Nodes { nodes: 1, gpus_each: REPLICAS_MAX },
        ..SimulationConfig::new(engine, bounds, startup)
    })
}

/// Runs the demo's traffic on its pool, which grows and shrinks when the live one did.
pub(crate) fn follow_live_plan() -> Result<RunReport, Box<dyn Error>> {
    let idle = Duration::from_secs(60) * IDLE_MINUTES;
    let config = SimulationConfig { series: true, ..pool()? };
    Ok(Simulation::new(config)?.run(traffic(idle)?, &mut Script { idle })?)
}

/// Ready replicas at the end of each minute of the live run's traffic.
pub(crate) fn live_ready() -> Result<Vec<u32>, Box<dyn Error>> {
    let lines = include_str!("../data/demo_live.csv").lines();
    let rows = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_digit()));
    let ready = rows.map(|row| row.split(',').nth(2).unwrap_or_default().parse());
    Ok(ready.collect::<Result<_, _>>()?)
}

/// The same of a run that followed its plan.
pub(crate) fn simulated_ready(report: &RunReport) -> Vec<u32> {
    report.series.iter().skip(IDLE_MINUTES as usize).map(|minute| minute.ready).collect()
}

/// Does what the live run did.
struct Script {
    idle: Duration,
}

impl Scaler for Script {
    fn name(&self) -> &'static str {
        "the live run's plan"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn pipeline(&self) -> MetricsPipeline {
        let scrape_interval = Duration::from_secs(15);
        MetricsPipeline { scrape_interval, delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let now_s = view.now.since(Instant::ORIGIN).as_secs_f64() - self.idle.as_secs_f64();
        let done = PLAN.iter().take_while(|(at_s, _)| *at_s <= now_s);
        done.fold(REPLICAS_MIN, |replicas, (_, change)| replicas.saturating_add_signed(*change))
    }
}

/// How the demo's engines start.
fn starts() -> Result<StartupProfile, Box<dyn Error>> {
    let starts = StartupProfile::with_quantiles(COLD_START_P50, COLD_START_P90);
    starts.ok_or_else(|| "no such start".into())
}

/// `azure-mix`, redrawn from figures as where the traces are not at hand, after `idle`.
pub(crate) fn traffic(idle: Duration) -> Result<Vec<TraceRequest>, Box<dyn Error>> {
    let conversation = embedded(EmbeddedTrace::AzureConversation, SEED);
    let mut requests = conversation.scaled(CONVERSATION_SCALE, SEED)?.requests;
    requests.extend(embedded(EmbeddedTrace::AzureCode, SEED).requests);
    let shaping =
        Shaping { from: TRACE_FROM, until: Some(TRACE_UNTIL), seed: SEED, ..Shaping::default() };
    let cut = Trace::new(requests).shaped(&shaping)?.requests.into_iter();
    let later = |request: TraceRequest| request.arrival.saturating_add(idle);
    Ok(cut.map(|request| TraceRequest { arrival: later(request), ..request }).collect())
}
