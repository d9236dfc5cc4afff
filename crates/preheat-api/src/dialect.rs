//! Whose metrics a replica serves, as a configuration says it.
//!
//! **Invariant:** names only. What a dialect's metrics are called is in `preheat-runtime`.

mod demand;
mod promql;
mod queries;

pub use demand::{DemandQueries, PICKER_POOL_SATURATION, PICKER_QUEUE_SIZE};
pub use promql::{Expression, ExpressionError};
pub use queries::{MetricQueries, MetricQueriesSpec, QueriesError};
use serde::{Deserialize, Serialize};

/// Engines, and what stands before them, whose metrics are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum DialectName {
    /// vLLM, and what imitates it.
    #[serde(rename = "vllm")]
    Vllm,
    /// SGLang.
    #[serde(rename = "sglang")]
    Sglang,
    /// TensorRT-LLM's own server, `trtllm-serve`.
    #[serde(rename = "tensorrt-llm")]
    TensorRtLlm,
    /// Triton with the TensorRT-LLM backend.
    #[serde(rename = "triton")]
    Triton,
    /// Text Generation Inference.
    #[serde(rename = "tgi")]
    Tgi,
    /// llama.cpp's server.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// Dynamo's frontend.
    #[serde(rename = "dynamo")]
    Dynamo,
    /// The endpoint picker of llm-d and of the Gateway API's inference extension.
    #[serde(rename = "endpoint-picker")]
    EndpointPicker,
}

impl DialectName {
    /// All of them; where a body fits two equally well, the first is believed.
    pub const ALL: [Self; 8] = [
        Self::Vllm,
        Self::Sglang,
        Self::TensorRtLlm,
        Self::Triton,
        Self::Tgi,
        Self::LlamaCpp,
        Self::Dynamo,
        Self::EndpointPicker,
    ];

    /// As a configuration writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vllm => "vllm",
            Self::Sglang => "sglang",
            Self::TensorRtLlm => "tensorrt-llm",
            Self::Triton => "triton",
            Self::Tgi => "tgi",
            Self::LlamaCpp => "llama.cpp",
            Self::Dynamo => "dynamo",
            Self::EndpointPicker => "endpoint-picker",
        }
    }

    /// The one of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

/// How a replica's metrics are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dialect {
    /// As what they look like.
    #[default]
    Auto,
    /// As this one's.
    Known(DialectName),
    /// By these names.
    Custom(Box<MetricNames>),
    /// Not by the engines: a Prometheus is asked these.
    Queries(Box<MetricQueries>),
}

/// Names of metrics, by what they tell; what has no name is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricNames {
    /// Requests in the batch, a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<String>,
    /// Requests that wait for a place in it, a gauge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<String>,
    /// Share of the KV cache in use, a gauge from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_utilization: Option<String>,
    /// Requests that ended well, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,
    /// Prompt tokens, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<String>,
    /// Generated tokens, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_tokens: Option<String>,
    /// Requests thrown out of the batch, a counter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preemptions: Option<String>,
    /// Time to first token, a histogram of seconds, without `_bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft: Option<String>,
    /// Inter-token latency, a histogram of seconds, without `_bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub itl: Option<String>,
}

impl MetricNames {
    /// Each key with its name, as a configuration writes the key.
    pub fn all(&self) -> [(&'static str, Option<&str>); 9] {
        [
            ("running", self.running.as_deref()),
            ("waiting", self.waiting.as_deref()),
            ("kvUtilization", self.kv_utilization.as_deref()),
            ("completions", self.completions.as_deref()),
            ("promptTokens", self.prompt_tokens.as_deref()),
            ("generationTokens", self.generation_tokens.as_deref()),
            ("preemptions", self.preemptions.as_deref()),
            ("ttft", self.ttft.as_deref()),
            ("itl", self.itl.as_deref()),
        ]
    }

    /// The first key whose name is no metric's. What is in a replica must be told, so `running` and
    /// `waiting` have names.
    pub fn mistake(&self) -> Option<&'static str> {
        let is_name = |name: &str| {
            let first = name.bytes().next();
            first.is_some_and(|byte| !byte.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
        };
        let essential = |key| matches!(key, "running" | "waiting");
        let wrong = |(key, name): &(&'static str, Option<&str>)| match name {
            Some(name) => !is_name(name),
            None => essential(*key),
        };
        self.all().into_iter().find(wrong).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for dialect in DialectName::ALL {
            assert_eq!(DialectName::of(dialect.name()), Some(dialect));
            let written = serde_json::to_value(dialect).unwrap();
            assert_eq!(written, dialect.name());
        }
        assert_eq!(DialectName::of("vLLM "), None);
    }

    #[test]
    fn what_is_inside_must_have_names_of_metrics() {
        let names = |running: &str, waiting: Option<&str>| MetricNames {
            running: Some(running.to_owned()),
            waiting: waiting.map(str::to_owned),
            ..MetricNames::default()
        };
        assert_eq!(names("a_running", Some("b:waiting")).mistake(), None);
        assert_eq!(names("a_running", None).mistake(), Some("waiting"));
        assert_eq!(names("sum(a)", Some("b")).mistake(), Some("running"));
        assert_eq!(names("", Some("b")).mistake(), Some("running"));
        assert_eq!(MetricNames::default().mistake(), Some("running"));
    }
}
