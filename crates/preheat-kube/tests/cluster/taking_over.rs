//! One acts, and another goes on from there.

use preheat_kube::resource::InferenceAutoscalerStatus;
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

/// How long starts take is not learned anew by whoever takes over.
pub(crate) async fn with_what_was_learned(scenario: Scenario) {
    scenario.deploy_on_nodes(1).await;
    let believed = json!({"p50": "60s", "p90": "60s"});
    let spec = json!({"mode": "Act", "minReplicas": 2, "coldStart": believed});
    scenario.autoscale(spec).await;
    let leader = scenario.preheat("leader").await;
    let seen = |status: &InferenceAutoscalerStatus| {
        status.cold_starts.iter().map(|row| row.seen).sum::<u32>()
    };
    scenario.until(|status| seen(status) == 1).await;
    assert!(leader.stop().await > 0);
    let follower = scenario.preheat("follower").await;
    scenario.change(json!({"minReplicas": 3})).await;
    scenario.until(|status| seen(status) == 2).await;
    assert!(follower.stop().await > 0);
}
