//! `preheat scenario`: scenario files under one autoscaler, and whether what they expect held.

use std::path::{Path, PathBuf};

use preheat_api::policy_file::PolicyFile;
use preheat_scenario::{Outcome, Ran, RunError, Scenario, check_policy};
use preheat_sim::preheat_policy::{PREHEAT, PREHEAT_WITHOUT};
use preheat_sim::report::RunReport;

use crate::cli::ScenarioArgs;
use crate::failure::{Answer, hinted, hinted_if};

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
        let policy = policy(&args.policy, scenario)?;
        let ran = scenario.ran(&policy, args.series, |_| true).map_err(explained)?;
        if !ran.held {
            answer = Answer::No;
        }
        let line = if args.json {
            serde_json::to_string(&ran)?
        } else {
            text(&ran, width, &scenario.outcomes(&policy.policy, &ran.report))
        };
        super::print(&format!("{line}\n"))?;
    }
    Ok(answer)
}

/// By its name, or as a file says. A file that happens to be called like a policy does not hide it.
fn policy(asked: &str, scenario: &Scenario) -> anyhow::Result<PolicyFile> {
    let by_name = PolicyFile::of(asked);
    let path = Path::new(asked);
    if check_policy(&by_name, &scenario.config.bounds).is_ok() || !path.is_file() {
        return Ok(by_name);
    }
    PolicyFile::read(path).map_err(|error| {
        let hint = error.hint();
        hinted_if(error, hint)
    })
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
        RunError::NoKnobs(_) | RunError::Simulation(_) | RunError::Cancelled => error.into(),
    }
}

/// `step  preheat  attainment 0.933  11.64 GPU-hours  held: 7 of 7`, and what did not hold.
fn text(ran: &Ran, width: usize, outcomes: &[Outcome<'_>]) -> String {
    let RunReport { policy, attainment, gpu_hours, .. } = &ran.report;
    let broken: Vec<String> =
        outcomes.iter().filter(|outcome| !outcome.held).map(ToString::to_string).collect();
    let verdict = match (outcomes.len(), broken.as_slice()) {
        (0, _) => "nothing is expected".to_owned(),
        (all, []) => format!("held: {all} of {all}"),
        (all, some) => format!("held: {} of {all}; not: {}", all - some.len(), some.join("; ")),
    };
    let name = &ran.scenario;
    format!(
        "{name:<width$}  {policy}  attainment {attainment:.3}  {gpu_hours:.2} GPU-hours  {verdict}"
    )
}
