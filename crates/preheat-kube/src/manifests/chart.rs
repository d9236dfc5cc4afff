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
use super::publishing::{external_metrics, publishing};
use super::{HEAD, ManifestFile, NAMESPACE, deployment, engine_logs, rbac, service, values};
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
    let rights = templates(rbac())?;
    let logs = templates(engine_logs())?;
    let mut metrics = external_metrics();
    let api_service = template(metrics.remove(0), &[AUTHORITY])?;
    let metrics = format!("{api_service}---\n{}", templates(metrics)?);
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
        file("templates/rbac.yaml", format!("{HEAD}{rights}")),
        file("templates/engine-logs.yaml", when("engineLogs.enabled", &logs)),
        file("templates/deployment.yaml", format!("{HEAD}{}", running.join("---\n"))),
        file("templates/publish.yaml", publish()?),
        file("templates/external-metrics.yaml", when("publish.externalMetrics.enabled", &metrics)),
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
         {{- if .Values.publish.externalMetrics.enabled }}\n- --external-metrics=0.0.0.0:8443\n{{- end }}\n\
         {{- if .Values.publish.keda.enabled }}\n- --scaler=0.0.0.0:9090\n\
         {{- if .Values.publish.keda.plain }}\n- --scaler-plain\n{{- end }}\n\
         {{- if .Values.publish.keda.clientCaSecret }}\n\
         {{- if .Values.publish.keda.plain }}\n\
         {{- fail \"publish.keda.plain shows and asks for no certificate: leave publish.keda.clientCaSecret empty\" }}\n\
         {{- end }}\n\
         - --scaler-client-ca-file=/etc/preheat/client-ca/ca.crt\n{{- end }}\n{{- end }}\n\
         {{- if .Values.publish.tls.secret }}\n- --tls-cert-file=/etc/preheat/tls/tls.crt\n\
         - --tls-key-file=/etc/preheat/tls/tls.key\n{{- end }}\n\
         {{- range .Values.extraArgs }}\n- {{ . | quote }}\n{{- end }}",
    ),
    Hole::Inside(
        "/spec/template/spec/containers/0/volumeMounts",
        "{{- with .Values.publish.tls.secret }}\n- mountPath: /etc/preheat/tls\n  name: tls\n  readOnly: true\n{{- end }}\n\
         {{- with .Values.publish.keda.clientCaSecret }}\n- mountPath: /etc/preheat/client-ca\n  name: client-ca\n  readOnly: true\n{{- end }}",
    ),
    Hole::Inside(
        "/spec/template/spec/volumes",
        "{{- with .Values.publish.tls.secret }}\n- name: tls\n  secret:\n    secretName: {{ . | quote }}\n{{- end }}\n\
         {{- with .Values.publish.keda.clientCaSecret }}\n- name: client-ca\n  secret:\n    secretName: {{ . | quote }}\n{{- end }}",
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

/// preheat writes its own authority into the APIService, and nobody else's.
const AUTHORITY: Hole = Hole::Inside(
    "/spec",
    "{{- with .Values.publish.tls.caBundle }}\ncaBundle: {{ . | quote }}\n{{- end }}",
);

/// The Service, and the rights to keep a certificate where preheat makes it.
fn publish() -> Result<String, serde_saphyr::SerializeError> {
    let mut objects = publishing();
    let service = template(objects.remove(0), &[])?;
    let rights = templates(objects)?;
    Ok(format!(
        "{HEAD}{{{{- if or .Values.publish.externalMetrics.enabled .Values.publish.keda.enabled }}}}\n\
         {service}{{{{- if not .Values.publish.tls.secret }}}}\n---\n{rights}{{{{- end }}}}\n{{{{- end }}}}\n"
    ))
}

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

/// Objects without holes, but for the namespace, which Helm makes itself.
fn templates(objects: Vec<Value>) -> Result<String, serde_saphyr::SerializeError> {
    let objects = objects.into_iter().filter(|object| object["kind"] != "Namespace");
    let texts: Result<Vec<String>, _> = objects.map(|object| template(object, &[])).collect();
    Ok(texts?.join("---\n"))
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
