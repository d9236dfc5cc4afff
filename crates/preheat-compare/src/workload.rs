//! Traffic on a pool: what every policy is run on.

use std::time::Duration;

use preheat_core::{ColdStartPrior, PolicySpec, Probability};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::peers;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationConfig};
use preheat_traffic::Trace;

use crate::error::CompareError;
use crate::setting::{AIM, PREHEAT, Setting};

/// Traffic on a pool.
#[derive(Clone, Debug)]
pub struct Workload {
    /// What it is called: the trace's name and its rate scale.
    pub name: String,
    /// The engine profile's name.
    pub profile: String,
    /// The traffic.
    pub trace: Trace,
    /// The pool in the simulated world.
    pub config: SimulationConfig,
    /// The pool as preheat is told of it.
    pub spec: PolicySpec,
}

impl Workload {
    /// The same with another fixed cold start, of which preheat is told.
    #[must_use]
    pub fn with_cold_start(&self, cold_start: Duration) -> Self {
        let mut changed = self.clone();
        changed.config.startup = ColdStartConfig::Fixed(cold_start);
        changed.spec.cold_start_prior = ColdStartPrior { p50: cold_start, p90: cold_start };
        changed
    }

    /// Runs it under one setting.
    ///
    /// # Errors
    /// When the setting can't be, or the run breaks an invariant.
    pub fn run(&self, setting: &Setting, series: bool) -> Result<RunReport, CompareError> {
        let config = SimulationConfig { series, ..self.config.clone() };
        let bounds = config.bounds;
        let simulation = Simulation::new(config)?;
        let requests = self.trace.requests.iter().copied();
        let report = if setting.policy == PREHEAT {
            let mut spec = self.spec.clone();
            if let Some(aim) = setting.knobs.get(AIM) {
                spec.slo.quantile = Probability::saturating(*aim);
            }
            let mut preheat = Preheat::new(spec.validate()?);
            simulation.run_preheat(requests, &mut preheat)
        } else {
            let knobs: Vec<(&str, f64)> =
                setting.knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
            let mut scaler = peers::tuned(&setting.policy, &bounds, &knobs)?;
            simulation.run(requests, scaler.as_mut())
        };
        report.map_err(|error| CompareError::Run {
            policy: setting.policy.clone(),
            workload: self.name.clone(),
            error,
        })
    }
}
