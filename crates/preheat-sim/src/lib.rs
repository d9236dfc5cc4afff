//! World 1: thousands of modelled replicas and millions of requests, under any autoscaler.
//!
//! **Invariant:** nothing here is async, reads a clock, or does I/O; equal inputs give equal bytes.

pub mod scaler;
pub mod view;
