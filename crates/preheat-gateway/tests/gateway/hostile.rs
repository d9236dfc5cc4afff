//! Requests that are wrong, too large, too slow, or meant to do harm.

use std::time::Duration;

use crate::common::{Engine, World, assert_error, assert_status, post_text};
use preheat_gateway::GatewayConfig;

async fn world(config: GatewayConfig) -> (World, Engine) {
    let engine = Engine::start().await;
    let mut world = World::start(config).await;
    world.route("m", &[engine.address]);
    (world, engine)
}

/// What comes back for `text`, and that the gateway still works after it.
async fn answer_to(world: &World, engine: &mut Engine, text: &str) -> String {
    let mut client = world.client().await;
    // The gateway may have answered and closed before everything is written.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut client.stream, text.as_bytes()).await;
    let answer = client.read_all().await;
    let next = world.post("").await;
    engine.request().await.answer(200, "{}");
    assert_status(&next.read_all().await, 200);
    answer
}

#[tokio::test]
async fn bad_bodies_get_a_precise_error() {
    let (world, mut engine) = world(GatewayConfig::default()).await;
    let path = "/v1/chat/completions";
    for (body, status, code) in [
        ("{", 400, "malformed_body"),
        ("", 400, "malformed_body"),
        ("[1]", 400, "malformed_body"),
        (r#"{"model":1}"#, 400, "malformed_body"),
        ("\u{0}\u{ff}", 400, "malformed_body"),
        (r#"{"messages":[]}"#, 400, "missing_model"),
        (r#"{"model":"nope"}"#, 404, "model_not_found"),
    ] {
        let answer = answer_to(&world, &mut engine, &post_text(path, body)).await;
        assert_error(&answer, status, code);
        if status == 404 {
            assert!(answer.contains("models: m"), "{answer}");
        }
    }
    assert_eq!(world.stats.totals().unroutable, 7);
    assert_eq!(world.totals().arrivals, 7);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_or_without_a_length() {
    let config = GatewayConfig { body_bytes_max: 1000, ..GatewayConfig::default() };
    let (world, mut engine) = world(config).await;
    let body = format!(r#"{{"model":"m","p":"{}"}}"#, "x".repeat(2000));
    let path = "/v1/completions";
    let answer = answer_to(&world, &mut engine, &post_text(path, &body)).await;
    assert_error(&answer, 413, "body_too_large");
    let chunked = format!(
        "POST {path} HTTP/1.1\r\nhost: gw\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    assert_error(&answer_to(&world, &mut engine, &chunked).await, 413, "body_too_large");
    // A client that asks first is told before it sends.
    let asking = format!(
        "POST {path} HTTP/1.1\r\nhost: gw\r\nexpect: 100-continue\r\ncontent-length: 2000\r\n\r\n"
    );
    assert_error(&answer_to(&world, &mut engine, &asking).await, 413, "body_too_large");
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let (world, mut engine) = world(GatewayConfig::default()).await;
    let mut client = world.client().await;
    client
        .send(
            "POST /v1/completions HTTP/1.1\r\nhost: gw\r\nconnection: close\r\n\
             expect: 100-continue\r\ncontent-length: 13\r\n\r\n",
        )
        .await;
    client.read_until("100 Continue").await;
    client.send(r#"{"model":"m"}"#).await;
    let seen = engine.request().await;
    assert_eq!(seen.header("expect"), None);
    seen.answer(200, "{\"fine\":1}");
    assert!(client.read_all().await.contains("fine"));
}

#[tokio::test]
async fn bodies_in_memory_are_bounded() {
    let config = GatewayConfig { body_bytes_total_max: 40, ..GatewayConfig::default() };
    let (world, mut engine) = world(config).await;
    let body = format!(r#"{{"model":"m","p":"{}"}}"#, "x".repeat(40));
    let text = post_text("/v1/completions", &body);
    assert_error(&answer_to(&world, &mut engine, &text).await, 503, "memory_full");
}

#[tokio::test]
async fn slow_bodies_and_heads_time_out() {
    let config = GatewayConfig {
        body_read_timeout: Duration::from_millis(10),
        header_read_timeout: Duration::from_millis(10),
        ..GatewayConfig::default()
    };
    let (world, mut engine) = world(config).await;
    let slow_body = "POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: 100\r\n\r\n{";
    assert_error(&answer_to(&world, &mut engine, slow_body).await, 408, "body_too_slow");
    let slow_head = "POST /v1/completions HTTP/1.1\r\nhost:";
    assert_status(&answer_to(&world, &mut engine, slow_head).await, 408);
    assert_eq!(answer_to(&world, &mut engine, "").await, "");
}

#[tokio::test]
async fn broken_heads_get_an_error_or_nothing() {
    let (world, mut engine) = world(GatewayConfig::default()).await;
    let long = "x".repeat(300 << 10);
    for (text, status) in [
        (format!("GET /health HTTP/1.1\r\nhost: gw\r\nx: {long}\r\n\r\n"), 431),
        (format!("GET /health HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(500)), 431),
        ("GET / HTTP/9.9\r\n\r\n".to_owned(), 400),
        ("\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), 400),
        ("POST /v1/x HTTP/1.1\r\ncontent-length: -1\r\n\r\n".to_owned(), 400),
    ] {
        let answer = answer_to(&world, &mut engine, &text).await;
        assert_status(&answer, status);
    }
}

#[tokio::test]
async fn a_broken_off_body_is_nobodys_request() {
    let (world, mut engine) = world(GatewayConfig::default()).await;
    let mut client = world.client().await;
    client.send("POST /v1/x HTTP/1.1\r\nhost: gw\r\ncontent-length: 100\r\n\r\n{\"model\"").await;
    drop(client);
    let next = world.post("").await;
    engine.request().await.answer(200, "{}");
    assert_status(&next.read_all().await, 200);
    assert_eq!(world.totals().arrivals, 1);
}

#[tokio::test]
async fn an_engine_that_speaks_no_http_is_a_failure() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[listener.local_addr().unwrap()]);
    let client = world.post("").await;
    for _ in 0..2 {
        let (mut stream, _) = crate::common::in_time(listener.accept()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"\0garbage\r\n\r\n").await.unwrap();
    }
    assert_error(&client.read_all().await, 502, "engine_closed");
    world.settled((0, 1, 0, 0)).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_one_to_end() {
    let config = GatewayConfig { connections_max: 1, ..GatewayConfig::default() };
    let (world, mut engine) = world(config).await;
    let first = world.post("").await;
    let seen = engine.request().await;
    let second = world.post("").await;
    assert!(engine.is_idle());
    seen.answer(200, "{}");
    assert_status(&first.read_all().await, 200);
    engine.request().await.answer(200, "{}");
    assert_status(&second.read_all().await, 200);
    assert_eq!(world.stats.totals().connections, 2);
}
