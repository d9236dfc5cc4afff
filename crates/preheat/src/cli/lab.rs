//! Arguments of `preheat lab`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use super::{PastArgs, duration};

/// What says more of a Prometheus' past, and nothing without one.
const OF_A_PROMETHEUS: [&str; 10] = [
    "pool",
    "selector",
    "replica_label",
    "from",
    "until",
    "step",
    "profile",
    "max_num_seqs",
    "cold_start",
    "slo_ttft",
];

#[derive(Debug, Args)]
#[command(group(
    ArgGroup::new("of_a_prometheus").multiple(true).args(OF_A_PROMETHEUS).requires("prometheus")
))]
pub(crate) struct LabArgs {
    /// Address to listen on; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8083")]
    pub(crate) listen: SocketAddr,
    /// File with the token that clients must send; needed where other machines can connect
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// A journal, or a state directory, of whose pools the step "On your cluster" takes figures
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) past: PastArgs,
    /// Engine profile: model, precision and GPU. This and the next three say what a Prometheus can't, for
    /// the step "On your cluster"
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Most requests in the batch
    #[arg(long)]
    pub(crate) max_num_seqs: Option<u32>,
    /// Time from ordering a replica to ready
    #[arg(long, value_parser = duration)]
    pub(crate) cold_start: Option<Duration>,
    /// SLO on TTFT: longer is a miss
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) slo_ttft: Duration,
    /// Write the lesson with its figures to this file as one page of HTML instead; `-` is stdout
    #[arg(long, conflicts_with_all = ["listen", "token_file", "journal", "prometheus"])]
    pub(crate) print: Option<PathBuf>,
}
