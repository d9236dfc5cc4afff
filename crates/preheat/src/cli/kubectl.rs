//! Arguments of `kubectl preheat`, which kubectl finds as the program `kubectl-preheat`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// The name under which kubectl looks for the plugin `preheat`.
pub(crate) const PLUGIN: &str = "kubectl-preheat";

#[derive(Debug, Args)]
pub(crate) struct KubectlArgs {
    #[command(subcommand)]
    pub(crate) question: KubectlQuestion,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KubectlQuestion {
    /// Show what preheat does with the InferenceAutoscalers of a namespace, and what is wrong
    Status {
        #[command(flatten)]
        cluster: ClusterArgs,
        /// All namespaces
        #[arg(long, short = 'A', conflicts_with = "namespace")]
        all_namespaces: bool,
    },
    /// Tell why a target was scaled, or was not, with conditions and events
    Why {
        /// Which InferenceAutoscaler [default: all of the namespace]
        name: Option<String>,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// Which namespace [default: the context's]
    #[arg(long, short)]
    pub(crate) namespace: Option<String>,
    /// How to reach the cluster [default: the usual files]
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Which context of it
    #[arg(long)]
    pub(crate) context: Option<String>,
}
