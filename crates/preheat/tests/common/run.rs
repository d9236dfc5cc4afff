//! One command of preheat's, from its arguments to what it says.

use std::process::{Command, Output};

use serde_json::Value;

pub(crate) fn preheat(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat")).args(arguments).output().expect("preheat runs")
}

/// What it prints with `--json`, when all goes well.
#[track_caller]
pub(crate) fn json_of(arguments: &[&str]) -> Value {
    let output = preheat(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}
