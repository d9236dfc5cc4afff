//! `preheat up` as a whole: real processes, real sockets, real signals.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../common/mod.rs"]
mod common;

mod controls;
mod killed;
mod scaling;
mod scheduled;
mod serving;
mod sharing;
mod trouble;
