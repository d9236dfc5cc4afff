//! `preheat load` against an emulated engine: what it reads, reports, and answers by exit code.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod common;

use std::io::Write;

use common::{MODEL, Ran, Running, Stage, eventually};
use serde_json::Value;

const TIME_SCALE: &str = "50";
/// Ten requests, one every two seconds of model time.
const REQUESTS: usize = 10;

const TOKENS: usize = 20 * 55;

const fn tokens(n: usize) -> usize {
    20 * (n + 1)
}

/// A trace of [`REQUESTS`] requests: the n-th asks for 20 × (n + 1) tokens: more than
/// an engine on a busy machine puts into one event.
fn trace() -> String {
    let rows = (0..REQUESTS).map(|n| format!("{}.5,{},{}\n", 2 * n, 100 + n, tokens(n)));
    format!("arrival_s,input_tokens,output_tokens\n{}", rows.collect::<String>())
}

/// An engine that serves.
async fn engine(stage: &Stage) -> Running {
    let port = stage.engine().port().to_string();
    let arguments = ["engine", "--model", MODEL, "--port", &port, "--time-scale", TIME_SCALE];
    let engine = stage.start("engine", &[&arguments[..], &["--cold-start-p50", "1s"]].concat());
    let ready = async || {
        let answer = common::http::get(stage.engine(), "/v1/models").await.ok()?;
        (answer.status == 200).then_some(())
    };
    eventually("an engine that serves", ready).await;
    engine
}

/// Sends this trace to the engine. The SLO is one that a busy machine meets.
fn load(stage: &Stage, trace: &str, more: &[&str]) -> Ran {
    let url = format!("http://{}", stage.engine());
    let arguments = ["load", "--trace", trace, "--url", &url, "--model", MODEL];
    let rest = ["--time-scale", TIME_SCALE];
    let slo = if more.contains(&"--slo-ttft") { &[][..] } else { &["--slo-ttft", "1h"] };
    stage.run(&[&arguments[..], &rest, slo, more].concat())
}

fn report(ran: &Ran) -> Value {
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("one object")
}

