//! An expression of PromQL for each signal, where a Prometheus is asked in the engines' place.
//!
//! **Invariant:** a counter is told as the total that it is. Increases are taken by preheat, which sees
//! a reset.

use serde::{Deserialize, Serialize};

use super::MetricNames;
use super::promql::{Expression, ExpressionError};

/// Functions that make something else of a counter.
const RATES: [&str; 6] = ["rate", "irate", "increase", "delta", "idelta", "deriv"];

/// Expressions, by what they tell; what has none is not told. Series of one replica are added; their
/// label that names it is whoever asks to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "MetricQueriesSpec", into = "MetricQueriesSpec")]
pub struct MetricQueries {
    given: Vec<(&'static str, Expression)>,
}

/// The same, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricQueriesSpec {
    /// Requests in the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Requests that wait for a place in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Share of the KV cache in use, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_utilization: Option<String>,
    /// Requests that ended well, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
    /// Prompt tokens, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<String>,
    /// Generated tokens, in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens: Option<String>,
}

/// Why queries can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueriesError {
    /// What is in a replica must be told.
    #[error("`{0}` is not given, and must be: without it nobody knows what is inside a replica")]
    Missing(&'static str),
    /// It is no expression.
    #[error("`{key}`: {error}")]
    Expression {
        /// Of which signal.
        key: &'static str,
        /// What is wrong.
        error: ExpressionError,
    },
    /// A counter was made something else.
    #[error(
        "`{key}` calls `{function}`; give the counter itself, of which preheat takes increases"
    )]
    Rate {
        /// Of which signal.
        key: &'static str,
        /// What it calls.
        function: &'static str,
    },
    /// Nothing tells of demand.
    #[error("neither `held` nor `arrivals` is given; one of them must tell of requests")]
    NoDemand,
    /// Several tell of demand, or none does.
    #[error("one of `inferencePool` and `queries` must be given, and not both")]
    DemandSources,
    /// Nothing is told under that name.
    #[error("`{0}` is no signal; there are {signals}", signals = MetricQueries::KEYS.join(", "))]
    Unknown(String),
}

impl QueriesError {
    /// The signal that it is about.
    pub fn key(&self) -> &str {
        match self {
            Self::Missing(key) | Self::Expression { key, .. } | Self::Rate { key, .. } => key,
            Self::Unknown(key) => key,
            Self::NoDemand | Self::DemandSources => "demand",
        }
    }
}

/// Reads one; of a counter, no rate.
pub(super) fn expression(
    key: &'static str,
    text: &str,
    is_counter: bool,
) -> Result<Expression, QueriesError> {
    let expression = Expression::parse(text);
    let expression = expression.map_err(|error| QueriesError::Expression { key, error })?;
    let rate = RATES.into_iter().find(|function| expression.calls(function));
    match rate.filter(|_| is_counter) {
        Some(function) => Err(QueriesError::Rate { key, function }),
        None => Ok(expression),
    }
}

