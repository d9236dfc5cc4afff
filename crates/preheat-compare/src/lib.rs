//! Autoscalers side by side: the same traffic under each, tuned as its users would tune it, at
//! equal attainment, against the offline optimum.
//!
//! ```text
//! Workload × Setting ──run──► Outcome ──► frontier ──► cheapest at 99 %, at 95 %
//!        └──────────► Optimum ───────────────────────► ÷ optimum
//! ```
//!
//! **Invariant:** equal workloads and settings give equal comparisons, however many threads run
//! them. Nothing here does I/O or reads a clock.

mod across;
pub mod backtest;
mod comparison;
mod error;
mod frontier;
pub mod html;
mod jobs;
mod optimum;
mod outcome;
mod pool;
mod setting;
pub mod shadow;
mod told;
pub mod what_if;
mod workload;

pub use across::{Across, AcrossRow, Closed};
pub use comparison::{
    AtAttainment, Comparison, ComparisonSpec, OptimumAt, PolicyComparison, SweepPoint,
    WorkloadComparison, compare,
};
pub use error::CompareError;
pub use frontier::{cheapest, frontier};
pub use optimum::Optimum;
pub use outcome::Outcome;
pub use pool::{PROFILE_DEFAULT, PoolError, PoolSetup, profiles};
pub use setting::{Setting, select};
pub use workload::{GoOn, Workload};
