//! Arguments of `preheat controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::PrometheusArgs;

#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// How to reach the cluster [default: the usual files, or in a pod its service account]
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Which context of it
    #[arg(long)]
    pub(crate) context: Option<String>,
    /// Only the resources of this namespace [default: all]
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// Namespace of the lease that decides who of several acts
    #[arg(long, default_value = preheat_kube::manifests::NAMESPACE)]
    pub(crate) lease_namespace: String,
    /// Act without asking who else does: for one preheat that is known to be alone
    #[arg(long)]
    pub(crate) no_lease: bool,
    /// Where the lock and the journal are kept
    #[arg(long, default_value = ".preheat")]
    pub(crate) state_dir: PathBuf,
    /// Where the dashboard and the admin API listen
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) admin: SocketAddr,
    /// File with the token that clients must send; without one, other machines are told metrics and
    /// health only
    #[arg(long)]
    pub(crate) admin_token_file: Option<PathBuf>,
    // For pods that can't be asked for their metrics.
    #[command(flatten)]
    pub(crate) source: PrometheusArgs,
    /// Ask it for demand only (`spec.demand`), and the engines themselves for their metrics
    #[arg(long, requires = "prometheus")]
    pub(crate) prometheus_for_demand_only: bool,
    /// Label that names a pod in it
    #[arg(long, default_value = "pod", requires = "prometheus")]
    pub(crate) prometheus_pod_label: String,
    /// Where the External Metrics API listens, for HorizontalPodAutoscalers [default: not served]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) external_metrics: Option<SocketAddr>,
    /// Where KEDA's external scaler listens [default: not served]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) scaler: Option<SocketAddr>,
    /// File with authorities, one of which must have signed a KEDA's certificate [default: the scaler
    /// answers anybody]
    #[arg(long, value_name = "FILE", requires = "scaler", conflicts_with = "scaler_plain")]
    pub(crate) scaler_client_ca_file: Option<PathBuf>,
    /// Serve the scaler without TLS
    #[arg(long, requires = "scaler")]
    pub(crate) scaler_plain: bool,
    /// File with the certificate of both, read anew each minute [default: one that preheat makes and
    /// keeps in the Secret `preheat-tls` beside the lease]
    #[arg(long, value_name = "FILE", requires = "tls_key_file")]
    pub(crate) tls_cert_file: Option<PathBuf>,
    /// File with its key
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// The Service by which both are reached, for the certificate that preheat makes
    #[arg(long, default_value = preheat_kube::manifests::NAME)]
    pub(crate) service: String,
    /// This process's name among several
    #[arg(long, env = "POD_NAME", hide_env = true)]
    pub(crate) identity: Option<String>,
}
