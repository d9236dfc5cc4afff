//! Arguments of `preheat backtest`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::prometheus::query;
use super::{PoolArgs, PrometheusArgs, ago, duration};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("history").required(true).args(["prometheus", "journal", "trace"])))]
pub(crate) struct BacktestArgs {
    #[command(flatten)]
    pub(crate) source: PrometheusArgs,
    /// A journal of preheat's, or the state directory that it is in
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// A trace, as for `simulate`: there is no past fleet in it, and no gaps
    #[arg(long)]
    pub(crate) trace: Option<String>,
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
    /// Other autoscalers, with commas between: names as for `simulate`, or policy files with the knobs
    /// as you have configured them
    #[arg(long, default_value = "hpa-queue,keda-waiting", value_delimiter = ',')]
    pub(crate) policies: Vec<String>,
    #[command(flatten)]
    pub(crate) replica: PoolArgs,
    /// Write a comparison of the policies on this past as one self-contained page
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
