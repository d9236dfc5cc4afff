//! `preheat size`: the answer in words and in JSON, and what can't be answered.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

use serde_json::Value;

/// The figures of docs/sizing.md.
const FIGURES: [&str; 6] = ["--qps", "40", "--latency", "8s", "--max-num-seqs", "64"];
const PROFILE: [&str; 8] = [
    "--qps",
    "40",
    "--profile",
    "qwen-27b-fp8-h100",
    "--input-tokens",
    "1000",
    "--output-tokens",
    "300",
];

fn size(arguments: &[&str], more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .arg("size")
        .args(arguments)
        .args(more)
        .output()
        .expect("preheat runs")
}

fn text(arguments: &[&str], more: &[&str]) -> String {
    let output = size(arguments, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text is UTF-8")
}

fn json(arguments: &[&str], more: &[&str]) -> Value {
    let line = text(arguments, &[more, &["--json"]].concat());
    serde_json::from_str(&line).expect("one JSON object")
}

#[test]
fn figures_in_words() {
    insta::assert_snapshot!(text(&FIGURES, &[]), @r"
    load       40 requests/s × 8.00 s in a slot = 320.0 in flight if none waits
    replica    64 slots: max-num-seqs
               all taken: 8.00 requests/s
    headroom   31.1 slots, so that no more than 0.05 of the requests wait (β = 1.74)

                      replicas     busy    wait  wait > 2.00 s
    without headroom         5  100.0 %  1.0000         1.0000
    with headroom            6   83.3 %  0.0003         0.0000

    Run 6 replicas. 5 would carry the load on average, with no slot to spare: the queue would grow without bound.
    ");
}

#[test]
fn a_profile_in_words() {
    insta::assert_snapshot!(text(&PROFILE, &["--max-num-seqs", "8"]), @r"
    load       40 requests/s × 7.42 s in a slot = 296.8 in flight if none waits
    replica    8 slots: max-num-seqs is 8; KV memory holds 140; no SLO on TPOT
               all taken: 1.08 requests/s; TPOT 25 ms; first token after 93 ms if not queued
    headroom   30.0 slots, so that no more than 0.05 of the requests wait (β = 1.74)

                      replicas     busy    wait  wait > 1.91 s
    without headroom        38   97.6 %  0.5756         0.0908
    with headroom           41   90.5 %  0.0471         0.0000

    Run 41 replicas on 41 GPUs. 38 would carry the load on average, but 58 % of the requests would wait.
    max-num-seqs binds: raise it to 140 and 7 replicas will do, at a TPOT of 74 ms with all slots taken (it is 25 ms now).
    ");
}

#[test]
fn what_binds_and_what_to_change() {
    for (more, expected) in [
        (&["--max-num-seqs", "64"][..], "max-num-seqs binds: raise it to 140 and 7 replicas"),
        (&[], "KV memory binds: lower max-num-seqs to 140"),
        (&["--slo-tpot", "35ms"], "The SLO on TPOT binds: lower max-num-seqs to 24"),
        (&["--max-num-seqs", "140"], "but a larger one would not save a replica"),
        (&["--dispersion", "4"], "traffic 4 times as uneven as random"),
    ] {
        let text = text(&PROFILE, more);
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn json_has_every_field() {
    let answered = json(&PROFILE, &["--max-num-seqs", "64", "--slo-tpot", "100ms"]);
    for field in [
        "qps",
        "slo_ttft_s",
        "wait_probability",
        "dispersion",
        "concurrency",
        "bound_by",
        "service_time_s",
        "replica_qps",
        "offered_load",
        "beta",
        "headroom_slots",
        "wait_max_s",
        "without_headroom",
        "with_headroom",
        "engine",
        "advice",
    ] {
        assert!(answered.get(field).is_some(), "{field} is not in {answered}");
    }
    assert_eq!(answered["bound_by"], "max_num_seqs");
    assert_eq!(answered["with_headroom"]["replicas"], 10);
    assert_eq!(answered["with_headroom"]["simulated"], Value::Null);
    assert_eq!(answered["engine"]["cap_kv_memory"], 140);
    assert_eq!(answered["engine"]["cap_slo_tpot"], 224);
    assert_eq!(answered["advice"]["action"], "raise_max_num_seqs");
    let measured = json(&FIGURES, &[]);
    assert_eq!(measured["with_headroom"]["replicas"], 6);
    assert_eq!((&measured["engine"], &measured["advice"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_simulation_checks_both_counts_and_is_the_same_each_time() {
    let more = ["--max-num-seqs", "8", "--simulate"];
    let answered = json(&PROFILE, &more);
    let simulated = |count: &str| answered[count]["simulated"].clone();
    let (bare, enough) = (simulated("without_headroom"), simulated("with_headroom"));
    assert_eq!(bare["requests"], enough["requests"]);
    assert_eq!((&bare["agrees"], &enough["agrees"]), (&false.into(), &true.into()), "{answered}");
    assert!(bare["ttft_p99_s"].as_f64() > enough["ttft_p99_s"].as_f64(), "{answered}");
    assert_eq!(json(&PROFILE, &more), answered);
    let text = text(&PROFILE, &more);
    assert!(text.contains("simulated: attainment  TTFT p99"), "{text}");
    assert!(text.contains("The simulation agrees: 99.7 % of the requests"), "{text}");
}

#[test]
fn a_tpot_slo_that_is_met_on_average_only_is_told() {
    let text = text(&PROFILE, &["--slo-tpot", "35ms", "--simulate"]);
    assert!(text.contains("The simulation disagrees: only 79.7 %"), "{text}");
    assert!(text.contains("size with a --slo-tpot 11 % shorter"), "{text}");
}

#[test]
fn what_cannot_be_sized_is_refused_with_a_hint() {
    let qps = &["--qps", "40"][..];
    for (arguments, more, expected) in [
        (&FIGURES[..], &["--profile", "qwen-27b-fp8-h100"][..], "--latency and --profile contra"),
        (qps, &[], "neither --latency nor --profile is given"),
        (qps, &["--latency", "8s"], "--latency needs --max-num-seqs"),
        (&FIGURES, &["--simulate"], "--simulate needs --profile"),
        (&FIGURES, &["--slo-tpot", "1s"], "--slo-tpot needs --profile"),
        (&FIGURES, &["--wait-probability", "0"], "the target for P(wait) is 0; it must be"),
        (&FIGURES, &["--dispersion", "NaN"], "the dispersion is NaN; it must be"),
        (&["--latency", "8s", "--max-num-seqs", "4"], &["--qps", "inf"], "--qps is inf; it must"),
        (&["--latency", "8s", "--max-num-seqs", "0"], qps, "--max-num-seqs is 0"),
        (&["--latency", "0s", "--max-num-seqs", "4"], qps, "the service time is 0; it must be"),
        (&["--latency", "8s", "--max-num-seqs", "4"], &["--qps", "1e9"], "the load takes 7999999"),
        (&PROFILE[..6], &[], "--profile needs --output-tokens"),
        (&PROFILE, &["--max-num-seqs", "9000"], "the engine's settings: max_num_batched_tokens"),
        (&PROFILE, &["--slo-tpot", "10ms"], "a token takes 22"),
        (&PROFILE, &["--slo-ttft", "50ms"], "the first token takes 146"),
        (&PROFILE[..4], &["--input-tokens", "50000", "--output-tokens", "1"], "a mean request has"),
    ] {
        let output = size(arguments, more);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {more:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.starts_with(&format!("error: {expected}")), "{stderr}");
        assert!(stderr.contains("\n\nhint: "), "{stderr}");
    }
}
