//! An InferencePool's endpoint picker: where it is found, and what its own metrics tell of requests that
//! it holds.
//!
//! **Invariant:** pure. A picker that tells nothing holds no known number, and not none.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use preheat_api::dialect::{PICKER_POOL_SATURATION, PICKER_QUEUE_SIZE};
use preheat_runtime::exposition::{Exposition, Format};
use serde_json::Value;

use crate::pods::condition;

/// Where a picker's metrics are unless its Service says otherwise.
const METRICS_PORT: u16 = 9090;
/// What pickers' charts call that port.
const METRICS_PORT_NAMES: [&str; 2] = ["http-metrics", "metrics"];

/// The Service of a pool's picker, from the pool's spec.
///
/// # Errors
/// Why there is none.
pub fn service_of(spec: &Value) -> Result<&str, String> {
    let reference = &spec["endpointPickerRef"];
    let field = |key: &str| reference[key].as_str().filter(|text| !text.is_empty());
    let (group, kind) = (field("group").unwrap_or("core"), field("kind").unwrap_or("Service"));
    if group != "core" || kind != "Service" {
        return Err(format!("its endpointPickerRef is a {kind} of {group}, and no Service"));
    }
    field("name").ok_or_else(|| "its endpointPickerRef has no name".to_owned())
}

/// The port of a Service's pods that tells metrics.
pub fn metrics_port(service: &Service) -> u16 {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let is_named = |name: Option<&str>| name.is_some_and(|n| METRICS_PORT_NAMES.contains(&n));
    let named = ports.into_iter().find(|port| is_named(port.name.as_deref()));
    let number = named.and_then(|port| match &port.target_port {
        Some(IntOrString::Int(number)) => u16::try_from(*number).ok(),
        // Which number the name has, containers say, and their ports are not looked at.
        Some(IntOrString::String(_)) => None,
        None => u16::try_from(port.port).ok(),
    });
    number.unwrap_or(METRICS_PORT)
}

/// Whether a pod is a Service's, and ready.
pub fn serves(pod: &Pod, selector: &BTreeMap<String, String>) -> bool {
    let labels = pod.metadata.labels.as_ref();
    let has = |(key, value): (&String, &String)| labels.and_then(|all| all.get(key)) == Some(value);
    let ready = condition(pod.status.as_ref(), "Ready");
    !selector.is_empty()
        && selector.iter().all(has)
        && pod.metadata.deletion_timestamp.is_none()
        && ready.is_some_and(|condition| condition.status == "True")
}

/// Requests that a picker's flow control holds for this pool; `None` where it tells nothing of it. A
/// queue that is not there yet is empty where flow control tells how full the pool is.
pub fn held(body: &[u8], format: Format, pool: &str) -> Option<f64> {
    let total = |name: &str| {
        let mut lines = Exposition::new(body, format);
        let mut total = None;
        while let Some(sample) = lines.next_sample_where(|found| found == name.as_bytes()) {
            let is_ours = sample.labels.get("inference_pool").is_some_and(|of| of == pool);
            if is_ours && sample.value.is_finite() {
                *total.get_or_insert(0.0) += sample.value;
            }
        }
        total
    };
    let is_on = || PICKER_POOL_SATURATION.into_iter().find_map(total).map(|_| 0.0);
    PICKER_QUEUE_SIZE.into_iter().find_map(total).or_else(is_on)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_picker_is_a_service() {
        let of = |reference: Value| {
            let spec = json!({"endpointPickerRef": reference});
            service_of(&spec).map(str::to_owned)
        };
        let full = json!({"group": "", "kind": "Service", "name": "epp", "port": {"number": 9002}});
        assert_eq!(of(full).as_deref(), Ok("epp"));
        assert_eq!(of(json!({"name": "epp"})).as_deref(), Ok("epp"));
        let other = json!({"group": "example.com", "kind": "Picker", "name": "epp"});
        assert!(of(other).unwrap_err().contains("a Picker of example.com"));
        for hostile in [json!({}), json!(null), json!({"name": 3}), json!([])] {
            assert!(of(hostile).is_err());
        }
    }

    #[test]
    fn a_service_says_which_port_tells_metrics() {
        let port = |ports: Value| {
            let service = json!({"metadata": {}, "spec": {"ports": ports}});
            metrics_port(&serde_json::from_value(service).unwrap())
        };
        let grpc = json!({"name": "grpc-ext-proc", "port": 9002});
        assert_eq!(port(json!([grpc])), 9090);
        assert_eq!(port(json!([grpc, {"name": "http-metrics", "port": 9091}])), 9091);
        let mapped = json!({"name": "metrics", "port": 80, "targetPort": 9092});
        assert_eq!(port(json!([mapped])), 9092);
        let by_name = json!({"name": "metrics", "port": 80, "targetPort": "m"});
        assert_eq!(port(json!([by_name])), 9090);
    }

    #[test]
    fn pods_of_a_service_are_asked_once_they_are_ready() {
        let pod = |labels: Value, ready: &str| -> Pod {
            let status = json!({"conditions": [{"type": "Ready", "status": ready}]});
            serde_json::from_value(json!({"metadata": {"labels": labels}, "status": status}))
                .unwrap()
        };
        let selector = BTreeMap::from([("app".to_owned(), "epp".to_owned())]);
        assert!(serves(&pod(json!({"app": "epp", "x": "y"}), "True"), &selector));
        assert!(!serves(&pod(json!({"app": "epp"}), "False"), &selector));
        assert!(!serves(&pod(json!({"x": "epp"}), "True"), &selector));
        assert!(!serves(&pod(json!({"app": "epp"}), "True"), &BTreeMap::new()), "it selects none");
    }

    #[test]
    fn what_is_held_is_added_up_by_the_newest_name() {
        let held = |body: &str| held(body.as_bytes(), Format::Text, "chat");
        let new = "llm_d_epp_flow_control_queue_size";
        let old = "inference_extension_flow_control_queue_size";
        let both = format!(
            "{new}{{inference_pool=\"chat\",priority=\"0\"}} 3\n\
             {new}{{inference_pool=\"chat\",priority=\"1\"}} 2\n\
             {new}{{inference_pool=\"other\"}} 9\n\
             {old}{{inference_pool=\"chat\"}} 5\n"
        );
        assert_eq!(held(&both), Some(5.0));
        assert_eq!(held(&format!("{old}{{inference_pool=\"chat\"}} 4\n")), Some(4.0));
        // Nothing has waited yet, but flow control is on.
        let on = "llm_d_epp_flow_control_pool_saturation{inference_pool=\"chat\"} 1\n";
        assert_eq!(held(on), Some(0.0));
        assert_eq!(held("go_goroutines 12\n"), None);
        assert_eq!(held(&format!("{new}{{inference_pool=\"other\"}} 9\n")), None);
        assert_eq!(held(&format!("{new}{{inference_pool=\"chat\"}} NaN\n")), None);
    }
}
