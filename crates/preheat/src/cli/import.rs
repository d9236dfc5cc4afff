//! The flags of `preheat import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// File with HorizontalPodAutoscalers, ScaledObjects, PodAutoscalers, InferenceServices or
    /// Knative Services, as YAML or JSON; `-` reads them from standard input
    pub(crate) file: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value_t = ImportTo::Kubernetes)]
    pub(crate) to: ImportTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportTo {
    /// A resource InferenceAutoscaler for each
    Kubernetes,
    /// A configuration file for this machine, with a pool for each
    Local,
}
