//! Asks the HTTP API of a running preheat, or of a dashboard.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use preheat_api::v1::{Fleet, Pool};
use preheat_web::Token;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A pool of ten thousand replicas has about 3 MB.
const BODY_BYTES_MAX: usize = 16 << 20;
/// The admin API answers from memory, or from a few reads of its journal.
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

    /// Every pool in a line.
    pub(crate) async fn fleet(&self) -> anyhow::Result<Fleet> {
        self.get("fleet").await?.context("it has no HTTP API of version 1")
    }

    /// One pool with its replicas; `None` where there is none of that name.
    pub(crate) async fn pool(&self, pool: &str) -> anyhow::Result<Option<Pool>> {
        self.get(&format!("pools/{}", segment(pool))).await
    }

    /// Every pool in a line, and with its replicas.
    pub(crate) async fn status(&self) -> anyhow::Result<StatusAnswer> {
        let fleet = self.fleet().await?;
        let mut pools = Vec::new();
        for summary in &fleet.pools {
            // One that has gone since is left out.
            pools.extend(self.pool(&summary.pool).await?);
        }
        Ok(StatusAnswer { fleet, pools })
    }

    /// The answer at a path of version 1; `None` where there is nothing.
    async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        let mut request = Request::get(format!("http://{}/api/v1/{path}", self.admin));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.header());
        }
        let request = request.body(Empty::new())?;
        let answered = tokio::time::timeout(TIMEOUT, self.client.request(request)).await;
        let response = answered.context("no answer in time")?.context("can't be reached")?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if !response.status().is_success() {
            bail!("answered with status {}", response.status());
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX);
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        let answer = serde_json::from_slice(&body.to_bytes());
        answer.map(Some).context("the answer is not what version 1 of its HTTP API promises")
    }
}

/// What `preheat status --json` prints: the answers of the HTTP API of version 1.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusAnswer {
    /// Of `/api/v1/fleet`.
    pub(crate) fleet: Fleet,
    /// Of `/api/v1/pools/{pool}`, each.
    pub(crate) pools: Vec<Pool>,
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        for (name, expected) in [
            ("chat", "chat"),
            ("team-a/chat_2.b~", "team-a%2Fchat_2.b~"),
            ("a b?", "a%20b%3F"),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(segment(name), expected);
        }
    }
}
