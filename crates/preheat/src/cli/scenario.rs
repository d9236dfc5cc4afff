//! Arguments of `preheat scenario`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct ScenarioArgs {
    /// Scenario files, as docs/scenarios.md describes them
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Who scales: `preheat`, `preheat-untold` (not told of the schedule), or another autoscaler as docs/policies/peers.md lists them
    #[arg(long, default_value = preheat_scenario::PREHEAT)]
    pub(crate) policy: String,
    /// Print each report, and whether each expectation held, as one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
