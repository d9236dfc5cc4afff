//! Asks a Prometheus, or what answers like one (Thanos, Mimir, VictoriaMetrics).
//!
//! **Invariant:** no answer is waited for, or read, beyond its limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::answer::{self, AnswerError, Series};

/// Prometheus refuses a range of more than 11,000 steps.
const STEPS_MAX: u64 = 10_000;

/// Which Prometheus, and how to ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusConfig {
    /// Where it is, without `/api/v1`.
    pub url: String,
    /// Sent with each query, such as `X-Scope-OrgID`.
    pub headers: Vec<(String, String)>,
    /// A file with the token that is sent; read anew for each query, as it is exchanged now and then.
    pub bearer_token_file: Option<PathBuf>,
    /// Certificates that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// From sending a query to the last byte of its answer.
    pub timeout: Duration,
    /// A longer answer is refused while it is read.
    pub body_max_bytes: usize,
}

impl PrometheusConfig {
    /// The one at `url`, with the usual limits.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            bearer_token_file: None,
            ca_file: None,
            timeout: Duration::from_secs(10),
            // Four million points are 100 MB.
            body_max_bytes: 128 * 1024 * 1024,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// What it is called can't be.
    #[error("{url:?} is no URL of a Prometheus; it must be like http://prometheus:9090")]
    Url {
        /// What was given.
        url: String,
    },
    /// A header can't be.
    #[error("`{0}` is no header")]
    Header(String),
    /// A file can't be used.
    #[error("{what} {} can't be used: {says}", file.display())]
    File {
        /// What is in it.
        what: &'static str,
        /// Which.
        file: PathBuf,
        /// Why.
        says: String,
    },
    /// Nothing accepted a connection, or its certificate is not trusted.
    #[error("could not connect to {url}")]
    Connect {
        /// To what.
        url: String,
        /// Why.
        #[source]
        error: legacy::Error,
    },
    /// The connection broke.
    #[error("the connection to {url} broke")]
    Request {
        /// To what.
        url: String,
        /// Why.
        #[source]
        error: legacy::Error,
    },
    /// It took longer than the timeout.
    #[error("{url} gave no whole answer within {timeout:?}")]
    Timeout {
        /// What was asked.
        url: String,
        /// For how long it was waited.
        timeout: Duration,
    },
    /// Something else than 200, with what it said.
    #[error("{url} answered with status {status}: {says}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// What it said, in short.
        says: String,
    },
    /// The answer is too long, or broke off.
    #[error("the answer of {url} broke off, or is longer than {limit_bytes} bytes: {says}")]
    Body {
        /// What was asked.
        url: String,
        /// What is allowed.
        limit_bytes: usize,
        /// What is wrong.
        says: String,
    },
    /// The answer can't be used.
    #[error("{url}")]
    Answer {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        error: AnswerError,
    },
}

impl PrometheusError {
    /// What Prometheus says of a query that it did not evaluate; `None` where that is not the matter.
    pub fn refusal(&self) -> Option<&str> {
        let Self::Answer { error: AnswerError::Refused { says, .. }, .. } = self else {
            return None;
        };
        Some(says)
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Url { .. } | Self::Header(_) | Self::File { .. } => "correct it and run it again",
            Self::Connect { .. } | Self::Request { .. } => {
                "check the address and whether it is up; a private CA is named with a CA file"
            }
            Self::Timeout { .. } | Self::Body { .. } => {
                "ask for less: a narrower selector, a shorter time, a longer step"
            }
            Self::Status { status: 401 | 403, .. } => "give a token file, or the header it expects",
            Self::Status { .. } | Self::Answer { .. } => {
                "is that a Prometheus? `curl URL/api/v1/query?query=up` should answer with JSON"
            }
        }
    }
}

