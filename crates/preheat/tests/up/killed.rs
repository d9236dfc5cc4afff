//! SIGKILL of preheat itself, and what the next one finds.

use nix::sys::signal::Signal;

use crate::common::http::{self, Ending};
use crate::common::{MODEL, Stage};

/// As many replicas as this, and no more even where a busy machine makes a start overdue.
fn pool(replicas: u32) -> String {
    let cold_start = "coldStart: {p50: 10s, p90: 10s}";
    format!("minReplicas: {replicas}, maxReplicas: {replicas}, {cold_start}")
}

#[tokio::test]
async fn after_sigkill_under_load_the_next_preheat_adopts_the_engines() {
    let stage = Stage::new();
    let mut first = stage.up(&stage.config(50.0, &pool(2), "emulated: {}"));
    let before = stage.ready(2).await;
    let stream = http::stream(stage.gateway(), 30_000).await.expect("a stream");
    first.signal(Signal::SIGKILL);
    first.ended().await;
    assert_ne!(stream.ending().await, Ending::Done);
    let mut engines: Vec<i32> = before.iter().map(|(_, pid)| *pid).collect();
    engines.sort_unstable();
    assert_eq!(stage.engines(), engines, "engines outlive preheat");
    let ticks = stage.replay_agrees();

    // One more than before, so that a number is given away.
    let mut second = stage.up(&stage.config(50.0, &pool(3), "emulated: {}"));
    let after = stage.ready(3).await;
    assert_eq!(after[..2], before[..], "same replicas, same processes");
    assert_eq!(after[2].0, 2, "a number that none had");
    let answer = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!(answer.status, 200);
    let restarts = |pool: &preheat_api::v1::Pool| {
        Some(pool.replicas.iter().map(|replica| replica.restarts).sum::<u32>())
    };
    assert_eq!(stage.pool("restarts", restarts).await, 0);
    assert!(second.terminate().await.success());
    assert_eq!(stage.processes(), []);
    assert!(stage.replay_agrees() > ticks, "both lives in one journal");

    let mut third = stage.up(&stage.config(50.0, &pool(1), "emulated: {}"));
    assert_eq!(stage.ready(1).await[0].0, 3, "numbers are never used again");
    assert!(third.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

#[tokio::test]
async fn engines_that_ended_while_nobody_looked_are_started_anew() {
    let stage = Stage::new();
    let config = stage.config(50.0, &pool(2), "emulated: {}");
    let mut first = stage.up(&config);
    let before = stage.ready(2).await;
    first.signal(Signal::SIGKILL);
    first.ended().await;
    crate::common::kill(before[0].1, Signal::SIGKILL);
    let mut second = stage.up(&config);
    let after = stage.ready(2).await;
    assert_eq!(after[0], before[1], "the one that still ran");
    assert_eq!(after[1].0, 2, "a number that none had");
    assert!(second.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
