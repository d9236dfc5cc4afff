//! A comparison: every policy on every workload, and what that shows.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_sim::report::Minute;
use serde::{Deserialize, Serialize};

use crate::across::{self, Across};
use crate::error::CompareError;
use crate::frontier::cheapest;
use crate::jobs;
use crate::optimum::Optimum;
use crate::outcome::Outcome;
use crate::setting::{Setting, settings};
use crate::workload::Workload;

/// What is compared, and how.
#[derive(Clone, Debug)]
pub struct ComparisonSpec {
    /// Policies by name; each must exist.
    pub policies: Vec<String>,
    /// Whether to try every combination of a policy's knobs.
    pub tune: bool,
    /// Attainments at which costs are compared.
    pub attainments: Vec<f64>,
    /// Cold starts that each policy's choice is run with; empty for none.
    pub cold_starts: Vec<Duration>,
    /// Whether to keep each policy's choice minute by minute.
    pub series: bool,
    /// Threads to use.
    pub threads: usize,
}

/// Everything a comparison found. Field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// One after the other.
    pub workloads: Vec<WorkloadComparison>,
    /// What one setting for all of them costs, where there are several.
    pub across: Vec<Across>,
}

/// One workload under every policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkloadComparison {
    /// The workload's name.
    pub name: String,
    /// Requests in it.
    pub requests: u64,
    /// Its length, from the origin to the last arrival.
    pub duration_s: f64,
    /// The engine profile.
    pub profile: String,
    /// Slots of a replica.
    pub max_num_seqs: u32,
    /// Time from order to ready.
    pub cold_start_s: f64,
    /// SLO on TTFT.
    pub slo_ttft_s: f64,
    /// Share of requests that it is about.
    pub slo_quantile: f64,
    /// The optimum at each attainment.
    pub optimum: Vec<OptimumAt>,
    /// Each policy.
    pub policies: Vec<PolicyComparison>,
}

/// The offline optimum at one attainment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimumAt {
    /// Share of requests within the SLO.
    pub attainment: f64,
    /// No plan of the slot model is cheaper.
    pub bound_gpu_hours: f64,
    /// The cheapest plan that reached it when replayed request by request, if one did.
    pub replayed: Option<Outcome>,
}

/// One policy on one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyComparison {
    /// Its name on the command line.
    pub policy: String,
    /// Every setting that was tried, the defaults first where there are any.
    pub outcomes: Vec<Outcome>,
    /// The cheapest setting at each attainment.
    pub at: Vec<AtAttainment>,
    /// Which of `outcomes` the series and the sweep are of: the cheapest at the highest attainment
    /// that it reaches, else the one that attains most.
    pub chosen: usize,
    /// The chosen setting with other cold starts.
    pub cold_start_sweep: Vec<SweepPoint>,
    /// The chosen setting minute by minute.
    pub series: Vec<Minute>,
}

/// The cheapest that reaches an attainment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtAttainment {
    /// Share of requests within the SLO.
    pub attainment: f64,
    /// The outcome; `None` where no setting reaches it.
    pub outcome: Option<Outcome>,
    /// Its GPU-hours ÷ the optimum's bound.
    pub gpu_hours_ratio: Option<f64>,
}

/// One cold start of a sweep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepPoint {
    /// Time from order to ready.
    pub cold_start_s: f64,
    /// What it came to.
    pub outcome: Outcome,
}

impl PolicyComparison {
    /// The policy as its project ships it, if it has defaults.
    pub fn as_configured(&self) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.knobs.is_empty())
    }

    /// The setting that the series and the sweep show.
    pub fn chosen(&self) -> Option<&Outcome> {
        self.outcomes.get(self.chosen)
    }
}

