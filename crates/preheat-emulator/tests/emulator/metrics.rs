//! `/metrics` against what a real vLLM 0.32.0 answered, and its values under load.

use preheat_runtime::dialect::Dialects;
use preheat_runtime::exposition::Format;
use serde_json::json;

use crate::harness::{Emulator, FAST, FOREVER, Metrics, REAL, options};
use crate::skeleton::{own, skeleton};

/// Captures of vLLM itself, byte for byte.
const LOADED: &str = include_str!("../../../preheat-runtime/fixtures/vllm-0.32.0/loaded.prom");
const ASLEEP: &str =
    include_str!("../../../preheat-runtime/fixtures/vllm-0.32.0/asleep_two_pending.prom");

/// From this family on.
fn from<'a>(text: &'a str, family: &str) -> &'a str {
    &text[text.find(&format!("# HELP {family} ")).unwrap()..]
}

#[track_caller]
fn check_skeleton(text: &str, captured: &str) {
    let (found, expected) = (skeleton(text), skeleton(captured));
    for (found, expected) in found.lines().zip(expected.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), expected.lines().count());
}

/// The engine that the fixture is from had a context of 2048, which bounds some histograms.
fn fixture_options() -> preheat_emulator::EmulatorOptions {
    let mut options = options();
    options.engine.max_model_len = 2048;
    options.dev_mode = true;
    options
}

#[tokio::test]
async fn families_labels_and_bounds_are_vllms() {
    let emulator = Emulator::serving(fixture_options(), FAST).await;
    emulator.completion(20).await.rest().await;
    let metrics = emulator.metrics_until(|m| m.0.contains("http_requests_created")).await;
    check_skeleton(own(&metrics.0), own(LOADED));
}

#[tokio::test]
async fn sleep_families_come_with_the_first_sleep() {
    let emulator = Emulator::serving(fixture_options(), FAST).await;
    assert!(!emulator.metrics().await.0.contains("sleep_mode_operation"));
    emulator.post("/sleep?level=1", json!({})).await;
    let metrics = emulator.metrics().await.0;
    let family = "vllm:sleep_mode_operation_duration_seconds";
    check_skeleton(from(&metrics, family), from(ASLEEP, family));
}

#[tokio::test]
async fn an_idle_engine_has_no_http_series() {
    let emulator = Emulator::serving(options(), FAST).await;
    let metrics = emulator.metrics().await;
    assert!(metrics.0.contains("# TYPE http_requests_total counter"));
    assert!(!metrics.0.contains("\nhttp_requests_total{"));
    assert_eq!(metrics.value("http_request_duration_highr_seconds_count"), 0.0);
    assert_eq!(metrics.value("vllm:kv_cache_usage_perc"), 0.0);
}

#[tokio::test]
async fn gauges_under_load() {
    let emulator = Emulator::serving(options(), REAL).await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(emulator.completion(FOREVER).await);
    }
    // The first two are in the batch when they have a token.
    for events in &mut held[..2] {
        events.next_json().await;
    }
    let metrics = emulator.metrics().await;
    assert_eq!(metrics.inside(), (2.0, 3.0));
    let by_reason = "vllm:num_requests_waiting_by_reason";
    assert_eq!(metrics.value_of(by_reason, "reason=\"capacity\""), 3.0);
    assert!(metrics.value("vllm:kv_cache_usage_perc") > 0.0);
    assert_eq!(metrics.value("vllm:time_to_first_token_seconds_count"), 2.0);
    assert_eq!(metrics.value("vllm:prompt_tokens_total"), 16.0);
    assert_eq!(metrics.value("vllm:request_queue_time_seconds_count"), 0.0);
    assert_eq!(metrics.value("vllm:e2e_request_latency_seconds_count"), 0.0);
}

#[tokio::test]
async fn counts_after_load_are_exact() {
    let emulator = Emulator::serving(options(), FAST).await;
    for tokens in [1, 30, 200] {
        emulator.completion(tokens).await.rest().await;
    }
    let metrics = emulator.metrics().await;
    let count = |name: &str| metrics.value(&format!("vllm:{name}"));
    assert_eq!(metrics.inside(), (0.0, 0.0));
    assert_eq!(metrics.value_of("vllm:request_success_total", "\"length\""), 3.0);
    assert_eq!(count("generation_tokens_total"), 231.0);
    assert_eq!(count("prompt_tokens_total"), 24.0);
    assert_eq!(count("prefix_cache_queries_total"), 24.0);
    // Each request has one gap less than tokens.
    assert_eq!(count("inter_token_latency_seconds_count"), 228.0);
    assert_eq!(count("time_to_first_token_seconds_count"), 3.0);
    assert_eq!(count("request_generation_tokens_sum"), 231.0);
    assert_eq!(count("request_params_max_tokens_sum"), 231.0);
    assert_eq!(count("request_queue_time_seconds_count"), 3.0);
    check_times_add_up(&metrics);
}

/// What a request's time is made of, over all requests.
#[track_caller]
fn check_times_add_up(metrics: &Metrics) {
    let sum = |name: &str| metrics.value(&format!("vllm:{name}_sum"));
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} is not {b}");
    let inference = sum("request_inference_time_seconds");
    close(inference, sum("request_prefill_time_seconds") + sum("request_decode_time_seconds"));
    close(sum("e2e_request_latency_seconds"), inference + sum("request_queue_time_seconds"));
    // Gaps of all requests are their decode times: nothing was preempted.
    close(sum("inter_token_latency_seconds"), sum("request_decode_time_seconds"));
}

#[tokio::test]
async fn preheats_own_reader_understands_it() {
    let emulator = Emulator::serving(options(), FAST).await;
    emulator.completion(30).await.rest().await;
    let body = emulator.metrics().await.0;
    let scrape = Dialects::known().read(body.as_bytes(), Format::Text).unwrap();
    assert_eq!(scrape.model_name.as_deref(), Some("tiny"));
    assert_eq!((scrape.running, scrape.waiting), (Some(0), Some(0)));
    assert_eq!(scrape.kv_capacity_tokens, Some(200_000));
    let counters = scrape.counters;
    assert_eq!((counters.completions, counters.preemptions), (Some(1), Some(0)));
    assert_eq!((counters.prompt_tokens, counters.generation_tokens), (Some(8), Some(30)));
    assert_eq!(scrape.ttft.unwrap().count(), 1);
    assert_eq!(scrape.itl.unwrap().count(), 29);
}