/// Asks one Prometheus over connections that it keeps open.
#[derive(Clone, Debug)]
pub struct Prometheus {
    config: PrometheusConfig,
    base: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Prometheus {
    /// Checks the configuration; asks nothing yet.
    ///
    /// # Errors
    /// What in it can't be.
    pub fn new(config: PrometheusConfig) -> Result<Self, PrometheusError> {
        let wrong = || PrometheusError::Url { url: config.url.clone() };
        let base: Uri = config.url.trim_end_matches('/').parse().map_err(|_| wrong())?;
        let scheme = base.scheme_str();
        if !matches!(scheme, Some("http" | "https")) || base.host().is_none() {
            return Err(wrong());
        }
        let headers = config.headers.iter().map(|(name, value)| {
            let parsed = (name.parse().ok()).zip(HeaderValue::from_str(value).ok());
            parsed.ok_or_else(|| PrometheusError::Header(name.clone()))
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let tls = tls(config.ca_file.as_deref())?;
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let client =
            Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { config, base, headers, client })
    }

    /// Evaluates a query at one moment, in seconds since the Unix epoch; by default now.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn instant(
        &self,
        query: &str,
        at: Option<f64>,
    ) -> Result<Vec<Series>, PrometheusError> {
        let mut form = vec![("query", query.to_owned())];
        if let Some(at) = at {
            form.push(("time", format!("{at:.3}")));
        }
        self.ask("api/v1/query", &form).await
    }

    /// Evaluates a query at each step from `from` to `until`, both in seconds since the Unix epoch,
    /// in as many parts as Prometheus' own limit asks for.
    ///
    /// # Errors
    /// When a part has no answer that can be used.
    pub async fn range(
        &self,
        query: &str,
        from: u64,
        until: u64,
        step: Duration,
    ) -> Result<Vec<Series>, PrometheusError> {
        let step = step.as_secs().max(1);
        let mut whole: Vec<Series> = Vec::new();
        let mut begin = from;
        while begin <= until {
            let end = until.min(begin.saturating_add(step * STEPS_MAX));
            let form = [
                ("query", query.to_owned()),
                ("start", begin.to_string()),
                ("end", end.to_string()),
                ("step", step.to_string()),
            ];
            for part in self.ask("api/v1/query_range", &form).await? {
                match whole.iter_mut().find(|series| series.labels == part.labels) {
                    Some(series) => series.points.extend(part.points),
                    None => whole.push(part),
                }
            }
            begin = end.saturating_add(step);
        }
        Ok(whole)
    }

    async fn ask(
        &self,
        path: &str,
        form: &[(&str, String)],
    ) -> Result<Vec<Series>, PrometheusError> {
        let url = format!("{}/{path}", self.base.to_string().trim_end_matches('/'));
        let mut request = Request::post(&url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(file) = &self.config.bearer_token_file {
            let token = std::fs::read_to_string(file)
                .map_err(|error| unusable("the token in", file, &error))?;
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
        }
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|_| PrometheusError::Url { url: url.clone() })?;
        let timeout = self.config.timeout;
        match tokio::time::timeout(timeout, self.fetch(request, &url)).await {
            Ok(answer) => answer,
            Err(_) => Err(PrometheusError::Timeout { url, timeout }),
        }
    }

    async fn fetch(
        &self,
        request: Request<Full<Bytes>>,
        url: &str,
    ) -> Result<Vec<Series>, PrometheusError> {
        let url = || url.to_owned();
        let response = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                PrometheusError::Connect { url: url(), error }
            } else {
                PrometheusError::Request { url: url(), error }
            }
        })?;
        let status = response.status();
        let limit_bytes = self.config.body_max_bytes;
        let body = Limited::new(response.into_body(), limit_bytes).collect().await;
        let body = body.map_err(|error| PrometheusError::Body {
            url: url(),
            limit_bytes,
            says: error.to_string(),
        })?;
        let body = body.to_bytes();
        match answer::read(&body) {
            Ok(series) if status == StatusCode::OK => Ok(series),
            // A query that is refused has a status of its own too; what it says is worth more.
            Err(error @ AnswerError::Refused { .. }) => {
                Err(PrometheusError::Answer { url: url(), error })
            }
            Err(error) if status == StatusCode::OK => {
                Err(PrometheusError::Answer { url: url(), error })
            }
            Ok(_) | Err(_) => {
                let (status, says) = (status.as_u16(), answer::begin(&body));
                Err(PrometheusError::Status { url: url(), status, says })
            }
        }
    }
}

fn unusable(what: &'static str, file: &Path, error: &dyn std::fmt::Display) -> PrometheusError {
    PrometheusError::File { what, file: file.to_owned(), says: error.to_string() }
}

/// Trusts the certificates of a file, or else the system's.
fn tls(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, PrometheusError> {
    let mut roots = rustls::RootCertStore::empty();
    if let Some(file) = ca_file {
        let failed = |error: &dyn std::fmt::Display| unusable("the certificates in", file, error);
        for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        if roots.is_empty() {
            return Err(failed(&"there is none"));
        }
    } else {
        // A system without any is none that `https` can be used on, and says so when it is.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = rustls::crypto::ring::default_provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.into());
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| PrometheusError::Header(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
