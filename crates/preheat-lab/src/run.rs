//! An experiment, run: the very scenario that `preheat scenario` runs.

use std::path::PathBuf;

use preheat_api::policy_file::PolicyFile;
use preheat_scenario::{Ran, RunError, Scenario, ScenarioError};

use crate::lesson::{Experiment, Run, changed};

/// Why an experiment of the lesson has no result.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// Its scenario is none.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// It broke off.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl Run {
    /// Who scales, and how that is set up.
    pub fn policy_file(&self) -> PolicyFile {
        let knobs = self.settings.iter().map(|set| (set.knob.to_owned(), set.value)).collect();
        PolicyFile { policy: self.policy.to_owned(), knobs }
    }
}

impl Experiment {
    /// The scenario of one of its runs.
    pub fn scenario_of(&self, run: &Run) -> String {
        changed(self.text, run.changes)
    }

    /// All of its runs, by their ids.
    ///
    /// # Errors
    /// When one can't be run.
    pub fn ran(&self) -> Result<Vec<(&'static str, Ran)>, ExperimentError> {
        let file = PathBuf::from(format!("scenarios/lab/{}.yaml", self.scenario));
        let one = |run: &Run| {
            let scenario = Scenario::parse(&self.scenario_of(run), &file)?;
            Ok((run.id, scenario.ran(&run.policy_file(), true, |_| true)?))
        };
        self.runs.iter().map(one).collect()
    }
}
