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
    /// Show which nodes hold the image and the weights of which InferenceAutoscaler, as far as preheat
    /// has seen
    Nodes {
        /// Which InferenceAutoscaler [default: all of the namespace]
        #[arg(conflicts_with = "all_namespaces")]
        name: Option<String>,
        #[command(flatten)]
        cluster: ClusterArgs,
        /// All namespaces
        #[arg(long, short = 'A', conflicts_with = "namespace")]
        all_namespaces: bool,
        /// Size of an InferenceAutoscaler's weights in GB, as in `chat=141`, to be told which nodes
        /// should hold them; may be given several times
        #[arg(long, value_name = "NAME=GB", value_parser = weights, requires = "cache_gb")]
        weights_gb: Vec<(String, f64)>,
        /// Room for weights on each node, in GB
        #[arg(long, value_name = "GB", value_parser = gigabytes, requires = "weights_gb")]
        cache_gb: Option<f64>,
    },
    /// Tell why a target was scaled, or was not, with conditions and events
    Why {
        /// Which InferenceAutoscaler [default: all of the namespace]
        name: Option<String>,
        #[command(flatten)]
        cluster: ClusterArgs,
    },
}

fn weights(text: &str) -> Result<(String, f64), String> {
    let (name, size) = text.split_once('=').ok_or("write it as NAME=GB, as in chat=141")?;
    Ok((name.to_owned(), gigabytes(size)?))
}

fn gigabytes(text: &str) -> Result<f64, String> {
    let size: f64 = text.parse().map_err(|_| format!("{text:?} is no number of GB"))?;
    if size.is_finite() && (0.001..=1e6).contains(&size) {
        return Ok(size);
    }
    Err("it must be from 0.001 to 1000000".to_owned())
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
