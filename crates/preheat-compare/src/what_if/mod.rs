//! What if a pool had been scaled in another way: its past replayed as configured and under
//! alternatives, beside what happened.
//!
//! ```text
//! WhatIfRequest + Configured ──check──► WhatIf + Retold ──run──► WhatIfAnswer
//! ```
//!
//! **Invariant:** the figures are those of `preheat backtest` with the same settings: both put the
//! same traffic on the same pool.

mod answer;
mod check;
mod request;
mod spent;

pub use answer::{WhatIfAnswer, WhatIfMinutes, WhatIfRun};
pub use check::{Configured, WhatIf, WhatIfError};
pub use request::{Alternative, WhatIfChoices, WhatIfRequest, WhatIfSettings};
pub use spent::{SPENT_OVER, Spent, SpentError};

use std::time::Duration;

use preheat_sim::report::RunReport;

use self::answer::{measured, run_of, secs};
use self::check::{Case, REQUESTS_MAX};
use crate::backtest::{History, HistoryError, Retold, Trust};
use crate::error::CompareError;
use crate::optimum::Optimum;
use crate::outcome::Outcome;
use crate::pool::PoolError;
use crate::workload::Workload;

/// What a journal is told in: as `preheat backtest` does.
pub const STEP: Duration = Duration::from_secs(30);
/// Attainment in the model that is further than this from what was measured is told of.
const MODEL_OFF: f64 = 0.02;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfRunError {
    /// There is no traffic in it, or too much.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// More than is replayed here.
    #[error(
        "{requests:.0} requests came in this time, and at most {REQUESTS_MAX} are replayed here; ask \
         for less of it, or run `preheat backtest`"
    )]
    TooMany {
        /// As counted.
        requests: f64,
    },
    /// There can be no such pool.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A run broke off, or was not wanted any more.
    #[error(transparent)]
    Run(#[from] CompareError),
}

/// How far all of it is, told to who may stop it.
struct Progress<'a> {
    done: f64,
    of: f64,
    go_on: &'a mut dyn FnMut(f64) -> bool,
}

impl Progress<'_> {
    fn at(&mut self, share: f64) -> bool {
        (self.go_on)((self.done + share) / self.of)
    }

    /// One part of it; `work` says at each request how many there were before.
    fn part<T>(
        &mut self,
        requests: usize,
        work: impl FnOnce(&mut dyn FnMut(usize) -> bool) -> T,
    ) -> T {
        let requests = requests.max(1) as f64;
        let result = work(&mut |before| self.at(before as f64 / requests));
        self.done += 1.0;
        result
    }
}

