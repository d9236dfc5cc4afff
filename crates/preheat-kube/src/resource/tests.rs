//! The definition's rules on good and bad objects, and what the checks behind them say. The
//! definition itself is kept under `deploy/`.

use std::time::Duration;

use preheat_api::schedule::Schedules;
use preheat_core::{Instant, PolicySpec, ReplicaCount};
use serde_json::{Value, json};

use super::*;

const TARGET: &str = "targetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}\n";

fn spec(more: &str) -> InferenceAutoscalerSpec {
    serde_saphyr::from_str(&format!("{TARGET}{more}")).unwrap()
}

fn settings(more: &str) -> Result<Settings, String> {
    Settings::of(&spec(more), "models").map_err(|error| error.to_string())
}

/// Every string, list and number that a user may write has bounds.
#[test]
fn everything_is_bounded() {
    fn walk(place: &str, schema: &Value) {
        let has = |key: &str| schema.get(key).is_some();
        let format = schema["format"].as_str().unwrap_or_default();
        assert!(!format.starts_with("uint"), "{place}: the apiserver warns of {format}");
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

fn day(name: &str, replicas: u32) -> Value {
    json!({
        "name": name, "days": ["weekdays"], "from": "08:50", "until": "11:00",
        "timezone": "Europe/Berlin", "replicas": replicas,
    })
}

/// With another value at a key, or without it.
fn changed(mut item: Value, key: &str, value: Value) -> Value {
    let keys = item.as_object_mut().unwrap();
    keys.remove(key);
    if !value.is_null() {
        keys.insert(key.to_owned(), value);
    }
    item
}

#[test]
fn the_rules_refuse_contradictions() {
    for (more, expected) in [
        (json!({}), None),
        (json!({"minReplicas": 8}), None),
        (json!({"minReplicas": 9}), Some("minReplicas must be at most maxReplicas")),
        (
            json!({"minReplicas": 0}),
            Some(
                "minReplicas: 0 needs demand, which tells where requests are seen that find no replica",
            ),
        ),
        (json!({"minReplicas": 0, "demand": {"queries": {"held": "sum(q)"}}}), None),
        (json!({"demand": {"queries": {"arrivals": "sum(r_total)"}}}), None),
        (json!({"minReplicas": 0, "demand": {"inferencePool": "chat"}}), None),
        (json!({"demand": {}}), Some("demand has either inferencePool or queries")),
        (
            json!({"demand": {"inferencePool": "chat", "queries": {"held": "sum(q)"}}}),
            Some("demand has either inferencePool or queries"),
        ),
        (json!({"demand": {"queries": {}}}), Some("demand needs a query: held or arrivals")),
        (json!({"coldStart": {"p50": "120s", "p90": "2m"}}), None),
        (json!({"coldStart": {"p90": "1s"}}), None),
        (json!({"coldStart": {"p50": "121s", "p90": "2m"}}), Some("p90 must be at least p50")),
        (json!({"schedules": [day("a", 8), day("b", 1)]}), None),
        (json!({"schedules": [day("a", 9)]}), Some("schedules may ask for maxReplicas at most")),
        (
            json!({"schedules": [changed(day("a", 2), "dates", json!(["2026-12-01"]))]}),
            Some("a schedule has either days or dates"),
        ),
        (
            json!({"schedules": [changed(day("a", 2), "days", Value::Null)]}),
            Some("a schedule has either days or dates"),
        ),
        (
            json!({"schedules": [changed(day("a", 2), "until", json!("08:50"))]}),
            Some("until must differ from from; a whole day is from 00:00 until 24:00"),
        ),
        (json!({"standby": {"price": 0.25, "wake": "3s"}}), None),
        (json!({"standby": {"replicas": 8}}), None),
        (json!({"standby": {"wake": "3s"}}), Some("standby needs a price or replicas")),
        (json!({"standby": {"replicas": 9}}), Some("standby.replicas must be at most maxReplicas")),
        (json!({"quota": {"name": "h100", "gpuSlots": 4}, "priority": 2}), None),
        (
            json!({"priority": 2}),
            Some("priority and worthPerGpuHour decide nothing without a quota"),
        ),
        (
            json!({"worthPerGpuHour": 2.5}),
            Some("priority and worthPerGpuHour decide nothing without a quota"),
        ),
        (
            json!({"quota": {"name": "q", "gpuSlots": 4}, "engine": {"gpusPerReplica": 5}}),
            Some("gpusPerReplica must be at most quota.gpuSlots"),
        ),
        (
            json!({"quota": {"name": "q", "gpuSlots": 4}, "engine": {"gpusPerReplica": 0}}),
            Some("replicas that take no GPUs share none: leave quota out"),
        ),
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
    assert_eq!(settings.policy, settings.policy_awake);
    assert_eq!((settings.schedules, settings.quota), (Schedules::default(), None));
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
                fallback: {after: 3m, replicas: 4}\npriority: 7\nworthPerGpuHour: 2.5\n\
                quota: {name: h100, gpuSlots: 16}\n\
                standby: {price: 0.5, wake: 4s, replicas: 2}\n\
                engine: {sleep: {wakePath: /awake}}\n\
                schedules: [{name: launch, dates: [2026-12-01], from: '08:50', until: '11:00', \
                timezone: UTC, replicas: 12}]\n";
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
    let standby = spec.standby.unwrap();
    assert_eq!((standby.price.get(), standby.wake_prior), (0.5, seconds(4)));
    assert_eq!(standby.replicas, Some(ReplicaCount(2)));
    // The same but for that, where nothing can sleep.
    let awake = PolicySpec { standby: None, ..spec.clone() };
    assert_eq!(*settings.policy_awake.spec(), awake);
    let paths = &settings.sleep;
    assert_eq!(
        (paths.sleep_path.as_str(), paths.wake_path.as_str()),
        ("/sleep?level=1&mode=wait", "/awake")
    );
    assert_eq!(paths.state_path, "/is_sleeping");
    let fallback = settings.fallback.unwrap();
    assert_eq!((fallback.after, fallback.replicas.0), (seconds(180), 4));
    assert_eq!(settings.mode, Mode::Act);
    let quota = settings.quota.unwrap();
    assert_eq!((quota.name.as_str(), quota.gpus), ("h100", 16));
    assert_eq!((quota.terms.priority, quota.terms.worth.get()), (7, 2.5));
    // Half past seven on that day.
    let now = Instant::from_nanos(1_796_110_200_000_000_000);
    let demand = settings.schedules.demand(now);
    assert_eq!(demand.iter().map(|entry| entry.replicas.0).collect::<Vec<_>>(), [12]);
    assert_eq!(demand[0].from.since(now), seconds(80 * 60));
}

#[test]
fn mistakes_are_named_as_in_a_file() {
    for (more, expected) in [
        (
            "maxReplicas: 2\nminReplicas: 3\n",
            "`spec.minReplicas` is 3; it must be at most maxReplicas, which is 2",
        ),
        (
            "maxReplicas: 2\nminReplicas: 0\n",
            "`spec.minReplicas` is 0; it must be at least 1 without `demand`, which tells where \
             requests are seen that find no replica",
        ),
        (
            "maxReplicas: 2\ndemand: {}\n",
            "`spec.demand`: one of `inferencePool` and `queries` must be given, and not both",
        ),
        (
            "maxReplicas: 2\ndemand: {queries: {held: vector(0)}}\n",
            "`spec.demand`: `held`: it reads no series",
        ),
        (
            "maxReplicas: 2\ndemand: {queries: {arrivals: 'increase(r_total[1m])'}}\n",
            "`spec.demand`: `arrivals` calls `increase`; give the counter itself, of which \
             preheat takes increases",
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
            "maxReplicas: 2\nstandby: {wake: 3s}\n",
            "`spec.standby` is empty; it must be given a `price` or `replicas`",
        ),
        (
            "maxReplicas: 2\nstandby: {replicas: 3}\n",
            "`spec.standby.replicas` is 3; it must be at most maxReplicas, which is 2",
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
            "maxReplicas: 2\nengine: {type: SGLang, queries: {running: a, waiting: b}}\n",
            "`spec.engine.queries` is given; it must be left out where engine.type says whose they are",
        ),
        (
            "maxReplicas: 2\nengine: {metrics: {running: a, waiting: b}, queries: {running: a, waiting: b}}\n",
            "`spec.engine.queries` is given; it must be left out where engine.metrics is there",
        ),
        (
            "maxReplicas: 2\nengine: {queries: {running: 'sum by (pod) (a', waiting: b}}\n",
            "`spec.engine.queries`: `running`: it is no PromQL: unclosed left parenthesis",
        ),
        (
            "maxReplicas: 2\nengine: {queries: {running: a, waiting: b, completions: 'rate(c[1m])'}}\n",
            "`spec.engine.queries`: `completions` calls `rate`; give the counter itself, of which \
             preheat takes increases",
        ),
        (
            "maxReplicas: 2\nschedules: [{name: a, days: [monday], from: '08:00', until: '09:00', \
             timezone: UTC, replicas: 1}]\n",
            "`spec.schedules[0]`: `schedules.days` has `monday`; a day must be one of mon, tue, wed, \
             thu, fri, sat, sun, weekdays, weekend, daily (did you mean `mon`?)",
        ),
        (
            "maxReplicas: 2\nschedules: [{name: a, days: [mon], from: '08:00', until: '09:00', \
             timezone: Berlin, replicas: 1}]\n",
            "`spec.schedules[0]`: `schedules.timezone` is `Berlin`; it must be a name in the tz \
             database (did you mean `Europe/Berlin`?)",
        ),
        (
            "maxReplicas: 2\nworthPerGpuHour: -1\n",
            "`spec.worthPerGpuHour` is -1; it must be from 0 to 1000000",
        ),
        (
            "maxReplicas: 2\nbehavior: {scaleDown: {limit: {share: 1.5}}}\n",
            "`spec.behavior.scaleDown.limit.share` is 1.5; it must be from 0 to 1",
        ),
    ] {
        assert_eq!(settings(more), Err(expected.to_owned()));
    }
}

#[test]
fn where_there_may_be_none_one_is_started_when_nobody_tells() {
    let none = "maxReplicas: 2\nminReplicas: 0\ndemand: {queries: {held: sum(q)}}\n";
    let at_none = settings(none).unwrap();
    assert_eq!(at_none.policy.spec().replicas_min, ReplicaCount(0));
    assert_eq!(at_none.fallback, Some(Fallback::AT_NONE));
    let held = at_none.demand.unwrap();
    assert_eq!(held.held().map(preheat_api::dialect::Expression::as_str), Some("sum(q)"));
    let given = settings(&format!("{none}fallback: {{after: 1m, replicas: 0}}\n")).unwrap();
    assert_eq!(given.fallback.map(|fallback| fallback.replicas.0), Some(0));
    let one = settings("maxReplicas: 2\ndemand: {queries: {held: sum(q)}}\n").unwrap();
    assert_eq!(one.fallback, None);
}

/// The names of what an endpoint picker holds are those by which its metrics are read.
#[test]
fn an_inference_pool_is_asked_for_in_the_resources_namespace() {
    use preheat_api::dialect::{Dialect, DialectName};
    let demand = settings("maxReplicas: 2\ndemand: {inferencePool: chat}\n").unwrap().demand;
    let demand = demand.unwrap();
    let held = demand.held().unwrap();
    let picker = Dialect::Known(DialectName::EndpointPicker);
    let dialects = preheat_runtime::dialect::Dialects::of(&picker);
    let known: Vec<&str> = dialects.series_names().filter(|name| name.contains("queue")).collect();
    assert_eq!(known.len(), 2);
    for name in known {
        let expected = format!(r#"sum({name}{{namespace="models",inference_pool="chat"}})"#);
        assert!(held.as_str().contains(&expected), "{held}");
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
            Settings::of(&resource.spec, "models").unwrap();
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

#[test]
fn who_shares_gpus_says_as_many_as_the_oldest() {
    let resource = |name: &str, created: &str, namespace: &str, gpus: u32| {
        let object = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": created},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "maxReplicas": 2, "quota": {"name": "h100", "gpuSlots": gpus},
            },
        });
        serde_json::from_value::<InferenceAutoscaler>(object).unwrap()
    };
    let old = resource("old", "2026-11-01T00:00:00Z", "models", 8);
    let new = resource("new", "2026-11-02T00:00:00Z", "models", 6);
    let elsewhere = resource("far", "2026-10-01T00:00:00Z", "other", 2);
    let all = [new.clone(), elsewhere, old.clone()];
    assert_eq!(contradicted(&new, &all), Some(("old", 8)));
    assert_eq!(contradicted(&old, &all), None);
}
