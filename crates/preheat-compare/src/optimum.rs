//! The offline optimum of a workload: the slot model's bound, and the best plan replayed request by
//! request. `docs/oracle.md` says what the slot model leaves out.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_sim::oracle::{
    Costs, DemandSpec, Opening, Oracle, OraclePlan, OracleSpec, ServiceModel, SleepTier, demand,
};
use preheat_sim::report::RunReport;
use preheat_sim::run::{Simulation, SimulationConfig};

use crate::error::CompareError;
use crate::outcome::Outcome;
use crate::workload::Workload;

/// Share of headroom that the bound is told to keep.
const MARGIN: f64 = 0.1;
const SECS_PER_HOUR: f64 = 3_600.0;

/// What a request of this workload takes of a full replica.
pub(crate) fn service_model(workload: &Workload) -> ServiceModel {
    let (summary, engine) = (workload.trace.summary(), &workload.config.engine);
    ServiceModel::of_engine(
        engine,
        engine.max_num_seqs,
        summary.input_tokens.mean,
        summary.output_tokens.mean,
    )
}

/// The optimum of one workload at one headroom.
#[derive(Clone, Debug)]
pub struct Optimum<'a> {
    workload: &'a Workload,
    oracle: Oracle,
    /// GPU-hours that every fleet of that size pays for its own start, as runs are charged.
    opening_gpu_hours: f64,
}

impl<'a> Optimum<'a> {
    /// The optimum with the usual headroom.
    ///
    /// # Errors
    /// When the trace is more than can be planned.
    pub fn of(workload: &'a Workload) -> Result<Self, CompareError> {
        Self::with_margin(workload, MARGIN)
    }

    /// The optimum with this headroom.
    ///
    /// # Errors
    /// When the trace is more than can be planned.
    pub fn with_margin(workload: &'a Workload, margin: f64) -> Result<Self, CompareError> {
        let config = &workload.config;
        let service = service_model(workload);
        // A slot of about the TTFT aim balances what averaging hides and what waiting evens out.
        let slot = Duration::from_secs(config.bounds.ttft_slo.as_secs().clamp(1, 10));
        let lead = config.startup.typical();
        let slots = |time: Duration| {
            u32::try_from(time.as_nanos().div_ceil(slot.as_nanos())).unwrap_or(u32::MAX)
        };
        let fleet = Simulation::new(config.clone())?.replicas_initial(&workload.trace.requests);
        let gpus = f64::from(config.gpus_per_replica);
        let oracle = Oracle::new(OracleSpec {
            slot,
            demand: demand(&workload.trace, &DemandSpec { slot, service, margin })?,
            lead_slots: slots(lead),
            costs: Costs { replica_slot: gpus * slot.as_secs_f64() / SECS_PER_HOUR, start: 0.0 },
            sleep: workload.spec.standby.map(|standby| SleepTier {
                price_fraction: standby.price.get(),
                wake_slots: slots(standby.wake_prior),
                wake: 0.0,
            }),
            opening: Opening::Fleet(fleet),
        })?;
        let charged = if config.initial_start_charged { lead.as_secs_f64() } else { 0.0 };
        let opening_gpu_hours = f64::from(fleet) * gpus * charged / SECS_PER_HOUR;
        Ok(Self { workload, oracle, opening_gpu_hours })
    }

    /// No plan of the slot model reaches `attainment` with fewer GPU-hours.
    ///
    /// # Errors
    /// When `attainment` is no ratio.
    pub fn bound_gpu_hours(&self, attainment: f64) -> Result<f64, CompareError> {
        let reference = self.oracle.at_most((1.0 - attainment).clamp(0.0, 1.0))?;
        Ok(reference.bound + self.opening_gpu_hours)
    }

    /// The best plan of the slot model for `attainment`, replayed request by request.
    ///
    /// # Errors
    /// When `attainment` is no ratio, or the run breaks an invariant.
    pub fn replay(&self, attainment: f64, series: bool) -> Result<RunReport, CompareError> {
        let reference = self.oracle.at_most((1.0 - attainment).clamp(0.0, 1.0))?;
        let mut plan = OraclePlan::new(&self.oracle, &reference.plan)?;
        let config = SimulationConfig { series, ..self.workload.config.clone() };
        let requests = self.workload.trace.requests.iter().copied();
        Ok(Simulation::new(config)?.run(requests, &mut plan)?)
    }

    /// The same as an outcome.
    ///
    /// # Errors
    /// As [`Self::replay`].
    pub fn outcome(&self, attainment: f64) -> Result<Outcome, CompareError> {
        Ok(Outcome::of(BTreeMap::new(), &self.replay(attainment, false)?))
    }
}
