//! Answers of the query API, as JSON.
//!
//! **Invariant:** no answer, however large or wrong, makes it panic; points ascend in time.

use std::collections::BTreeMap;

use serde::Deserialize;

/// More series than any pool has. An answer with more was asked for without a selector.
const SERIES_MAX: usize = 20_000;
/// A month at 15 s for twenty series, or two days for three hundred.
const POINTS_MAX: usize = 4_000_000;

/// One series and what was seen of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its labels; its name, where the query kept it, is `__name__`.
    pub labels: BTreeMap<String, String>,
    /// Ascending in time, without NaN.
    pub points: Vec<Point>,
}

/// A value and its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the Unix epoch.
    pub at: f64,
    /// The value, finite or infinite.
    pub value: f64,
}

impl Series {
    /// Its metric's name, where the query kept it.
    pub fn name(&self) -> &str {
        self.label("__name__").unwrap_or_default()
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

/// Why an answer can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is no answer of the query API.
    #[error("the answer is no JSON of the query API, it begins with {begin:?}")]
    NotJson {
        /// Its first characters.
        begin: String,
        /// What is wrong.
        #[source]
        error: serde_json::Error,
    },
    /// The query was refused.
    #[error("the query was refused ({kind}): {says}")]
    Refused {
        /// Its kind, as Prometheus calls it.
        kind: String,
        /// What it says.
        says: String,
    },
    /// More than can be held.
    #[error("the answer has {found} {what}, of which {limit} can be held")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are, at least.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A scalar or a string.
    #[error("the answer is a {0}, and a vector or a matrix was expected")]
    Kind(String),
}

#[derive(Deserialize)]
struct Wire {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    #[serde(default)]
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct SeriesWire {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Reads an answer.
pub(super) fn read(body: &[u8]) -> Result<Vec<Series>, AnswerError> {
    let not_json = |error| AnswerError::NotJson { begin: begin(body), error };
    let wire: Wire = serde_json::from_slice(body).map_err(not_json)?;
    let data = match wire.data {
        Some(data) if wire.status == "success" => data,
        _ => return Err(AnswerError::Refused { kind: wire.error_type, says: wire.error }),
    };
    if !matches!(data.result_type.as_str(), "vector" | "matrix") {
        return Err(AnswerError::Kind(data.result_type));
    }
    let found: Vec<SeriesWire> = serde_json::from_value(data.result).map_err(not_json)?;
    within("series", found.len(), SERIES_MAX)?;
    let points = found.iter().map(|series| series.values.len()).sum();
    within("points", points, POINTS_MAX)?;
    Ok(found.into_iter().map(series).collect())
}

fn within(what: &'static str, found: usize, limit: usize) -> Result<(), AnswerError> {
    if found > limit { Err(AnswerError::TooMany { what, found, limit }) } else { Ok(()) }
}

fn series(wire: SeriesWire) -> Series {
    let mut points: Vec<Point> = Vec::with_capacity(wire.values.len() + 1);
    for (at, text) in wire.values.into_iter().chain(wire.value) {
        let value = match text.as_str() {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            number => number.parse().unwrap_or(f64::NAN),
        };
        let ascends = points.last().is_none_or(|last| last.at < at);
        if ascends && at.is_finite() && !value.is_nan() {
            points.push(Point { at, value });
        }
    }
    Series { labels: wire.metric, points }
}

/// The first line or so of what is no answer.
pub(super) fn begin(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..120).unwrap_or(body));
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! captured {
        ($name:literal) => {
            read(include_bytes!(concat!("../../fixtures/prometheus-2.42.0/", $name, ".json")))
        };
    }

    #[test]
    fn captured_answers() {
        let waiting = captured!("query_waiting_vector").unwrap();
        assert_eq!((waiting.len(), waiting[0].name()), (1, "vllm:num_requests_waiting"));
        assert_eq!(waiting[0].label("model_name"), Some("tiny-a"));
        assert_eq!(waiting[0].points, [Point { at: 1_795_502_229.763, value: 15.0 }]);
        let range = captured!("query_range_waiting").unwrap();
        assert_eq!((range[0].points.len(), range[0].points[10].value), (21, 17.0));
        // A metric that is not there is an empty answer, and no zero.
        assert_eq!(captured!("query_empty").unwrap(), []);
        let refused = captured!("query_error").unwrap_err().to_string();
        assert!(refused.contains("bad_data") && refused.contains("parenthesis"), "{refused}");
    }

    #[test]
    fn what_is_no_number_is_absent() {
        let body = r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},
            "values":[[1,"1"],[2,"NaN"],[2,"two"],[3,"+Inf"],[2.5,"9"],[4,"4"]]}]}}"#;
        let points = &read(body.as_bytes()).unwrap()[0].points;
        let values: Vec<(f64, f64)> = points.iter().map(|p| (p.at, p.value)).collect();
        assert_eq!(values, [(1.0, 1.0), (3.0, f64::INFINITY), (4.0, 4.0)]);
    }

    #[test]
    fn what_is_no_answer_says_how_it_begins() {
        for (body, expected) in [
            ("<html>\n <body>502 Bad Gateway", "begins with \"<html> <body>502 Bad Gateway\""),
            ("", "begins with \"\""),
            (r#"{"status":"success"}"#, "refused"),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}"#, "a scalar"),
            (r#"{"status":"success","data":{"resultType":"vector","result":7}}"#, "no JSON of"),
        ] {
            let error = read(body.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn more_series_than_can_be_held_are_refused() {
        let one = r#"{"metric":{},"value":[1,"1"]}"#;
        let all = vec![one; SERIES_MAX + 1].join(",");
        let body =
            format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{all}]}}}}"#);
        assert!(matches!(read(body.as_bytes()), Err(AnswerError::TooMany { what: "series", .. })));
    }
}
