//! `preheat scenario`: a line or an object for each file, and an exit code that says whether all held.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SCENARIO: &str = "\
name: small
about: Little happens.
engine: {profile: llama3.1-8b-bf16-h100}
replicas: {max: 4, initial: 1}
coldStart: {fixed: 60s}
lengths: {input: {fixed: 100}, output: {fixed: 20}}
traffic: [{constant: {rate: 1}, lasts: 5m}]
expect:
  preheat: {streams_cut: {max: 0}, failed: {max: 0}}
  static:2: {starts: {max: 0}, replicas_peak: {max: 1}}
";

fn scenario(folder: &Path, arguments: &[&str]) -> Output {
    fs::write(folder.join("small.yaml"), SCENARIO).expect("the folder takes a file");
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .current_dir(folder)
        .arg("scenario")
        .args(arguments)
        .output()
        .expect("preheat runs")
}

#[test]
fn what_holds_is_yes_and_what_does_not_is_no() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let held = scenario(folder.path(), &["small.yaml", "small.yaml"]);
    assert_eq!(held.status.code(), Some(0), "{}", String::from_utf8_lossy(&held.stderr));
    let text = String::from_utf8_lossy(&held.stdout).into_owned();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.starts_with("small  preheat  attainment 1.000  "), "{text}");
    assert!(text.ends_with("held: 2 of 2\n"), "{text}");
    let broken = scenario(folder.path(), &["small.yaml", "--policy", "static:2"]);
    assert_eq!(broken.status.code(), Some(1));
    let text = String::from_utf8_lossy(&broken.stdout).into_owned();
    assert!(text.ends_with("held: 1 of 2; not: replicas_peak at most 1, but it is 2\n"), "{text}");
    let silent = scenario(folder.path(), &["small.yaml", "--policy", "static:3"]);
    assert_eq!(silent.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&silent.stdout).ends_with("nothing is expected\n"));
}

#[test]
fn each_object_is_a_report_with_its_expectations() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let output = scenario(folder.path(), &["small.yaml", "--json"]);
    assert_eq!(output.stdout, scenario(folder.path(), &["small.yaml", "--json"]).stdout);
    let ran: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!((&ran["scenario"], &ran["held"]), (&"small".into(), &true.into()));
    assert_eq!(ran["expectations"][0]["expected"], "failed at most 0");
    assert_eq!(ran["completed"], ran["requests"]);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    for (arguments, expected) in [
        (&["absent.yaml"][..], "error: absent.yaml: can't be read: "),
        (&["small.yaml", "--policy", "crystal-ball"], "keda-waiting"),
        (&[], "<FILES>..."),
    ] {
        let output = scenario(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    }
}
