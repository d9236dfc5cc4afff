//! A target of a kind that preheat has never heard of: all that it has is a scale.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt};
use preheat_kube::manifests::NAMESPACE;
use serde_json::{Value, json};

use crate::scenario::{NAME, Scenario, is};

const GROUP: &str = "tests.preheat.dev";

pub(crate) async fn is_scaled(scenario: Scenario) {
    let servers = define(&scenario).await;
    let server = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ModelServer", "metadata": {"name": NAME},
        "spec": {"replicas": 1},
    });
    let server = serde_json::from_value(server).unwrap();
    servers.create(&PostParams::default(), &server).await.unwrap();
    let target = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "ModelServer", "name": NAME});
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2, "targetRef": target})).await;
    let preheat = scenario.preheat("a").await;
    // The shipped rights name the kinds that are known.
    let status = scenario.until(|status| is(status, "Ready", "Forbidden")).await;
    assert!(status.summary.unwrap().contains("modelservers"));
    allow(&scenario).await;
    // Nobody has said yet whose pods they are.
    scenario.until(|status| is(status, "Ready", "NoSelector")).await;
    make_pod(&scenario, 0).await;
    let selector = json!({"status": {"replicas": 1, "selector": format!("server={NAME}")}});
    let params = PatchParams::default();
    servers.patch_status(NAME, &params, &Patch::Merge(&selector)).await.unwrap();
    let asked = |server: Option<&DynamicObject>| {
        server.is_some_and(|server| server.data["spec"]["replicas"] == 2)
    };
    await_condition(servers.clone(), NAME, asked).await.unwrap();
    make_pod(&scenario, 1).await;
    let status = scenario.until(|status| status.ready_replicas == Some(2)).await;
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert_eq!((status.current_replicas, status.written_replicas), (Some(2), Some(2)));
    assert!(preheat.stop().await > 0);
}

/// Defines the kind.
async fn define(scenario: &Scenario) -> Api<DynamicObject> {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("modelservers.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"kind": "ModelServer", "plural": "modelservers", "singular": "modelserver"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object", "properties": {"spec": any, "status": any},
                }},
                "subresources": {"status": {}, "scale": {
                    "specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector",
                }},
            }],
        },
    });
    let definitions: Api<
        k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    > = Api::all(scenario.admin.clone());
    let definition = serde_json::from_value(definition).unwrap();
    let made = definitions.create(&PostParams::default(), &definition).await.unwrap();
    let established = conditions::is_crd_established();
    await_condition(definitions, &made.name_any(), established).await.unwrap();
    let kind = GroupVersionKind::gvk(GROUP, "v1", "ModelServer");
    let kind = ApiResource::from_gvk_with_plural(&kind, "modelservers");
    Api::namespaced_with(scenario.admin.clone(), &scenario.namespace, &kind)
}

/// One more rule, as docs/kubernetes.md says.
async fn allow(scenario: &Scenario) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "more"},
        "rules": [{
            "apiGroups": [GROUP], "resources": ["modelservers/scale"], "verbs": ["get", "update"],
        }],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "more"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "more"},
        "subjects": [{"kind": "ServiceAccount", "name": "preheat", "namespace": NAMESPACE}],
    });
    for (kind, plural, object) in
        [("Role", "roles", role), ("RoleBinding", "rolebindings", binding)]
    {
        let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        let kind = ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> =
            Api::namespaced_with(scenario.admin.clone(), &scenario.namespace, &kind);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

async fn make_pod(scenario: &Scenario, number: u32) {
    let pod: Value = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{NAME}-{number}"), "labels": {"server": NAME}},
        "spec": {
            "terminationGracePeriodSeconds": 60,
            "containers": [{"name": "vllm", "image": "engine"}],
        },
    });
    let pod: Pod = serde_json::from_value(pod).unwrap();
    scenario.pods().create(&PostParams::default(), &pod).await.unwrap();
}
