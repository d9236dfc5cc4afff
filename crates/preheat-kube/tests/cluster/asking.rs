//! What `kubectl preheat` reads of a real apiserver.

use k8s_openapi::jiff::Timestamp;
use preheat_kube::plugin::{PluginError, events, resource, resources, status, why};
use serde_json::json;

use crate::scenario::{NAME, Scenario};

pub(crate) async fn is_answered(scenario: Scenario) {
    let (client, namespace) = (&scenario.admin, scenario.namespace.as_str());
    assert!(resources(client, Some(namespace)).await.unwrap().is_empty());
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    scenario.until(|status| status.ready_replicas == Some(2)).await;
    // Events are told after what they tell of.
    assert!(preheat.stop().await > 0);
    let mine = resources(client, Some(namespace)).await.unwrap();
    assert!(resources(client, None).await.unwrap().len() >= mine.len());
    let told = status(&mine, true, Timestamp::now());
    assert!(told.contains(&format!("{namespace}/{NAME}  Deployment/{NAME}  Act")), "{told}");
    let chat = resource(client, namespace, NAME).await.unwrap();
    let events = events(client, &chat).await.unwrap();
    let told = why(&chat, &events, Timestamp::now());
    assert!(
        told.contains("wanted 2 of 2 to 4; the target asks for 2, preheat last wrote 2"),
        "{told}"
    );
    assert!(told.contains("ScaledUp") && told.contains("1 → 2 replicas"), "{told}");
    let missing = resource(client, namespace, "chit").await.unwrap_err();
    assert!(matches!(missing, PluginError::Missing { others, .. } if others == [NAME]));
}
