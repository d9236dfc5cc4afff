//! Why there is no comparison.

use preheat_core::PolicyError;
use preheat_sim::oracle::OracleError;
use preheat_sim::peers::UnknownPolicy;
use preheat_sim::run::SimulationError;

/// Why there is no comparison.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// A policy that there is not.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// preheat's own policy can't be.
    #[error("preheat's policy: {0}")]
    Preheat(#[from] PolicyError),
    /// preheat has one knob.
    #[error(
        "preheat has no knob `{knob}`; it has `aim`, the share of requests that its SLO asks for"
    )]
    PreheatKnob {
        /// What was to be set.
        knob: String,
    },
    /// The aim is out of range.
    #[error("`aim` is {aim}; it must be at least 0.5 and below 1")]
    Aim {
        /// As set.
        aim: f64,
    },
    /// A run that can't be, or that broke an invariant.
    #[error("{policy} on {workload}: {error}")]
    Run {
        /// Whose run.
        policy: String,
        /// Which traffic.
        workload: String,
        /// What happened.
        error: SimulationError,
    },
    /// A run's settings can't be.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    /// Whoever asked wants no answer any more.
    #[error("cancelled")]
    Cancelled,
    /// There is no optimum.
    #[error("the optimum: {0}")]
    Oracle(#[from] OracleError),
}
