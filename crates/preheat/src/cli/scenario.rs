//! Arguments of `preheat scenario`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ScenarioArgs {
    /// Scenario files, as docs/scenarios.md describes them
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Who scales: `preheat`, `preheat-without-` and a part of it (`preheat-without-schedules`),
    /// another autoscaler as docs/policies/peers.md lists them, or a policy file that sets one's
    /// knobs
    #[arg(long, default_value = preheat_sim::preheat_policy::PREHEAT)]
    pub(crate) policy: String,
    /// Report minute by minute too, in JSON
    #[arg(long, requires = "json")]
    pub(crate) series: bool,
    /// Print each report, and whether each expectation held, as one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
