//! Expressions of PromQL that tell of demand in front of a pool's replicas, whether or not there are any.

use super::promql::Expression;
use super::queries::{QueriesError, expression};

/// Requests in an endpoint picker's queues, the newest name first. Old names are told beside new ones.
pub const PICKER_QUEUE_SIZE: [&str; 2] =
    ["llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size"];
/// How full a pool is, as its endpoint picker's flow control tells all the time.
pub const PICKER_POOL_SATURATION: [&str; 2] =
    ["llm_d_epp_flow_control_pool_saturation", "inference_extension_flow_control_pool_saturation"];

/// Checked expressions, of which one at least is there. Each tells of the whole pool: several series are
/// added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandQueries {
    held: Option<Expression>,
    arrivals: Option<Expression>,
}

impl DemandQueries {
    /// Checks them. `held` is a gauge of requests that wait, `arrivals` a counter of all that came.
    ///
    /// # Errors
    /// The first that can't be used; [`QueriesError::NoDemand`] where there is none.
    pub fn of(held: Option<&str>, arrivals: Option<&str>) -> Result<Self, QueriesError> {
        let held = held.map(|text| expression("held", text, false)).transpose()?;
        let arrivals = arrivals.map(|text| expression("arrivals", text, true)).transpose()?;
        if held.is_none() && arrivals.is_none() {
            return Err(QueriesError::NoDemand);
        }
        Ok(Self { held, arrivals })
    }

    /// What the endpoint picker of an InferencePool holds, of its versions' names the first that is there.
    ///
    /// The queue's series appears when a first request has waited. How full the pool is, flow control
    /// tells from its start on and only where it is on, so that this stands in for a queue of none.
    ///
    /// # Errors
    /// When `namespace` or `pool` are no names.
    pub fn of_inference_pool(namespace: &str, pool: &str) -> Result<Self, QueriesError> {
        let selector = format!(r#"{{namespace="{namespace}",inference_pool="{pool}"}}"#);
        let queue = PICKER_QUEUE_SIZE.map(|name| format!("sum({name}{selector})"));
        let is_on = PICKER_POOL_SATURATION.map(|name| format!("sum(0 * {name}{selector})"));
        Self::of(Some(&[queue, is_on].concat().join(" or ")), None)
    }

    /// Requests that wait because no replica can take them.
    pub const fn held(&self) -> Option<&Expression> {
        self.held.as_ref()
    }

    /// Requests that have arrived, in all, turned away ones included.
    pub const fn arrivals(&self) -> Option<&Expression> {
        self.arrivals.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_picker_is_asked_by_all_its_names() {
        let queries = DemandQueries::of_inference_pool("models", "chat.v1").unwrap();
        let held = queries.held().unwrap();
        let selector = r#"{namespace="models",inference_pool="chat.v1"}"#;
        let expected = format!(
            "sum(llm_d_epp_flow_control_queue_size{selector}) or \
             sum(inference_extension_flow_control_queue_size{selector}) or \
             sum(0 * llm_d_epp_flow_control_pool_saturation{selector}) or \
             sum(0 * inference_extension_flow_control_pool_saturation{selector})"
        );
        assert_eq!((held.as_str(), held.selectors().count()), (expected.as_str(), 4));
        assert!(DemandQueries::of_inference_pool("models", "a\"b").is_err());
    }

    #[test]
    fn one_is_enough_and_a_counter_is_told_as_it_is() {
        let queries = DemandQueries::of(Some("sum(q)"), None).unwrap();
        assert_eq!(queries.held().map(Expression::as_str), Some("sum(q)"));
        assert_eq!(queries.arrivals(), None);
        assert!(DemandQueries::of(None, Some("sum(requests_total)")).is_ok());
        // What waits may be a mean over a while; what arrives is counted here.
        assert!(DemandQueries::of(Some("sum(deriv(q[1m]))"), None).is_ok());
        for (held, arrivals, expected) in [
            (None, None, "neither `held` nor `arrivals` is given"),
            (None, Some("rate(r_total[1m])"), "`arrivals` calls `rate`"),
            (Some("sum(q"), None, "`held`: it is no PromQL"),
            (Some("vector(0)"), None, "`held`: it reads no series"),
        ] {
            let error = DemandQueries::of(held, arrivals).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
