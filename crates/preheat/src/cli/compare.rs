//! Arguments of `preheat compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{PartArgs, PoolArgs, duration};

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Trace as for `simulate`; may be repeated. `@K` after it multiplies its rate by K, and
    /// `@K:FROM-UNTIL` takes a part of it too, as in `azure-code@10` or `rates.csv@0.05:96h-144h`
    #[arg(long, required = true)]
    pub(crate) trace: Vec<String>,
    /// Policies, with commas between: names as for `simulate`, `all`, `ablations` for preheat
    /// without each of its parts, or `told` for fleets that are told part of the future
    #[arg(long, default_value = "all")]
    pub(crate) policies: String,
    /// Try every combination of the values that a policy's users would set its knobs to
    #[arg(long)]
    pub(crate) tune: bool,
    /// Attainments at which costs are compared, with commas between
    #[arg(long, default_value = "0.99,0.95", value_delimiter = ',')]
    pub(crate) attainment: Vec<f64>,
    /// Cold starts that each policy's best setting is run with too, with commas between
    /// [default: none, or 0 s to 10 min with --html]
    #[arg(long, value_delimiter = ',', value_parser = duration)]
    pub(crate) cold_starts: Vec<Duration>,
    // For traces that have none of their own after an `@`.
    #[command(flatten)]
    pub(crate) part: PartArgs,
    #[command(flatten)]
    pub(crate) pool: PoolArgs,
    /// Threads [default: one for each core]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Write the report as one self-contained page
    #[arg(long)]
    pub(crate) html: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
