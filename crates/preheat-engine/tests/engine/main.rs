//! Tests of the engine through its public interface.

mod common;

mod properties;
mod reference;
mod scheduler;
mod sleep;
mod start_up;
mod step_points;