/// Compares. `progress` is told what is being done, how much of it is finished, and of how much.
///
/// # Errors
/// When a workload or a setting can't be run.
pub fn compare(
    workloads: &[Workload],
    spec: &ComparisonSpec,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Comparison, CompareError> {
    let tried: Vec<Vec<Setting>> =
        spec.policies.iter().map(|p| settings(p, spec.tune)).collect::<Result<_, _>>()?;
    let mut compared = Vec::with_capacity(workloads.len());
    for workload in workloads {
        let policies = try_all(workload, spec, &tried, progress)?;
        let optimum = optimum(workload, spec, progress)?;
        compared.push(WorkloadComparison {
            name: workload.name.clone(),
            requests: workload.trace.requests.len() as u64,
            duration_s: workload.trace.requests.last().map_or(0.0, |r| r.arrival.as_secs_f64()),
            profile: workload.profile.clone(),
            max_num_seqs: workload.config.engine.max_num_seqs.get(),
            cold_start_s: workload.config.startup.typical().as_secs_f64(),
            slo_ttft_s: workload.config.bounds.ttft_slo.as_secs_f64(),
            slo_quantile: workload.config.bounds.attainment_slo,
            policies: with_ratios(policies, &optimum),
            optimum,
        });
    }
    for (workload, compared) in workloads.iter().zip(&mut compared) {
        look_closer(workload, spec, &mut compared.policies, progress)?;
    }
    let across = across::across(&compared, &spec.attainments);
    Ok(Comparison { workloads: compared, across })
}

/// Runs every setting of every policy.
fn try_all(
    workload: &Workload,
    spec: &ComparisonSpec,
    tried: &[Vec<Setting>],
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Vec<PolicyComparison>, CompareError> {
    let jobs: Vec<&Setting> = tried.iter().flatten().collect();
    let work = |setting: &&Setting| {
        let report = workload.run(setting, false)?;
        Ok::<_, CompareError>(Outcome::of(setting.knobs.clone(), &report))
    };
    let done = |finished| progress(&workload.name, finished, jobs.len());
    let mut outcomes = jobs::run(spec.threads, &jobs, work, &done)?.into_iter();
    let policies = spec.policies.iter().zip(tried);
    Ok(policies
        .map(|(policy, settings)| {
            let outcomes: Vec<Outcome> = outcomes.by_ref().take(settings.len()).collect();
            policy_comparison(policy, outcomes, &spec.attainments)
        })
        .collect())
}

fn policy_comparison(
    policy: &str,
    outcomes: Vec<Outcome>,
    attainments: &[f64],
) -> PolicyComparison {
    let at: Vec<AtAttainment> = attainments
        .iter()
        .map(|attainment| AtAttainment {
            attainment: *attainment,
            outcome: cheapest(&outcomes, *attainment).cloned(),
            gpu_hours_ratio: None,
        })
        .collect();
    let reached = at.iter().filter(|at| at.outcome.is_some());
    let highest = reached.max_by(|a, b| a.attainment.total_cmp(&b.attainment));
    let best = highest.and_then(|at| at.outcome.as_ref());
    let most = || {
        (0..outcomes.len()).max_by(|a, b| {
            let of = |index: &usize| outcomes.get(*index).map_or(0.0, |o| o.attainment);
            of(a).total_cmp(&of(b))
        })
    };
    let chosen = match best {
        Some(best) => outcomes.iter().position(|outcome| outcome.knobs == best.knobs),
        None => most(),
    };
    PolicyComparison {
        policy: policy.to_owned(),
        chosen: chosen.unwrap_or(0),
        outcomes,
        at,
        cold_start_sweep: Vec::new(),
        series: Vec::new(),
    }
}

fn with_ratios(
    mut policies: Vec<PolicyComparison>,
    optimum: &[OptimumAt],
) -> Vec<PolicyComparison> {
    for policy in &mut policies {
        for (at, optimum) in policy.at.iter_mut().zip(optimum) {
            let gpu_hours = at.outcome.as_ref().map(|outcome| outcome.gpu_hours);
            at.gpu_hours_ratio = gpu_hours.map(|hours| hours / optimum.bound_gpu_hours);
        }
    }
    policies
}

/// Headrooms and misses of the plans that are replayed in search of the cheapest that attains.
const REPLAY_MARGINS: [f64; 5] = [0.0, 0.1, 0.2, 0.35, 0.5];
const REPLAY_EPSILONS: [f64; 5] = [0.0, 0.005, 0.01, 0.03, 0.05];

fn optimum(
    workload: &Workload,
    spec: &ComparisonSpec,
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<Vec<OptimumAt>, CompareError> {
    let what = format!("{}: optimum", workload.name);
    // A plan is replayed as a count of replicas, which can't say who sleeps.
    let margins = if workload.spec.standby.is_some() { &[] } else { &REPLAY_MARGINS[..] };
    let replays: Vec<(f64, f64)> = margins
        .iter()
        .flat_map(|margin| REPLAY_EPSILONS.iter().map(|epsilon| (*margin, *epsilon)))
        .collect();
    let replay = |(margin, epsilon): &(f64, f64)| {
        let mut outcome = Optimum::with_margin(workload, *margin)?.outcome(1.0 - epsilon)?;
        outcome.knobs =
            BTreeMap::from([("margin".to_owned(), *margin), ("epsilon".to_owned(), *epsilon)]);
        Ok::<_, CompareError>(outcome)
    };
    let done = |finished| progress(&what, finished, replays.len());
    let replayed = jobs::run(spec.threads, &replays, replay, &done)?;
    let optimum = Optimum::of(workload)?;
    let at = |attainment: &f64| {
        Ok(OptimumAt {
            attainment: *attainment,
            bound_gpu_hours: optimum.bound_gpu_hours(*attainment)?,
            replayed: cheapest(&replayed, *attainment).cloned(),
        })
    };
    jobs::run(spec.threads, &spec.attainments, at, &|_| {})
}

/// A run that shows more of a policy's choice.
enum Closer {
    Series,
    ColdStart(Duration),
}

/// The chosen settings again: minute by minute, and with other cold starts.
fn look_closer(
    workload: &Workload,
    spec: &ComparisonSpec,
    policies: &mut [PolicyComparison],
    progress: &(dyn Fn(&str, usize, usize) + Sync),
) -> Result<(), CompareError> {
    let mut looks: Vec<Closer> = Vec::new();
    if spec.series {
        looks.push(Closer::Series);
    }
    looks.extend(spec.cold_starts.iter().map(|cold_start| Closer::ColdStart(*cold_start)));
    let jobs: Vec<(usize, Setting, &Closer)> = policies
        .iter()
        .enumerate()
        .flat_map(|(index, policy)| {
            let knobs = policy.chosen().map(|outcome| outcome.knobs.clone()).unwrap_or_default();
            let setting = Setting { policy: policy.policy.clone(), knobs };
            looks.iter().map(move |look| (index, setting.clone(), look))
        })
        .collect();
    let work = |(_, setting, look): &(usize, Setting, &Closer)| match look {
        Closer::Series => workload.run(setting, true),
        Closer::ColdStart(cold_start) => workload.with_cold_start(*cold_start).run(setting, false),
    };
    let what = format!("{}: closer", workload.name);
    let done = |finished| progress(&what, finished, jobs.len());
    let reports = jobs::run(spec.threads, &jobs, work, &done)?;
    for ((index, setting, look), report) in jobs.into_iter().zip(reports) {
        let Some(policy) = policies.get_mut(index) else { continue };
        match look {
            Closer::Series => policy.series = report.series,
            Closer::ColdStart(cold_start) => policy.cold_start_sweep.push(SweepPoint {
                cold_start_s: cold_start.as_secs_f64(),
                outcome: Outcome::of(setting.knobs, &report),
            }),
        }
    }
    Ok(())
}
