//! Arguments that say which past of which pool is read.

use std::time::Duration;

use clap::Args;

use super::prometheus::query;
use super::{PrometheusArgs, ago, duration};

#[derive(Debug, Args)]
pub(crate) struct PastArgs {
    #[command(flatten)]
    pub(crate) source: PrometheusArgs,
    /// Which pool: of a journal its name, in a Prometheus the label `model_name`
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Label matchers that choose the engines' series in place of `--pool`, as in
    /// `namespace="llm",pod=~"chat-.*"`
    #[arg(long)]
    pub(crate) selector: Option<String>,
    /// PromQL that tells a signal of each replica, as `running='sum by (pod) (my_running)'`, for engines
    /// whose metrics are not known; may be repeated, for `running`, `waiting`, `kvUtilization`,
    /// `completions`, `promptTokens`, `generationTokens`. In place of `--selector`
    #[arg(long, value_name = "SIGNAL=EXPRESSION", value_parser = query, requires = "prometheus",
        conflicts_with = "selector")]
    pub(crate) query: Vec<(String, String)>,
    /// Label that has one value for each replica
    #[arg(long, default_value = "instance")]
    pub(crate) replica_label: String,
    /// How long before its end the history begins: `-7d`, or `7d`
    #[arg(long, default_value = "7d", value_parser = ago, allow_hyphen_values = true)]
    pub(crate) from: Duration,
    /// How long before now a Prometheus' history ends
    #[arg(long, default_value = "0s", value_parser = ago, allow_hyphen_values = true)]
    pub(crate) until: Duration,
    /// Steps in which the past is told: at least as long as the interval of scrapes
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub(crate) step: Duration,
}
