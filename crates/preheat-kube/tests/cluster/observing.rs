//! What Observe leaves untouched.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::ListParams;
use preheat_kube::resource::Mode;
use serde_json::json;

use crate::scenario::{NAME, Scenario, is};

pub(crate) async fn changes_nothing(scenario: Scenario) {
    scenario.deploy(1).await;
    let before = versions(&scenario).await;
    // It would start one at once.
    let made = scenario.autoscale(json!({"minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    let status = scenario
        .until(|status| {
            status.desired_replicas == Some(2) && is(status, "MetricsAvailable", "Fresh")
        })
        .await;
    assert_eq!((status.mode, status.current_replicas), (Some(Mode::Observe), Some(1)));
    assert_eq!(status.reason.as_deref(), Some("BelowMinimum"));
    assert_eq!(
        status.summary.as_deref(),
        Some("Observing, nothing is written. BelowMinimum: 2 desired")
    );
    assert!(is(&status, "ScalingActive", "Observe") && is(&status, "Ready", "Valid"));
    assert_eq!(status.written_replicas, None);
    assert!(preheat.stop().await > 0);
    assert_eq!(versions(&scenario).await, before);
    let resource = scenario.autoscalers().get(NAME).await.unwrap();
    assert_eq!(resource.spec, made.spec);
    assert_eq!(resource.metadata.generation, made.metadata.generation);
}

/// The Deployment's version, and those of its pods: nobody has written them if these are the same.
async fn versions(scenario: &Scenario) -> BTreeMap<String, Option<String>> {
    let deployment = scenario.deployments().get(NAME).await.unwrap();
    let pods = scenario.pods().list(&ListParams::default()).await.unwrap();
    let pods = pods.items.iter().map(|pod| (pod.name_any(), pod.resource_version()));
    pods.chain([(NAME.to_owned(), deployment.resource_version())]).collect()
}
