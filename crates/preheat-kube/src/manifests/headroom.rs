//! What keeps a node up for the next start: placeholders, pods that do nothing but hold the GPUs of a
//! replica and give way to it, or a buffer that the autoscaler of nodes keeps by itself.

use serde_json::{Value, json};

/// Name of the Deployment and of its priority class.
pub const HEADROOM: &str = "preheat-headroom";
/// Below the 0 of pods that say nothing, so that the scheduler evicts placeholders for them; and not
/// below -10, from where on the cluster autoscaler makes no node for a pod unless it is told to
/// (`--expendable-pods-priority-cutoff`).
const PRIORITY: i32 = -10;

/// A priority class, and a Deployment of placeholders of it. It goes to the namespace that it is
/// applied to.
pub fn headroom() -> Vec<Value> {
    let labels = json!({"app.kubernetes.io/name": HEADROOM});
    let container = json!({
        "name": "placeholder",
        "image": "registry.k8s.io/pause:3.10",
        // As the engine's: what it asks for is what will be free.
        "resources": {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"nvidia.com/gpu": "1"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
    });
    vec![
        json!({
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": HEADROOM},
            "value": PRIORITY,
            // It waits for room, and takes none from others.
            "preemptionPolicy": "Never",
            "globalDefault": false,
            "description": "Placeholders that hold a node up for the next replica.",
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": HEADROOM, "labels": labels},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "priorityClassName": HEADROOM,
                        // There is nothing to finish, and somebody waits.
                        "terminationGracePeriodSeconds": 0,
                        "automountServiceAccountToken": false,
                        "enableServiceLinks": false,
                        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 65535,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "containers": [container],
                    },
                },
            },
        }),
    ]
}

/// A CapacityBuffer for one more replica of the Deployment `chat`, as the cluster autoscaler's v1beta1
/// has it. It goes to the Deployment's namespace.
pub fn capacity_buffer() -> Value {
    json!({
        "apiVersion": "autoscaling.x-k8s.io/v1beta1",
        "kind": "CapacityBuffer",
        "metadata": {"name": "chat"},
        "spec": {
            "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
            "scalableRef": {"apiGroup": "apps", "kind": "Deployment", "name": "chat"},
            "replicas": 1,
        },
    })
}
