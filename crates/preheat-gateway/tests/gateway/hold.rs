//! What becomes of requests whose pool has no engine.

use std::time::Duration;

use crate::common::{Engine, World, assert_error, assert_status, until};
use preheat_gateway::GatewayConfig;

#[tokio::test]
async fn held_requests_are_released_in_order_and_spread() {
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[]);
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push(world.post(&format!(r#","n":{n}"#)).await);
        until(|| world.totals().held == n + 1).await;
    }
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    world.route("m", &[one.address, two.address]);
    for _ in 0..3 {
        one.request().await.answer(200, "{}");
        two.request().await.answer(200, "{}");
    }
    for client in clients {
        assert_status(&client.read_all().await, 200);
    }
    world.settled((6, 0, 0, 0)).await;
    let totals = world.totals();
    assert_eq!((totals.arrivals, totals.held), (6, 0));
}

#[tokio::test]
async fn beyond_the_limits_requests_are_turned_away() {
    let mut world = World::start(GatewayConfig {
        hold_requests_max: 2,
        hold_bytes_max: 100,
        retry_after: Duration::from_millis(2100),
        ..GatewayConfig::default()
    })
    .await;
    world.route("m", &[]);
    let big = world.post(&format!(r#","p":"{}""#, "x".repeat(100))).await.read_all().await;
    assert_error(&big, 429, "hold_full");
    let held = [world.post("").await, world.post("").await];
    until(|| world.totals().held == 2).await;
    let answer = world.post("").await.read_all().await;
    assert_error(&answer, 429, "hold_full");
    assert!(answer.contains("retry-after: 3\r\n"), "{answer}");
    world.settled((0, 0, 2, 0)).await;

    // One that leaves makes room for another.
    drop(held);
    world.settled((0, 0, 2, 2)).await;
    assert_eq!(world.totals().held, 0);
    let _held = world.post("").await;
    until(|| world.totals().held == 1).await;
}

#[tokio::test]
async fn after_the_hold_timeout_requests_are_turned_away() {
    let mut world = World::start(GatewayConfig {
        hold_timeout: Duration::from_millis(10),
        ..GatewayConfig::default()
    })
    .await;
    world.route("m", &[]);
    let answer = world.post("").await.read_all().await;
    assert_error(&answer, 503, "hold_timeout");
    assert!(answer.contains("retry-after: 5\r\n"), "{answer}");
    world.settled((0, 0, 1, 0)).await;
}

#[tokio::test]
async fn a_shutdown_turns_held_requests_away() {
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[]);
    let client = world.post("").await;
    until(|| world.totals().held == 1).await;
    world.begin_shutdown();
    assert_error(&client.read_all().await, 503, "shutting_down");
    world.settled((0, 0, 1, 0)).await;
    assert_eq!(world.ended().await.connections_cut_off, 0);
}
