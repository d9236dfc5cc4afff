//! Traffic on a pool: what every policy is run on.

use std::time::Duration;

use preheat_core::{ColdStartPrior, Policy, PolicySpec, Probability};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::peers;
use preheat_sim::preheat_policy::{PREHEAT, Preheat};
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationConfig, SimulationError};
use preheat_sim::scaler::Scaler;
use preheat_traffic::{Trace, TraceRequest};

use crate::backtest::{History, Recorded};
use crate::error::CompareError;
use crate::setting::{AIM, Setting};
use crate::told::Told;

/// Asked whether to go on, with how many requests there were before.
pub type GoOn<'a> = &'a mut dyn FnMut(usize) -> bool;
/// The requests of a run.
type Requests<'a> = dyn Iterator<Item = TraceRequest> + 'a;

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

    /// Whether it could be run under one setting.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, setting: &Setting) -> Result<(), CompareError> {
        Simulation::new(self.config.clone())?;
        if setting.is_preheat() {
            self.policy(setting)?;
        } else if Told::find(&setting.policy).is_none() {
            peers::tuned(&setting.policy, &self.config.bounds, &setting.knob_list())?;
        }
        Ok(())
    }

    /// Runs it under one setting.
    ///
    /// # Errors
    /// When the setting can't be, or the run breaks an invariant.
    pub fn run(&self, setting: &Setting, series: bool) -> Result<RunReport, CompareError> {
        self.run_while(setting, series, &mut |_| true)
    }

    /// The same; `go_on` is asked at every request, with how many there were before.
    ///
    /// # Errors
    /// As [`Self::run`], and when `go_on` said no.
    pub fn run_while(
        &self,
        setting: &Setting,
        series: bool,
        go_on: GoOn<'_>,
    ) -> Result<RunReport, CompareError> {
        let name = setting.policy.as_str();
        if setting.is_preheat() {
            let mut preheat = Preheat::new(self.policy(setting)?);
            return self.simulate(name, series, go_on, |simulation, requests| {
                simulation.run_preheat(requests, &mut preheat)
            });
        }
        if let Some(told) = Told::find(name) {
            let mut fleet = told.fleet(self, &setting.knobs)?;
            return self.simulate(name, series, go_on, |simulation, requests| {
                simulation.run(requests, &mut fleet)
            });
        }
        let mut scaler = peers::tuned(name, &self.config.bounds, &setting.knob_list())?;
        self.simulate(name, series, go_on, |simulation, requests| {
            simulation.run(requests, scaler.as_mut())
        })
    }

    /// Runs it under a setting that is not preheat, while `preheat` watches and decides.
    ///
    /// # Errors
    /// When the setting can't be, or the run breaks an invariant.
    pub fn run_shadowed(
        &self,
        setting: &Setting,
        mut preheat: Preheat,
        series: bool,
    ) -> Result<RunReport, CompareError> {
        let name = setting.policy.as_str();
        let mut scaler: Box<dyn Scaler> = match Told::find(name) {
            Some(told) => Box::new(told.fleet(self, &setting.knobs)?),
            None => peers::tuned(name, &self.config.bounds, &setting.knob_list())?,
        };
        self.simulate(name, series, &mut |_| true, |simulation, requests| {
            simulation.run_shadowed(requests, scaler.as_mut(), &mut preheat)
        })
    }

    /// Runs it with the fleet as it was; `None` where the history tells of none.
    ///
    /// # Errors
    /// When the pool can't be, the run breaks an invariant, or `go_on` said no.
    pub fn run_as_it_was(
        &self,
        history: &History,
        series: bool,
        go_on: GoOn<'_>,
    ) -> Result<Option<RunReport>, CompareError> {
        let Some(existing) = history.existing(self.config.startup.typical()) else {
            return Ok(None);
        };
        // What was there was there, whatever is allowed from now on.
        let most = existing.iter().copied().fold(1.0, f64::max).ceil() as u32;
        let mut there = self.clone();
        there.config.bounds.replicas_min = 0;
        there.config.bounds.replicas_max = there.config.bounds.replicas_max.max(most);
        let mut recorded = Recorded::new(history.step, existing);
        let run = there.simulate("recorded", series, go_on, |simulation, requests| {
            simulation.run(requests, &mut recorded)
        });
        run.map(Some)
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
        self.simulate(PREHEAT, series, &mut |_| true, |simulation, requests| {
            simulation.run_preheat(requests, &mut preheat)
        })
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

    /// Runs what `run` says on the requests, for as long as `go_on` says.
    fn simulate(
        &self,
        policy: &str,
        series: bool,
        go_on: GoOn<'_>,
        run: impl FnOnce(&Simulation, &mut Requests<'_>) -> Result<RunReport, SimulationError>,
    ) -> Result<RunReport, CompareError> {
        let simulation = Simulation::new(SimulationConfig { series, ..self.config.clone() })?;
        let mut is_cancelled = false;
        let mut requests = self.trace.requests.iter().enumerate().map_while(|(before, request)| {
            is_cancelled = is_cancelled || !go_on(before);
            (!is_cancelled).then_some(*request)
        });
        let report = run(&simulation, &mut requests);
        if is_cancelled {
            return Err(CompareError::Cancelled);
        }
        report.map_err(|error| {
            let (policy, workload) = (policy.to_owned(), self.name.clone());
            CompareError::Run { policy, workload, error }
        })
    }
}
