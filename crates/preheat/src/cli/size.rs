//! Arguments of `preheat size`.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// Requests that arrive per second: offered, with those that are refused or queued
    #[arg(long)]
    pub(crate) qps: f64,
    /// Mean time from a request's start to its end without queueing, measured with as many at once
    /// as --max-num-seqs says; or give --profile
    #[arg(long, value_parser = duration)]
    pub(crate) latency: Option<Duration>,
    /// Most requests in the batch of a replica [default: the profile's]
    #[arg(long)]
    pub(crate) max_num_seqs: Option<u32>,
    /// Engine profile to take the latency from, in place of --latency: model, precision and GPU
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Mean prompt tokens, without those that a prefix cache spares; with --profile
    #[arg(long)]
    pub(crate) input_tokens: Option<f64>,
    /// Mean generated tokens; with --profile
    #[arg(long)]
    pub(crate) output_tokens: Option<f64>,
    /// SLO on TTFT: longer is a miss
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) slo_ttft: Duration,
    /// SLO on TPOT: longer is a miss; with --profile
    #[arg(long, value_parser = duration)]
    pub(crate) slo_tpot: Option<Duration>,
    /// Share of requests that may find every slot taken: what headroom is for
    #[arg(long, default_value_t = 0.05)]
    pub(crate) wait_probability: f64,
    /// How uneven the traffic is: variance over mean of the requests in flight; 1 is random
    #[arg(long, default_value_t = 1.0)]
    pub(crate) dispersion: f64,
    /// Check the answer: random arrivals against so many modelled replicas; with --profile
    #[arg(long)]
    pub(crate) simulate: bool,
    /// Seed of what is simulated
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests per second when it is quiet, for the plan's lower bound [default: --qps]
    #[arg(long)]
    pub(crate) quiet_qps: Option<f64>,
    /// By how many requests per second the traffic may grow within a minute, for the plan
    #[arg(long, default_value_t = 0.0)]
    pub(crate) growth: f64,
    /// Time from an order to a ready replica, for the plan
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) cold_start: Duration,
    /// Print a file instead: a configuration, a Kubernetes manifest, or a scenario that tries it out
    #[arg(long = "as", conflicts_with = "json")]
    pub(crate) print_as: Option<PlanFile>,
    /// Print the answer as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A file that a plan has.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PlanFile {
    Config,
    Manifest,
    Scenario,
}
