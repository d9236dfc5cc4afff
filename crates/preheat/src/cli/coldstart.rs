//! Arguments of `preheat coldstart`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ColdstartArgs {
    /// The journal, or the state directory that it is in
    #[arg(long, default_value = ".preheat")]
    pub(crate) journal: PathBuf,
    /// Which pool [default: all]
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// The configuration that the pools were run with: GPUs of a replica, and the bytes of an
    /// emulated engine's weights
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Engine profile to take both from instead: model, precision and GPU
    #[arg(long, conflicts_with = "config")]
    pub(crate) profile: Option<String>,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
