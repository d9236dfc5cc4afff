//! What the apiserver itself refuses.

use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};
use preheat_kube::resource::InferenceAutoscaler;
use serde_json::{Value, json};

use crate::scenario::{NAME, Scenario};

pub(crate) async fn refuses(scenario: Scenario) {
    let kind = ApiResource::erase::<InferenceAutoscaler>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(scenario.admin.clone(), &scenario.namespace, &kind);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME});
    let object = |spec: Value| {
        let mut spec = spec;
        if spec.get("targetRef").is_none() {
            spec["targetRef"] = target.clone();
        }
        let object = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": NAME}, "spec": spec,
        });
        serde_json::from_value::<DynamicObject>(object).unwrap()
    };
    let entry = |name: &str, from: &str| {
        json!({
            "name": name, "days": ["daily"], "from": from, "until": "12:00", "timezone": "UTC",
            "replicas": 2,
        })
    };
    for (spec, expected) in [
        (json!({"maxReplicas": 2, "minReplicas": 3}), "minReplicas must be at most maxReplicas"),
        (json!({"maxReplicas": 2, "minReplicas": 0}), "minReplicas: 0 needs demand, which tells"),
        (json!({"maxReplicas": 2, "demand": {}}), "demand has either inferencePool or queries"),
        (
            json!({"maxReplicas": 2, "demand": {"queries": {}}}),
            "demand needs a query: held or arrivals",
        ),
        (json!({}), "spec.maxReplicas: Required value"),
        (json!({"maxReplicas": 2, "mode": "act"}), "Unsupported value: \"act\""),
        (json!({"maxReplicas": 2, "slo": {"ttft": "2"}}), "spec.slo.ttft in body should"),
        (json!({"maxReplicas": 2, "slo": {"quantile": 99}}), "should be less than or equal to"),
        (
            json!({"maxReplicas": 2, "coldStart": {"p50": "3m", "p90": "120s"}}),
            "p90 must be at least p50",
        ),
        (json!({"maxReplicas": 2, "standby": {"wake": "3s"}}), "standby needs a price or replicas"),
        (
            json!({"maxReplicas": 2, "standby": {"replicas": 3}}),
            "standby.replicas must be at most maxReplicas",
        ),
        (
            json!({"maxReplicas": 2, "fallback": {"after": "1m", "replicas": 3}}),
            "fallback.replicas must be at most maxReplicas",
        ),
        (
            json!({"maxReplicas": 2, "schedules": [entry("a", "08:50"), entry("a", "09:50")]}),
            "Duplicate value",
        ),
        (json!({"maxReplicas": 2, "schedules": [entry("a", "8:50")]}), "spec.schedules[0].from"),
        (json!({"maxReplicas": 1, "schedules": [entry("a", "08:50")]}), "may ask for maxReplicas"),
        (json!({"maxReplicas": 2, "priority": 1}), "decide nothing without a quota"),
        (
            json!({"maxReplicas": 2, "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment"}}),
            "spec.targetRef.name: Required value",
        ),
    ] {
        let error = api.create(&dry_run, &object(spec.clone())).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{spec}: {error}");
    }
    let accepted = api.create(&dry_run, &object(json!({"maxReplicas": 2}))).await.unwrap();
    assert_eq!(accepted.name_any(), NAME);
    assert_eq!(accepted.data["spec"]["mode"], "Observe");
    assert_eq!(accepted.data["spec"]["engine"]["metricsPort"], 8000);
}
