//! What is asked of engines over HTTP, but for their metrics.
//!
//! **Invariant:** every question has a timeout and a bound on its answer's size.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

/// An answer longer than this is no list of models.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Model names quoted in an error.
const NAMES_SHOWN_MAX: usize = 5;

/// Asks engines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prober {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// Why an engine did not pass a probe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// It took longer.
    #[error("{path}: no answer within {timeout:?}")]
    Timeout {
        /// What was asked.
        path: String,
        /// Wall time that it was given.
        timeout: Duration,
    },
    /// Nothing accepted a connection.
    #[error("{path}: nothing listens")]
    Connect {
        /// What was to be asked.
        path: String,
    },
    /// The connection broke before the whole answer was there.
    #[error("{path}: the connection broke")]
    Broken {
        /// What was asked.
        path: String,
    },
    /// It answered with something other than 2xx.
    #[error("{path}: answered with status {status}")]
    Status {
        /// What was asked.
        path: String,
        /// What it answered with.
        status: u16,
    },
    /// Its answer means something else, or nothing.
    #[error("{path}: the answer is not what was expected")]
    Malformed {
        /// What was asked.
        path: String,
    },
    /// It serves other models.
    #[error("{path}: lists {listed}, but not `{model}`")]
    ModelNotListed {
        /// What was asked.
        path: String,
        /// Which model it should list.
        model: String,
        /// Some of those that it lists.
        listed: String,
    },
    /// It sleeps where it should be awake, or the other way.
    #[error("{path}: still says is_sleeping: {is_sleeping}")]
    WrongSleepState {
        /// What was asked.
        path: String,
        /// What it said.
        is_sleeping: bool,
    },
}

#[derive(Deserialize)]
struct Models {
    data: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    id: String,
}

#[derive(Deserialize)]
struct Completion {
    choices: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct SleepAnswer {
    is_sleeping: bool,
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// A prober without connections.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        // No idle connections: an engine that ends would leave one that fails the next probe.
        let client =
            Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
        Self { client }
    }

    /// Passes when `path` lists `model`.
    ///
    /// # Errors
    /// When it does not, or gives no such answer.
    pub async fn lists_model(
        &self,
        address: SocketAddr,
        path: &str,
        model: &str,
        timeout: Duration,
    ) -> Result<(), ProbeError> {
        let body = self.ask(Method::GET, address, path, None, timeout).await?;
        let models: Models = parse(&body, path)?;
        if models.data.iter().any(|listed| listed.id == model) {
            return Ok(());
        }
        let shown = models.data.iter().take(NAMES_SHOWN_MAX);
        let names: Vec<String> = shown.map(|listed| format!("`{}`", listed.id)).collect();
        let listed = if names.is_empty() { "no model".to_owned() } else { names.join(", ") };
        let (path, model) = (path.to_owned(), model.to_owned());
        Err(ProbeError::ModelNotListed { path, model, listed })
    }

    /// Passes when the engine generates one token.
    ///
    /// # Errors
    /// When it does not.
    pub async fn canary(
        &self,
        address: SocketAddr,
        model: &str,
        timeout: Duration,
    ) -> Result<(), ProbeError> {
        const PATH: &str = "/v1/completions";
        let question = serde_json::json!({
            "model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0,
        });
        let body =
            self.ask(Method::POST, address, PATH, Some(question.to_string()), timeout).await?;
        let completion: Completion = parse(&body, PATH)?;
        if completion.choices.is_empty() {
            return Err(ProbeError::Malformed { path: PATH.to_owned() });
        }
        Ok(())
    }

    /// `POST` without a body; passes with any 2xx.
    ///
    /// # Errors
    /// When it answers otherwise, or not in time.
    pub async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        timeout: Duration,
    ) -> Result<(), ProbeError> {
        self.ask(Method::POST, address, path, None, timeout).await.map(drop)
    }

    /// Passes when the engine says that it is asleep, or awake, as `expected`.
    ///
    /// # Errors
    /// When it says the other, or does not say.
    pub async fn is_sleeping(
        &self,
        address: SocketAddr,
        path: &str,
        expected: bool,
        timeout: Duration,
    ) -> Result<(), ProbeError> {
        let body = self.ask(Method::GET, address, path, None, timeout).await?;
        let SleepAnswer { is_sleeping } = parse(&body, path)?;
        if is_sleeping == expected {
            return Ok(());
        }
        Err(ProbeError::WrongSleepState { path: path.to_owned(), is_sleeping })
    }

    async fn ask(
        &self,
        method: Method,
        address: SocketAddr,
        path: &str,
        json: Option<String>,
        timeout: Duration,
    ) -> Result<Bytes, ProbeError> {
        match tokio::time::timeout(timeout, self.exchange(method, address, path, json)).await {
            Ok(answer) => answer,
            Err(_) => Err(ProbeError::Timeout { path: path.to_owned(), timeout }),
        }
    }

    async fn exchange(
        &self,
        method: Method,
        address: SocketAddr,
        path: &str,
        json: Option<String>,
    ) -> Result<Bytes, ProbeError> {
        let broken = || ProbeError::Broken { path: path.to_owned() };
        let mut request = Request::builder().method(method).uri(format!("http://{address}{path}"));
        if json.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = Full::new(Bytes::from(json.unwrap_or_default()));
        let request = request.body(body).map_err(|_| broken())?;
        let response = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                ProbeError::Connect { path: path.to_owned() }
            } else {
                broken()
            }
        })?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        if !status.is_success() {
            let status = StatusCode::as_u16(&status);
            return Err(ProbeError::Status { path: path.to_owned(), status });
        }
        body.map(http_body_util::Collected::to_bytes).map_err(|_| broken())
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], path: &str) -> Result<T, ProbeError> {
    serde_json::from_slice(body).map_err(|_| ProbeError::Malformed { path: path.to_owned() })
}
