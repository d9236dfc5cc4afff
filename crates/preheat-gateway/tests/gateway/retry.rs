//! What is sent to a second engine, and what never is.

use crate::common::{Engine, Seen, World, assert_error, assert_status, dead_port, in_time, until};
use preheat_gateway::GatewayConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const FINE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

/// Reads one request from a raw connection.
async fn read_request(stream: &mut TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"}") {
        assert!(in_time(stream.read_buf(&mut read)).await.unwrap() > 0, "closed");
    }
}

/// The engine that gets the next request, first.
async fn whoever<'a>(one: &'a mut Engine, two: &'a mut Engine) -> (Seen, &'a mut Engine) {
    tokio::select! {
        seen = one.request() => (seen, two),
        seen = two.request() => (seen, one),
    }
}

#[tokio::test]
async fn a_refused_connection_goes_elsewhere_and_the_backend_is_set_aside() {
    let ((_socket, dead), mut alive) = (dead_port(), Engine::start().await);
    let mut world = World::start(GatewayConfig {
        aside: std::time::Duration::from_secs(3600),
        ..GatewayConfig::default()
    })
    .await;
    world.route("m", &[dead, alive.address]);
    for _ in 0..6 {
        let client = world.post("").await;
        alive.request().await.answer(200, "{}");
        assert_status(&client.read_all().await, 200);
    }
    world.settled((6, 0, 0, 0)).await;
    assert_eq!(world.stats.totals().retries_connect, 1);
}

#[tokio::test]
async fn the_only_engine_refuses_and_the_request_is_held_for_the_next() {
    let (_socket, dead) = dead_port();
    let mut world = World::start(GatewayConfig {
        aside: std::time::Duration::from_secs(3600),
        ..GatewayConfig::default()
    })
    .await;
    world.route("m", &[dead]);
    let client = world.post("").await;
    until(|| world.totals().held == 1).await;
    let mut next = Engine::start().await;
    world.route("m", &[dead, next.address]);
    next.request().await.answer(200, "{}");
    assert_status(&client.read_all().await, 200);
    world.settled((1, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_backend_set_aside_is_tried_again_after_a_while() {
    let (socket, address) = dead_port();
    let mut world = World::start(GatewayConfig {
        aside: std::time::Duration::from_millis(1),
        ..GatewayConfig::default()
    })
    .await;
    world.route("m", &[address]);
    let client = world.post("").await;
    // More refusals than a request that is not held would be allowed.
    until(|| world.stats.totals().retries_connect > 5).await;
    let listener = socket.listen(8).unwrap();
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    stream.write_all(FINE).await.unwrap();
    assert_status(&client.read_all().await, 200);
    world.settled((1, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_reset_before_the_first_byte_is_retried_on_another_engine() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let world = World::with_engines(&[&one, &two]).await;
    let client = world.post("").await;
    let (seen, other) = whoever(&mut one, &mut two).await;
    let body = seen.body.clone();
    seen.reset();
    let seen = other.request().await;
    assert_eq!(seen.body, body);
    seen.answer(200, "{}");
    assert_status(&client.read_all().await, 200);
    world.settled((1, 0, 0, 0)).await;
    assert_eq!(world.stats.totals().retries_closed, 1);
}

#[tokio::test]
async fn a_head_without_a_body_byte_is_not_a_beginning() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let world = World::with_engines(&[&one, &two]).await;
    let client = world.post(r#","stream":true"#).await;
    let (seen, other) = whoever(&mut one, &mut two).await;
    seen.stream().cut();
    let stream = other.request().await.stream();
    stream.send("data: {}\n\ndata: [DONE]\n\n");
    stream.end();
    assert!(client.ends_properly().await);
    world.settled((1, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_request_that_kills_engines_kills_two_at_most() {
    let mut engines = Vec::new();
    for _ in 0..4 {
        engines.push(Engine::start().await);
    }
    let world = World::with_engines(&engines.iter().collect::<Vec<_>>()).await;
    let client = world.post("").await;
    let reading = tokio::spawn(client.read_all());
    let mut killed = 0;
    while !reading.is_finished() {
        for engine in &mut engines {
            // Taking a request and dropping it is what a crash looks like.
            killed += u32::from(!engine.is_idle());
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(killed, 2);
    assert_error(&reading.await.unwrap(), 502, "engine_closed");
    world.settled((0, 1, 0, 0)).await;
}

#[tokio::test]
async fn a_503_and_a_draining_500_are_tried_once_elsewhere() {
    let draining = r#"{"error":{"message":"cannot schedule new futures after shutdown"}}"#;
    for (status, body) in [(503, "loading"), (500, draining)] {
        let (mut one, mut two) = (Engine::start().await, Engine::start().await);
        let world = World::with_engines(&[&one, &two]).await;
        let client = world.post("").await;
        let (seen, other) = whoever(&mut one, &mut two).await;
        seen.answer(status, body);
        other.request().await.answer(200, "{}");
        assert_status(&client.read_all().await, 200);
        world.settled((1, 0, 0, 0)).await;
        assert_eq!(world.stats.totals().retries_refused, 1);
    }
}

#[tokio::test]
async fn a_second_503_and_any_other_500_are_the_clients() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let world = World::with_engines(&[&one, &two]).await;
    let client = world.post("").await;
    let (seen, other) = whoever(&mut one, &mut two).await;
    seen.answer(503, "busy");
    other.request().await.answer(503, "busy, too");
    let answer = client.read_all().await;
    assert_status(&answer, 503);
    assert!(answer.contains("busy, too"));
    world.settled((0, 0, 1, 0)).await;

    let client = world.post("").await;
    let (seen, other) = whoever(&mut one, &mut two).await;
    seen.answer(500, "a bug");
    assert_status(&client.read_all().await, 500);
    assert!(other.is_idle());
    world.settled((0, 1, 1, 0)).await;
}

#[tokio::test]
async fn a_lone_engines_503_is_the_clients() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let client = world.post("").await;
    engine.request().await.answer(503, "loading");
    assert_status(&client.read_all().await, 503);
    world.settled((0, 0, 1, 0)).await;
}

#[tokio::test]
async fn connections_are_used_again_until_the_engine_closes_them() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[listener.local_addr().unwrap()]);
    let mut client = world.post("").await;
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(FINE).await.unwrap();
    client.read_until("{}").await;

    let mut client = world.post("").await;
    read_request(&mut stream).await;
    stream.write_all(FINE).await.unwrap();
    client.read_until("{}").await;

    drop(stream);
    let mut client = world.post("").await;
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(FINE).await.unwrap();
    client.read_until("{}").await;
    world.settled((3, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_kept_connection_that_breaks_is_replaced_by_a_new_one() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[listener.local_addr().unwrap()]);
    let mut client = world.post("").await;
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(FINE).await.unwrap();
    client.read_until("{}").await;

    // Closed while the next request is already on its way, as an engine's keep-alive timer may do.
    let mut client = world.post("").await;
    read_request(&mut stream).await;
    drop(stream);
    let (mut stream, _) = in_time(listener.accept()).await.unwrap();
    read_request(&mut stream).await;
    stream.write_all(FINE).await.unwrap();
    client.read_until("{}").await;
    world.settled((2, 0, 0, 0)).await;
    assert_eq!(world.stats.totals().retries_closed, 1);
}