impl MetricQueries {
    /// What can be asked for.
    pub const KEYS: [&'static str; 6] =
        ["running", "waiting", "kvUtilization", "completions", "promptTokens", "generationTokens"];

    /// Checks pairs of a signal and its expression.
    ///
    /// # Errors
    /// The first that can't be used.
    pub fn of<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, QueriesError> {
        let mut given: Vec<(&'static str, Expression)> = Vec::new();
        for (name, text) in pairs {
            let key = Self::KEYS.into_iter().find(|key| *key == name);
            let key = key.ok_or_else(|| QueriesError::Unknown(name.to_owned()))?;
            let is_counter = !matches!(key, "running" | "waiting" | "kvUtilization");
            let expression = expression(key, text, is_counter)?;
            given.retain(|(other, _)| *other != key);
            given.push((key, expression));
        }
        for key in ["running", "waiting"] {
            if given.iter().all(|(other, _)| *other != key) {
                return Err(QueriesError::Missing(key));
            }
        }
        Ok(Self { given })
    }

    /// Each signal's key with its expression.
    pub fn given(&self) -> impl Iterator<Item = (&'static str, &Expression)> {
        self.given.iter().map(|(key, expression)| (*key, expression))
    }

    /// The series that they read, each once.
    pub fn selectors(&self) -> Vec<&str> {
        let mut selectors: Vec<&str> =
            self.given.iter().flat_map(|(_, expression)| expression.selectors()).collect();
        selectors.sort_unstable();
        selectors.dedup();
        selectors
    }

    /// Metrics that are called as the signals are: what answers are read by.
    pub fn names(&self) -> MetricNames {
        let name =
            |key: &str| self.given.iter().any(|(given, _)| *given == key).then(|| key.to_owned());
        MetricNames {
            running: name("running"),
            waiting: name("waiting"),
            kv_utilization: name("kvUtilization"),
            completions: name("completions"),
            prompt_tokens: name("promptTokens"),
            generation_tokens: name("generationTokens"),
            ..MetricNames::default()
        }
    }

    fn text(&self, key: &str) -> Option<String> {
        let given = self.given.iter().find(|(given, _)| *given == key);
        given.map(|(_, expression)| expression.to_string())
    }
}

impl TryFrom<MetricQueriesSpec> for MetricQueries {
    type Error = QueriesError;

    fn try_from(spec: MetricQueriesSpec) -> Result<Self, QueriesError> {
        let all = [
            spec.running,
            spec.waiting,
            spec.kv_utilization,
            spec.completions,
            spec.prompt_tokens,
            spec.generation_tokens,
        ];
        let pairs = Self::KEYS.into_iter().zip(&all);
        Self::of(pairs.filter_map(|(key, text)| Some((key, text.as_deref()?))))
    }
}

impl From<MetricQueries> for MetricQueriesSpec {
    fn from(queries: MetricQueries) -> Self {
        Self {
            running: queries.text("running"),
            waiting: queries.text("waiting"),
            kv_utilization: queries.text("kvUtilization"),
            completions: queries.text("completions"),
            prompt_tokens: queries.text("promptTokens"),
            generation_tokens: queries.text("generationTokens"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_must_be_told_and_counters_as_totals() {
        let both = [("running", "r"), ("waiting", "sum by (pod) (w) + x")];
        let queries = MetricQueries::of(both).unwrap();
        assert_eq!(queries.selectors(), ["r", "w", "x"]);
        let names = queries.names();
        assert_eq!(names.mistake(), None);
        assert_eq!((names.running.as_deref(), names.completions), (Some("running"), None));
        let with = |pair| MetricQueries::of(both.into_iter().chain([pair]));
        assert!(with(("completions", "sum by (pod) (c_total)")).is_ok());
        // Requests in the batch may well be a rate of something.
        assert!(with(("running", "rate(seconds_total[1m])")).is_ok());
        for (found, expected) in [
            (MetricQueries::of([("running", "r")]), "`waiting` is not given, and must be"),
            (
                with(("completions", "rate(c_total[1m])")),
                "`completions` calls `rate`; give the counter",
            ),
            (with(("promptTokens", "p offset 1m")), "`promptTokens`: `offset` makes it tell of"),
            (with(("ttft", "t")), "`ttft` is no signal; there are running, waiting, kvUtil"),
        ] {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(expected), "{error} lacks {expected}");
        }
    }

    #[test]
    fn they_are_checked_where_they_are_read() {
        let text = r#"{"running":"r","waiting":"w","promptTokens":"sum(p)"}"#;
        let queries: MetricQueries = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&queries).unwrap(), text);
        for bad in [r#"{"running":"r","waiting":"w("}"#, r#"{"running":"r"}"#, r#"{"r":"r"}"#] {
            assert!(serde_json::from_str::<MetricQueries>(bad).is_err(), "{bad}");
        }
    }
}
