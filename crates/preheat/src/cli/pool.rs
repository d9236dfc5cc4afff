//! Arguments that describe the pool of a simulation.

use std::time::Duration;

use clap::Args;

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// Engine profile: model, precision and GPU
    #[arg(long, default_value = crate::commands::PROFILE_DEFAULT)]
    pub(crate) profile: String,
    /// Most requests in the batch [default: the profile's]
    #[arg(long)]
    pub(crate) max_num_seqs: Option<u32>,
    /// Time from ordering a replica to ready
    #[arg(long, default_value = "180s", value_parser = duration)]
    pub(crate) cold_start: Duration,
    /// Fewest replicas
    #[arg(long, default_value_t = 1)]
    pub(crate) min_replicas: u32,
    /// Most replicas
    #[arg(long, default_value_t = 100)]
    pub(crate) max_replicas: u32,
    /// Replicas that are ready when the trace begins [default: what its first minute needs, in a
    /// comparison its first lead time]
    #[arg(long)]
    pub(crate) initial_replicas: Option<u32>,
    /// SLO on TTFT: longer is a miss
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) slo_ttft: Duration,
    /// Share of requests that should be inside the SLO
    #[arg(long, default_value_t = 0.99)]
    pub(crate) slo_quantile: f64,
    /// SLO on TPOT: longer is a miss
    #[arg(long, value_parser = duration)]
    pub(crate) slo_tpot: Option<Duration>,
    /// Price of a sleeping replica, as a share of one that is awake [default: replicas don't sleep].
    /// preheat and the optimum use it; the other autoscalers have no such thing
    #[arg(long)]
    pub(crate) standby_price: Option<f64>,
    /// Time from the order to wake a sleeping replica to ready
    #[arg(long, default_value = "5s", value_parser = duration, requires = "standby_price")]
    pub(crate) standby_wake: Duration,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}
