//! `preheat demo`: what it prints, and that nothing is left or lost whoever is killed.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod common;

use std::path::{Path, PathBuf};

use common::{Running, Stage, eventually, kill, replay_agrees};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Names and order are stable.
const FIELDS: [&str; 11] = [
    "requests",
    "completed",
    "failed",
    "attainment",
    "ttft_s",
    "gpu_seconds",
    "starts",
    "stops",
    "replicas_peak",
    "streams_cut",
    "journal",
];

/// A short demo at a small rate, so that two busy cores can keep up with it.
fn demo(stage: &Stage, duration: &str) -> Running {
    let state = stage.state().display().to_string();
    let arguments = ["demo", "--json", "--duration", duration, "--time-scale", "80"];
    let rest = ["--rate-scale", "0.2", "--state-dir", &state];
    stage.start("demo", &[&arguments[..], &rest].concat())
}

/// The only line on stdout.
fn summary(demo: &Running) -> Value {
    let text = demo.stdout();
    assert_eq!(text.lines().count(), 1, "{text}");
    let summary: Value = serde_json::from_str(&text).expect("one object");
    let places = FIELDS.map(|field| text.find(&format!("\"{field}\":")).expect("every field"));
    assert!(places.is_sorted(), "{text}");
    assert_eq!(summary.as_object().map(serde_json::Map::len), Some(FIELDS.len()));
    summary
}

fn count(summary: &Value, field: &str) -> u64 {
    summary[field].as_u64().unwrap_or_else(|| panic!("no {field} in {summary}"))
}

/// Waits until traffic flows, and gives the pid of the demo's `preheat up`.
async fn under_way(stage: &Stage) -> i32 {
    let admin = async || {
        let text = std::fs::read_to_string(stage.path("demo.log")).ok()?;
        let rest = text.split_once("preheat status --admin ")?.1;
        rest.split_whitespace().next()?.parse().ok()
    };
    let admin = eventually("the demo's introduction", admin).await;
    let busy = async || {
        let answer = common::http::get(admin, "/api/v1/pools/chat").await.ok()?;
        let pool: preheat_api::v1::Pool = serde_json::from_str(&answer.body).ok()?;
        (pool.gateway?.completions >= 5).then_some(())
    };
    eventually("traffic", busy).await;
    up(stage).expect("preheat up runs")
}

/// The demo's `preheat up`.
fn up(stage: &Stage) -> Option<i32> {
    let all = stage.processes().into_iter();
    all.filter(|(_, line)| line.contains(" up ")).map(|(pid, _)| pid).next()
}

async fn nothing_left(stage: &Stage) {
    eventually("no process", async || stage.processes().is_empty().then_some(())).await;
}

#[tokio::test]
async fn it_ends_with_one_json_object_and_a_journal_that_agrees() {
    let stage = Stage::new();
    let mut demo = demo(&stage, "5s");
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(stage.processes(), []);
    let summary = summary(&demo);
    assert!(count(&summary, "requests") > 50, "{summary}");
    assert_eq!(count(&summary, "completed"), count(&summary, "requests"), "{summary}");
    assert_eq!((count(&summary, "failed"), count(&summary, "streams_cut")), (0, 0), "{summary}");
    let attainment = summary["attainment"].as_f64().expect("a ratio");
    assert!((0.0..=1.0).contains(&attainment), "{summary}");
    let ttft = ["p50", "p90", "p99"].map(|name| summary["ttft_s"][name].as_f64());
    assert!(ttft.is_sorted() && ttft[0] > Some(0.0), "{summary}");
    assert_eq!(summary["ttft_s"].as_object().map(serde_json::Map::len), Some(3));
    assert!(summary["gpu_seconds"].as_f64() > Some(0.0), "{summary}");
    assert!(count(&summary, "starts") >= 3 && count(&summary, "replicas_peak") >= 3, "{summary}");
    let journal = PathBuf::from(summary["journal"].as_str().expect("a path"));
    assert!(replay_agrees(&stage, &journal) > 0);
    let why = stage.run(&["why", "--journal", &journal.display().to_string(), "--changes", "50"]);
    assert!(why.stdout.contains("  chat  Started 3 replicas: "), "{why:?}");
}

#[tokio::test]
async fn an_interrupt_leaves_no_process() {
    let stage = Stage::new();
    let mut demo = demo(&stage, "60s");
    under_way(&stage).await;
    demo.signal(Signal::SIGINT);
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(stage.processes(), []);
    let summary = summary(&demo);
    assert_eq!((count(&summary, "failed"), count(&summary, "streams_cut")), (0, 0), "{summary}");
    replay_agrees(&stage, &stage.state());
}

#[tokio::test]
async fn an_interrupt_before_anything_is_ready_leaves_no_process() {
    let stage = Stage::new();
    let mut demo = demo(&stage, "60s");
    let engines = async || (!stage.engines().is_empty()).then_some(());
    eventually("an engine", engines).await;
    demo.signal(Signal::SIGINT);
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(stage.processes(), []);
}

#[tokio::test]
async fn a_demo_that_is_killed_takes_its_engines_with_it() {
    let stage = Stage::new();
    let mut demo = demo(&stage, "60s");
    under_way(&stage).await;
    demo.signal(Signal::SIGKILL);
    demo.ended().await;
    nothing_left(&stage).await;
    replay_agrees(&stage, &stage.state());
}

/// Streams that had begun are cut with the gateway; nothing else is lost.
#[tokio::test]
async fn a_killed_preheat_is_started_again_and_loses_only_what_had_begun() {
    let stage = Stage::new();
    let mut demo = demo(&stage, "8s");
    let first = under_way(&stage).await;
    let engines = stage.engines();
    kill(first, Signal::SIGKILL);
    let next = async || up(&stage).filter(|pid| *pid != first);
    eventually("a new preheat", next).await;
    assert!(engines.iter().all(|pid| common::command_line(*pid).contains(" engine ")));
    assert_eq!(demo.ended().await.code(), Some(0));
    assert_eq!(stage.processes(), []);
    let summary = summary(&demo);
    assert_eq!(count(&summary, "failed"), count(&summary, "streams_cut"), "{summary}");
    let (completed, failed) = (count(&summary, "completed"), count(&summary, "failed"));
    assert_eq!(completed + failed, count(&summary, "requests"), "{summary}");
    let journal = summary["journal"].as_str().expect("a path");
    assert!(replay_agrees(&stage, Path::new(journal)) > 0);
}
