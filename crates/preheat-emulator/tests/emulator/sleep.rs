//! Sleep and wake: what hangs, what is told, what is aborted.

use std::time::Duration;

use preheat_engine::SleepProfile;
use serde_json::json;

use crate::harness::{Emulator, FAST, FOREVER, REAL, options};

async fn serving(scale: f64) -> Emulator {
    let mut options = options();
    options.dev_mode = true;
    Emulator::serving(options, scale).await
}

async fn is_sleeping(emulator: &Emulator) -> serde_json::Value {
    emulator.get("/is_sleeping").await.json()["is_sleeping"].clone()
}

#[tokio::test]
async fn requests_hang_until_the_wake_and_no_gauge_shows_them() {
    let emulator = serving(FAST).await;
    assert_eq!(is_sleeping(&emulator).await, false);
    assert_eq!(emulator.post("/sleep?level=1", json!({})).await.status, 200);
    assert_eq!(is_sleeping(&emulator).await, true);
    assert_eq!(emulator.get("/health").await.status, 200);
    let mut hanging = vec![emulator.completion(20).await, emulator.completion(20).await];
    let metrics = emulator.metrics().await;
    assert_eq!(metrics.inside(), (0.0, 0.0));
    let state = |state: &str| metrics.value_of("vllm:engine_sleep_state", state);
    assert_eq!((state("\"awake\""), state("\"weights_offloaded\"")), (0.0, 1.0));
    assert_eq!(state("\"discard_all\""), 0.0);
    assert_eq!(emulator.post("/wake_up", json!({})).await.status, 200);
    assert_eq!(is_sleeping(&emulator).await, false);
    for events in &mut hanging {
        let events = events.rest().await;
        assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 20);
    }
    let metrics = emulator.metrics().await;
    assert_eq!(metrics.value_of("vllm:engine_sleep_state", "\"awake\""), 1.0);
    let took = "vllm:sleep_mode_operation_duration_seconds_sum";
    assert_eq!(metrics.value_of(took, "\"sleep\""), 2.0);
    assert_eq!(metrics.value_of(took, "\"wake\""), 1.0);
}

#[tokio::test]
async fn level_two_discards() {
    let emulator = serving(FAST).await;
    emulator.post("/sleep?level=2&mode=abort", json!({})).await;
    let metrics = emulator.metrics().await;
    assert_eq!(metrics.value_of("vllm:engine_sleep_state", "\"discard_all\""), 1.0);
}

#[tokio::test]
async fn sleep_aborts_what_is_inside() {
    let mut options = options();
    options.dev_mode = true;
    options.engine.sleep = SleepProfile::fixed(Duration::ZERO, Duration::ZERO);
    let emulator = Emulator::serving(options, REAL).await;
    let mut running = emulator.completion(FOREVER).await;
    running.next_json().await;
    emulator.post("/sleep", json!({})).await;
    let events = running.rest().await;
    let reasons: Vec<_> =
        (events.iter()).filter_map(|event| event["choices"][0]["finish_reason"].as_str()).collect();
    assert_eq!(reasons, ["abort"]);
    let metrics = emulator.metrics().await;
    assert_eq!(metrics.value_of("vllm:request_success_total", "\"abort\""), 1.0);
}

#[tokio::test]
async fn sleep_in_mode_wait_lets_them_finish_and_holds_newer_ones() {
    let emulator = serving(FAST).await;
    let mut running = emulator.completion(3000).await;
    let sleep = async { emulator.post("/sleep?mode=wait", json!({})).await };
    let (reply, events) = tokio::join!(sleep, running.rest());
    assert_eq!(reply.status, 200);
    assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 3000);
    assert_eq!(is_sleeping(&emulator).await, true);
    let mut held = emulator.completion(3).await;
    emulator.post("/wake_up", json!({})).await;
    assert_eq!(held.rest().await.last().unwrap()["usage"]["completion_tokens"], 3);
}

#[tokio::test]
async fn a_wake_ends_a_wait_for_sleep() {
    let emulator = serving(REAL).await;
    let _running = emulator.completion(FOREVER).await;
    let sleep = async { emulator.post("/sleep?mode=wait", json!({})).await };
    let wake = async {
        let in_flight = "vllm:sleep_mode_operations_in_flight{operation=\"sleep\"} 1.0";
        emulator.metrics_until(|metrics| metrics.0.contains(in_flight)).await;
        let mut held = emulator.completion(2).await;
        emulator.post("/wake_up", json!({})).await;
        held.rest().await
    };
    let (reply, held) = tokio::join!(sleep, wake);
    assert_eq!(reply.status, 200);
    assert_eq!(held.last().unwrap()["usage"]["completion_tokens"], 2);
    assert_eq!(is_sleeping(&emulator).await, false);
}

#[tokio::test]
async fn what_is_not_emulated_is_refused() {
    let emulator = serving(FAST).await;
    for query in ["level=0", "level=3", "mode=keep", "tags=weights"] {
        let reply = emulator.post(&format!("/sleep?{query}"), json!({})).await;
        reply.check_error(400, "BadRequestError", "is not emulated");
    }
    assert_eq!(is_sleeping(&emulator).await, false);
}
