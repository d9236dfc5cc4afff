//! What a user of the chart may set: one table, from which `values.yaml` and its schema are made.
//!
//! **Invariant:** a key that is not in the table is refused by the schema, so that a typing mistake
//! is no silent default.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

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
    let mut group = "";
    for value in VALUES {
        let (indent, key) = match value.path.split_once('.') {
            Some((of, key)) => {
                if group != of {
                    text.push_str(&format!("{of}:\n"));
                }
                group = of;
                ("  ", key)
            }
            None => ("", value.path),
        };
        text.push_str(&format!("{indent}# {}\n", value.help));
        let entry = serde_saphyr::to_string(&json!({ key: value.default() }))?;
        for line in entry.lines() {
            text.push_str(&format!("{indent}{line}\n"));
        }
    }
    Ok(text)
}

/// The text of `values.schema.json`.
pub(super) fn schema() -> String {
    let mut properties = Map::new();
    let groups: BTreeSet<&str> =
        VALUES.iter().filter_map(|value| Some(value.path.split_once('.')?.0)).collect();
    for group in groups {
        properties.insert(group.to_owned(), closed(Map::new()));
    }
    for value in VALUES {
        let shape = json!({"description": value.help, "type": type_of(&value.default())});
        match value.path.split_once('.') {
            Some((group, key)) => {
                let place = properties.get_mut(group).and_then(|group| group.get_mut("properties"));
                if let Some(Value::Object(place)) = place {
                    place.insert(key.to_owned(), shape);
                }
            }
            None => {
                properties.insert(value.path.to_owned(), shape);
            }
        }
    }
    // Helm itself adds this one where the chart is part of another.
    properties.insert("global".to_owned(), json!({"type": "object"}));
    let mut schema = closed(properties);
    schema["$schema"] = "https://json-schema.org/draft-07/schema#".into();
    format!("{schema:#}\n")
}

fn closed(properties: Map<String, Value>) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
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
