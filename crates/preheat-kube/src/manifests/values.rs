//! What a user of the chart may set: one table, from which `values.yaml` and its schema are made.
//!
//! **Invariant:** a key that is not in the table is refused by the schema, so that a typing mistake
//! is no silent default.

use serde_json::{Value, json};

/// One value.
pub(super) struct ChartValue {
    /// Where, with dots.
    pub(super) path: &'static str,
    /// What it is for, as one line.
    help: &'static str,
    /// As JSON.
    default: &'static str,
}

const fn value(path: &'static str, default: &'static str, help: &'static str) -> ChartValue {
    ChartValue { path, help, default }
}

/// Everything that may be set, in the order of `values.yaml`.
pub(super) const VALUES: &[ChartValue] = &[
    value("image.repository", r#""preheat""#, "Where the image is; build it from the Dockerfile."),
    value("image.tag", r#""""#, "Its tag; empty for the chart's appVersion."),
    value("image.pullPolicy", r#""IfNotPresent""#, "When it is pulled."),
    value("imagePullSecrets", "[]", "Secrets to pull it with, as a pod has them."),
    value("replicas", "2", "One acts, the others stand by."),
    value("watchNamespace", r#""""#, "Scale in this namespace only; empty for all."),
    value("extraArgs", "[]", "More arguments of `preheat controller`."),
    value("log", r#""info""#, "What is logged, as PREHEAT_LOG has it."),
    value(
        "resources",
        r#"{"requests":{"cpu":"100m","memory":"128Mi"},"limits":{"memory":"512Mi"}}"#,
        "What a pod takes.",
    ),
    value("podAnnotations", "{}", "More annotations of the pods."),
    value("podLabels", "{}", "More labels of the pods."),
    value("nodeSelector", "{}", "As a pod has it."),
    value("tolerations", "[]", "As a pod has it."),
    value("affinity", "{}", "As a pod has it."),
    value("priorityClassName", r#""""#, "As a pod has it."),
    value(
        "crds.install",
        "true",
        "Whether the chart brings the resource's definition, which stays when the chart is removed.",
    ),
    value(
        "engineLogs.enabled",
        "false",
        "Give the right to read pods' logs, which resources with coldStart.engineLogs need.",
    ),
    value(
        "publish.externalMetrics.enabled",
        "false",
        "Serve the External Metrics API, for HorizontalPodAutoscalers: one provider in a cluster.",
    ),
    value("publish.keda.enabled", "false", "Serve KEDA's external scaler."),
    value(
        "publish.keda.plain",
        "false",
        "Serve it without TLS, for a mesh that encrypts by itself.",
    ),
    value(
        "publish.keda.clientCaSecret",
        r#""""#,
        "A Secret whose ca.crt must have signed KEDA's certificate; empty: who reaches it is answered.",
    ),
    value(
        "publish.tls.secret",
        r#""""#,
        "A Secret with tls.crt and tls.key to serve both with; empty for one that preheat makes.",
    ),
    value(
        "publish.tls.caBundle",
        r#""""#,
        "Whom the apiserver trusts then, as an APIService has it (base64 of PEM).",
    ),
    value("podMonitor.enabled", "false", "Make a PodMonitor; needs the Prometheus operator."),
    value("podMonitor.labels", "{}", "Its labels, where the operator selects by some."),
    value("prometheusRule.enabled", "false", "Make alerts; needs the Prometheus operator."),
    value("prometheusRule.labels", "{}", "Their labels, where the operator selects by some."),
    value("dashboard.enabled", "false", "Make a ConfigMap with the Grafana dashboard."),
    value(
        "dashboard.labels",
        r#"{"grafana_dashboard":"1"}"#,
        "Its labels: Grafana's sidecar looks for these.",
    ),
];

impl ChartValue {
    fn default(&self) -> Value {
        serde_json::from_str(self.default).unwrap_or_default()
    }
}

/// The text of `values.yaml`.
pub(super) fn yaml() -> Result<String, serde_saphyr::SerializeError> {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for value in VALUES {
        let mut groups: Vec<&str> = value.path.split('.').collect();
        let key = groups.pop().unwrap_or_default();
        let shared = open.iter().zip(&groups).take_while(|(a, b)| a == b).count();
        for (depth, group) in groups.iter().enumerate().skip(shared) {
            text.push_str(&format!("{:1$}{group}:\n", "", 2 * depth));
        }
        let indent = 2 * groups.len();
        open = groups;
        text.push_str(&format!("{:indent$}# {}\n", "", value.help));
        let entry = serde_saphyr::to_string(&json!({ key: value.default() }))?;
        for line in entry.lines() {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
    Ok(text)
}

/// The text of `values.schema.json`.
pub(super) fn schema() -> String {
    let mut schema = closed();
    for value in VALUES {
        let mut place = &mut schema;
        for key in value.path.split('.') {
            let properties = &mut place["properties"];
            if properties[key].is_null() {
                properties[key] = closed();
            }
            place = &mut properties[key];
        }
        *place = json!({"description": value.help, "type": type_of(&value.default())});
    }
    // Helm itself adds this one where the chart is part of another.
    schema["properties"]["global"] = json!({"type": "object"});
    schema["$schema"] = "https://json-schema.org/draft-07/schema#".into();
    format!("{schema:#}\n")
}

fn closed() -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": {}})
}

const fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
