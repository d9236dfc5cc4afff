//! The chart, without Helm as far as that goes, and with Helm where it has been built.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{made, root};

/// `.Values.a.b` of all templates, the notes among them.
fn referred() -> BTreeSet<String> {
    let folder = root().join("deploy/chart/preheat/templates");
    let mut referred = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for rest in text.split(".Values.").skip(1) {
            let end = |c: char| !(c.is_ascii_alphanumeric() || c == '.');
            referred.insert(rest.split(end).next().unwrap().to_owned());
        }
    }
    referred
}

#[test]
fn templates_use_every_value_and_no_other() {
    let schema: Value = serde_json::from_str(&made("chart/preheat/values.schema.json")).unwrap();
    let mut known = BTreeSet::new();
    settable("", &schema, &mut known);
    known.remove("global");
    assert_eq!(referred(), known);
}

/// Everything that a schema has a place for, with dots.
fn settable(path: &str, shape: &Value, into: &mut BTreeSet<String>) {
    let Some(inner) = shape["properties"].as_object() else {
        into.insert(path.to_owned());
        return;
    };
    for (key, shape) in inner {
        let path = format!("{path}.{key}");
        settable(path.trim_start_matches('.'), shape, into);
    }
}

/// Helm, if `e2e/helm/build` has built it.
fn helm() -> Option<PathBuf> {
    let script = root().join("e2e/helm/build");
    let output = Command::new("bash").arg(script).arg("--check").output().ok()?;
    let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    if output.status.success() {
        return Some(path);
    }
    println!("skipped: no Helm to render the chart with; ./e2e/helm/build makes one with Go");
    None
}

/// What Helm says to these arguments; whether it went well.
fn run(helm: &Path, arguments: &[&str]) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(helm);
    command.args(arguments).current_dir(root()).env("HOME", home.path());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// Objects of a stream of documents, by kind and name.
fn objects(text: &str) -> Vec<(String, Value)> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    let mut objects: Vec<(String, Value)> = documents
        .into_iter()
        .filter(|object| !object.is_null() && object["kind"] != "Namespace")
        .map(|object| (format!("{} {}", object["kind"], object["metadata"]["name"]), object))
        .collect();
    objects.sort_by(|a, b| a.0.cmp(&b.0));
    objects
}

const CHART: &str = "deploy/chart/preheat";
const TEMPLATE: [&str; 5] = ["template", "preheat", CHART, "--namespace", "preheat-system"];

#[test]
fn helm_makes_of_the_chart_what_the_plain_manifests_say() {
    let Some(helm) = helm() else { return };
    let (fine, said) = run(&helm, &["lint", "--strict", CHART]);
    assert!(fine, "{said}");
    let (fine, rendered) = run(
        &helm,
        &[
            &TEMPLATE[..],
            &[
                "--set",
                "podMonitor.enabled=true,prometheusRule.enabled=true,engineLogs.enabled=true",
            ],
        ]
        .concat(),
    );
    assert!(fine, "{rendered}");
    let mut rendered = objects(&rendered);
    let plain: Vec<String> =
        ["crd.yaml", "rbac.yaml", "engine-logs.yaml", "deployment.yaml", "monitoring.yaml"]
            .map(made)
            .into();
    let plain = objects(&plain.join("---\n"));
    for (name, object) in &mut rendered {
        if name.starts_with("\"CustomResourceDefinition\"") {
            let metadata = object["metadata"].as_object_mut().unwrap();
            let kept = metadata.remove("annotations").unwrap();
            assert_eq!(kept["helm.sh/resource-policy"], "keep");
        }
    }
    let names = |objects: &[(String, Value)]| {
        objects.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&rendered), names(&plain));
    for ((name, rendered), (_, plain)) in rendered.iter().zip(&plain) {
        // Both are pages long.
        assert!(rendered == plain, "{name} of the chart is another than that of the manifests");
    }
}

/// What the chart makes with these settings, and no others.
fn rendered(helm: &Path, set: &str) -> Vec<(String, Value)> {
    let (fine, rendered) = run(helm, &[&TEMPLATE[..], &["--set", set]].concat());
    assert!(fine, "{rendered}");
    objects(&rendered)
}

fn find<'a>(objects: &'a [(String, Value)], kind: &str, name: &str) -> Option<&'a Value> {
    let found = objects.iter().find(|(found, _)| *found == format!("{kind:?} {name:?}"));
    found.map(|(_, object)| object)
}

/// The one container that preheat's Deployment has.
fn container(objects: &[(String, Value)]) -> &Value {
    let deployment = find(objects, "Deployment", "preheat").unwrap();
    &deployment["spec"]["template"]["spec"]["containers"][0]
}

fn arguments(objects: &[(String, Value)]) -> Vec<&str> {
    let arguments = container(objects)["args"].as_array().unwrap();
    arguments.iter().map(|argument| argument.as_str().unwrap()).collect()
}