#[tokio::test]
async fn a_report_has_all_its_fields() {
    let stage = Stage::new();
    let _engine = engine(&stage).await;
    let file = stage.file("trace.csv", trace());
    let ran = load(&stage, &file, &["--json", "--slo-attainment", "1", "--slo-tpot", "1h"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = report(&ran);
    for (field, expected) in [
        ("requests", Value::from(10)),
        ("completed", 10.into()),
        ("failed", 0.into()),
        ("unfinished", 0.into()),
        ("not_sent", 0.into()),
        ("attainment", 1.0.into()),
        ("ttft_slo_s", 3600.0.into()),
        ("tpot_slo_s", 3600.0.into()),
        ("errors", serde_json::json!({})),
        ("streams_cut", 0.into()),
        ("retries", 0.into()),
        ("output_tokens", TOKENS.into()),
        ("usage_missing", 0.into()),
        ("prompts_clipped", 0.into()),
        ("time_scale", 50.0.into()),
    ] {
        assert_eq!(report[field], expected, "{field} of {report}");
    }
    assert!(report["input_tokens"].as_u64() >= Some(1000), "{report}");
    assert!(report["events"].as_u64() > Some(0), "{report}");
    // The last request comes after 18 s of model time.
    assert!(report["duration_s"].as_f64() >= Some(18.0), "{report}");
    assert!(report["arrival_rate"].as_f64() > Some(0.0), "{report}");
    for latency in ["ttft_s", "itl_s", "tpot_s", "e2e_s", "lag_s"] {
        let quantiles = ["p50", "p90", "p99", "max"].map(|name| report[latency][name].as_f64());
        assert!(quantiles.iter().all(Option::is_some), "{latency} of {report}");
        assert!(quantiles.is_sorted(), "{latency} of {report}");
    }
}

#[tokio::test]
async fn a_missed_slo_is_exit_code_1_with_a_report() {
    let stage = Stage::new();
    let _engine = engine(&stage).await;
    let file = stage.file("trace.csv", trace());
    let missed = load(&stage, &file, &["--slo-ttft", "1ms", "--slo-attainment", "0.5", "--json"]);
    assert_eq!(missed.code, Some(1), "{missed:?}");
    assert_eq!(report(&missed)["attainment"], 0.0);
    let text = load(&stage, &file, &["--slo-ttft", "1ms", "--slo-attainment", "0.5"]);
    assert_eq!(text.code, Some(1), "{text:?}");
    assert!(text.stdout.starts_with("requests     10 in "), "{text:?}");
    assert!(text.stdout.contains("\nattainment   0.0000 (TTFT ≤ 0.001 s)\n"), "{text:?}");
    assert!(text.stdout.contains("\nstreams cut  0\n"), "{text:?}");
}

#[tokio::test]
async fn an_unknown_model_or_nobody_there_is_a_miss_by_kind() {
    let stage = Stage::new();
    let mut engine = engine(&stage).await;
    let file = stage.file("trace.csv", trace());
    let wanted = ["--json", "--slo-attainment", "0.1", "--retries", "0"];
    let url = format!("http://{}", stage.engine());
    let arguments =
        ["load", "--trace", &file, "--url", &url, "--model", "gpt-7", "--time-scale", TIME_SCALE];
    let unknown = stage.run(&[&arguments[..], &wanted].concat());
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    assert_eq!(report(&unknown)["errors"], serde_json::json!({"http_404": 10}));

    assert!(engine.terminate().await.success());
    let refused = load(&stage, &file, &wanted);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let report = report(&refused);
    assert_eq!(report["errors"], serde_json::json!({"connect": 10}));
    assert_eq!((&report["failed"], &report["attainment"]), (&10.into(), &0.0.into()));
    assert_eq!(report["ttft_s"], Value::Null, "a quantile of nothing is none, not zero");
}

#[tokio::test]
async fn gzip_and_other_formats_are_read_alike() {
    let stage = Stage::new();
    let _engine = engine(&stage).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(trace().as_bytes()).expect("memory takes it");
    let gzip = stage.file("trace.csv.gz", gzip.finish().expect("memory takes it"));
    let mooncake: String = (0..REQUESTS)
        .map(|n| {
            let (at, input, output) = (n * 2000 + 500, 100 + n, tokens(n));
            format!(
                "{{\"timestamp\": {at}, \"input_length\": {input}, \"output_length\": {output}, \
                 \"hash_ids\": []}}\n"
            )
        })
        .collect();
    let mooncake = stage.file("trace.jsonl", mooncake);
    let azure: String = (0..REQUESTS)
        .map(|n| format!("2023-11-16 18:17:{:02}.5000000,{},{}\n", 2 * n, 100 + n, tokens(n)))
        .collect();
    let azure = stage.file("a.csv", format!("TIMESTAMP,ContextTokens,GeneratedTokens\n{azure}"));
    for (trace, more) in [
        (&gzip, &["--json"][..]),
        (&gzip, &["--json", "--format", "plain", "--chat"]),
        (&mooncake, &["--json"]),
        (&azure, &["--json", "--no-stream"]),
    ] {
        let ran = load(&stage, trace, more);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let report = report(&ran);
        let counts = ["completed", "output_tokens"].map(|field| report[field].as_u64());
        assert_eq!(counts, [Some(10), Some(TOKENS as u64)], "{trace} {more:?}: {report}");
    }
}

#[tokio::test]
async fn a_rate_series_is_drawn_into_requests() {
    let stage = Stage::new();
    let _engine = engine(&stage).await;
    let rates = stage.file("rates.csv", "start_s,requests\n0,6\n5,0\n10,9\n15,0\n");
    let ran = load(&stage, &rates, &["--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("note: token counts drawn from Azure's conversation trace"));
    let report = report(&ran);
    assert_eq!((&report["requests"], &report["completed"]), (&15.into(), &15.into()), "{report}");
}

#[tokio::test]
async fn a_part_of_a_trace_can_be_sent() {
    let stage = Stage::new();
    let _engine = engine(&stage).await;
    let file = stage.file("trace.csv", trace());
    for (more, requests) in [
        (&["--from", "6s"][..], 7),
        (&["--until", "6s"], 3),
        (&["--from", "4s", "--until", "8s"], 2),
        (&["--rate-scale", "0"], 0),
    ] {
        let ran = load(&stage, &file, &[more, &["--json"]].concat());
        if requests == 0 {
            assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran:?}");
            continue;
        }
        assert_eq!(report(&ran)["completed"], requests, "{more:?}: {ran:?}");
    }
}
