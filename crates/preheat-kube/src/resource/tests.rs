//! The definition's rules on good and bad objects, and what the checks behind them say. The
//! definition itself is kept under `deploy/`.

use std::time::Duration;

use preheat_core::PolicySpec;
use serde_json::{Value, json};

use super::*;

const TARGET: &str = "targetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}\n";

fn spec(more: &str) -> InferenceAutoscalerSpec {
    serde_saphyr::from_str(&format!("{TARGET}{more}")).unwrap()
}

fn settings(more: &str) -> Result<Settings, String> {
    Settings::of(&spec(more)).map_err(|error| error.to_string())
}

/// Every string, list and number that a user may write has bounds.
#[test]
fn everything_is_bounded() {
    fn walk(place: &str, schema: &Value) {
        let has = |key: &str| schema.get(key).is_some();
        match schema["type"].as_str() {
            Some("string") => assert!(has("maxLength") || has("enum"), "{place}"),
            Some("array") => assert!(has("maxItems"), "{place}"),
            _ => {}
        }
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(&format!("{place}.{key}"), inner);
        }
        if has("items") {
            walk(&format!("{place}[]"), &schema["items"]);
        }
    }
    let schema = schema();
    walk("spec", &schema["properties"]["spec"]);
    walk("status", &schema["properties"]["status"]);
}

