//! Faults do what they say.

use std::time::Duration;

use preheat_emulator::{EmulatorError, Fault};
use preheat_engine::StartupProfile;
use tokio::net::TcpStream;

use crate::harness::{Emulator, FAST, FOREVER, REAL, completion_body, options, send};

async fn serving(fault: Fault) -> Emulator {
    let mut options = options();
    options.fault = Some(fault);
    Emulator::serving(options, REAL).await
}

#[tokio::test]
async fn never_ready_refuses_connections() {
    let mut options = options();
    options.startup = StartupProfile::fixed(Duration::from_secs(20));
    options.fault = Some(Fault::NeverReady);
    let mut emulator = Emulator::begin(options, FAST).await;
    emulator.log_until("Model loading took").await;
    assert!(TcpStream::connect(emulator.address).await.is_err());
    emulator.signal().ended().await;
}

#[tokio::test]
async fn a_failing_start_is_an_error() {
    let mut options = options();
    options.fault = Some(Fault::StartFails);
    let emulator = Emulator::begin(options, FAST).await;
    assert!(matches!(emulator.died().await, EmulatorError::StartFailed));
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let first = Emulator::serving(options(), FAST).await;
    let mut second = options();
    second.listen = first.address;
    let clock = preheat_runtime::clock::Clock::start(preheat_runtime::clock::TimeScale::REAL);
    let result =
        preheat_emulator::run(second, clock, std::io::sink(), std::future::pending()).await;
    assert!(matches!(result, Err(EmulatorError::Listen { .. })));
}

#[tokio::test]
async fn a_crash_cuts_streams_without_a_word() {
    let emulator = serving(Fault::CrashAfter(1)).await;
    let address = emulator.address;
    let mut events = emulator.completion(FOREVER).await;
    events.next_json().await;
    let last_straw = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let body = completion_body(1).to_string();
        let request = http::Request::post("/v1/completions")
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(body.into()))
            .unwrap();
        crate::harness::send_on(stream, request).await
    });
    assert!(matches!(emulator.died().await, EmulatorError::Crashed));
    assert!(last_straw.await.unwrap().is_err());
    while let Some(event) = events.next().await {
        assert_ne!(event, "[DONE]");
    }
}

#[tokio::test]
async fn metrics_can_hang_while_the_rest_works() {
    let emulator = serving(Fault::MetricsHang).await;
    let address = emulator.address;
    let scrape = tokio::spawn(async move { send(address, "GET", "/metrics", None).await });
    for _ in 0..3 {
        assert_eq!(emulator.get("/health").await.status, 200);
    }
    assert!(!scrape.is_finished());
}

#[tokio::test]
async fn metrics_can_be_garbage_or_huge() {
    let garbage = serving(Fault::MetricsGarbage).await.get("/metrics").await;
    assert_eq!(garbage.status, 200);
    assert!(std::str::from_utf8(&garbage.body).is_err());
    let huge = serving(Fault::MetricsHuge).await.get("/metrics").await;
    assert!(huge.body.len() > 30_000_000);
    assert!(huge.body.starts_with(b"# HELP vllm:"));
}

#[tokio::test]
async fn metrics_can_get_other_names_while_it_runs() {
    let emulator = serving(Fault::MetricsRenamed(1)).await;
    assert_eq!(emulator.metrics().await.inside(), (0.0, 0.0));
    for _ in 0..2 {
        let after = emulator.metrics().await.0;
        assert!(after.contains("\nvllm:requests_running{"), "{after}");
        assert!(!after.contains("vllm:num_requests_"), "{after}");
    }
}
