//! From what is known of a pool to its simulated twin: engine, bounds, SLO, standby, cold start.
//!
//! **Invariant:** what preheat would refuse is refused here, before anything runs.

use std::time::Duration;

use preheat_core::{Concurrency, PolicyError, PolicySpec, ReplicaCount, ScheduledDemand};
use preheat_engine::{EngineConfig, EngineProfile, SleepProfile};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::run::{ReplicasInitial, SimulationConfig};
use preheat_sim::view::PoolBounds;
use preheat_traffic::Trace;

use crate::workload::Workload;

/// The engine profile of a pool of which nothing is said.
pub const PROFILE_DEFAULT: &str = "qwen-27b-fp8-h100";
/// What a fleet is sized for at the start of a past, beyond the lead time, in which nobody could have
/// mended what it lacks.
const INITIAL_BEYOND: Duration = Duration::from_secs(60);

/// A pool, as far as a simulation has to know it.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolSetup {
    /// The engine profile's name.
    pub profile: String,
    /// Slots of a replica; the profile's unless given.
    pub max_num_seqs: Option<Concurrency>,
    /// What preheat decides by. Bounds, SLO and standby in it hold for every autoscaler.
    pub spec: PolicySpec,
    /// Time from order to ready, of every start.
    pub cold_start: Duration,
    /// Replicas that are ready at the start; what the first minute needs unless given.
    pub replicas_initial: Option<u32>,
    /// What is announced, in the run's time.
    pub scheduled: Vec<ScheduledDemand>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// Why there can be no such pool.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PoolError {
    /// No engine is called that.
    #[error("unknown engine profile {name:?}: it must be one of {}", profiles().join(", "))]
    Profile {
        /// As asked.
        name: String,
    },
    /// More is announced than there may be.
    #[error("{announced} replicas are announced, above the most that there may be, {max}")]
    Scheduled {
        /// As announced.
        announced: ReplicaCount,
        /// The upper bound.
        max: ReplicaCount,
    },
    /// preheat would refuse it.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Names of all engine profiles.
pub fn profiles() -> Vec<&'static str> {
    EngineProfile::all().iter().map(|profile| profile.name).collect()
}

impl PoolSetup {
    /// Puts a trace on it.
    ///
    /// # Errors
    /// When there can be no such pool.
    pub fn workload(&self, name: String, trace: Trace) -> Result<Workload, PoolError> {
        let config = self.config()?;
        let spec = self.spec.clone().validate()?.into();
        Ok(Workload { name, profile: self.profile.clone(), trace, config, spec })
    }

    /// Puts traffic of its own past on it. The fleet that the past begins with was there before, so
    /// nobody pays for its starts; unless given, it is sized for the first lead time.
    ///
    /// # Errors
    /// When there can be no such pool.
    pub fn workload_of_past(&self, name: String, trace: Trace) -> Result<Workload, PoolError> {
        let mut workload = self.workload(name, trace)?;
        workload.config.initial_start_charged = false;
        if self.replicas_initial.is_none() {
            let first = self.cold_start.saturating_add(INITIAL_BEYOND);
            workload.config.replicas_initial = ReplicasInitial::ForFirst(first);
        }
        Ok(workload)
    }

    /// The same with another cold start, of which preheat is told.
    #[must_use]
    pub fn with_cold_start(mut self, cold_start: Duration) -> Self {
        self.cold_start = cold_start;
        self.spec.cold_start_prior.p50 = cold_start;
        self.spec.cold_start_prior.p90 = cold_start;
        self
    }

    /// The same with what was announced, as far as its bounds allow.
    #[must_use]
    pub fn with_announced(mut self, announced: &[ScheduledDemand]) -> Self {
        let max = self.spec.replicas_max;
        let within = announced.iter().map(|entry| {
            let replicas = entry.replicas.min(max);
            ScheduledDemand { replicas, ..*entry }
        });
        self.scheduled = within.collect();
        self
    }

    fn config(&self) -> Result<SimulationConfig, PoolError> {
        let profile = EngineProfile::find(&self.profile)
            .ok_or_else(|| PoolError::Profile { name: self.profile.clone() })?;
        let mut engine = EngineConfig::for_profile(profile);
        if let Some(slots) = self.max_num_seqs {
            engine.max_num_seqs = slots;
        }
        let spec = &self.spec;
        let bounds = PoolBounds {
            replicas_min: spec.replicas_min.0,
            replicas_max: spec.replicas_max.0,
            ttft_slo: spec.slo.threshold,
            attainment_slo: spec.slo.quantile.get(),
            tpot_slo: spec.slo_tpot,
        };
        let startup = ColdStartConfig::Fixed(self.cold_start);
        let mut config = SimulationConfig::new(engine, bounds, startup);
        config.gpus_per_replica = profile.gpus;
        config.seed = self.seed;
        if let Some(standby) = spec.standby {
            config.standby_price = standby.price.get();
            config.engine.sleep =
                SleepProfile::fixed(config.engine.sleep.offload, standby.wake_prior);
        }
        let max = spec.replicas_max;
        if let Some(entry) = self.scheduled.iter().find(|entry| entry.replicas > max) {
            return Err(PoolError::Scheduled { announced: entry.replicas, max });
        }
        config.scheduled.clone_from(&self.scheduled);
        if let Some(count) = self.replicas_initial {
            config.replicas_initial = ReplicasInitial::Count(count);
        }
        Ok(config)
    }
}
