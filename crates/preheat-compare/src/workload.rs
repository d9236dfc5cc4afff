//! Traffic on a pool: what every policy is run on.

use std::time::Duration;

use preheat_core::{ColdStartPrior, Policy, PolicySpec, Probability};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::peers;
use preheat_sim::preheat_policy::{PREHEAT, Preheat};
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationConfig, SimulationError};
use preheat_traffic::{Trace, TraceRequest};

use crate::backtest::Recorded;
use crate::error::CompareError;
use crate::setting::{AIM, Setting};
use crate::told::Told;

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
        if setting.is_preheat() {
            let preheat = Preheat::new(self.policy(setting)?);
            return self.run_preheat(preheat, series);
        }
        if let Some(told) = Told::find(&setting.policy) {
            let mut fleet = told.fleet(self, &setting.knobs)?;
            let report = self.simulation(series)?.run(self.requests(), &mut fleet);
            return report.map_err(|error| self.failed(&setting.policy, error));
        }
        let knobs: Vec<(&str, f64)> =
            setting.knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let mut scaler = peers::tuned(&setting.policy, &self.config.bounds, &knobs)?;
        let report = self.simulation(series)?.run(self.requests(), scaler.as_mut());
        report.map_err(|error| self.failed(&setting.policy, error))
    }

    /// Runs it with the fleet as it was.
    ///
    /// # Errors
    /// When the pool can't be, or the run breaks an invariant.
    pub fn run_recorded(&self, mut recorded: Recorded) -> Result<RunReport, CompareError> {
        let report = self.simulation(false)?.run(self.requests(), &mut recorded);
        report.map_err(|error| self.failed("recorded", error))
    }

    /// Runs it under preheat, which decides by [`Self::policy`] or by another.
    ///
    /// # Errors
    /// When the pool can't be, or the run breaks an invariant.
    pub fn run_preheat(
        &self,
        mut preheat: Preheat,
        series: bool,
    ) -> Result<RunReport, CompareError> {
        let report = self.simulation(series)?.run_preheat(self.requests(), &mut preheat);
        report.map_err(|error| self.failed(PREHEAT, error))
    }

    /// What preheat decides by under one setting.
    ///
    /// # Errors
    /// When the setting can't be.
    pub fn policy(&self, setting: &Setting) -> Result<Policy, CompareError> {
        let mut spec = self.spec.clone();
        spec.without = setting.without();
        for (knob, value) in &setting.knobs {
            if knob != AIM {
                return Err(CompareError::PreheatKnob { knob: knob.clone() });
            }
            let aim = Probability::new(*value).filter(|aim| (0.5..1.0).contains(&aim.get()));
            spec.slo.quantile = aim.ok_or(CompareError::Aim { aim: *value })?;
        }
        Ok(spec.validate()?)
    }

    fn simulation(&self, series: bool) -> Result<Simulation, CompareError> {
        Ok(Simulation::new(SimulationConfig { series, ..self.config.clone() })?)
    }

    fn requests(&self) -> impl Iterator<Item = TraceRequest> {
        self.trace.requests.iter().copied()
    }

    fn failed(&self, policy: &str, error: SimulationError) -> CompareError {
        CompareError::Run { policy: policy.to_owned(), workload: self.name.clone(), error }
    }
}
