//! Placeholders as a cluster makes them of what is shipped.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::runtime::wait::await_condition;
use preheat_kube::manifests::{HEADROOM, headroom};
use preheat_kube::nodes::{Wants, landing, taken};
use serde_json::json;

use crate::scenario::Scenario;

pub(crate) async fn gives_way(scenario: Scenario) {
    let [class, deployment] = headroom().try_into().unwrap();
    let class: PriorityClass = serde_json::from_value(class).unwrap();
    let made = PostParams::default();
    Api::all(scenario.admin.clone()).create(&made, &class).await.unwrap();
    let deployment: Deployment = serde_json::from_value(deployment).unwrap();
    scenario.deployments().create(&made, &deployment).await.unwrap();
    let is_made = |deployment: Option<&Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.as_ref());
        status.and_then(|status| status.replicas) == Some(1)
    };
    await_condition(scenario.deployments(), HEADROOM, is_made).await.unwrap();
    let mut placeholder =
        scenario.pods().list(&ListParams::default()).await.unwrap().items.remove(0);
    // Admission has filled in what the class says, below what an engine has that says nothing.
    let spec = placeholder.spec.as_mut().unwrap();
    assert_eq!((spec.priority, spec.preemption_policy.as_deref()), (Some(-10), Some("Never")));
    scenario.deploy(1).await;
    let chosen = ListParams::default().labels("app=chat");
    let mut engine = scenario.pods().list(&chosen).await.unwrap().items.remove(0);
    assert_eq!(engine.spec.as_ref().unwrap().priority, Some(0));
    // A node that is full of it is one that an engine of as many GPUs may land on.
    let gpu = json!({"limits": {"nvidia.com/gpu": "1"}});
    let containers = &mut engine.spec.as_mut().unwrap().containers;
    containers[0].resources = serde_json::from_value(gpu).unwrap();
    let node = serde_json::from_value(json!({
        "metadata": {"name": "gpu-1"},
        "status": {
            "allocatable": {"nvidia.com/gpu": "1"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }));
    let node = node.unwrap();
    let free = preheat_core::MachineState { image: Some(true), weights: Some(true) };
    let lands = |pod: &Pod, holder: &Pod| {
        let taken = taken([holder].into_iter());
        landing(&Wants::of(pod, None), [&node].into_iter(), Some(&taken), |_| free) == [free]
    };
    placeholder.spec.as_mut().unwrap().node_name = Some("gpu-1".to_owned());
    assert!(lands(&engine, &placeholder));
    let mut other = engine.clone();
    other.spec.as_mut().unwrap().node_name = Some("gpu-1".to_owned());
    assert!(!lands(&engine, &other));
}
