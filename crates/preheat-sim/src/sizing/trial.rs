//! A trial of an answer: random arrivals against so many replicas that nobody scales.
//!
//! **Invariant:** every count of replicas of one [`Trial`] gets the same requests.
//!
//! Lengths are drawn log-normal, with a 99th percentile of as many means as that of an exponential
//! law, which Erlang's formula assumes of service times. Where such lengths would not fit the
//! engine, every request has the mean lengths.

use std::time::Duration;

use preheat_core::{Concurrency, RequestRate};
use preheat_engine::EngineConfig;
use preheat_traffic::{
    LengthLaw, LengthMix, LogNormalTokens, RateShape, SyntheticPart, TokenLaw, Trace, TrafficError,
};

use super::engine::EngineSpec;
use crate::cold_start::ColdStartConfig;
use crate::peers;
use crate::report::RunReport;
use crate::run::{ReplicasInitial, Simulation, SimulationConfig, SimulationError};
use crate::view::PoolBounds;

/// Requests of a trial at least, so that a 99th percentile rests on 500 of them.
const REQUESTS_MIN: f64 = 50_000.0;
/// Service times that a trial lasts at least: the fleet begins empty.
const SERVICE_TIMES_MIN: f64 = 50.0;
/// Requests of a trial at most: a few seconds of one core.
const REQUESTS_MAX: f64 = 2_000_000.0;
/// ln 100: the 99th percentile of an exponential law over its mean.
const P99_PER_MEAN: f64 = std::f64::consts::LN_10 * 2.0;

/// What is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrialSpec {
    /// The engine and its SLOs.
    pub engine: EngineSpec,
    /// `max_num_seqs` of the trial: the concurrency that was sized for.
    pub max_num_seqs: Concurrency,
    /// GPUs of a replica.
    pub gpus_per_replica: u32,
    /// Requests that arrive.
    pub arrival_rate: RequestRate,
    /// Time in a slot.
    pub service_time: Duration,
    /// Everything random follows from it.
    pub seed: u64,
}

/// Requests that are ready to be sent.
#[derive(Clone, Debug)]
pub struct Trial {
    spec: TrialSpec,
    trace: Trace,
    /// How long requests arrive.
    pub lasts: Duration,
}

/// Why a trial has no result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The requests can't be made.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// The simulation ended early.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// The policy that scales nothing can't be had.
    #[error(transparent)]
    Policy(#[from] peers::UnknownPolicy),
}

impl Trial {
    /// Draws the requests.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn new(spec: TrialSpec) -> Result<Self, TrialError> {
        let rate = spec.arrival_rate.get();
        let at_least = REQUESTS_MIN.max(rate * spec.service_time.as_secs_f64() * SERVICE_TIMES_MIN);
        let lasts = Duration::try_from_secs_f64(at_least.min(REQUESTS_MAX) / rate)
            .map_or(preheat_traffic::ARRIVAL_MAX, |lasts| lasts.min(preheat_traffic::ARRIVAL_MAX));
        let part = SyntheticPart {
            lasts,
            shape: RateShape::Constant { rate },
            gap_cv: 1.0,
            lengths: LengthMix::constant(lengths(&spec.engine)),
        };
        Ok(Self { spec, trace: part.trace(spec.seed, 0)?, lasts })
    }

    /// Serves them with so many replicas.
    ///
    /// # Errors
    /// When an invariant is broken.
    pub fn run(&self, replicas: u32) -> Result<RunReport, TrialError> {
        let EngineSpec { engine, ttft_slo, tpot_slo, .. } = self.spec.engine;
        let engine = EngineConfig { max_num_seqs: self.spec.max_num_seqs, ..engine };
        let bounds = PoolBounds {
            replicas_min: replicas,
            replicas_max: replicas,
            ttft_slo,
            // Nobody looks at it: nothing is scaled.
            attainment_slo: 0.99,
            tpot_slo,
        };
        let startup = ColdStartConfig::Fixed(Duration::ZERO);
        let config = SimulationConfig {
            gpus_per_replica: self.spec.gpus_per_replica,
            seed: self.spec.seed,
            replicas_initial: ReplicasInitial::Count(replicas),
            ..SimulationConfig::new(engine, bounds, startup)
        };
        let mut fixed = peers::by_name(&format!("static:{replicas}"), &bounds)?;
        let requests = self.trace.requests.iter().copied();
        Ok(Simulation::new(config)?.run(requests, &mut *fixed)?)
    }
}

fn lengths(spec: &EngineSpec) -> LengthLaw {
    let (input, output) = (spec.input_tokens_mean, spec.output_tokens_mean);
    let room = u64::from(spec.engine.max_model_len).min(spec.engine.kv_capacity_tokens) as f64;
    let law = |mean: f64| {
        // Prompt and output share the room as their means do.
        let max = room * mean / (input + output);
        let p99 = P99_PER_MEAN * mean;
        let spread = LogNormalTokens::new(mean, p99, max as u32).filter(|_| p99 <= max);
        let equal = (libm::round(mean) as u32).max(1);
        spread.map_or(TokenLaw::Fixed(equal), TokenLaw::LogNormal)
    };
    LengthLaw::Each { input: law(input), output: law(output) }
}
