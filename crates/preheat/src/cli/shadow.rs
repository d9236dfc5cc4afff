//! Arguments of `preheat shadow`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::prometheus::query;
use super::{PrometheusArgs, ago, duration};

#[derive(Debug, Args)]
pub(crate) struct ShadowArgs {
    #[command(subcommand)]
    pub(crate) question: ShadowQuestion,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ShadowQuestion {
    /// Replicas of each, where they differ, how much earlier preheat would have started, and what it
    /// wanted when requests queued or first tokens were late
    Report(ShadowReportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ShadowReportArgs {
    /// The journal of a preheat that observes, or the state directory that it is in [default:
    /// .preheat]
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) journal: Option<PathBuf>,
    // Where nobody observed: preheat decides now, tick by tick, on what was recorded.
    #[command(flatten)]
    pub(crate) source: PrometheusArgs,
    /// Which pool: of a journal its name [default: all], in a Prometheus the label `model_name`
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// How long before its end to begin: `24h`, or `-24h` [default: at the journal's begin, or 24h]
    #[arg(long, value_parser = ago, allow_hyphen_values = true)]
    pub(crate) from: Option<Duration>,
    #[command(flatten)]
    pub(crate) recorded: RecordedArgs,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a Prometheus does not tell.
#[derive(Debug, Args)]
pub(crate) struct RecordedArgs {
    /// Label matchers that choose the engines' series in place of `--pool`, as in
    /// `namespace="llm",pod=~"chat-.*"`
    #[arg(long, requires = "prometheus")]
    pub(crate) selector: Option<String>,
    /// PromQL that tells a signal of each replica, as `running='sum by (pod) (my_running)'`, for engines
    /// whose metrics are not known; may be repeated, for `running`, `waiting`, `kvUtilization`,
    /// `completions`, `promptTokens`, `generationTokens`. In place of `--selector`
    #[arg(long, value_name = "SIGNAL=EXPRESSION", value_parser = query, requires = "prometheus",
        conflicts_with = "selector")]
    pub(crate) query: Vec<(String, String)>,
    /// Label that has one value for each replica
    #[arg(long, default_value = "instance", requires = "prometheus")]
    pub(crate) replica_label: String,
    /// How long before now a Prometheus' history ends
    #[arg(long, default_value = "0s", value_parser = ago, allow_hyphen_values = true, requires = "prometheus")]
    pub(crate) until: Duration,
    /// Time between two decisions on a Prometheus' history: at least the interval of its scrapes
    #[arg(long, default_value = "30s", value_parser = duration, requires = "prometheus")]
    pub(crate) step: Duration,
    /// How long a replica is taken to have been starting before it was seen
    #[arg(long, default_value = "180s", value_parser = duration, requires = "prometheus")]
    pub(crate) cold_start: Duration,
    /// Fewest replicas that preheat may want
    #[arg(long, default_value_t = 1, requires = "prometheus")]
    pub(crate) min_replicas: u32,
    /// Most replicas that preheat may want
    #[arg(long, default_value_t = 100, requires = "prometheus")]
    pub(crate) max_replicas: u32,
    /// Requests that a replica has in its batch at most [default: learned]
    #[arg(long, requires = "prometheus")]
    pub(crate) max_num_seqs: Option<u32>,
    /// SLO on TTFT: longer is late
    #[arg(long, default_value = "2s", value_parser = duration, requires = "prometheus")]
    pub(crate) slo_ttft: Duration,
    /// Share of requests that should be inside the SLO
    #[arg(long, default_value_t = 0.99, requires = "prometheus")]
    pub(crate) slo_quantile: f64,
}
