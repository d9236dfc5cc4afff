//! Start, hang-ups, and both kinds of shutdown.

use std::io::ErrorKind;
use std::time::Duration;

use preheat_engine::StartupProfile;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::{Emulator, FAST, FOREVER, REAL, Reply, completion_body, options, send};

const SECOND: Duration = Duration::from_secs(1);

/// The last event of a stream that the server cut is an error; no finish reason came before it.
#[track_caller]
fn check_cut(events: &[Value]) {
    let (last, events) = events.split_last().unwrap();
    assert_eq!(last["error"]["code"], 500, "{last}");
    assert!(events.iter().all(|event| event["choices"][0]["finish_reason"].is_null()));
}

#[tokio::test]
async fn log_lines_come_in_vllms_order() {
    let mut options = options();
    options.startup = StartupProfile::fixed_phases(SECOND * 12, SECOND * 30, SECOND * 20);
    let mut emulator = Emulator::begin(options, FAST).await;
    let lines = emulator.log_until("Application startup complete.").await;
    let expected = [
        "Pulling image ",
        "Pulled image in 12.000 s",
        "Initializing a V1 LLM engine",
        "Starting to load model tiny...",
        "Loading weights took 30.00 seconds",
        " GiB memory and 30.000000 seconds",
        "GPU KV cache size: 200,000 tokens",
        "Maximum concurrency for 40,000 tokens per request: 5.00x",
        "Graph capturing finished in 8 secs, took 0.65 GiB",
        "init engine (profile, create kv cache, warmup model) took 20.00 seconds",
        "Starting vLLM API server 0 on http://127.0.0.1:",
        "Waiting for application startup.",
        "Application startup complete.",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "{line} lacks {expected}");
    }
}

#[tokio::test]
async fn connections_are_refused_until_it_is_ready() {
    let mut options = options();
    options.startup = StartupProfile::fixed(SECOND * 1000);
    let mut emulator = Emulator::begin(options, REAL).await;
    emulator.log_until("Starting to load model").await;
    let refused = TcpStream::connect(emulator.address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // A signal during the start ends it.
    emulator.signal().ended().await;
}

#[tokio::test]
async fn a_hang_up_frees_the_slot_and_counts_as_nothing() {
    let emulator = Emulator::serving(options(), REAL).await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(emulator.completion(FOREVER).await);
    }
    held[0].next_json().await;
    assert_eq!(emulator.metrics_until(|m| m.inside().0 == 2.0).await.inside(), (2.0, 2.0));
    drop(held.remove(0));
    emulator.metrics_until(|metrics| metrics.inside() == (2.0, 1.0)).await;
    // The first in the queue has the slot.
    held[1].next_json().await;
    drop(held);
    let metrics = emulator.metrics_until(|metrics| metrics.inside() == (0.0, 0.0)).await;
    for reason in ["\"length\"", "\"abort\"", "\"stop\""] {
        assert_eq!(metrics.value_of("vllm:request_success_total", reason), 0.0);
    }
    assert_eq!(metrics.value("vllm:e2e_request_latency_seconds_count"), 0.0);
}

#[tokio::test]
async fn a_hang_up_of_a_whole_answer_frees_the_slot_too() {
    let emulator = Emulator::serving(options(), REAL).await;
    let address = emulator.address;
    let body = json!({"model": "tiny", "prompt": "a", "max_tokens": FOREVER});
    let waiting = tokio::spawn(send(address, "POST", "/v1/completions", Some(body)));
    emulator.metrics_until(|metrics| metrics.inside() == (1.0, 0.0)).await;
    waiting.abort();
    emulator.metrics_until(|metrics| metrics.inside() == (0.0, 0.0)).await;
}

#[tokio::test]
async fn a_signal_cuts_everything_inside() {
    let emulator = Emulator::serving(options(), REAL).await;
    let address = emulator.address;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(emulator.completion(FOREVER).await);
    }
    let chat = json!({
        "messages": [{"role": "user", "content": "hi"}], "max_tokens": 9000, "stream": true,
    });
    held.push(emulator.stream("/v1/chat/completions", chat).await);
    let whole = json!({"model": "tiny", "prompt": "a", "max_tokens": FOREVER});
    let whole = tokio::spawn(async move {
        Reply::read(send(address, "POST", "/v1/completions", Some(whole)).await).await
    });
    held[0].next_json().await;
    emulator.metrics_until(|metrics| metrics.inside() == (2.0, 3.0)).await;
    let ending = emulator.signal();
    for events in &mut held {
        check_cut(&events.rest().await);
    }
    whole.await.unwrap().check_error(500, "InternalServerError", "Internal server error");
    ending.ended().await;
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_drain_finishes_what_is_inside_and_refuses_the_rest() {
    let mut options = options();
    options.shutdown_timeout = SECOND * 100_000;
    let emulator = Emulator::serving(options, REAL).await;
    let address = emulator.address;
    let long = emulator.completion(FOREVER).await;
    let mut short = Vec::new();
    for _ in 0..3 {
        short.push(emulator.completion(4).await);
    }
    let mut ending = emulator.signal();
    ending.log_until("mode=drain").await;
    let body = Some(completion_body(4));
    let refused = Reply::read(send(address, "POST", "/v1/completions", body).await).await;
    let message = "cannot schedule new futures after shutdown";
    refused.check_error(500, "InternalServerError", message);
    assert_eq!(send(address, "GET", "/health", None).await.status(), 200);
    assert_eq!(send(address, "GET", "/metrics", None).await.status(), 200);
    for events in &mut short {
        let events = events.rest().await;
        assert_eq!(events.last().unwrap()["usage"]["completion_tokens"], 4);
    }
    // The drain lasts as long as its longest request.
    drop(long);
    ending.ended().await;
}

#[tokio::test]
async fn a_drain_ends_at_its_timeout() {
    let mut options = options();
    options.shutdown_timeout = Duration::from_millis(1);
    let emulator = Emulator::serving(options, REAL).await;
    let mut long = emulator.completion(FOREVER).await;
    let mut queued = [emulator.completion(FOREVER).await, emulator.completion(FOREVER).await];
    long.next_json().await;
    let ending = emulator.signal();
    check_cut(&long.rest().await);
    for events in &mut queued {
        check_cut(&events.rest().await);
    }
    ending.ended().await;
}

#[tokio::test]
async fn idle_keep_alive_connections_do_not_hold_up_a_shutdown() {
    let emulator = Emulator::serving(options(), FAST).await;
    let _idle = TcpStream::connect(emulator.address).await.unwrap();
    assert_eq!(emulator.get("/health").await.status, 200);
    emulator.signal().ended().await;
}
