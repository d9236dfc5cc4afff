//! Both servers: their sockets, their certificate, and what keeps that and the cluster's authorities
//! up to date.
//!
//! **Invariant:** what worked is kept while what should replace it can't be had.

mod kept;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::count::Counts;
use crate::listener::{self, Tls};
use crate::metrics::{Delegate, Trust, handler, read_trust};
use crate::scaler;
use crate::tls::{Clients, Material, TlsError, server_config, verifier};

pub use kept::{API_SERVICE, SECRET};

/// Between two looks at certificates and authorities.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait for the apiserver.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// What is served, and where.
#[derive(Debug, Default)]
pub struct PublisherOptions {
    /// Where the External Metrics API listens; absent to serve none.
    pub external_metrics: Option<TcpListener>,
    /// KEDA's external scaler; absent to serve none.
    pub scaler: Option<ScalerOptions>,
    /// What shows that it is us.
    pub certificate: Certificate,
}

/// How KEDA's external scaler is served.
#[derive(Debug)]
pub struct ScalerOptions {
    /// Where it listens.
    pub listener: TcpListener,
    /// Without TLS.
    pub plain: bool,
    /// Authorities, one of which must have signed a client's certificate; absent to answer anybody.
    pub client_authority: Option<PathBuf>,
}

/// What shows that it is us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// Files as PEM, read anew each minute.
    Files {
        /// The certificate, and what leads to its authority.
        certificate: PathBuf,
        /// Its key.
        key: PathBuf,
    },
    /// One of our own, kept in the Secret [`SECRET`] for all preheats of the cluster to share.
    Kept {
        /// The Secret's namespace, and the Service's.
        namespace: String,
        /// The Service by which clients reach us.
        service: String,
    },
}

impl Default for Certificate {
    fn default() -> Self {
        Self::Kept { namespace: "preheat-system".to_owned(), service: "preheat".to_owned() }
    }
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file can't be read.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A certificate or key can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No certificate can be made.
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The cluster refuses, or does not answer.
    #[error("{what} can't be had: {problem}")]
    Cluster {
        /// What was wanted.
        what: &'static str,
        /// What came of it.
        problem: String,
    },
}

impl ServeError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::Tls(_) => {
                "--tls-cert-file, --tls-key-file and --scaler-client-ca-file take PEM"
            }
            Self::Make(_) => "give one by --tls-cert-file and --tls-key-file",
            Self::Cluster { .. } => {
                "apply deploy/rbac.yaml and deploy/external-metrics.yaml, or give a certificate by \
                 --tls-cert-file and --tls-key-file"
            }
        }
    }
}

/// The servers, ready to answer.
pub struct Publisher {
    external_metrics: Option<TcpListener>,
    scaler: Option<TcpListener>,
    wanted: Wanted,
    client: Client,
    trust: watch::Sender<Trust>,
    metrics_tls: watch::Sender<Tls>,
    scaler_tls: watch::Sender<Tls>,
}

/// What must be had, and again each minute.
struct Wanted {
    metrics: bool,
    /// Whether the scaler has TLS, and whose clients it answers.
    scaler: Option<Option<PathBuf>>,
    certificate: Certificate,
}

/// As it was had last.
struct Fresh {
    trust: Trust,
    metrics: Tls,
    scaler: Tls,
}

impl Publisher {
    /// Has everything that is needed to answer.
    ///
    /// # Errors
    /// When a certificate, or what the cluster says of its authorities, can't be had.
    pub async fn start(options: PublisherOptions, client: Client) -> Result<Self, ServeError> {
        let (scaler, scaler_tls) = match options.scaler {
            Some(scaler) if scaler.plain => (Some(scaler.listener), None),
            Some(scaler) => (Some(scaler.listener), Some(scaler.client_authority)),
            None => (None, None),
        };
        let wanted = Wanted {
            metrics: options.external_metrics.is_some(),
            scaler: scaler_tls,
            certificate: options.certificate,
        };
        let fresh = wanted.get(&client).await?;
        Ok(Self {
            external_metrics: options.external_metrics,
            scaler,
            wanted,
            client,
            trust: watch::Sender::new(fresh.trust),
            metrics_tls: watch::Sender::new(fresh.metrics),
            scaler_tls: watch::Sender::new(fresh.scaler),
        })
    }

    /// Answers until stopped.
    pub async fn serve(mut self, counts: Counts, mut stopped: watch::Receiver<bool>) {
        let mut servers = JoinSet::new();
        if let Some(listener) = self.external_metrics.take() {
            let delegate = Delegate::new(self.client.clone());
            let handle = handler(counts.clone(), self.trust.subscribe(), delegate);
            let tls = self.metrics_tls.subscribe();
            servers.spawn(listener::serve(listener, tls, handle, stopped.clone()));
        }
        if let Some(listener) = self.scaler.take() {
            let handle = scaler::handler(counts);
            let tls = self.scaler_tls.subscribe();
            servers.spawn(listener::serve(listener, tls, handle, stopped.clone()));
        }
        loop {
            let is_due = tokio::select! {
                () = tokio::time::sleep(REFRESH_INTERVAL) => true,
                _sent = stopped.wait_for(|stopped| *stopped) => false,
            };
            if !is_due {
                break;
            }
            self.refresh().await;
        }
        while servers.join_next().await.is_some() {}
    }

    async fn refresh(&self) {
        match self.wanted.get(&self.client).await {
            Ok(fresh) => {
                self.trust.send_replace(fresh.trust);
                self.metrics_tls.send_replace(fresh.metrics);
                self.scaler_tls.send_replace(fresh.scaler);
            }
            Err(error) => tracing::warn!(%error, "going on with the certificates as they were"),
        }
    }
}

impl Wanted {
    async fn get(&self, client: &Client) -> Result<Fresh, ServeError> {
        let trust = if self.metrics { read_trust(client).await? } else { Trust::nobody()? };
        if !self.metrics && self.scaler.is_none() {
            return Ok(Fresh { trust, metrics: None, scaler: None });
        }
        let material = self.material(client).await?;
        let metrics = server_config(&material, Arc::clone(&trust.either), &["h2", "http/1.1"])?;
        let scaler = match &self.scaler {
            None => None,
            Some(authority) => {
                let clients = match authority {
                    Some(file) => verifier(&[read(file).await?], Clients::Must)?,
                    None => verifier(&[], Clients::May)?,
                };
                Some(server_config(&material, clients, &["h2"])?)
            }
        };
        Ok(Fresh { trust, metrics: Some(metrics), scaler })
    }

    async fn material(&self, client: &Client) -> Result<Material, ServeError> {
        match &self.certificate {
            Certificate::Files { certificate, key } => {
                Ok(Material { certificate: read(certificate).await?, key: read(key).await? })
            }
            Certificate::Kept { namespace, service } => {
                let kept = kept::certificate(client, namespace, service, Timestamp::now()).await?;
                if self.metrics {
                    kept::announce(client, namespace, service, &kept.authority).await;
                }
                Ok(kept.material)
            }
        }
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, ServeError> {
    let file = |error| ServeError::File { path: path.to_path_buf(), error };
    tokio::fs::read(path).await.map_err(file)
}

/// Asks the apiserver, which has [`REQUEST_TIMEOUT`] to answer.
pub(crate) async fn deadline<T>(
    what: &'static str,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, ServeError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(ServeError::Cluster { what, problem: error.to_string() }),
        Err(_) => {
            let problem = format!("no answer within {REQUEST_TIMEOUT:?}");
            Err(ServeError::Cluster { what, problem })
        }
    }
}
