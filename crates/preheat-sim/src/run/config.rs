//! How a run is set up.

use std::time::Duration;

use preheat_core::ScheduledDemand;
use preheat_engine::{EngineConfig, Stepping};

use super::SimulationError;
use crate::cold_start::{ColdStartConfig, GpuSupply};
use crate::faults::Faults;
use crate::router::Router;
use crate::view::PoolBounds;

/// Everything that a run depends on, beside its trace and its autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulationConfig {
    /// Each replica's engine.
    pub engine: EngineConfig,
    /// GPUs of a replica.
    pub gpus_per_replica: u32,
    /// What every autoscaler is told.
    pub bounds: PoolBounds,
    /// How long starts take.
    pub startup: ColdStartConfig,
    /// A start that takes longer is ended and begun again, as a startup probe does.
    pub start_timeout: Duration,
    /// What is announced, in the run's time. preheat alone is told; the others have no ear for it.
    pub scheduled: Vec<ScheduledDemand>,
    /// Who gets a request.
    pub router: Router,
    /// Everything random follows from it.
    pub seed: u64,
    /// Replicas that are ready at the start.
    pub replicas_initial: ReplicasInitial,
    /// Whether the time of one typical start is charged for each of them.
    pub initial_start_charged: bool,
    /// What a fleet that shrinks does to the replicas that go, where its autoscaler only says how
    /// many should stay. preheat says it itself.
    pub scale_down: ScaleDown,
    /// Whether to go on after the last arrival until every request has ended; otherwise those still
    /// inside count as failed.
    pub drain: bool,
    /// How long to go on at most.
    pub drain_max: Duration,
    /// Machines.
    pub gpus: GpuSupply,
    /// What a sleeping replica costs, as a share of an awake one.
    pub standby_price: f64,
    /// What goes wrong.
    pub faults: Faults,
    /// Whether to report minute by minute.
    pub series: bool,
    /// How engines step. Only a test has a reason to change it.
    pub stepping: Stepping,
}

/// How many replicas are ready at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicasInitial {
    /// As many as the busiest minute of the trace's first so long needs, with the headroom of
    /// square-root staffing.
    ForFirst(Duration),
    /// So many, held inside the bounds.
    Count(u32),
}

/// How replicas leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleDown {
    /// Who goes. Those that are not ready go before all others.
    pub victim: Victim,
    /// What becomes of requests inside.
    pub drain: Drain,
}

/// Who goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Whoever became ready last, as a ReplicaSet chooses.
    Newest,
    /// Anyone.
    Random,
}

/// What becomes of requests inside a replica that goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// They finish, however long it takes.
    Graceful,
    /// They have this long, then they are cut.
    Kill {
        /// Kubernetes' default is 30 s.
        grace: Duration,
    },
}

impl SimulationConfig {
    /// Least outstanding, nothing goes wrong, unlimited GPUs, a graceful drain, and a fleet sized
    /// for the first minute.
    pub fn new(engine: EngineConfig, bounds: PoolBounds, startup: ColdStartConfig) -> Self {
        Self {
            engine,
            gpus_per_replica: 1,
            bounds,
            startup,
            start_timeout: Duration::from_secs(1800),
            scheduled: Vec::new(),
            router: Router::default(),
            seed: 0,
            replicas_initial: ReplicasInitial::ForFirst(Duration::from_secs(60)),
            initial_start_charged: true,
            scale_down: ScaleDown { victim: Victim::Newest, drain: Drain::Graceful },
            drain: true,
            drain_max: Duration::from_secs(3600),
            gpus: GpuSupply::default(),
            standby_price: 1.0,
            faults: Faults::default(),
            series: false,
            stepping: Stepping::Jump,
        }
    }

    pub(crate) fn check(&self) -> Result<(), SimulationError> {
        self.engine.check()?;
        let refuse =
            |key, value: String, allowed| Err(SimulationError::Config { key, value, allowed });
        let (min, max) = (self.bounds.replicas_min, self.bounds.replicas_max);
        if min > max || max == 0 {
            return refuse("bounds.replicas_max", max.to_string(), "at least 1 and replicas_min");
        }
        if self.gpus_per_replica == 0 {
            return refuse("gpus_per_replica", "0".to_owned(), "at least 1");
        }
        if let Some(empty) = self.scheduled.iter().find(|entry| entry.until <= entry.from) {
            let value = format!("until {:?} from {:?}", empty.until, empty.from);
            return refuse("scheduled", value, "until a time after it begins");
        }
        let price = self.standby_price;
        if !(0.0..=1.0).contains(&price) {
            return refuse("standby_price", price.to_string(), "from 0 to 1");
        }
        let factor = self.faults.slow_factor.unwrap_or(1.0);
        if self.engine.profile.scaled(factor).is_none() {
            return refuse("faults.slow_factor", factor.to_string(), "finite and above 0");
        }
        Ok(())
    }
}
