//! From zero, to zero, to sleep and back.

use preheat_api::v1::Pool;

use crate::common::http;
use crate::common::{MODEL, Stage, eventually, totals};

/// Quick to forget demand, so that a scale-down comes within a second.
const FORGETFUL: &str = "arrivalWindow: 10s, coldStart: {p50: 20s, p90: 20s}, \
                         behavior: {scaleDown: {stabilizationWindow: 20s}}";

#[tokio::test]
async fn a_request_wakes_a_pool_from_zero_and_is_answered_and_the_pool_goes_back() {
    let stage = Stage::new();
    let pool = format!("minReplicas: 0, maxReplicas: 1, {FORGETFUL}");
    let mut up = stage.up(&stage.config(50.0, &pool, "emulated: {}"));
    stage.pool("a tick", |pool| (totals(pool).ticks > 0).then_some(())).await;
    assert_eq!(stage.engines(), [0; 0]);
    let request = tokio::spawn(http::complete(stage.gateway(), MODEL, 20));
    let held = |pool: &Pool| (pool.gateway.as_ref()?.held == 1).then_some(());
    stage.pool("a held request", held).await;
    let answer = request.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    let at_zero = |pool: &Pool| {
        (totals(pool).stops == 1 && pool.replicas.is_empty()).then_some(pool.summary.desired)
    };
    assert_eq!(stage.pool("zero again", at_zero).await, 0);
    assert_eq!(stage.engines(), [0; 0]);
    let journal = stage.state().display().to_string();
    let why = stage.run(&["why", "--journal", &journal, "--changes", "9"]);
    for line in [
        "Started 1 replica: requests are there",
        "Began to drain r0: nothing has arrived",
        "Stopped r0 (drained)",
    ] {
        assert!(why.stdout.contains(line), "{line} is not in {why:?}");
    }
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

#[tokio::test]
async fn a_replica_in_standby_is_woken_by_demand_rather_than_another_started() {
    let stage = Stage::new();
    let pool = format!("minReplicas: 0, maxReplicas: 1, standby: {{replicas: 1}}, {FORGETFUL}");
    let mut up = stage.up(&stage.config(50.0, &pool, "emulated: {}"));
    stage.fleet().await;
    let first = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!(first.status, 200, "{first:?}");
    let asleep = |pool: &Pool| {
        let replica = pool.replicas.first()?;
        (replica.phase == "standby").then_some(replica.address.clone()?)
    };
    let address = stage.pool("standby", asleep).await.parse().expect("an address");
    let engines = stage.engines();
    let sleeps = async || {
        let answer = http::get(address, "/is_sleeping").await.ok()?;
        answer.body.contains("true").then_some(())
    };
    eventually("a sleeping engine", sleeps).await;

    let second = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!(second.status, 200, "{second:?}");
    let woken = |pool: &Pool| (totals(pool).wakes == 1).then_some(totals(pool).starts);
    assert_eq!(stage.pool("a wake", woken).await, 1);
    assert_eq!(stage.engines(), engines);
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
