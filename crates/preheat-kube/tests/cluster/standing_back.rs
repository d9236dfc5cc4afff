//! Two who write are worse than either alone.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use preheat_kube::resource::Mode;
use serde_json::json;

use crate::scenario::{NAME, Scenario, condition, is};

pub(crate) async fn from_a_person(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    scenario.until(|status| status.written_replicas == Some(2)).await;
    scenario.until_ready(2).await;
    scenario.set_scale(1).await;
    let status = scenario.until(|status| is(status, "Conflicted", "ForeignWrite")).await;
    assert_eq!((status.mode, status.desired_replicas), (Some(Mode::Observe), Some(2)));
    let message = &condition(&status, "Conflicted").unwrap().message;
    assert!(message.starts_with("somebody set the target to 1 replicas after preheat wrote 2"));
    assert!(preheat.stop().await > 0);
    // Another process goes on from the status, and stands back as well.
    let preheat = scenario.preheat("b").await;
    scenario.set_scale(3).await;
    scenario.until(|status| status.current_replicas == Some(3)).await;
    assert_eq!(scenario.asked().await, 3);
    // Somebody has read what it says.
    scenario.change(json!({"maxReplicas": 3, "minReplicas": 3})).await;
    scenario.set_scale(2).await;
    let status = scenario.until(|status| status.written_replicas == Some(3)).await;
    assert_eq!(status.mode, Some(Mode::Act));
    scenario.until_ready(3).await;
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn from_an_hpa(scenario: Scenario) {
    scenario.deploy(1).await;
    let hpas: Api<HorizontalPodAutoscaler> =
        Api::namespaced(scenario.admin.clone(), &scenario.namespace);
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "other"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "maxReplicas": 2,
        },
    });
    let hpa = serde_json::from_value(hpa).unwrap();
    hpas.create(&PostParams::default(), &hpa).await.unwrap();
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    let status = scenario.until(|status| is(status, "Conflicted", "HorizontalPodAutoscaler")).await;
    assert!(
        status.summary.unwrap().contains("the HorizontalPodAutoscaler other has the same target")
    );
    assert_eq!(scenario.asked().await, 1);
    hpas.delete("other", &DeleteParams::default()).await.unwrap();
    scenario.until_ready(2).await;
    scenario.until(|status| is(status, "Conflicted", "OnlyWriter")).await;
    assert!(preheat.stop().await > 0);
}
