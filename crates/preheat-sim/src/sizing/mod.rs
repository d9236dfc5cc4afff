//! How many replicas a steady load needs: Little's Law, and headroom by queueing theory.
//!
//! It starts from figures that someone has measured ([`size`]), or from an engine's step times
//! ([`size_engine`]). `docs/sizing.md` works an example. It knows nothing of autoscaling: no starts,
//! no traffic that changes. [`Trial`] checks an answer in the simulated world.
//!
//! ```text
//! engine, tokens, SLOs ──capacity()──► slots, service time ──size()──► replicas, P(wait)
//!                                                                          │
//!                                                           Trial::run ◄───┘
//! ```
//!
//! **Invariant:** pure functions; no clock, randomness or I/O but the seeded draw of a [`Trial`].
//! **Invariant:** more load, a lower target for P(wait) or more uneven traffic never needs fewer
//! replicas.

mod engine;
mod erlang;
mod error;
mod halfin_whitt;
mod replicas;
mod trial;

pub use engine::{
    Caps, ConcurrencyBound, EngineCapacity, EngineSizing, EngineSpec, RaisedMaxNumSeqs, capacity,
    size_engine,
};
pub use erlang::{wait_probability, wait_probability_beyond};
pub use error::SizingError;
pub use halfin_whitt::{beta, wait_probability_at};
pub use replicas::{LoadSpec, SLOTS_MAX, Sizing, Staffing, WaitSpec, size};
pub use trial::{Trial, TrialError, TrialSpec};
