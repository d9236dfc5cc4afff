//! From counts to what KEDA understands. Pure.
//!
//! KEDA reads the float where it is above zero and else the integer, and takes what is not a number
//! for zero: both are told, and what is not known is an error.

use tonic::Status;

use crate::contract::{
    GetMetricSpecResponse, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue,
    ScaledObjectRef,
};
use crate::count::{Answer, METRIC, Refusal};

/// Key of a trigger's metadata that names the resource; without it, it is named as the ScaledObject.
const NAME_KEY: &str = "inferenceAutoscaler";

/// Namespace and name of the resource that a ScaledObject reads: always of its own namespace.
pub(super) fn resource(of: &ScaledObjectRef) -> (&str, &str) {
    let name = of.scaler_metadata.get(NAME_KEY).unwrap_or(&of.name);
    (&of.namespace, name)
}

/// One metric, with a target of one for each replica: the count is the number of replicas.
pub(super) fn metric_spec() -> GetMetricSpecResponse {
    let spec =
        MetricSpec { metric_name: METRIC.to_owned(), target_size: 1, target_size_float: 1.0 };
    GetMetricSpecResponse { metric_specs: vec![spec] }
}

/// Whether there should be any replica.
pub(super) fn is_active(answer: Answer) -> Result<IsActiveResponse, Status> {
    let published = answer.map_err(refused)?;
    Ok(IsActiveResponse { result: published.replicas > 0 })
}

/// Exactly one value, under the name that was asked for: a HorizontalPodAutoscaler adds up several.
pub(super) fn metrics(asked: &str, answer: Answer) -> Result<GetMetricsResponse, Status> {
    let replicas = answer.map_err(refused)?.replicas;
    let value = MetricValue {
        metric_name: asked.to_owned(),
        metric_value: i64::from(replicas),
        metric_value_float: f64::from(replicas),
    };
    Ok(GetMetricsResponse { metric_values: vec![value] })
}

fn refused(refusal: Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unknown { .. } => Status::not_found(text),
        Refusal::Silent { .. } => Status::unavailable(text),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tonic::Code;

    use super::*;
    use crate::count::Published;

    fn published(replicas: u32) -> Answer {
        Ok(Published { replicas, at: Timestamp::UNIX_EPOCH })
    }

    fn silent() -> Answer {
        Err(Refusal::Silent { name: "chat".to_owned(), why: "its mode is Act".to_owned() })
    }

    /// What KEDA makes of a value: the float where it is above zero, else the integer.
    fn as_keda_reads(value: &MetricValue) -> f64 {
        if value.metric_value_float > 0.0 {
            value.metric_value_float
        } else {
            #[expect(clippy::cast_precision_loss, reason = "it is a count of replicas")]
            let whole = value.metric_value as f64;
            whole
        }
    }

    #[test]
    fn counts_arrive_as_they_are() {
        for (replicas, active) in [(0, false), (1, true), (11, true), (12, true), (10_000, true)] {
            assert_eq!(is_active(published(replicas)).unwrap().result, active);
            let values = metrics("s0-x", published(replicas)).unwrap().metric_values;
            assert_eq!(values.len(), 1);
            assert_eq!(values[0].metric_name, "s0-x");
            assert_eq!(as_keda_reads(&values[0]), f64::from(replicas));
        }
    }

    #[test]
    fn what_is_not_known_is_an_error_and_no_number() {
        let unknown = Err(Refusal::Unknown { namespace: "a".to_owned(), name: "b".to_owned() });
        for (answer, code) in [(silent(), Code::Unavailable), (unknown, Code::NotFound)] {
            assert_eq!(is_active(answer.clone()).unwrap_err().code(), code);
            assert_eq!(metrics("m", answer).unwrap_err().code(), code);
        }
        let text = is_active(silent()).unwrap_err();
        let said = "the InferenceAutoscaler `chat` publishes no count: its mode is Act";
        assert_eq!(text.message(), said);
    }

    #[test]
    fn the_resource_is_named_by_the_trigger_or_as_the_scaled_object() {
        let mut of = ScaledObjectRef {
            name: "scaled".to_owned(),
            namespace: "here".to_owned(),
            ..ScaledObjectRef::default()
        };
        assert_eq!(resource(&of), ("here", "scaled"));
        of.scaler_metadata.insert(NAME_KEY.to_owned(), "chat".to_owned());
        assert_eq!(resource(&of), ("here", "chat"));
    }

    #[test]
    fn a_replica_is_one_of_the_metric() {
        let specs = metric_spec().metric_specs;
        assert_eq!(specs.len(), 1);
        assert_eq!((specs[0].target_size, specs[0].target_size_float), (1, 1.0));
    }
}
