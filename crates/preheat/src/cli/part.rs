//! Arguments that say what to make of a trace.

use std::time::Duration;

use clap::Args;

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct PartArgs {
    /// Multiplies the arrival rate, keeping the shape of bursts
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rate_scale: f64,
    /// Start of the part of the trace to use, from its first request
    #[arg(long, value_parser = duration)]
    pub(crate) from: Option<Duration>,
    /// End of the part of the trace to use
    #[arg(long, value_parser = duration)]
    pub(crate) until: Option<Duration>,
}
