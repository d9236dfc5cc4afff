//! A scenario, run under an autoscaler by its name.

use preheat_api::policy_file::PolicyFile;
use preheat_sim::peers::{self, UnknownPolicy};
use preheat_sim::preheat_policy::{PREHEAT, Preheat, is_preheat, left_out};
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationConfig, SimulationError};
use preheat_sim::view::PoolBounds;

use crate::Scenario;

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// Nobody is called that.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// The run broke off.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// It is ours, which has none.
    #[error("policy `{PREHEAT}` has no knob `{0}`; it aims at the scenario's `slo`")]
    NoKnobs(String),
    /// Whoever asked wants no report any more.
    #[error("cancelled")]
    Cancelled,
}

/// Whether there is such a policy with such knobs.
///
/// # Errors
/// What there is not.
pub fn check_policy(policy: &PolicyFile, bounds: &PoolBounds) -> Result<(), RunError> {
    let knobs = knobs(policy);
    match knobs.first() {
        Some((knob, _)) if is_preheat(&policy.policy) => Err(RunError::NoKnobs((*knob).to_owned())),
        None if is_preheat(&policy.policy) => Ok(()),
        Some(_) | None => Ok(peers::tuned(&policy.policy, bounds, &knobs).map(|_| ())?),
    }
}

fn knobs(policy: &PolicyFile) -> Vec<(&str, f64)> {
    policy.knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

impl Scenario {
    /// Runs it under `preheat`, `preheat-without-` and a part of the policy, or another autoscaler
    /// as `preheat_sim::peers` names them.
    ///
    /// # Errors
    /// When nobody has that name, or an invariant is broken.
    pub fn run(&self, policy: &str) -> Result<RunReport, RunError> {
        self.run_while(&PolicyFile::of(policy), self.config.series, |_| true)
    }

    /// The same with knobs; `go_on` is asked at every request whether to.
    pub(crate) fn run_while(
        &self,
        policy: &PolicyFile,
        series: bool,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> Result<RunReport, RunError> {
        check_policy(policy, &self.config.bounds)?;
        let mut is_cancelled = false;
        let requests = self.trace.requests.iter().enumerate().map_while(|(before, request)| {
            is_cancelled = is_cancelled || !go_on(before);
            (!is_cancelled).then_some(*request)
        });
        let series = series || self.config.series;
        let simulation = Simulation::new(SimulationConfig { series, ..self.config.clone() })?;
        let name = policy.policy.as_str();
        let report = if is_preheat(name) {
            let mut preheat = Preheat::new(self.policy.clone().without(left_out(name)));
            let report = simulation.run_preheat(requests, &mut preheat)?;
            RunReport { policy: name.to_owned(), ..report }
        } else {
            let mut scaler = peers::tuned(name, &self.config.bounds, &knobs(policy))?;
            simulation.run(requests, scaler.as_mut())?
        };
        if is_cancelled { Err(RunError::Cancelled) } else { Ok(report) }
    }

    pub(crate) fn simulation(&self) -> Result<Simulation, SimulationError> {
        Simulation::new(self.config.clone())
    }
}
