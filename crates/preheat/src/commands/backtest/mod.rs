//! `preheat backtest`: a pool's own past under preheat, under other autoscalers, and as it was.

mod from_journal;
mod from_prometheus;
mod text;

use std::fs;
use std::num::NonZero;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use preheat_compare::backtest::{Backtest, History, Recorded, Trust, recommend};
use preheat_compare::html::{HtmlAbout, render};
use preheat_compare::{ComparisonSpec, Optimum, Outcome, Setting, Workload, compare};
use preheat_core::{Probability, ReplicaCount, Standby};
use preheat_engine::SleepProfile;
use preheat_sim::preheat_policy::PREHEAT;
use preheat_sim::report::RunReport;
use preheat_sim::run::ReplicasInitial;
use preheat_traffic::Trace;

use super::pool;
use super::simulate::Policy;
use super::traces::{self, TraceRequest};
use crate::cli::BacktestArgs;
use crate::failure::{Answer, hinted};
use crate::terminal::Line;

/// What a sleeping replica is taken to cost where nobody says: memory of its host, and no GPU.
const STANDBY_PRICE: f64 = 0.25;

pub(crate) fn run(args: &BacktestArgs) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    let settings = args.policies.iter().map(|name| setting(name));
    let settings = settings.collect::<anyhow::Result<Vec<Setting>>>()?;
    let (name, history, trace, trust) = past(args, &mut line)?;
    let mut workload = pool::workload(&args.replica, name, trace)?;
    if args.replica.initial_replicas.is_none() {
        let first = args.replica.cold_start + Duration::from_secs(60);
        workload.config.replicas_initial = ReplicasInitial::ForFirst(first);
    }
    if let Some(median) = history.as_ref().and_then(|history| median(&history.cold_starts)) {
        workload = workload.with_cold_start(median);
    }
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

type Past = (String, Option<History>, Trace, Trust);

fn past(args: &BacktestArgs, line: &mut Line) -> anyhow::Result<Past> {
    let history = if let Some(journal) = &args.journal {
        from_journal::read(journal, args)?
    } else if let Some(config) = args.source.config() {
        super::runtime()?.block_on(from_prometheus::read(config, args, line))?
    } else {
        let name = args.trace.clone().unwrap_or_default();
        let seed = args.replica.seed;
        let request = TraceRequest {
            name: &name,
            format: None,
            from: None,
            until: None,
            rate_scale: 1.0,
            seed,
        };
        let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
        let notes = vec!["a trace: each request with its own time and lengths".to_owned()];
        let (steps, step_s) = (0, 0.0);
        let trust = Trust {
            step_s,
            steps,
            gap_share: 0.0,
            resets: 0,
            clipped_share: 0.0,
            cold_starts_seen: 0,
            notes,
        };
        return Ok((name, None, trace, trust));
    };
    let (trace, trust) = history.trace(args.replica.seed).map_err(|error| {
        hinted(error, "choose another --pool, --selector or --from, or a longer --step")
    })?;
    let name = args.pool.clone().unwrap_or_else(|| "history".to_owned());
    Ok((name, Some(history), trace, trust))
}

fn median(cold_starts: &[Duration]) -> Option<Duration> {
    let mut sorted = cold_starts.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
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
    let existing = history.and_then(|history| Some((history.step, history.existing(cold_start)?)));
    let replayed = match existing {
        Some((step, existing)) => {
            line.draw("the fleet as it was");
            let mut as_it_was = workload.clone();
            // What was there was there, whatever is allowed from now on.
            as_it_was.config.bounds.replicas_min = 0;
            let most = existing.iter().copied().fold(1.0, f64::max).ceil() as u32;
            let bounds = &mut as_it_was.config.bounds;
            bounds.replicas_max = bounds.replicas_max.max(most);
            Some(outcome(as_it_was.run_recorded(Recorded::new(step, existing))?))
        }
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
