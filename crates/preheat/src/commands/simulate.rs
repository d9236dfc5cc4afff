//! `preheat simulate`: a trace against modelled replicas under preheat or another autoscaler.

use std::fmt::Write;
use std::time::{Duration, Instant};

use preheat_core::{ColdStartPrior, Concurrency, Policy, PolicySpec, Probability, ReplicaCount};
use preheat_emulator::find_profile;
use preheat_engine::EngineConfig;
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::peers;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::{Quantiles, RunReport};
use preheat_sim::run::{Simulation, SimulationConfig};
use preheat_sim::scaler::Scaler;
use preheat_sim::view::PoolBounds;
use serde::Serialize;

use super::traces::{self, TraceRequest};
use crate::cli::SimulateArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

/// A report and what it is a report of.
#[derive(Debug, Serialize)]
struct Simulated<'a> {
    trace: &'a str,
    #[serde(flatten)]
    report: &'a RunReport,
}

pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<Answer> {
    let config = config(args)?;
    let mut scaler = scaler(args, &config.bounds)?;
    let simulation = Simulation::new(config)?;
    let mut line = Line::stderr();
    let request = TraceRequest {
        name: &args.trace,
        format: args.format.as_deref(),
        from: args.from,
        until: args.until,
        rate_scale: args.rate_scale,
        seed: args.seed,
    };
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let began = Instant::now();
    let report = match &mut scaler {
        Scaling::Preheat(preheat) => simulation.run_preheat(trace.requests, preheat)?,
        Scaling::Peer(peer) => simulation.run(trace.requests, peer.as_mut())?,
    };
    let took = began.elapsed();
    line.print(&format!(
        "simulated {} requests in {:.2} s of wall time",
        report.requests,
        took.as_secs_f64()
    ));
    if args.json {
        let simulated = Simulated { trace: &args.trace, report: &report };
        super::print(&format!("{}\n", serde_json::to_string(&simulated)?))?;
    } else {
        super::print(&text(&report, args.slo_ttft))?;
    }
    Ok(Answer::Yes)
}

/// Who scales.
enum Scaling {
    Preheat(Box<Preheat>),
    Peer(Box<dyn Scaler>),
}

fn scaler(args: &SimulateArgs, bounds: &PoolBounds) -> anyhow::Result<Scaling> {
    if args.policy == PREHEAT {
        return Ok(Scaling::Preheat(Box::new(Preheat::new(policy(args)?))));
    }
    peers::by_name(&args.policy, bounds).map(Scaling::Peer).map_err(|error| {
        hinted(error, format!("or `{PREHEAT}`; docs/policies/peers.md says what each one does"))
    })
}

/// Name of our own policy.
const PREHEAT: &str = "preheat";

fn config(args: &SimulateArgs) -> anyhow::Result<SimulationConfig> {
    let profile = find_profile(&args.profile)?;
    let mut engine = EngineConfig::for_profile(profile);
    if let Some(seqs) = args.max_num_seqs {
        engine.max_num_seqs = Concurrency::new(seqs)
            .ok_or_else(|| hinted("--max-num-seqs is 0", "give at least 1"))?;
    }
    let bounds = PoolBounds {
        replicas_min: args.min_replicas,
        replicas_max: args.max_replicas,
        ttft_slo: args.slo_ttft,
        attainment_slo: args.slo_quantile,
        tpot_slo: args.slo_tpot,
    };
    let startup = ColdStartConfig::Fixed(args.cold_start);
    Ok(SimulationConfig {
        gpus_per_replica: profile.gpus,
        seed: args.seed,
        ..SimulationConfig::new(engine, bounds, startup)
    })
}

/// The defaults of a pool that is told its bounds, its SLO, and how long a start takes.
fn policy(args: &SimulateArgs) -> anyhow::Result<Policy> {
    let mut spec = PolicySpec {
        replicas_min: ReplicaCount(args.min_replicas),
        replicas_max: ReplicaCount(args.max_replicas),
        cold_start_prior: ColdStartPrior { p50: args.cold_start, p90: args.cold_start },
        ..PolicySpec::default()
    };
    spec.slo.threshold = args.slo_ttft;
    spec.slo.quantile = Probability::new(args.slo_quantile)
        .ok_or_else(|| hinted("--slo-quantile is no ratio", "give 0.99 for P99"))?;
    Ok(spec.validate()?)
}

fn text(report: &RunReport, ttft_slo: Duration) -> String {
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "policy       {}\nrequests     {}: {} completed, {} failed, {} streams cut",
        report.policy, report.requests, report.completed, report.failed, report.streams_cut
    );
    let _ = writeln!(text, "attainment   {:.4} (TTFT ≤ {ttft_slo:?})", report.attainment);
    for (name, quantiles) in [("TTFT", &report.ttft_s), ("TPOT", &report.tpot_s)] {
        let Quantiles { p50: Some(p50), p90: Some(p90), p99: Some(p99) } = quantiles else {
            continue;
        };
        let _ = writeln!(text, "{name:<12} p50 {p50:.3} s   p90 {p90:.3} s   p99 {p99:.3} s");
    }
    let _ = writeln!(
        text,
        "GPU-hours    {:.2} ({} started, {} stopped, at most {} at once, {} changes of direction)",
        report.gpu_hours,
        report.starts,
        report.stops,
        report.replicas_peak,
        report.direction_changes
    );
    text
}
