//! A scenario's run as it is told in JSON: on a command line, and over HTTP.
//!
//! **Invariant:** field names are stable, and those of the report are the report's own.

use preheat_api::policy_file::PolicyFile;
use preheat_sim::report::RunReport;
use serde::Serialize;

use crate::{Outcome, RunError, Scenario};

/// One scenario's run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ran {
    /// Which.
    pub scenario: String,
    /// Whether everything that is expected under this policy held.
    pub held: bool,
    /// All that is expected under this policy.
    pub expectations: Vec<Checked>,
    /// The rest.
    #[serde(flatten)]
    pub report: RunReport,
}

/// One expectation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// In words.
    pub expected: String,
    /// What there was; absent when there is no such figure.
    pub found: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

impl Scenario {
    /// Runs it and checks what is expected. `series` asks for the report minute by minute, even where
    /// no expectation does. `go_on` is asked at every request, with how many there were before.
    ///
    /// # Errors
    /// When nobody has that name, an invariant is broken, or `go_on` said no.
    pub fn ran(
        &self,
        policy: &PolicyFile,
        series: bool,
        go_on: impl FnMut(usize) -> bool,
    ) -> Result<Ran, RunError> {
        let report = self.run_while(policy, series, go_on)?;
        let outcomes = self.outcomes(&policy.policy, &report);
        let held = outcomes.iter().all(|outcome| outcome.held);
        let expectations = outcomes.iter().map(checked).collect();
        Ok(Ran { scenario: self.name.clone(), held, expectations, report })
    }
}

fn checked(outcome: &Outcome<'_>) -> Checked {
    let expected = outcome.expectation.to_string();
    Checked { expected, found: outcome.found, held: outcome.held }
}
