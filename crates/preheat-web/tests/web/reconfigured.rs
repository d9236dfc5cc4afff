//! What a history tells of what a pool was told to do otherwise.

use std::time::Duration;

use preheat_core::{Controls, Instant, ReplicaCount, ScheduledDemand};
use serde_json::{Value, json};

use crate::world::{BEGIN_S, TICK_S, World};

/// Ticks between two changes: two minutes, so that each is in a minute of its own.
const TICKS: u64 = 60;

fn at_s(ticks: u64) -> u64 {
    BEGIN_S + ticks * TICK_S
}

/// The changes of a range, in about so many steps.
async fn told(world: &World, from_s: u64, until_s: u64, points: u64) -> Value {
    let server = world.serve(None).await;
    let path =
        format!("/api/v1/pools/chat/history?from_s={from_s}&until_s={until_s}&points={points}");
    let history = server.json(&path, 200).await;
    assert_eq!(history["reconfigurations_left_out"], 0);
    history["reconfigurations"].clone()
}

fn second(second: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(second))
}

/// A configuration that is read anew, an order, an announcement, a restart with another configuration.
fn changed_five_times() -> World {
    let mut world = World::new();
    world.drive(TICKS, 4);
    world.reconfigure(3);
    world.drive(TICKS, 4);
    world.controls = Controls { paused: false, pinned: Some(ReplicaCount(2)) };
    world.drive(TICKS, 4);
    world.controls = Controls::default();
    let (from, until) = (second(50_000), second(60_000));
    world.scheduled = vec![ScheduledDemand { from, until, replicas: ReplicaCount(3) }];
    world.drive(TICKS, 4);
    world.restart(5);
    world.drive(TICKS, 4);
    world.scheduled.clear();
    world.drive(TICKS, 4);
    world
}

#[tokio::test]
async fn what_a_pool_was_told_is_told_with_its_moment() {
    let world = changed_five_times();
    let demand = json!([{"replicas": 3, "from_s": 50_000.0, "until_s": 60_000.0}]);
    let change = |ticks: u64, setting: &str, before: Value, after: Value| {
        let settings = json!([{"setting": setting, "before": before, "after": after}]);
        json!({"at_s": at_s(ticks) as f64, "settings": settings, "announced": [], "withdrawn": []})
    };
    let mut taken_back = change(3 * TICKS, "pinned", json!("2"), Value::Null);
    taken_back["announced"] = demand.clone();
    let withdrawn = json!({"at_s": at_s(5 * TICKS) as f64, "settings": [], "announced": [], "withdrawn": demand});
    let expected = json!([
        change(TICKS, "maxReplicas", json!("6"), json!("3")),
        change(2 * TICKS, "pinned", Value::Null, json!("2")),
        taken_back,
        change(4 * TICKS, "maxReplicas", json!("3"), json!("5")),
        withdrawn,
    ]);
    let until_s = at_s(6 * TICKS);
    // Tick by tick, and from minutes, which are read once and then kept.
    assert_eq!(told(&world, BEGIN_S, until_s, 2000).await, expected);
    assert_eq!(told(&world, BEGIN_S, until_s, 4).await, expected);
    // Each is told by the range that it is in, wherever that begins.
    for index in 0..5 {
        let changed_s = at_s((index + 1) * TICKS);
        let one = told(&world, changed_s, changed_s + 10, 600).await;
        assert_eq!(one, json!([expected[usize::try_from(index).unwrap()]]), "{index}");
        assert_eq!(told(&world, changed_s + 10, changed_s + 20, 600).await, json!([]));
    }
}

#[tokio::test]
async fn minutes_that_are_kept_tell_it_again() {
    let world = changed_five_times();
    let server = world.serve(None).await;
    let path =
        format!("/api/v1/pools/chat/history?from_s={BEGIN_S}&until_s={}&points=9", at_s(400));
    let first = server.json(&path, 200).await;
    assert_eq!(first["reconfigurations"].as_array().unwrap().len(), 5);
    assert_eq!(server.json(&path, 200).await, first);
}

#[tokio::test]
async fn of_many_the_newest_are_told_and_how_many_there_were_before() {
    let mut world = World::new();
    for pinned in 0..130 {
        world.controls.pinned = Some(ReplicaCount(1 + pinned % 2));
        world.drive(1, 0);
    }
    let server = world.serve(None).await;
    for points in [4, 2000] {
        let path = format!(
            "/api/v1/pools/chat/history?from_s={BEGIN_S}&until_s={}&points={points}",
            at_s(130)
        );
        let history = server.json(&path, 200).await;
        let told = history["reconfigurations"].as_array().unwrap();
        // The first tick has none before it.
        assert_eq!((told.len(), &history["reconfigurations_left_out"]), (100, &json!(29)));
        assert_eq!(told[99]["at_s"], json!(at_s(129) as f64));
    }
}