#[test]
fn helm_publishes_as_the_page_does_by_hand() {
    let Some(helm) = helm() else { return };
    let bare = rendered(&helm, "replicas=2");
    let both = rendered(&helm, "publish.externalMetrics.enabled=true,publish.keda.enabled=true");
    let plain = objects(&["publish.yaml", "external-metrics.yaml"].map(made).join("---\n"));
    let more: Vec<_> =
        both.iter().filter(|(name, _)| !bare.iter().any(|(n, _)| n == name)).collect();
    assert!(plain.iter().eq(more), "the chart's objects are other than those of the manifests");
    let ports = &find(&both, "Service", "preheat").unwrap()["spec"]["ports"];
    let served = [("--external-metrics", &ports[0]), ("--scaler", &ports[1])]
        .map(|(flag, port)| format!("{flag}=0.0.0.0:{}", port["targetPort"]));
    assert!(arguments(&both).ends_with(&served.each_ref().map(String::as_str)));
    let keda = rendered(&helm, "publish.keda.enabled=true,publish.keda.plain=true");
    assert!(arguments(&keda).ends_with(&["--scaler=0.0.0.0:9090", "--scaler-plain"]));
    assert!(find(&keda, "Service", "preheat").is_some());
    assert!(find(&keda, "APIService", "v1beta1.external.metrics.k8s.io").is_none());
}

#[test]
fn helm_serves_with_certificates_that_are_given() {
    let Some(helm) = helm() else { return };
    let objects = rendered(
        &helm,
        "publish.externalMetrics.enabled=true,publish.keda.enabled=true,publish.tls.secret=mine,\
         publish.tls.caBundle=Q0E=,publish.keda.clientCaSecret=kedas",
    );
    let arguments = arguments(&objects);
    for (argument, volume) in [
        ("--scaler-client-ca-file=/etc/preheat/client-ca/ca.crt", "client-ca"),
        ("--tls-cert-file=/etc/preheat/tls/tls.crt", "tls"),
        ("--tls-key-file=/etc/preheat/tls/tls.key", "tls"),
    ] {
        assert!(arguments.contains(&argument), "{arguments:?}");
        let mounts = container(&objects)["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == volume).unwrap();
        assert!(argument.contains(mount["mountPath"].as_str().unwrap()), "{argument} {mount}");
    }
    let pod = &find(&objects, "Deployment", "preheat").unwrap()["spec"]["template"]["spec"];
    let secrets: Vec<&Value> = pod["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|volume| volume.pointer("/secret/secretName"))
        .collect();
    assert_eq!(secrets, ["mine", "kedas"]);
    let service = find(&objects, "APIService", "v1beta1.external.metrics.k8s.io").unwrap();
    assert_eq!(service["spec"]["caBundle"], "Q0E=");
    // None is made, so there is none to keep.
    assert!(find(&objects, "Role", "preheat-certificate").is_none());

    let contradiction =
        "publish.keda.enabled=true,publish.keda.plain=true,publish.keda.clientCaSecret=a";
    let (fine, said) = run(&helm, &[&TEMPLATE[..], &["--set", contradiction]].concat());
    assert!(!fine && said.contains("leave publish.keda.clientCaSecret empty"), "{said}");
    let (fine, said) =
        run(&helm, &[&TEMPLATE[..], &["--set", "publish.kede.enabled=true"]].concat());
    assert!(!fine && said.contains("kede"), "{said}");
}

#[test]
fn helm_puts_every_value_where_it_belongs_and_refuses_a_typing_mistake() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().unwrap();
    let values = folder.path().join("values.yaml");
    fs::write(
        &values,
        "image: {repository: registry.example/preheat, tag: v9}\nimagePullSecrets: [{name: pull}]\n\
         replicas: 1\nwatchNamespace: models\nextraArgs: [--admin-token-file, /token]\n\
         resources: {limits: {memory: 1Gi}}\npodAnnotations: {a: b}\npodLabels: {c: d}\nnodeSelector: {e: f}\n\
         tolerations: [{key: gpu}]\naffinity: {podAffinity: {}}\npriorityClassName: high\n\
         crds: {install: false}\ndashboard: {enabled: true}\n",
    )
    .unwrap();
    let file = values.display().to_string();
    let (fine, rendered) =
        run(&helm, &["template", "preheat", CHART, "--namespace", "scaling", "--values", &file]);
    assert!(fine, "{rendered}");
    let objects = objects(&rendered);
    let find = |kind: &str, name: &str| find(&objects, kind, name);
    assert!(find("CustomResourceDefinition", "inferenceautoscalers.preheat.dev").is_none());
    let deployment = find("Deployment", "preheat").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 1);
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["annotations"]["a"], "b");
    assert_eq!(template["metadata"]["labels"]["c"], "d");
    let pod = &template["spec"];
    assert_eq!(pod["nodeSelector"]["e"], "f");
    assert_eq!(pod["tolerations"][0]["key"], "gpu");
    assert!(pod["affinity"]["podAffinity"].is_object());
    assert_eq!(pod["priorityClassName"], "high");
    assert_eq!(pod["imagePullSecrets"][0]["name"], "pull");
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "registry.example/preheat:v9");
    assert_eq!(container["resources"]["limits"]["memory"], "1Gi");
    let arguments = arguments(&objects);
    let tail =
        ["--lease-namespace", "scaling", "--namespace", "models", "--admin-token-file", "/token"];
    assert!(arguments.ends_with(&tail), "{arguments:?}");
    let dashboard = find("ConfigMap", "preheat-dashboard").unwrap();
    assert_eq!(dashboard["metadata"]["namespace"], "scaling");
    let text = dashboard["data"]["preheat.json"].as_str().unwrap();
    assert_eq!(text.trim_end(), made("grafana-dashboard.json").trim_end());

    let (fine, said) = run(&helm, &[&TEMPLATE[..], &["--set", "replica=3"]].concat());
    assert!(!fine && said.contains("replica"), "{said}");
}
