//! `preheat compare`: a table, JSON and a page, the same however many threads; and mistakes refused.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn compare(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_preheat"))
        .args(["compare", "--max-num-seqs", "8", "--policies", "preheat,static,keda-concurrency"])
        .args(arguments)
        .output()
        .expect("preheat runs")
}

const SMALL: [&str; 4] = ["--trace", "azure-conversation@1:0s-20m", "--cold-start", "60s"];

#[test]
fn the_report_is_the_same_on_any_number_of_threads() {
    let run = |threads: &str| {
        let output = compare(&[&SMALL[..], &["--json", "--threads", threads]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let (one, three) = (run("1"), run("3"));
    assert_eq!(one, three);
    let report: Value = serde_json::from_slice(&one).expect("one JSON object");
    let workload = &report["workloads"][0];
    assert_eq!(workload["name"], "azure-conversation@1");
    for policy in workload["policies"].as_array().expect("there are policies") {
        let outcomes = policy["outcomes"].as_array().expect("it was run");
        assert!(outcomes.iter().all(|outcome| outcome["gpu_hours"].as_f64() > Some(0.0)));
        for at in policy["at"].as_array().expect("it is compared") {
            let attained = at["outcome"]["attainment"].as_f64();
            assert!(attained.is_none() || attained >= at["attainment"].as_f64(), "{at}");
        }
    }
    let bound = |index: usize| workload["optimum"][index]["bound_gpu_hours"].as_f64();
    assert!(bound(0) >= bound(1), "99 % can't be cheaper than 95 %");
}

#[test]
fn a_table_and_a_page_are_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("report.html");
    let path = page.to_str().expect("its name is UTF-8");
    let output = compare(&[&SMALL[..], &["--html", path, "--cold-starts", "0s,60s"]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text is UTF-8");
    for expected in ["azure-conversation@1: ", "optimum (bound)", "keda-concurrency", "at 95 %"] {
        assert!(text.contains(expected), "{text}");
    }
    let html = fs::read_to_string(&page).expect("the page is there");
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("keda-concurrency"));
}

#[test]
fn what_cannot_be_compared_is_refused() {
    for (arguments, expected) in [
        (&["--trace", "azure-code@fast"][..], "is no trace with a rate scale"),
        (&["--trace", "azure-code@2:1h"], "is no trace with a rate scale"),
        (&["--trace", "no-such-trace"], "there is no trace \"no-such-trace\""),
        (&["--trace", "azure-code", "--attainment", "99"], "which is no ratio below 1"),
        (&["--trace", "azure-code", "--min-replicas", "9", "--max-replicas", "2"], "replicas_min"),
    ] {
        let output = compare(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(expected), "{stderr}");
    }
}
