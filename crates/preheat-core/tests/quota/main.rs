//! Several pools on one number of GPUs: what the rules promise, and what pools make of it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod pools;
mod rules;
mod sequences;
mod timelines;

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../toy/mod.rs"]
mod toy;
