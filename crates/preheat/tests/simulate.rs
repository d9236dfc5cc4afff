//! `preheat simulate`: the same bytes each time, and a report with every field.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// What preheat answers to a command that works.
#[track_caller]
fn preheat(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_preheat")).args(arguments).output();
    let output = output.expect("preheat runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

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

/// Minutes 0 and 10 of twenty are left out.
#[test]
fn what_arrives_at_an_edge_can_be_left_out() {
    let json = |arguments: &[&str]| -> Value {
        let output = simulate(&[&["--json", "--until", "20m"], arguments].concat());
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let report = json(&["--edges", "600s", "--series"]);
    let rows = report["series"].as_array().expect("minutes");
    let count = |key: &str, off: bool| -> u64 {
        let rows = rows.iter().filter(|row| !off || row["minute"].as_u64().unwrap_or(0) % 10 != 0);
        rows.filter_map(|row| row[key].as_u64()).sum()
    };
    let attainment = count("within_slo", true) as f64 / count("arrivals", true) as f64;
    assert_eq!(report["attainment_off_edges"].as_f64(), Some(attainment));
    assert!(count("within_slo", false) <= count("arrivals", false));
    assert_ne!(report["attainment"].as_f64(), Some(attainment));
    let plain = json(&["--edges", "600s"]);
    assert!(plain["series"].is_null());
    assert!(json(&[])["attainment_off_edges"].is_null());
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
        "oracle_gpu_hours",
        "gpu_hours_ratio",
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
fn a_policy_file_sets_knobs_and_its_mistakes_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("policy.yaml");
    let run = |text: &str| {
        fs::write(&file, text).expect("the file is written");
        simulate(&["--json", "--policy", file.to_str().expect("its name is UTF-8")])
    };
    let output = run("policy: static\nknobs: { replicas: 5 }\n");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&report["policy"], &report["replicas_peak"]), (&"static:5".into(), &5.into()));
    let lenient = run("policy: preheat\nknobs: { aim: 0.6 }\n");
    let strict = run("policy: preheat\nknobs: { aim: 0.999 }\n");
    let cost = |output: &Output| {
        let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
        report["gpu_hours"].as_f64()
    };
    assert!(cost(&lenient) < cost(&strict));
    for (text, expected) in [
        ("policy: keda\n", "no policy is called `keda`"),
        ("policy: hpa-gpu\nknobs: { target: 1 }\n", "has no knob `target`; it has target_percent"),
        ("policy: preheat\nknobs: { headroom: 2 }\n", "preheat has no knob `headroom`"),
        ("policy: preheat\nknobs: { aim: 99 }\n", "`aim` is 99; it must be at least 0.5"),
        ("policy: [\n", "policy.yaml"),
    ] {
        let output = run(text);
        assert_eq!(output.status.code(), Some(2), "{text}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn what_is_announced_is_ready_and_told_to_preheat_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = folder.path().join("journal.db").display().to_string();
    let schedule = ["--json", "--until", "40m", "--schedule", "20m..30m=20"];
    let report = |more: &[&str]| -> Value {
        let output = simulate(&[&schedule[..], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("one JSON object")
    };
    let told = report(&["--series", "--journal", &journal]);
    assert_eq!(told["series"][19]["ready"], 20, "{told}");
    assert_eq!(report(&["--policy", "static:3"])["replicas_peak"], 3);
    let why = |arguments: &[&str]| {
        let text = preheat(&[&["why", "--journal", &journal][..], arguments].concat());
        String::from_utf8(text).expect("text is UTF-8")
    };
    assert!(why(&["--changes", "99"]).contains("20 are scheduled to be ready within a lead time"));
    let schedule_at = |moment: &str| {
        let text = why(&["--at", moment]);
        text.lines().find(|line| line.starts_with("  Schedule: ")).map(str::to_owned)
    };
    let before = schedule_at("1970-01-01T00:10:00Z").expect("it is announced");
    assert!(before.contains("(in 10 min)") && before.ends_with(": nothing is asked for yet."));
    let during = schedule_at("1970-01-01T00:25:00Z").expect("it has begun");
    assert!(during.contains("(begun)") && during.contains(": 20 are asked for, "), "{during}");
    assert_eq!(schedule_at("1970-01-01T00:31:00Z"), None);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    for (arguments, expected) in [
        (&["--max-replicas", "0"][..], "error: `replicas_max` is 0; it must be"),
        (&["--profile", "abacus"], "error: unknown engine profile \"abacus\""),
        (&["--policy", "crystal-ball"], "keda-waiting"),
        (&["--slo-quantile", "2"], "error: --slo-quantile is no ratio"),
        (&["--tick-interval", "10m"], "`tick_interval` is 600s; it must be from 10ms to 5m"),
        (&["--schedule", "5m=3"], "write it like 30m..50m=12"),
        (&["--schedule", "1m..5m=101"], "error: --schedule asks for 101, above --max-replicas"),
    ] {
        let output = simulate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    }
}

/// Simulates with a journal of this name, and gives its path.
#[track_caller]
fn recorded(folder: &Path, name: &str, seed: &str) -> String {
    let journal = folder.join(name).display().to_string();
    let output = simulate(&["--journal", &journal, "--seed", seed, "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, simulate(&["--seed", seed, "--json"]).stdout, "watching changes");
    journal
}

#[test]
fn preheat_decides_as_often_as_it_is_told_to() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = folder.path().join("minutes.db").display().to_string();
    let output = simulate(&["--journal", &journal, "--tick-interval", "60s", "--until", "20m"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let replayed = preheat(&["replay", &journal, "--json"]);
    let report: Value = serde_json::from_slice(&replayed).expect("one object");
    let ticks = report["records"].as_u64().expect("a number");
    assert!((20..40).contains(&ticks), "{report}");
}

#[test]
fn a_recorded_run_replays_bit_for_bit_and_tells_its_reasons() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let journal = recorded(folder.path(), "run.db", "7");
    let report: Value =
        serde_json::from_slice(&preheat(&["replay", &journal, "--json"])).expect("one object");
    assert!(report["agreed"].as_u64() > Some(100), "{report}");
    assert_eq!(report["agreed"], report["records"], "{report}");
    assert!(report["checkpoints_agreed"].as_u64() > Some(1), "{report}");
    let why = preheat(&["why", "--journal", &journal, "--changes", "3"]);
    let why = String::from_utf8(why).expect("text is UTF-8");
    assert_eq!(why.lines().count(), 3, "{why}");
    assert!(why.lines().all(|line| line.contains("  simulated  ")), "{why}");
    let last = preheat(&["why", "--journal", &journal, "--pool", "simulated"]);
    let last = String::from_utf8(last).expect("text is UTF-8");
    assert!(last.contains("\n  Supply: "), "{last}");
}

#[test]
fn the_same_seed_gives_the_same_journal_and_another_seed_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let exported = |name: &str, seed: &str| {
        preheat(&["replay", &recorded(folder.path(), name, seed), "--export"])
    };
    let first = exported("first.db", "7");
    assert!(!first.is_empty());
    assert!(first == exported("second.db", "7"), "the same seed gives another journal");
    assert!(first != exported("third.db", "8"), "another seed gives the same journal");
}

#[test]
fn a_journal_is_an_autoscalers_and_new() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (taken, fresh, nowhere) = (path("taken.db"), path("fresh.db"), path("no/folder.db"));
    fs::write(&taken, "notes").expect("the folder can be written");
    for (arguments, expected) in [
        (&["--journal", &taken][..], "taken.db is there already"),
        (&["--journal", &nowhere], "folder.db can't be made"),
        (&["--journal", &fresh, "--policy", "oracle"], "the optimum's plan is none"),
    ] {
        let output = simulate(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected) && stderr.contains("\nhint: "), "{stderr}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert_eq!(fs::read(&taken).expect("it is still there"), b"notes");
    assert!(!Path::new(&fresh).exists());
}
