//! `preheat simulate`: the same bytes each time, and a report with every field.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

fn simulate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .args(["simulate", "--trace", "azure-code", "--max-num-seqs", "8"])
        .args(arguments)
        .output()
        .expect("preheat runs")
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = simulate(&["--json", "--seed", "7"]);
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    assert_eq!(first.stdout, simulate(&["--json", "--seed", "7"]).stdout);
    assert_ne!(first.stdout, simulate(&["--json", "--seed", "8"]).stdout);
}

#[test]
fn the_report_has_every_field_and_answers_every_request() {
    let output = simulate(&["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for field in [
        "trace",
        "policy",
        "seed",
        "requests",
        "completed",
        "failed",
        "attainment",
        "ttft_s",
        "tpot_s",
        "gpu_hours",
        "starts",
        "stops",
        "replicas_peak",
        "direction_changes",
        "streams_cut",
    ] {
        assert!(report.get(field).is_some(), "{field} is not in {report}");
    }
    assert_eq!(report["completed"], report["requests"]);
    assert_eq!(report["streams_cut"], 0);
    let text = String::from_utf8(simulate(&[]).stdout).expect("text is UTF-8");
    assert!(text.starts_with("policy       preheat\n"), "{text}");
}

#[test]
fn another_autoscaler_scales_otherwise() {
    let report = |policy: &str| -> Value {
        let output = simulate(&["--json", "--policy", policy]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let (fixed, keda) = (report("static:3"), report("keda-concurrency"));
    assert_eq!((&fixed["stops"], &fixed["replicas_peak"]), (&Value::from(0), &Value::from(3)));
    assert!(keda["starts"].as_u64() > Some(0), "{keda}");
    assert_eq!(keda["policy"], "keda-concurrency");
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    for (arguments, expected) in [
        (&["--max-replicas", "0"][..], "error: `replicas_max` is 0; it must be"),
        (&["--profile", "abacus"], "error: unknown engine profile \"abacus\""),
        (&["--policy", "crystal-ball"], "keda-waiting"),
        (&["--slo-quantile", "2"], "error: --slo-quantile is no ratio"),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    }
}
