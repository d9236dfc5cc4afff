//! Asks a running preheat's admin API.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http::header::AUTHORIZATION;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use preheat_api::status::Status;
use preheat_web::Token;

/// A status of ten thousand replicas has about 3 MB.
const STATUS_BYTES_MAX: usize = 16 << 20;
/// The admin API answers from memory.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one admin API.
pub(crate) struct AdminClient {
    client: Client<HttpConnector, Empty<Bytes>>,
    admin: SocketAddr,
    token: Option<Token>,
}

impl AdminClient {
    pub(crate) fn new(admin: SocketAddr, token: Option<Token>) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), admin, token }
    }

    /// What its pools are doing.
    pub(crate) async fn status(&self) -> anyhow::Result<Status> {
        let mut request = Request::get(format!("http://{}/status", self.admin));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header());
        }
        let request = request.body(Empty::new())?;
        let answered = tokio::time::timeout(TIMEOUT, self.client.request(request)).await;
        let response = answered.context("no answer in time")?.context("can't be reached")?;
        if !response.status().is_success() {
            bail!("answered with status {}", response.status());
        }
        let body = Limited::new(response.into_body(), STATUS_BYTES_MAX);
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        serde_json::from_slice(&body.to_bytes()).context("the answer is no status")
    }
}
