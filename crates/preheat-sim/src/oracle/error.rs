//! What can be wrong with what the oracle is asked.
//!
//! **Invariant:** every message says which figure is wrong and what it must be.

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OracleError {
    /// A figure is negative, infinite, NaN, or zero where it must not be.
    #[error("{name} is {value}; it must be {must}")]
    Figure {
        /// The field.
        name: &'static str,
        /// As given.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// There is no slot to plan for.
    #[error("there is no demand: the trace or the list of slots is empty")]
    Empty,
    /// A slot has no length.
    #[error("the slot is 0 s long; use 1 s or more")]
    SlotZero,
    /// More slots than are allowed.
    #[error("{slots} slots are more than {most}; use longer slots or a shorter window")]
    Slots {
        /// As they would be.
        slots: u64,
        /// The limit.
        most: u64,
    },
    /// Slots times levels are more than are allowed.
    #[error("{slots} slots × {levels} replicas are more than {most}; use longer slots")]
    LevelSlots {
        /// Slots.
        slots: u64,
        /// Replicas at the peak.
        levels: u64,
        /// The limit.
        most: u64,
    },
    /// The plan has another number of slots than the demand.
    #[error("the plan has {plan} slots and the demand {demand}")]
    Length {
        /// Of the plan.
        plan: usize,
        /// Of the demand.
        demand: usize,
    },
    /// A count of replicas cannot say who sleeps.
    #[error("the plan puts replicas to sleep; plan without a sleep tier to replay it as a scaler")]
    Sleeps,
}

/// Whether `value` is finite and not negative.
pub(super) fn check_figure(name: &'static str, value: f64) -> Result<(), OracleError> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(OracleError::Figure { name, value, must: "finite and at least 0" })
}
