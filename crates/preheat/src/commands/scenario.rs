//! `preheat scenario`: scenario files under one autoscaler, and whether what they expect held.

use std::path::PathBuf;

use preheat_scenario::{Outcome, RunError, Scenario};
use preheat_sim::preheat_policy::{PREHEAT, PREHEAT_WITHOUT};
use preheat_sim::report::RunReport;
use serde::Serialize;

use crate::cli::ScenarioArgs;
use crate::failure::{Answer, hinted, hinted_if};

/// One scenario's run.
#[derive(Debug, Serialize)]
struct Ran<'a> {
    scenario: &'a str,
    /// Whether everything that is expected under this policy held.
    held: bool,
    expectations: Vec<Checked>,
    #[serde(flatten)]
    report: &'a RunReport,
}

/// One expectation.
#[derive(Debug, Serialize)]
struct Checked {
    expected: String,
    found: Option<f64>,
    held: bool,
}

pub(crate) fn run(args: &ScenarioArgs) -> anyhow::Result<Answer> {
    // All are read first: a mistake in the last one should not cost the time of the others.
    let read = |file: &PathBuf| {
        Scenario::read(file).map_err(|error| {
            let hint = error.hint();
            hinted_if(error, hint)
        })
    };
    let scenarios: Vec<Scenario> = args.files.iter().map(read).collect::<Result<_, _>>()?;
    let width = scenarios.iter().map(|scenario| scenario.name.len()).max().unwrap_or(0);
    let mut answer = Answer::Yes;
    for scenario in &scenarios {
        let report = scenario.run(&args.policy).map_err(explained)?;
        let outcomes = scenario.outcomes(&args.policy, &report);
        let held = outcomes.iter().all(|outcome| outcome.held);
        if !held {
            answer = Answer::No;
        }
        let line = if args.json {
            let expectations = outcomes.iter().map(checked).collect();
            let ran = Ran { scenario: &scenario.name, held, expectations, report: &report };
            serde_json::to_string(&ran)?
        } else {
            text(&scenario.name, width, &report, &outcomes)
        };
        super::print(&format!("{line}\n"))?;
    }
    Ok(answer)
}

fn explained(error: RunError) -> anyhow::Error {
    match error {
        RunError::Policy(error) => hinted(
            error,
            format!(
                "or `{PREHEAT}`, `{PREHEAT_WITHOUT}PART`; docs/policies/peers.md says what each \
                     one does"
            ),
        ),
        RunError::Simulation(error) => error.into(),
    }
}

fn checked(outcome: &Outcome<'_>) -> Checked {
    let expected = outcome.expectation.to_string();
    Checked { expected, found: outcome.found, held: outcome.held }
}

/// `step  preheat  attainment 0.933  11.64 GPU-hours  held: 7 of 7`, and what did not hold.
fn text(name: &str, width: usize, report: &RunReport, outcomes: &[Outcome<'_>]) -> String {
    let broken: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome.held).map(ToString::to_string).collect();
    let verdict = match (outcomes.len(), broken.as_slice()) {
        (0, _) => "nothing is expected".to_owned(),
        (all, []) => format!("held: {all} of {all}"),
        (all, some) => format!("held: {} of {all}; not: {}", all - some.len(), some.join("; ")),
    };
    let RunReport { policy, attainment, gpu_hours, .. } = report;
    format!(
        "{name:<width$}  {policy}  attainment {attainment:.3}  {gpu_hours:.2} GPU-hours  {verdict}"
    )
}
