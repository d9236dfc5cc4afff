//! One acts, and another goes on from there.

use serde_json::json;

use crate::scenario::{Scenario, is};

pub(crate) async fn after_a_kill(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 3})).await;
    let leader = scenario.preheat("leader").await;
    scenario.until_asked(3).await;
    let follower = scenario.preheat("follower").await;
    // In the middle of a scale-up, without a word.
    leader.kill().await;
    scenario.change(json!({"minReplicas": 4})).await;
    let status = scenario.until(|status| status.written_replicas == Some(4)).await;
    // What the one before it wrote is no foreign write, and the scale has gone nowhere else.
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    scenario.until_ready(4).await;
    assert!(follower.stop().await > 0);
}