fn schema() -> Value {
    let definition = serde_json::to_value(definition()).unwrap();
    definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// The messages of the rules that this spec breaks.
fn broken(more: Value) -> Vec<String> {
    let mut object = json!({"spec": {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
        "maxReplicas": 8,
    }});
    for (key, value) in more.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    let compiled = kube_cel::compile_schema(&schema());
    assert!(compiled.compilation_errors().is_empty(), "{:?}", compiled.compilation_errors());
    let errors = match kube_cel::validate_compiled(&compiled, &object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_vec(),
    };
    errors.into_iter().map(|error| format!("{}: {}", error.field_path, error.message)).collect()
}

#[test]
fn the_rules_refuse_contradictions() {
    for (more, expected) in [
        (json!({}), None),
        (json!({"minReplicas": 8}), None),
        (json!({"minReplicas": 9}), Some("minReplicas must be at most maxReplicas")),
        (json!({"coldStart": {"p50": "120s", "p90": "2m"}}), None),
        (json!({"coldStart": {"p90": "1s"}}), None),
        (json!({"coldStart": {"p50": "121s", "p90": "2m"}}), Some("p90 must be at least p50")),
        (json!({"fallback": {"after": "5m", "replicas": 8}}), None),
        (
            json!({"fallback": {"after": "5m", "replicas": 9}}),
            Some("fallback.replicas must be at most maxReplicas"),
        ),
    ] {
        let got = broken(more.clone());
        match expected {
            None => assert!(got.is_empty(), "{more}: {got:?}"),
            Some(expected) => {
                assert!(got.len() == 1 && got[0].ends_with(expected), "{more}: {got:?}");
            }
        }
    }
}

#[test]
fn an_empty_spec_is_the_default_policy_and_observes() {
    let settings = settings("maxReplicas: 8\n").unwrap();
    assert_eq!(*settings.policy.spec(), PolicySpec::default());
    assert_eq!((settings.mode, settings.pause, settings.fallback), (Mode::Observe, None, None));
    let engine = settings.engine;
    assert_eq!((engine.metrics_port, engine.metrics_path.as_str()), (8000, "/metrics"));
    assert_eq!(engine.gpus_per_replica, 1);
}

#[test]
fn every_key_reaches_the_policy() {
    let text = "mode: Act\nminReplicas: 1\nmaxReplicas: 20\nmaxStarts: 3\n\
                slo: {ttft: 1s500ms, tpot: 45ms, quantile: 0.95}\nmaxConcurrency: 64\nserviceTime: 8s\n\
                coldStart: {p50: 90s}\ndrainTimeout: 5m\nbacklogDrainTime: 20s\n\
                arrivalWindow: 40s\ntickInterval: 1s\nstaleness: 9s\n\
                behavior: {scaleDown: {stabilizationWindow: 2m, \
                limit: {replicas: 2, share: 0.25, period: 45s}}}\n\
                fallback: {after: 3m, replicas: 4}\n";
    let settings = settings(text).unwrap();
    let spec = settings.policy.spec();
    let seconds = Duration::from_secs;
    assert_eq!((spec.replicas_min.0, spec.replicas_max.0, spec.starts_max), (1, 20, 3));
    assert_eq!(spec.slo.threshold, Duration::from_millis(1500));
    assert_eq!((spec.slo.quantile.get(), spec.service_time_prior), (0.95, seconds(8)));
    assert_eq!(spec.slo_tpot, Some(Duration::from_millis(45)));
    assert_eq!(spec.concurrency_cap.map(|cap| cap.get()), Some(64));
    assert_eq!((spec.cold_start_prior.p50, spec.cold_start_prior.p90), (seconds(90), seconds(135)));
    assert_eq!((spec.drain_timeout, spec.backlog_drain_time), (seconds(300), seconds(20)));
    assert_eq!((spec.arrival_window, spec.tick_interval), (seconds(40), seconds(1)));
    assert_eq!((spec.staleness_max, spec.scale_down_window), (seconds(9), seconds(120)));
    assert_eq!((spec.scale_down_limit.replicas, spec.scale_down_limit.period), (2, seconds(45)));
    assert_eq!(spec.scale_down_limit.share.get(), 0.25);
    let fallback = settings.fallback.unwrap();
    assert_eq!((fallback.after, fallback.replicas.0), (seconds(180), 4));
    assert_eq!(settings.mode, Mode::Act);
}

#[test]
fn mistakes_are_named_as_in_a_file() {
    for (more, expected) in [
        (
            "maxReplicas: 2\nminReplicas: 3\n",
            "`spec.minReplicas` is 3; it must be at most maxReplicas, which is 2",
        ),
        (
            "maxReplicas: 2\nslo: {ttft: 90}\n",
            "`spec.slo.ttft`: `90` has no unit; write it as `90s`, `90m` or `90ms`",
        ),
        (
            "maxReplicas: 2\narrivalWindow: 2h\n",
            "`spec.arrivalWindow` is 7200s; it must be at most 1h",
        ),
        (
            "maxReplicas: 2\nfallback: {after: 1m, replicas: 3}\n",
            "`spec.fallback.replicas` is 3; it must be at most maxReplicas, which is 2",
        ),
        (
            "maxReplicas: 2\nengine: {type: SGLang, metrics: {running: a, waiting: b}}\n",
            "`spec.engine.metrics` is given; it must be left out where engine.type says whose they are",
        ),
        (
            "maxReplicas: 2\nengine: {metrics: {running: sum(a), waiting: b}}\n",
            "`spec.engine.metrics.running` is no metric's name; it must be a metric's name",
        ),
        (
            "maxReplicas: 2\nbehavior: {scaleDown: {limit: {share: 1.5}}}\n",
            "`spec.behavior.scaleDown.limit.share` is 1.5; it must be from 0 to 1",
        ),
    ] {
        assert_eq!(settings(more), Err(expected.to_owned()));
    }
}

/// What `preheat import` writes is a resource, and its checks find nothing in it.
#[test]
fn imported_manifests_are_resources() {
    for text in [
        include_str!("../../../preheat-api/tests/import/manifests/hpa.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/hpa_behavior.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/keda.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/knative_bare.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/kserve.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/aibrix.yaml"),
        include_str!("../../../preheat-api/tests/import/manifests/several.yaml"),
    ] {
        let file = std::path::Path::new("manifest.yaml");
        let all = preheat_api::import::read(text, file).unwrap();
        let written = preheat_api::import::kubernetes(&all, file);
        let resources: Vec<InferenceAutoscaler> = serde_saphyr::from_multiple(&written).unwrap();
        assert_eq!(resources.len(), all.len());
        for resource in resources {
            Settings::of(&resource.spec).unwrap();
            // No key was misspelt and passed over: the apiserver would refuse or drop it.
            let again = serde_json::to_value(&resource).unwrap();
            let name = |value: &Value| value["metadata"]["name"].clone();
            let raw: Vec<Value> = serde_saphyr::from_multiple(&written).unwrap();
            let raw = raw.iter().find(|raw| name(raw) == name(&again)).unwrap();
            keys_are_in(&again["spec"], &raw["spec"], "spec");
        }
    }
}

fn keys_are_in(all: &Value, some: &Value, place: &str) {
    for (key, inner) in some.as_object().into_iter().flatten() {
        let place = format!("{place}.{key}");
        keys_are_in(all.get(key).unwrap_or_else(|| panic!("{place}")), inner, &place);
    }
}
