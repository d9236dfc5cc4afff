//! Why a run ends without a report. Broken invariants are the simulator's or preheat's own errors.

use preheat_core::invariants::Violation;
use preheat_core::{Instant, ReplicaId};
use preheat_engine::ConfigError;

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SimulationError {
    /// The engine's settings can't be.
    #[error("the engine's settings: {0}")]
    Engine(#[from] ConfigError),
    /// A setting of the run can't be.
    #[error("`{key}` is {value}; it must be {allowed}")]
    Config {
        /// Which.
        key: &'static str,
        /// As set.
        value: String,
        /// What would be accepted.
        allowed: &'static str,
    },
    /// The trace is not sorted.
    #[error("a request arrives at {at:?}, after one at {before:?}; sort the trace by arrival")]
    TraceUnsorted {
        /// Its arrival.
        at: Instant,
        /// The arrival before it.
        before: Instant,
    },
    /// preheat's decision broke an invariant of its own.
    #[error("preheat's decision at {at:?}: {violation}")]
    Decision {
        /// When.
        at: Instant,
        /// Which invariant.
        violation: Violation,
    },
    /// Time ran backwards.
    #[error("an event at {at:?} came after {now:?}")]
    TimeBackwards {
        /// The event's time.
        at: Instant,
        /// The clock before it.
        now: Instant,
    },
    /// An engine's result was seen later than it happened: others may have acted without it.
    #[error("{replica} ended a request at {at:?} that was seen at {now:?} only")]
    SeenLate {
        /// Where.
        replica: ReplicaId,
        /// When it happened.
        at: Instant,
        /// When it was seen.
        now: Instant,
    },
    /// Something happened to a request that is not there.
    #[error("{replica} reports a request that is not inside it, at {at:?}")]
    UnknownRequest {
        /// Where.
        replica: ReplicaId,
        /// When.
        at: Instant,
    },
    /// Requests appeared or vanished.
    #[error("of {arrived} requests {ended} have ended and {inside} are inside, at {at:?}")]
    NotConserved {
        /// Arrived so far.
        arrived: u64,
        /// Completed or failed.
        ended: u64,
        /// Held or in an engine.
        inside: u64,
        /// When.
        at: Instant,
    },
    /// An engine uses more KV blocks than it has.
    #[error("{replica} uses {used} of {total} KV blocks, at {at:?}")]
    KvOvercommitted {
        /// Which.
        replica: ReplicaId,
        /// In use.
        used: u64,
        /// There are.
        total: u64,
        /// When.
        at: Instant,
    },
    /// A request was held although a replica could have taken it.
    #[error("{held} requests are held while a replica could take one, at {at:?}")]
    HeldInVain {
        /// How many.
        held: usize,
        /// When.
        at: Instant,
    },
}
