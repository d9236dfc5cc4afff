//! A scenario, run under an autoscaler by its name.

use preheat_core::Part;
use preheat_sim::peers::{self, UnknownPolicy};
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationError};

use crate::Scenario;

/// Name of our own policy.
pub const PREHEAT: &str = "preheat";

/// preheat without what the scenario announces: what that is worth.
pub const PREHEAT_UNTOLD: &str = "preheat-untold";

/// Before the name of a part that preheat is run without.
const PREHEAT_WITHOUT: &str = "preheat-without-";

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

/// Whether it is our own policy: told or not, whole or without a part.
pub(crate) fn is_preheat(policy: &str) -> bool {
    policy == PREHEAT || policy == PREHEAT_UNTOLD || without(policy).is_some()
}

/// What our own policy is to be run without.
fn without(policy: &str) -> Option<Part> {
    policy.strip_prefix(PREHEAT_WITHOUT).and_then(Part::find)
}

impl Scenario {
    /// Runs it under `preheat`, `preheat-untold`, `preheat-without-` and a part of the policy, or another autoscaler as
    /// `preheat_sim::peers` names them.
    ///
    /// # Errors
    /// When nobody has that name, or an invariant is broken.
    pub fn run(&self, policy: &str) -> Result<RunReport, RunError> {
        let requests = self.trace.requests.iter().copied();
        if is_preheat(policy) {
            let mut config = self.config.clone();
            if policy == PREHEAT_UNTOLD {
                config.scheduled.clear();
            }
            let mut preheat = Preheat::new(self.policy.clone().without(without(policy)));
            let report = Simulation::new(config)?.run_preheat(requests, &mut preheat)?;
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
