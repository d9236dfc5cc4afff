//! Tests of the engine through its public interface.
//!
//! The modules are `cfg(test)` so that lints know their helpers for test code too.

#[cfg(test)]
mod common;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod scheduler;
#[cfg(test)]
mod sleep;
#[cfg(test)]
mod start_up;
#[cfg(test)]
mod step_points;
