//! What else is applied where others write the scale: the Service, the rights, the APIService, and an
//! example for each of HorizontalPodAutoscaler and KEDA.

use preheat_publish::{API_SERVICE, METRIC, NAME_LABEL, SECRET};
use serde_json::{Value, json};

use super::{NAME, NAMESPACE, named, rule};

/// The port of the External Metrics API.
const METRICS_PORT: u16 = 8443;
/// The port of KEDA's external scaler.
const SCALER_PORT: u16 = 9090;
const RBAC: &str = "rbac.authorization.k8s.io";

/// For either way of publishing: the Service, and the rights to keep a certificate.
pub fn publishing() -> Vec<Value> {
    let port = |name: &str, port: u16, target: u16| json!({"name": name, "port": port, "targetPort": target});
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {
            "selector": {"app.kubernetes.io/name": NAME},
            "ports": [
                port("external-metrics", 443, METRICS_PORT),
                port("scaler", SCALER_PORT, SCALER_PORT),
            ],
        },
    });
    let name = "preheat-certificate";
    let rules = vec![
        // A right to create can't be bound to a name.
        rule("", &["secrets"], &["create"]),
        named(rule("", &["secrets"], &["get", "update"]), SECRET),
    ];
    vec![
        service,
        json!({
            "apiVersion": format!("{RBAC}/v1"),
            "kind": "Role",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "rules": rules,
        }),
        bound("RoleBinding", name, Some(NAMESPACE), ("Role", name), &ours()),
    ]
}

/// For the External Metrics API: the APIService, what preheat asks the apiserver about its readers, and
/// the rights of HorizontalPodAutoscalers' controller to read.
pub fn external_metrics() -> Vec<Value> {
    let reader = "preheat-metrics-reader";
    let (own, delegator) = ("preheat-external-metrics", "system:auth-delegator");
    let authentication = "extension-apiserver-authentication-reader";
    let controller = json!({
        "kind": "ServiceAccount", "name": "horizontal-pod-autoscaler", "namespace": "kube-system",
    });
    vec![
        // preheat fills in whom to trust.
        json!({
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": API_SERVICE},
            "spec": {
                "group": "external.metrics.k8s.io",
                "version": "v1beta1",
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "service": {"name": NAME, "namespace": NAMESPACE, "port": 443},
            },
        }),
        cluster_role(
            own,
            &named(
                rule("apiregistration.k8s.io", &["apiservices"], &["get", "patch"]),
                API_SERVICE,
            ),
        ),
        bound("ClusterRoleBinding", own, None, ("ClusterRole", own), &ours()),
        bound(
            "ClusterRoleBinding",
            "preheat-auth-delegator",
            None,
            ("ClusterRole", delegator),
            &ours(),
        ),
        bound(
            "RoleBinding",
            "preheat-auth-reader",
            Some("kube-system"),
            ("Role", authentication),
            &ours(),
        ),
        cluster_role(reader, &rule("external.metrics.k8s.io", &["*"], &["get", "list"])),
        bound("ClusterRoleBinding", reader, None, ("ClusterRole", reader), &controller),
    ]
}

fn ours() -> Value {
    json!({"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE})
}

fn cluster_role(name: &str, rule: &Value) -> Value {
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [rule],
    })
}

fn bound(
    kind: &str,
    name: &str,
    namespace: Option<&str>,
    (role_kind, role): (&str, &str),
    subject: &Value,
) -> Value {
    let mut metadata = json!({"name": name});
    if let Some(namespace) = namespace {
        metadata["namespace"] = namespace.into();
    }
    json!({
        "apiVersion": format!("{RBAC}/v1"),
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
        "subjects": [subject],
    })
}

fn target() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"})
}

/// Every count at once, and no second damping: preheat does that, and knows more.
fn behavior() -> Value {
    let rules = json!({
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [{"type": "Pods", "value": 1000, "periodSeconds": 15}],
        "tolerance": "0",
    });
    json!({"scaleUp": rules, "scaleDown": rules})
}

fn autoscaler() -> Value {
    json!({
        "apiVersion": "preheat.dev/v1alpha1",
        "kind": "InferenceAutoscaler",
        "metadata": {"name": "chat"},
        "spec": {"targetRef": target(), "mode": "Publish", "minReplicas": 1, "maxReplicas": 20},
    })
}

/// A resource that publishes, and a HorizontalPodAutoscaler that follows.
pub fn hpa_example() -> Vec<Value> {
    let hpa = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "chat"},
        "spec": {
            "scaleTargetRef": target(),
            "minReplicas": 1,
            "maxReplicas": 20,
            "metrics": [{
                "type": "External",
                "external": {
                    "metric": {
                        "name": METRIC,
                        "selector": {"matchLabels": {NAME_LABEL: "chat"}},
                    },
                    "target": {"type": "AverageValue", "averageValue": "1"},
                },
            }],
            "behavior": behavior(),
        },
    });
    vec![autoscaler(), hpa]
}

/// A resource that publishes, and a ScaledObject that follows.
pub fn keda_example() -> Vec<Value> {
    let secret = json!({"parameter": "caCert", "name": "preheat-ca", "key": "ca.crt"});
    vec![
        autoscaler(),
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "TriggerAuthentication",
            "metadata": {"name": "preheat"},
            "spec": {"secretTargetRef": [secret]},
        }),
        json!({
            "apiVersion": "keda.sh/v1alpha1",
            "kind": "ScaledObject",
            "metadata": {"name": "chat"},
            "spec": {
                "scaleTargetRef": target(),
                "pollingInterval": 5,
                "minReplicaCount": 1,
                "maxReplicaCount": 20,
                "fallback": {
                    "failureThreshold": 3, "replicas": 1, "behavior": "currentReplicasIfHigher",
                },
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior()}},
                "triggers": [{
                    "type": "external",
                    "metricType": "AverageValue",
                    "metadata": {
                        "scalerAddress": format!("{NAME}.{NAMESPACE}.svc:{SCALER_PORT}"),
                        "enableTLS": "true",
                        "inferenceAutoscaler": "chat",
                    },
                    "authenticationRef": {"name": "preheat"},
                }],
            },
        }),
    ]
}
