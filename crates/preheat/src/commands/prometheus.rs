//! What the commands that ask a Prometheus of the past have in common.

use std::error::Error;

use preheat_api::dialect::MetricQueries;
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::prometheus::PrometheusError;

use crate::failure::hinted;

/// Label matchers that choose the engines' series: as they were given, or those of a model's name.
pub(super) fn selector(given: Option<&str>, pool: Option<&str>) -> anyhow::Result<String> {
    match (given, pool) {
        (Some(selector), _) => Ok(selector.trim_matches(['{', '}', ' ']).to_owned()),
        (None, Some(pool)) => {
            let pool = pool.replace('\\', "\\\\").replace('"', "\\\"");
            Ok(format!("model_name=\"{pool}\""))
        }
        (None, None) => {
            let hint = "give --pool MODEL, or --selector 'namespace=\"llm\",pod=~\"chat-.*\"'";
            Err(hinted("nothing says which series are the pool's", hint))
        }
    }
}

/// Queries of a user's own, where there are any.
pub(super) fn queries(given: &[(String, String)]) -> anyhow::Result<Option<MetricQueries>> {
    if given.is_empty() {
        return Ok(None);
    }
    let pairs = given.iter().map(|(key, query)| (key.as_str(), query.as_str()));
    MetricQueries::of(pairs).map(Some).map_err(|error| {
        let hint = "write each as --query running='sum by (pod) (my_engine_running)'";
        hinted(format!("--query: {error}"), hint)
    })
}

/// Now, in whole seconds since the Unix epoch.
pub(super) fn now_s() -> u64 {
    Clock::start(TimeScale::REAL).now().as_nanos() / 1_000_000_000
}

/// It gave no answer that could be used.
pub(super) fn failed(error: PrometheusError) -> anyhow::Error {
    let hint = error.hint();
    let mut message = error.to_string();
    if let Some(because) = error.source() {
        message = format!("{message}: {because}");
    }
    hinted(message, hint)
}
