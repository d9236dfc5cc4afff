//! `preheat backtest`: a pool's own past under preheat, under other autoscalers, and as it was.

mod from_journal;
pub(super) mod from_prometheus;
mod text;

use std::fs;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use preheat_compare::backtest::{Backtest, History, Trust, recommend};
use preheat_compare::html::{HtmlAbout, render};
use preheat_compare::{ComparisonSpec, Optimum, Outcome, Setting, Workload, compare};
use preheat_core::{Probability, ReplicaCount, ScheduledDemand, Standby};
use preheat_engine::SleepProfile;
use preheat_sim::preheat_policy::PREHEAT;
use preheat_sim::report::RunReport;
use preheat_traffic::Trace;

use super::pool;
use super::simulate::Policy;
use super::traces::{self, TraceRequest};
use crate::cli::{BacktestArgs, PoolArgs};
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

/// What a sleeping replica is taken to cost where nobody says: memory of its host, and no GPU.
const STANDBY_PRICE: f64 = 0.25;

pub(crate) fn run(args: &BacktestArgs) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    let settings = args.policies.iter().map(|name| setting(name));
    let settings = settings.collect::<anyhow::Result<Vec<Setting>>>()?;
    let traffic = traffic(args, &mut line)?;
    let workload = traffic.workload(&args.replica)?;
    let Traffic { history, trust, .. } = traffic;
    let found = backtest(&workload, &settings, history.as_ref(), trust, &mut line)?;
    if let Some(path) = &args.html {
        let page = page(&workload, &settings)?;
        fs::write(path, page).with_context(|| format!("{} can't be written", path.display()))?;
        line.print(&format!("wrote {}", path.display()));
    }
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&found)?))?;
    } else {
        super::print(&text::text(&found, &workload))?;
    }
    Ok(Answer::Yes)
}

/// A policy that sets a number of replicas, by name or as a file says.
fn setting(asked: &str) -> anyhow::Result<Setting> {
    match Policy::of(asked)? {
        Policy::Setting(setting) if !setting.is_preheat() => Ok(setting),
        Policy::Setting(_) | Policy::Oracle => Err(hinted(
            format!("--policies has {asked:?}, which is in every backtest"),
            "name the autoscalers that you have, or leave it out",
        )),
    }
}

/// What is replayed.
struct Traffic {
    name: String,
    /// What was recorded of it; a trace has no fleet.
    history: Option<History>,
    /// What was announced in it.
    scheduled: Vec<ScheduledDemand>,
    trace: Trace,
    trust: Trust,
}

impl Traffic {
    /// The traffic on the pool that the arguments describe. A cold start that is given stands; else
    /// it is the median of those seen.
    fn workload(&self, args: &PoolArgs) -> anyhow::Result<Workload> {
        let seen = self.history.as_ref().and_then(History::cold_start_median);
        let cold_start = args.cold_start.or(seen).unwrap_or_else(|| pool::cold_start(args));
        let mut setup = pool::setup(args, cold_start)?;
        if setup.scheduled.is_empty() {
            setup = setup.with_announced(&self.scheduled);
        }
        let (name, trace) = (self.name.clone(), self.trace.clone());
        let mut workload = setup.workload_of_past(name, trace).map_err(pool::refused)?;
        // A trace has no fleet that was there before it.
        workload.config.initial_start_charged = self.history.is_none();
        Ok(workload)
    }
}

fn traffic(args: &BacktestArgs, line: &mut Line) -> anyhow::Result<Traffic> {
    let (history, scheduled) = if let Some(journal) = &args.journal {
        let retold = from_journal::read(journal, &args.past)?;
        (retold.history, retold.scheduled)
    } else if let Some(config) = args.past.source.config_of_the_past() {
        let read = from_prometheus::read(config, &args.past, args.replica.slo_ttft, line);
        (super::runtime()?.block_on(read)?, Vec::new())
    } else {
        return from_trace(args, line);
    };
    let (trace, trust) = history.trace(args.replica.seed).map_err(|error| {
        hinted(error, "choose another --pool, --selector or --from, or a longer --step")
    })?;
    let name = args.past.pool.clone().unwrap_or_else(|| "history".to_owned());
    Ok(Traffic { name, history: Some(history), scheduled, trace, trust })
}

fn from_trace(args: &BacktestArgs, line: &mut Line) -> anyhow::Result<Traffic> {
    let name = args.trace.clone().unwrap_or_default();
    let request = TraceRequest {
        name: &name,
        format: None,
        from: None,
        until: None,
        rate_scale: 1.0,
        seed: args.replica.seed,
    };
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let notes = vec!["a trace: each request with its own time and lengths".to_owned()];
    let trust = Trust {
        step_s: 0.0,
        steps: 0,
        gap_share: 0.0,
        resets: 0,
        clipped_share: 0.0,
        cold_starts_seen: 0,
        notes,
    };
    Ok(Traffic { name, history: None, scheduled: Vec::new(), trace, trust })
}

