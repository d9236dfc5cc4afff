//! What a Prometheus can record of engines, whatever they call it: a few series for each replica in
//! place of many, by names that no upgrade changes.
//!
//! **Invariant:** what is recorded is what the dialects' tables say; a test holds each rule against the
//! engine's own word.

use preheat_api::dialect::{DialectName, MetricNames};

use crate::dialect::known::dialect;
use crate::dialect::table::{Dialect, Form, Only, Signal, Source};

/// Labels that what is recorded of a replica keeps.
pub const REPLICA_LABELS: [&str; 4] = ["namespace", "pod", "instance", "model_name"];

const RUNNING: &str = "replica:engine_requests_running:sum";
const WAITING: &str = "replica:engine_requests_waiting:sum";
const KV_UTILIZATION: &str = "replica:engine_kv_utilization:avg";
const COMPLETIONS: &str = "replica:engine_completions_total:sum";
const PROMPT_TOKENS: &str = "replica:engine_prompt_tokens_total:sum";
const GENERATION_TOKENS: &str = "replica:engine_generation_tokens_total:sum";

/// One series for each replica.
const OF_REPLICAS: [(Signal, &str); 6] = [
    (Signal::Running, RUNNING),
    (Signal::Waiting, WAITING),
    (Signal::KvUtilization, KV_UTILIZATION),
    (Signal::Completions, COMPLETIONS),
    (Signal::PromptTokens, PROMPT_TOKENS),
    (Signal::GenerationTokens, GENERATION_TOKENS),
];

/// Series of histograms, for all replicas of a model together.
const OF_MODELS: [(Signal, &str); 2] = [
    (Signal::Ttft, "model:engine_ttft_seconds_bucket:rate5m"),
    (Signal::Itl, "model:engine_itl_seconds_bucket:rate5m"),
];

/// A series that Prometheus computes and keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingRule {
    /// Its name.
    pub record: &'static str,
    /// What it is, in PromQL.
    pub expr: String,
}

/// All rules of engines.
pub fn engine_rules() -> Vec<RecordingRule> {
    let replicas = OF_REPLICAS.map(|(signal, record)| (signal, record, told as Told));
    let models = OF_MODELS.map(|(signal, record)| (signal, record, rates as Told));
    let rule = |(signal, record, tells): (Signal, &'static str, Told)| {
        let engines = DialectName::ALL.map(dialect);
        let told = engines.iter().flat_map(|dialect| {
            dialect.sources(signal).iter().filter_map(move |source| tells(dialect, source))
        });
        RecordingRule { record, expr: told.collect::<Vec<_>>().join("\nor ") }
    };
    replicas.into_iter().chain(models).map(rule).collect()
}

/// What is recorded of replicas, as metrics of an engine of its own.
pub fn recorded_names() -> MetricNames {
    let name = |name: &str| Some(name.to_owned());
    MetricNames {
        running: name(RUNNING),
        waiting: name(WAITING),
        kv_utilization: name(KV_UTILIZATION),
        completions: name(COMPLETIONS),
        prompt_tokens: name(PROMPT_TOKENS),
        generation_tokens: name(GENERATION_TOKENS),
        ..MetricNames::default()
    }
}

/// How a source tells a signal; `None` where it is of a form that is not recorded.
type Told = fn(&Dialect, &Source) -> Option<String>;

fn told(dialect: &Dialect, source: &Source) -> Option<String> {
    let how = match source.form {
        Form::Gauge | Form::Counter => "sum",
        Form::Share => "avg",
        Form::Histogram
        | Form::SecondsPerToken { .. }
        | Form::SleepState { .. }
        | Form::CacheInfo { .. } => return None,
    };
    let labels = REPLICA_LABELS.join(", ");
    let of = |name: &str, only: Only| {
        let series = format!("{name}{}", matcher(only));
        let once = match dialect.repeats {
            [] => series,
            ranks => format!("max without ({}) ({series})", ranks.join(", ")),
        };
        format!("{how} by ({labels}) ({once})")
    };
    let mut expr = of(&source.name, source.only);
    // What is not there adds nothing.
    let nothing = format!("0 * {expr}");
    for name in source.plus {
        expr.push_str(&format!(" + ({} or {nothing})", of(name, source.only)));
    }
    if let Some(name) = source.less {
        expr.push_str(&format!(" - {}", of(name, source.only)));
    }
    Some(expr)
}

fn rates(_: &Dialect, source: &Source) -> Option<String> {
    let is_histogram = source.form == Form::Histogram;
    let expr = format!("sum by (namespace, model_name, le) (rate({}_bucket[5m]))", source.name);
    is_histogram.then_some(expr)
}

fn matcher(only: Only) -> String {
    match only {
        Only::All => String::new(),
        Only::With(label, value) => format!("{{{label}=\"{value}\"}}"),
        Only::Without(label, values) => format!("{{{label}!~\"{}\"}}", values.join("|")),
        Only::Unlabelled(label) => format!("{{{label}=\"\"}}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_says_what_the_tables_say() {
        let rules = engine_rules();
        let expr = |record: &str| &rules.iter().find(|rule| rule.record == record).unwrap().expr;
        let sum =
            |series: &str| format!("sum by (namespace, pod, instance, model_name) ({series})");
        let avg = |series: &str| sum(series).replacen("sum", "avg", 1);
        let ranks = "max without (tp_rank, pp_rank, moe_ep_rank)";
        let scheduled = "nv_trt_llm_request_metrics{request_type=\"scheduled\"}";
        let ended_well = "vllm:request_success_total{finished_reason!~\"abort|error\"}";
        let running = sum("vllm:num_requests_running");
        let of_ranks = sum(&format!("{ranks} (sglang:num_running_reqs{{priority=\"\"}})"));
        let in_flight = sum("dynamo_frontend_inflight_requests");
        let queued = sum("dynamo_frontend_queued_requests");
        let (waiting, swapped) =
            (sum("vllm:num_requests_waiting"), sum("vllm:num_requests_swapped"));
        let (kv, kv_before) = (avg("vllm:kv_cache_usage_perc"), avg("vllm:gpu_cache_usage_perc"));
        for (record, expected) in [
            (RUNNING, format!("{running}\nor {of_ranks}")),
            (RUNNING, format!("{in_flight} - {queued}")),
            (RUNNING, sum(scheduled)),
            (WAITING, format!("{waiting} + ({swapped} or 0 * {waiting})")),
            (KV_UTILIZATION, format!("{kv}\nor {kv_before}")),
            (COMPLETIONS, sum(ended_well)),
        ] {
            let found = expr(record);
            assert!(found.contains(&expected), "{found} lacks {expected}");
        }
        let ttft = expr("model:engine_ttft_seconds_bucket:rate5m");
        assert!(ttft.contains("(rate(vllm:time_to_first_token_seconds_bucket[5m]))"), "{ttft}");
        // llama.cpp tells no distribution of it.
        assert!(!expr("model:engine_itl_seconds_bucket:rate5m").contains("llamacpp"));
    }
}
