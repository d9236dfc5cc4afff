//! World 1: thousands of modelled replicas and millions of requests, under any autoscaler.
//!
//! **Invariant:** nothing here is async, reads a clock, or does I/O; equal inputs give equal bytes.

mod cluster;
pub mod cold_start;
mod event;
pub mod faults;
pub mod oracle;
pub mod peers;
pub mod preheat_policy;
mod random;
mod replica;
pub mod report;
pub mod router;
pub mod run;
pub mod scaler;
pub mod sizing;
pub mod view;
