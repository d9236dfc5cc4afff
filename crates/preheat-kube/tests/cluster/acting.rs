//! What Act writes, and when it does not.

use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use preheat_kube::pods::DELETION_COST;
use serde_json::json;

use crate::scenario::{NAME, Scenario, is};
use crate::traffic::Traffic;

/// More streams than two replicas have slots.
const CLIENTS: usize = 10;

pub(crate) async fn follows(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act"})).await;
    let preheat = scenario.preheat("a").await;
    scenario.until(|status| is(status, "ScalingActive", "Acting")).await;
    assert_eq!(scenario.asked().await, 1);
    let peak = Traffic::start(&scenario.endpoints, &scenario.namespace, CLIENTS);
    scenario.until_asked(3).await;
    scenario.until(|status| status.ready_replicas >= Some(3)).await;
    // Some traffic goes on while replicas are taken away under it.
    let rest = Traffic::start(&scenario.endpoints, &scenario.namespace, 2);
    let (whole, cut) = peak.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    scenario.until(|status| status.desired_replicas <= Some(2)).await;
    scenario.until(|status| status.current_replicas <= Some(2)).await;
    let (whole, cut) = rest.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    scenario.until_ready(1).await;
    // Whoever stays was not chosen to go.
    let pods = scenario.pods().list(&ListParams::default()).await.unwrap();
    let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let marked = staying.filter(|pod| pod.annotations().contains_key(DELETION_COST)).count();
    assert_eq!(marked, 0);
    let status = scenario.until(|status| status.written_replicas == Some(1)).await;
    assert!(status.last_scale_time.is_some());
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert!(is(&status, "DrainCovered", "GraceSuffices"), "{status:?}");
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn holds_blind(scenario: Scenario) {
    scenario.deploy(3).await;
    scenario.autoscale(json!({"mode": "Act", "engine": {"metricsPath": "/no-such-metrics"}})).await;
    let preheat = scenario.preheat("a").await;
    let status = scenario.until(|status| is(status, "MetricsAvailable", "Stale")).await;
    assert_eq!(status.reason.as_deref(), Some("SignalsMissing"));
    // A resource that is changed is decided on anew: so long nothing was given up, and it still isn't.
    scenario.change(json!({"fallback": {"after": "1s", "replicas": 4}})).await;
    scenario.until(|status| status.current_replicas == Some(4)).await;
    assert_eq!(scenario.asked().await, 4);
    // Seen again, it follows what it sees.
    scenario.change(json!({"engine": {"metricsPath": "/metrics"}})).await;
    scenario.until(|status| is(status, "MetricsAvailable", "Fresh")).await;
    scenario.until_ready(1).await;
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn target_returns(scenario: Scenario) {
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    let missing = "there is no Deployment `chat` in this namespace";
    scenario.until(|status| status.summary.as_deref() == Some(missing)).await;
    scenario.deploy(1).await;
    scenario.until_ready(2).await;
    scenario.undeploy().await;
    scenario.until(|status| is(status, "Ready", "TargetMissing")).await;
    // Made anew by somebody, it is as they made it, and not as preheat left the one before.
    scenario.deploy(3).await;
    let status = scenario.until(|status| status.current_replicas == Some(3)).await;
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    scenario.until_ready(2).await;
    assert!(preheat.stop().await > 0);
}

/// The pods that stay are those with the lowest ordinals, whatever is in them.
pub(crate) async fn scales_a_stateful_set(scenario: Scenario) {
    scenario.deploy_stateful_set(3).await;
    let target = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": NAME});
    scenario.autoscale(json!({"mode": "Act", "targetRef": target})).await;
    let preheat = scenario.preheat("a").await;
    scenario.until_set_ready(1).await;
    let pods = scenario.pods().list(&ListParams::default()).await.unwrap();
    let staying = pods.items.iter().find(|pod| pod.metadata.deletion_timestamp.is_none());
    let staying = staying.unwrap();
    assert_eq!(staying.name_any(), format!("{NAME}-0"));
    assert!(!staying.annotations().contains_key(DELETION_COST));
    scenario.change(json!({"minReplicas": 2})).await;
    scenario.until_set_ready(2).await;
    assert!(preheat.stop().await > 0);
}

/// What the optimistic lock rests on: the apiserver refuses a scale that was read before another
/// write, and takes it when read anew.
pub(crate) async fn stale_scales_are_refused(scenario: Scenario) {
    scenario.deploy(1).await;
    let mut read = scenario.deployments().get_scale(NAME).await.unwrap();
    scenario.set_scale(2).await;
    read.spec.as_mut().unwrap().replicas = Some(3);
    let params = PostParams::default();
    let refused = scenario.deployments().replace_scale(NAME, &params, &read).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 409), "{refused}");
    assert_eq!(scenario.asked().await, 2);
}
