//! The CapacityBuffer against what the cluster autoscaler's `autoscaling.x-k8s.io/v1beta1` allows.

use serde::Deserialize;

use crate::made;

/// The kind's own keys, and no others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CapacityBuffer {
    api_version: String,
    kind: String,
    metadata: serde_json::Value,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    provisioning_strategy: Option<String>,
    pod_template_ref: Option<serde_json::Value>,
    scalable_ref: Option<ScalableRef>,
    replicas: Option<u32>,
    percentage: Option<u32>,
    limits: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ScalableRef {
    #[serde(default)]
    api_group: String,
    kind: String,
    name: String,
}

#[test]
fn the_buffer_is_one_of_its_kind() {
    let buffer: CapacityBuffer =
        serde_saphyr::from_str(&made("example-capacity-buffer.yaml")).unwrap();
    assert_eq!(buffer.api_version, "autoscaling.x-k8s.io/v1beta1");
    assert_eq!(
        (buffer.kind.as_str(), buffer.metadata["name"].as_str()),
        ("CapacityBuffer", Some("chat"))
    );
    let spec = buffer.spec;
    assert_eq!(spec.provisioning_strategy.as_deref(), Some("buffer.x-k8s.io/active-capacity"));
    // One of the two says what a chunk is, and one number how many there are.
    assert!(spec.pod_template_ref.is_none());
    let of = spec.scalable_ref.unwrap();
    assert_eq!(
        (of.api_group.as_str(), of.kind.as_str(), of.name.as_str()),
        ("apps", "Deployment", "chat")
    );
    assert_eq!((spec.replicas, spec.percentage, spec.limits), (Some(1), None, None));
}
