//! The Helm chart: the same objects as the plain manifests, with holes where its user may set
//! something.
//!
//! The names are fixed, as rights and lease are bound to them: a cluster has one preheat, of several
//! replicas.
//!
//! **Invariant:** with its defaults, in the namespace `preheat-system`, the chart makes what the plain
//! manifests say.

use serde_json::{Value, json};

use super::monitoring::{pod_monitor, prometheus_rule};
use super::{HEAD, ManifestFile, NAMESPACE, deployment, rbac, service, values};
use crate::resource::definition;

/// A place in an object that the chart's user may set.
enum Hole {
    /// A scalar, replaced by an expression.
    Scalar(&'static str, &'static str),
    /// A key, replaced by these lines; `INDENT` is two more than the key's own indentation.
    Instead(&'static str, &'static str),
    /// An object or a list that these lines are added to.
    Inside(&'static str, &'static str),
}

/// The chart's generated files.
pub(super) fn files() -> Result<Vec<ManifestFile>, serde_saphyr::SerializeError> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = json!({
        "apiVersion": "v2",
        "name": super::NAME,
        "description": "Scales LLM inference replicas ahead of the demand",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.29.0-0",
    });
    let file =
        |name: &str, text: String| ManifestFile { name: format!("chart/preheat/{name}"), text };
    let of_namespace = |object: &&Value| object["kind"] != "Namespace";
    let rights = rbac();
    let rights: Result<Vec<String>, _> =
        rights.iter().filter(of_namespace).map(|object| template(object.clone(), &[])).collect();
    let running = [template(deployment(), DEPLOYMENT)?, template(service(), &[])?];
    let mut crd = json!(definition());
    crd["metadata"]["annotations"] = json!({"helm.sh/resource-policy": "keep"});
    let monitor = template(pod_monitor(), &[LABELS_OF_MONITOR])?;
    let rule = template(prometheus_rule(), &[LABELS_OF_RULE])?;
    Ok(vec![
        file("Chart.yaml", format!("{HEAD}{}", serde_saphyr::to_string(&chart)?)),
        file("values.yaml", format!("{HEAD}{}", values::yaml()?)),
        file("values.schema.json", values::schema()),
        file("templates/crd.yaml", when("crds.install", &template(crd, &[])?)),
        file("templates/rbac.yaml", format!("{HEAD}{}", rights?.join("---\n"))),
        file("templates/deployment.yaml", format!("{HEAD}{}", running.join("---\n"))),
        file("templates/podmonitor.yaml", when("podMonitor.enabled", &monitor)),
        file("templates/prometheusrule.yaml", when("prometheusRule.enabled", &rule)),
        file("templates/dashboard.yaml", when("dashboard.enabled", DASHBOARD)),
        file("dashboards/preheat.json", super::dashboard::text()),
    ])
}

const DEPLOYMENT: &[Hole] = &[
    Hole::Scalar("/spec/replicas", "{{ .Values.replicas }}"),
    Hole::Scalar(
        "/spec/template/spec/containers/0/image",
        r#"{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}"#,
    ),
    Hole::Scalar(
        "/spec/template/spec/containers/0/imagePullPolicy",
        "{{ .Values.image.pullPolicy }}",
    ),
    Hole::Scalar("/spec/template/spec/containers/0/env/1/value", "{{ .Values.log | quote }}"),
    Hole::Inside(
        "/spec/template/spec/containers/0/args",
        "{{- with .Values.watchNamespace }}\n- --namespace\n- {{ . | quote }}\n{{- end }}\n\
         {{- range .Values.extraArgs }}\n- {{ . | quote }}\n{{- end }}",
    ),
    Hole::Instead(
        "/spec/template/spec/containers/0/resources",
        "{{- with .Values.resources }}\nresources:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}",
    ),
    Hole::Inside(
        "/spec/template/metadata",
        "{{- with .Values.podAnnotations }}\nannotations:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}",
    ),
    Hole::Inside(
        "/spec/template/metadata/labels",
        "{{- with .Values.podLabels }}\n{{- toYaml . | nindent HERE }}\n{{- end }}",
    ),
    Hole::Inside(
        "/spec/template/spec",
        "{{- with .Values.imagePullSecrets }}\nimagePullSecrets:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}\n\
         {{- with .Values.nodeSelector }}\nnodeSelector:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}\n\
         {{- with .Values.tolerations }}\ntolerations:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}\n\
         {{- with .Values.affinity }}\naffinity:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}\n\
         {{- with .Values.priorityClassName }}\npriorityClassName: {{ . | quote }}\n{{- end }}",
    ),
];

