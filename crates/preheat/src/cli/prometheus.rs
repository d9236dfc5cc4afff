//! Arguments that say which Prometheus, and how to ask it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use preheat_runtime::prometheus::PrometheusConfig;

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct PrometheusArgs {
    /// A Prometheus that scrapes the engines: its URL, without `/api/v1`
    #[arg(long)]
    pub(crate) prometheus: Option<String>,
    /// A header for it, as `X-Scope-OrgID=team`; may be repeated
    #[arg(long, value_parser = header)]
    pub(crate) prometheus_header: Vec<(String, String)>,
    /// File with the bearer token for it, read anew for each query
    #[arg(long)]
    pub(crate) prometheus_token_file: Option<PathBuf>,
    /// File with the certificates to trust, in place of the system's
    #[arg(long)]
    pub(crate) prometheus_ca_file: Option<PathBuf>,
    /// Longest time that it may take for an answer [default: 10s for what is now, 2m for the past]
    #[arg(long, value_parser = duration)]
    pub(crate) prometheus_timeout: Option<Duration>,
}

/// For one answer about days: as long as a Prometheus works on a query by default (`--query.timeout`).
const TIMEOUT_OF_THE_PAST: Duration = Duration::from_secs(120);

impl PrometheusArgs {
    /// To ask for what is now; `None` where there is no Prometheus.
    pub(crate) fn config(&self) -> Option<PrometheusConfig> {
        let config = PrometheusConfig::new(self.prometheus.as_ref()?);
        Some(PrometheusConfig {
            headers: self.prometheus_header.clone(),
            bearer_token_file: self.prometheus_token_file.clone(),
            ca_file: self.prometheus_ca_file.clone(),
            timeout: self.prometheus_timeout.unwrap_or(config.timeout),
            ..config
        })
    }

    /// To ask for hours and days of the past.
    pub(crate) fn config_of_the_past(&self) -> Option<PrometheusConfig> {
        let timeout = self.prometheus_timeout.unwrap_or(TIMEOUT_OF_THE_PAST);
        self.config().map(|config| PrometheusConfig { timeout, ..config })
    }
}

/// `running=EXPRESSION`.
pub(super) fn query(text: &str) -> Result<(String, String), String> {
    let wrong = || "write it like running='sum by (pod) (my_engine_running)'".to_owned();
    let (signal, expression) = text.split_once('=').ok_or_else(wrong)?;
    Ok((signal.trim().to_owned(), expression.to_owned()))
}

/// `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let wrong = || "write it like X-Scope-OrgID=team".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), value.to_owned()))
}