fn backtest(
    workload: &Workload,
    settings: &[Setting],
    history: Option<&History>,
    trust: Trust,
    line: &mut Line,
) -> anyhow::Result<Backtest> {
    let config = &workload.config;
    let cold_start = config.startup.typical();
    let outcome = |report| Outcome::of(std::collections::BTreeMap::new(), &report);
    line.draw(&format!("{} requests under preheat", workload.trace.requests.len()));
    let preheat = workload.run(&Setting::defaults(PREHEAT), true)?;
    let mut policies = vec![(PREHEAT.to_owned(), outcome(preheat.clone()))];
    for setting in settings {
        line.draw(&format!("{} requests under {}", workload.trace.requests.len(), setting.policy));
        let report = workload.run(setting, false)?;
        policies.push((setting.policy.clone(), Outcome::of(setting.knobs.clone(), &report)));
    }
    let with_standby = standby(workload)?;
    let standby = match &with_standby {
        Some((price, workload)) => {
            line.draw("with sleeping replicas");
            let report = workload.run(&Setting::defaults(PREHEAT), false)?;
            Some((*price, outcome(report)))
        }
        None => None,
    };
    let happened =
        history.and_then(|history| history.happened(config.gpus_per_replica, cold_start));
    line.draw("the fleet as it was");
    let replayed = match history {
        Some(history) => workload.run_as_it_was(history, false, &mut |_| true)?.map(outcome),
        None => None,
    };
    let optimum =
        Optimum::of(workload).and_then(|it| it.bound_gpu_hours(config.bounds.attainment_slo));
    let optimum_gpu_hours = optimum
        .inspect_err(|error| line.print(&format!("note: no figure of the optimum: {error}")))
        .ok();
    let cold_starts = history.map_or(&[][..], |history| &history.cold_starts);
    let standby = standby.as_ref().map(|(price, outcome)| (*price, outcome));
    let floor = floor(workload, &preheat, line)?;
    let (fewest, kept) = floor.as_ref().map_or((None, &preheat), |(min, run)| (Some(*min), run));
    let recommendation = recommend(workload, kept, fewest, standby, cold_starts);
    Ok(Backtest {
        name: workload.name.clone(),
        trust,
        happened,
        replayed,
        policies,
        optimum_gpu_hours,
        recommendation,
    })
}

/// The fewest replicas to hold with which the SLO is kept, and the run with them; `None` where it is
/// kept as configured, or with no such floor below the most that were there.
fn floor(
    workload: &Workload,
    preheat: &RunReport,
    line: &mut Line,
) -> anyhow::Result<Option<(u32, RunReport)>> {
    let slo = workload.config.bounds.attainment_slo;
    if preheat.attainment >= slo {
        return Ok(None);
    }
    for min in workload.spec.replicas_min.0 + 1..preheat.replicas_peak {
        line.draw(&format!("never fewer than {min} replicas"));
        let mut changed = workload.clone();
        changed.config.bounds.replicas_min = min;
        changed.spec.replicas_min = ReplicaCount(min);
        let report = changed.run(&Setting::defaults(PREHEAT), true)?;
        if report.attainment >= slo {
            return Ok(Some((min, report)));
        }
    }
    Ok(None)
}

/// The same pool with sleeping replicas; `None` where it has them already.
fn standby(workload: &Workload) -> anyhow::Result<Option<(f64, Workload)>> {
    if workload.spec.standby.is_some() {
        return Ok(None);
    }
    let price = Probability::new(STANDBY_PRICE).context("the price is a ratio")?;
    let mut changed = workload.clone();
    let wake_prior = Duration::from_secs(5);
    changed.spec.standby = Some(Standby { price, wake_prior, replicas: None });
    changed.config.standby_price = STANDBY_PRICE;
    let offload = changed.config.engine.sleep.offload;
    changed.config.engine.sleep = SleepProfile::fixed(offload, wake_prior);
    Ok(Some((STANDBY_PRICE, changed)))
}

/// The policies with their own defaults, as `preheat compare` shows them.
fn page(workload: &Workload, settings: &[Setting]) -> anyhow::Result<String> {
    let mut policies = vec![PREHEAT.to_owned()];
    policies.extend(settings.iter().map(|setting| setting.policy.clone()));
    let spec = ComparisonSpec {
        policies,
        tune: false,
        attainments: vec![workload.config.bounds.attainment_slo],
        cold_starts: Vec::new(),
        series: true,
        threads: thread::available_parallelism().map_or(1, NonZero::get),
    };
    let comparison = compare(std::slice::from_ref(workload), &spec, &|_, _, _| {})?;
    let about = HtmlAbout {
        command: std::env::args().collect::<Vec<_>>().join(" "),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok(render(&comparison, &about))
}
