//! The simulated cluster: exact, the same every time, and faulty only where it is told to be.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod common;

mod exact;
mod faults;
mod fleet;
mod large;
mod preheat;
mod rollout;
