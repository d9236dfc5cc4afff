//! `preheat lab`: written as one page, served at its place, and the same scenarios by hand.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use preheat_kube::resource::InferenceAutoscaler;
use serde_json::Value;

fn preheat(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("preheat runs")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn printed_to_a_file_it_is_one_page() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = preheat(folder.path(), &["lab", "--print", "lesson.html"]);
    assert_eq!(text(&output), "");
    let html = fs::read_to_string(folder.path().join("lesson.html")).expect("it was written");
    assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
    assert!(html.contains("<svg") && !html.contains("<script"));
    let nowhere = preheat(folder.path(), &["lab", "--print", "no/such/folder.html"]);
    let error = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(nowhere.status.code() == Some(2) && error.contains("hint: "), "{error}");
}

#[test]
fn served_it_prints_the_lessons_address() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_preheat"))
        .args(["lab", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("preheat runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    let read = BufReader::new(stdout).read_line(&mut line);
    let killed = child.kill().and_then(|()| child.wait());
    assert!(read.is_ok() && killed.is_ok());
    assert!(line.starts_with("http://127.0.0.1:") && line.ends_with("/#/lab\n"), "{line}");
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let open = preheat(folder.path(), &["lab", "--listen", "0.0.0.0:0"]);
    assert_eq!(open.status.code(), Some(2));
}

#[test]
fn a_scenario_runs_under_a_policy_file_and_minute_by_minute() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios/lab/signal.yaml");
    fs::write(
        folder.path().join("policy.yaml"),
        "policy: keda-concurrency\nknobs: {threshold_of_slots: 0.3}\n",
    )
    .expect("the folder takes a file");
    let run = |more: &[&str]| -> Value {
        let arguments = [&["scenario", file, "--json"], more].concat();
        serde_json::from_str(&text(&preheat(folder.path(), &arguments))).expect("one object")
    };
    let plain = run(&["--policy", "keda-concurrency"]);
    let tuned = run(&["--policy", "policy.yaml", "--series"]);
    assert!(plain.get("series").is_none());
    assert_eq!(tuned["series"].as_array().map(Vec::len), Some(150));
    assert!(tuned["gpu_hours"].as_f64() > plain["gpu_hours"].as_f64());
}

#[test]
fn a_plan_s_files_are_accepted() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let size = |kind: &str| {
        let arguments = [
            "size",
            "--qps",
            "40",
            "--quiet-qps",
            "4",
            "--growth",
            "1",
            "--latency",
            "8s",
            "--max-num-seqs",
            "64",
            "--as",
            kind,
        ];
        preheat(folder.path(), &arguments)
    };
    let config = text(&size("config"));
    fs::write(folder.path().join("preheat.yaml"), config).expect("the folder takes a file");
    text(&preheat(folder.path(), &["up", "preheat.yaml", "--check"]));
    let manifest: InferenceAutoscaler =
        serde_saphyr::from_str(&text(&size("manifest"))).expect("it is a resource");
    assert!(manifest.spec.max_replicas >= 7 && manifest.spec.min_replicas.is_some());
    // What a latency alone does not tell.
    assert_eq!(size("scenario").status.code(), Some(2));
}