impl WhatIf {
    /// Replays a past. `go_on` is asked often, with the share that is done. `notes` are what the
    /// reader of the past has to say of how far it can be trusted.
    ///
    /// # Errors
    /// When there is nothing to replay or too much, a run breaks an invariant, or `go_on` said no.
    pub fn run(
        &self,
        retold: &Retold,
        notes: Vec<String>,
        go_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<WhatIfAnswer, WhatIfRunError> {
        let history = &retold.history;
        let came: f64 = history.steps.iter().filter_map(|step| step.arrivals).sum();
        if came > REQUESTS_MAX {
            return Err(WhatIfRunError::TooMany { requests: came });
        }
        let (trace, mut trust) = history.trace(self.configured.setup.seed)?;
        let requests = trace.requests.len();
        let seen = history.cold_start_median();
        let place = |case: &Case| {
            let case = case.on_past(seen, &retold.scheduled);
            let workload = case.setup.workload_of_past(self.pool.clone(), trace.clone())?;
            Ok::<_, WhatIfRunError>((case, workload))
        };
        let runs = 2.0 * (1 + self.alternatives.len()) as f64 + 1.0;
        let mut progress = Progress { done: 0.0, of: runs, go_on };
        let (configured, workload) = place(&self.configured)?;
        let replayed =
            progress.part(requests, |go_on| workload.run_as_it_was(history, false, go_on));
        let replayed = replayed?.map(|report| outcome(&configured, &report));
        let happened =
            history.happened(workload.config.gpus_per_replica, workload.config.startup.typical());
        let count = minutes(history);
        let mut known = Vec::new();
        let configured = one(configured, &workload, count, &mut known, &mut progress)?;
        let mut alternatives = Vec::new();
        for case in &self.alternatives {
            let (case, workload) = place(case)?;
            alternatives.push(one(case, &workload, count, &mut known, &mut progress)?);
        }
        self.explain(&mut trust, retold, notes);
        if let (Some(measured), Some(model)) =
            (happened.and_then(|happened| happened.attainment), &replayed)
        {
            trust.notes.extend(model_note(measured, model.attainment));
        }
        let (begin, length) =
            (retold.begin.as_secs_f64(), history.step * history.steps.len() as u32);
        Ok(WhatIfAnswer {
            pool: self.pool.clone(),
            from_s: begin,
            until_s: begin + length.as_secs_f64(),
            requests,
            profile: workload.profile.clone(),
            max_num_seqs: workload.config.engine.max_num_seqs.get(),
            trust,
            happened,
            replayed,
            configured,
            alternatives,
            minutes: measured(begin, history, count),
        })
    }

    /// What is to be known of this past beside its own history.
    fn explain(&self, trust: &mut Trust, retold: &Retold, notes: Vec<String>) {
        let history = &retold.history;
        trust.notes.push(self.engine_note.clone());
        if let Some(median) = history.cold_start_median() {
            let longest = history.cold_starts.iter().max().copied().unwrap_or(median);
            trust.notes.push(format!(
                "cold starts: {} were seen whole; every start takes their median, {}, unless another \
                 is given; the longest took {}",
                history.cold_starts.len(),
                secs(median),
                secs(longest)
            ));
        }
        if retold.ordered_share > 0.0 {
            trust.notes.push(format!(
                "orders: at {:.1} % of the ticks an operator had paused or pinned the pool; in the \
                 runs nobody does",
                retold.ordered_share * 100.0
            ));
        }
        trust.notes.push(
            "the fleet that each run begins with is sized for its first lead time, and not charged \
             for its starts"
                .to_owned(),
        );
        trust.notes.extend(notes);
    }
}

/// One run, and what no plan could have done better in the same pool.
fn one(
    case: Case,
    workload: &Workload,
    minutes: usize,
    known: &mut Vec<(WhatIfSettings, Option<f64>)>,
    progress: &mut Progress<'_>,
) -> Result<WhatIfRun, WhatIfRunError> {
    let requests = workload.trace.requests.len();
    let report = progress.part(requests, |go_on| workload.run_while(&case.setting, true, go_on));
    let report = report?;
    // Who scales plays no part in what is possible.
    let pool = WhatIfSettings { policy: String::new(), knobs: [].into(), ..case.settings() };
    let found = known.iter().find(|(settings, _)| *settings == pool).map(|(_, optimum)| *optimum);
    let optimum_gpu_hours = found.unwrap_or_else(|| {
        let attainment = workload.config.bounds.attainment_slo;
        Optimum::of(workload).and_then(|optimum| optimum.bound_gpu_hours(attainment)).ok()
    });
    if found.is_none() {
        known.push((pool, optimum_gpu_hours));
    }
    progress.done += 1.0;
    if !progress.at(0.0) {
        return Err(CompareError::Cancelled.into());
    }
    Ok(run_of(case.settings(), outcome(&case, &report), optimum_gpu_hours, &report, minutes))
}

fn outcome(case: &Case, report: &RunReport) -> Outcome {
    Outcome::of(case.setting.knobs.clone(), report)
}

/// Minutes of a history, the last one begun.
fn minutes(history: &History) -> usize {
    let length = history.step.as_secs_f64() * history.steps.len() as f64;
    (length / 60.0).ceil() as usize
}

fn model_note(measured: f64, model: f64) -> Option<String> {
    ((measured - model).abs() > MODEL_OFF).then(|| {
        format!(
            "model: the fleet as it was keeps the SLO for {:.1} % of the requests in the model, and \
             {:.1} % was measured: compare runs with each other, not with what was measured",
            model * 100.0,
            measured * 100.0
        )
    })
}

#[cfg(test)]
mod tests;