const LABELS_OF_MONITOR: Hole = Hole::Inside(
    "/metadata/labels",
    "{{- with .Values.podMonitor.labels }}\n{{- toYaml . | nindent HERE }}\n{{- end }}",
);
const LABELS_OF_RULE: Hole = Hole::Inside(
    "/metadata/labels",
    "{{- with .Values.prometheusRule.labels }}\n{{- toYaml . | nindent HERE }}\n{{- end }}",
);

const DASHBOARD: &str = r#"apiVersion: v1
data:
  preheat.json: |-
    {{- .Files.Get "dashboards/preheat.json" | nindent 4 }}
kind: ConfigMap
metadata:
  labels:
    app.kubernetes.io/name: preheat
    {{- with .Values.dashboard.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  name: preheat-dashboard
  namespace: {{ .Release.Namespace | quote }}
"#;

fn when(value: &str, text: &str) -> String {
    format!("{HEAD}{{{{- if .Values.{value} }}}}\n{text}{{{{- end }}}}\n")
}

/// An object's text with its holes, and with the release's namespace in the place of ours.
fn template(mut object: Value, holes: &[Hole]) -> Result<String, serde_saphyr::SerializeError> {
    for (index, hole) in holes.iter().enumerate() {
        let mark = mark(index);
        match hole {
            Hole::Scalar(pointer, _) => {
                if let Some(place) = object.pointer_mut(pointer) {
                    *place = mark.into();
                }
            }
            Hole::Instead(pointer, _) => {
                let (parent, key) = pointer.rsplit_once('/').unwrap_or(("", pointer));
                if let Some(Value::Object(parent)) = object.pointer_mut(parent) {
                    parent.remove(key);
                    parent.insert(mark.clone(), mark.into());
                }
            }
            Hole::Inside(pointer, _) => match object.pointer_mut(pointer) {
                Some(Value::Array(list)) => list.push(mark.into()),
                Some(Value::Object(map)) => {
                    map.insert(mark.clone(), mark.into());
                }
                _ => {}
            },
        }
    }
    let text = serde_saphyr::to_string(&object)?.replace("{{", r#"{{ "{{" }}"#);
    let mut made = String::new();
    for line in text.lines() {
        let hole = (0..holes.len()).find(|index| line.contains(&mark(*index)));
        match hole.and_then(|index| Some((index, holes.get(index)?))) {
            Some((index, Hole::Scalar(_, expression))) => {
                made.push_str(&line.replace(&mark(index), expression));
                made.push('\n');
            }
            Some((_, Hole::Instead(_, lines) | Hole::Inside(_, lines))) => {
                let indent = line.len() - line.trim_start().len();
                let lines = lines.replace("INDENT", &(indent + 2).to_string());
                for line in lines.replace("HERE", &indent.to_string()).lines() {
                    made.push_str(&format!("{:indent$}{line}\n", ""));
                }
            }
            None => {
                // It stands there as a whole scalar.
                made.push_str(&line.replace(NAMESPACE, "{{ .Release.Namespace | quote }}"));
                made.push('\n');
            }
        }
    }
    Ok(made)
}

/// Stands where a hole will be; no word of any object.
fn mark(index: usize) -> String {
    format!("preheatHole{index}x")
}
