//! The offline optimum: what a fleet would have cost with all of the future known.
//!
//! With full knowledge a start-up delay is a switching cost: order one lead time early and pay
//! while booting. The problem then separates by replica level (`RESEARCH` §B4: level k is needed
//! where the demand is at least k), and each level is a dynamic programme over off, asleep and
//! ready, in O(slots). "At most ε of the requests may miss" is a Lagrangian over the price of a
//! miss. `docs/oracle.md` derives it and says what the slot model leaves out.
//!
//! ```text
//! trace ──demand()──► slots ──Oracle::new──► at_most(ε) ──► Reference { bound, plan }
//!                                                                        │
//!                                    request-level simulator ◄── OraclePlan (a Scaler)
//! ```
//!
//! **Invariant:** [`Reference::bound`] is at most the cost of every plan of the slot model that
//! misses no more than [`Reference::misses_allowed`] requests, and [`Reference::plan`] is one.
//! **Invariant:** equal inputs give bit-equal plans; there is no clock, randomness or I/O.

mod demand;
mod error;
mod level;
mod plan;
mod problem;
mod replay;
mod solve;
mod splice;
mod trim;

pub use demand::{DemandSpec, SLOTS_MAX, ServiceModel, TokenCost, demand};
pub use error::OracleError;
pub use plan::{Plan, Tally};
pub use problem::{Costs, LEVEL_SLOTS_MAX, Opening, Oracle, OracleSpec, SleepTier, SlotDemand};
pub use replay::{OraclePlan, PlannedStart};
pub use solve::{PricedOptimum, Reference};
