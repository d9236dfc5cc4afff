//! Arguments of `preheat backtest`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::{PastArgs, PoolArgs};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("history").required(true).args(["prometheus", "journal", "trace"])))]
pub(crate) struct BacktestArgs {
    #[command(flatten)]
    pub(crate) past: PastArgs,
    /// A journal of preheat's, or the state directory that it is in
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// A trace, as for `simulate`: there is no past fleet in it, and no gaps
    #[arg(long)]
    pub(crate) trace: Option<String>,
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
