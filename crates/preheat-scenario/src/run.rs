//! A scenario, run under an autoscaler by its name.

use preheat_sim::peers::{self, UnknownPolicy};
use preheat_sim::preheat_policy::{Preheat, is_preheat, left_out};
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationError};

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
}

impl Scenario {
    /// Runs it under `preheat`, `preheat-without-` and a part of the policy, or another autoscaler
    /// as `preheat_sim::peers` names them.
    ///
    /// # Errors
    /// When nobody has that name, or an invariant is broken.
    pub fn run(&self, policy: &str) -> Result<RunReport, RunError> {
        let requests = self.trace.requests.iter().copied();
        if is_preheat(policy) {
            let mut preheat = Preheat::new(self.policy.clone().without(left_out(policy)));
            let report = self.simulation()?.run_preheat(requests, &mut preheat)?;
            return Ok(RunReport { policy: policy.to_owned(), ..report });
        }
        let simulation = self.simulation()?;
        let mut scaler = peers::by_name(policy, &self.config.bounds)?;
        Ok(simulation.run(requests, scaler.as_mut())?)
    }

    pub(crate) fn simulation(&self) -> Result<Simulation, SimulationError> {
        Simulation::new(self.config.clone())
    }
}
