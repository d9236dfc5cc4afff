//! `preheat simulate`: a trace against modelled replicas under preheat or another autoscaler.

mod recording;

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use preheat_api::policy_file::PolicyFile;
use preheat_compare::{Optimum, Setting, Workload, select};
use preheat_sim::preheat_policy::PREHEAT;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::{Quantiles, RunReport};
use serde::Serialize;

use self::recording::Recording;
use super::pool;
use super::traces::{self, TraceRequest};
use crate::cli::SimulateArgs;
use crate::failure::{Answer, hinted, hinted_if};
use crate::terminal::Line;

/// Name of the policy that knows the future.
const ORACLE: &str = "oracle";

/// A report, what it is a report of, and what was possible.
#[derive(Debug, Serialize)]
struct Simulated<'a> {
    trace: &'a str,
    #[serde(flatten)]
    report: &'a RunReport,
    /// GPU-hours of the optimum that attains as much, in the slot model; absent where the trace is
    /// more than can be planned.
    oracle_gpu_hours: Option<f64>,
    gpu_hours_ratio: Option<f64>,
    /// Attainment of requests that did not arrive in the minute after an edge; absent where none are
    /// named.
    attainment_off_edges: Option<f64>,
}

pub(crate) fn run(args: &SimulateArgs) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    let series = args.series || args.edges.is_some();
    let scaled_by = Policy::of(&args.policy)?;
    if args.journal.is_some() && matches!(scaled_by, Policy::Oracle) {
        return Err(hinted(
            "--journal records preheat's decisions, and the optimum's plan is none of an autoscaler's",
            "leave --journal out, or simulate with another --policy",
        ));
    }
    let request = TraceRequest {
        name: &args.trace,
        format: args.format.as_deref(),
        from: args.part.from,
        until: args.part.until,
        rate_scale: args.part.rate_scale,
        seed: args.pool.seed,
    };
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let mut workload = pool::workload(&args.pool, args.trace.clone(), trace)?;
    let spec = &mut workload.spec;
    spec.tick_interval = args.tick_interval;
    spec.staleness_max = spec.staleness_max.max(args.tick_interval);
    spec.arrival_window = spec.arrival_window.max(args.tick_interval);
    line.draw(&format!("simulating {} requests", workload.trace.requests.len()));
    let began = Instant::now();
    let mut report = match &scaled_by {
        Policy::Oracle => {
            let attainment = args.pool.slo_quantile;
            Optimum::of(&workload)?.replay(attainment, series)?
        }
        Policy::Setting(setting) => match &args.journal {
            Some(path) => recorded(&workload, setting, path, series, &mut line)?,
            None => workload.run(setting, series)?,
        },
    };
    let took = began.elapsed();
    line.print(&format!(
        "simulated {} requests in {:.2} s of wall time",
        report.requests,
        took.as_secs_f64()
    ));
    let optimum = Optimum::of(&workload).and_then(|it| it.bound_gpu_hours(report.attainment));
    let oracle_gpu_hours = optimum
        .inspect_err(|error| line.print(&format!("note: no figure of the optimum: {error}")))
        .ok();
    let attainment_off_edges = args.edges.and_then(|every| off_edges(&report, every));
    if !args.series {
        report.series.clear();
    }
    let simulated = Simulated {
        trace: &args.trace,
        gpu_hours_ratio: oracle_gpu_hours.map(|optimum| report.gpu_hours / optimum),
        report: &report,
        oracle_gpu_hours,
        attainment_off_edges,
    };
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&simulated)?))?;
    } else {
        super::print(&text(&simulated, args.pool.slo_ttft))?;
    }
    Ok(Answer::Yes)
}

/// Runs a policy and keeps preheat's decisions, those before an error as well: they are what is done
/// where preheat scales, else what it would have done.
fn recorded(
    workload: &Workload,
    setting: &Setting,
    path: &Path,
    series: bool,
    line: &mut Line,
) -> anyhow::Result<RunReport> {
    let is_preheat = setting.is_preheat();
    let policy = if is_preheat {
        workload.policy(setting)?
    } else {
        workload.policy(&Setting::defaults(PREHEAT))?
    };
    let recording = Recording::begin(path, workload.config.gpus_per_replica, policy.clone())?;
    let preheat = Preheat::new(policy).with_watcher(recording.watcher());
    let report = if is_preheat {
        workload.run_preheat(preheat, series)
    } else {
        workload.run_shadowed(setting, preheat, series)
    };
    let ended = recording.end();
    let (report, ticks) = (report?, ended?);
    let path = path.display();
    let then = if is_preheat {
        format!("`preheat why --journal {path}` tells the reasons")
    } else {
        format!("`preheat shadow report --journal {path}` compares them with what was done")
    };
    line.print(&format!("recorded {ticks} ticks: {then}"));
    Ok(report)
}

/// Who scales.
pub(super) enum Policy {
    Oracle,
    Setting(Setting),
}

impl Policy {
    /// By its name, or as a file says.
    pub(super) fn of(asked: &str) -> anyhow::Result<Self> {
        if asked == ORACLE {
            return Ok(Self::Oracle);
        }
        let path = Path::new(asked);
        // A file that happens to be called like a policy does not hide it.
        if select(asked).is_err() && path.is_file() {
            let file = PolicyFile::read(path).map_err(|error| {
                let hint = error.hint();
                hinted_if(error, hint)
            })?;
            check(&file.policy)?;
            return Ok(Self::Setting(Setting { policy: file.policy, knobs: file.knobs }));
        }
        check(asked)?;
        Ok(Self::Setting(Setting::defaults(asked)))
    }
}

fn check(name: &str) -> anyhow::Result<()> {
    let known = select(name).map_err(|error| {
        let hint = format!(
            "or `{PREHEAT}`, `{ORACLE}`, or a policy file; docs/policies/peers.md says what each \
             one does"
        );
        hinted(error, hint)
    })?;
    if known.len() != 1 {
        let hint = "`preheat compare` runs several";
        return Err(hinted(format!("{name:?} is not one policy"), hint));
    }
    Ok(())
}

/// Attainment without the minutes in which a multiple of `every` lies at the beginning.
fn off_edges(report: &RunReport, every: Duration) -> Option<f64> {
    let minutes = (every.as_secs() / 60).max(1);
    let off = report.series.iter().filter(|row| row.minute % minutes != 0);
    let (arrivals, within) =
        off.fold((0, 0), |(all, within), row| (all + row.arrivals, within + row.within_slo));
    (arrivals > 0).then(|| within as f64 / arrivals as f64)
}

fn text(simulated: &Simulated<'_>, ttft_slo: Duration) -> String {
    let report = simulated.report;
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "policy       {}\nrequests     {}: {} completed, {} failed, {} streams cut",
        report.policy, report.requests, report.completed, report.failed, report.streams_cut
    );
    let _ = writeln!(text, "attainment   {:.4} (TTFT ≤ {ttft_slo:?})", report.attainment);
    if let Some(attainment) = simulated.attainment_off_edges {
        let _ = writeln!(text, "off edges    {attainment:.4}");
    }
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
    if let (Some(optimum), Some(ratio)) = (simulated.oracle_gpu_hours, simulated.gpu_hours_ratio) {
        let _ = writeln!(
            text,
            "optimum      {optimum:.2} GPU-hours for as much attainment; this is {ratio:.2} times that"
        );
    }
    text
}
