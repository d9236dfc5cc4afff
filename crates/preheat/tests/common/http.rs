//! A small HTTP client that tells an answer in full from one that broke off.

use std::borrow::Cow;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, header};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::MODEL;

/// Why there is no answer.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    whole(send(address, Method::GET, path, String::new()).await?).await
}

/// Posts JSON.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Result<Answer, Failure> {
    whole(send(address, Method::POST, path, body.to_owned()).await?).await
}

/// Puts JSON, with a token.
pub(crate) async fn put(
    address: SocketAddr,
    path: &str,
    token: &str,
    body: &str,
) -> Result<Answer, Failure> {
    let request = Request::put(format!("http://{address}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Full::from(body.to_owned()))?;
    whole(client().request(request).await?).await
}

/// A completion, not streamed.
pub(crate) async fn complete(
    address: SocketAddr,
    model: &str,
    tokens: u32,
) -> Result<Answer, Failure> {
    let body = completion(model, tokens, false);
    whole(send(address, Method::POST, "/v1/completions", body).await?).await
}

/// A streamed completion whose first event has come.
pub(crate) async fn stream(address: SocketAddr, tokens: u32) -> Result<Stream, Failure> {
    let body = completion(MODEL, tokens, true);
    let response = send(address, Method::POST, "/v1/completions", body).await?;
    assert_eq!(response.status(), 200);
    let kind = response.headers()[header::CONTENT_TYPE].to_str()?;
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    let mut stream = Stream { body: response.into_body(), bytes: Vec::new() };
    while stream.events() == 0 {
        let more = stream.more().await?;
        assert!(more, "ended without an event: {}", stream.text());
    }
    Ok(stream)
}

fn completion(model: &str, tokens: u32, is_stream: bool) -> String {
    let prompt = "say something long";
    let body = json!({
        "model": model, "prompt": prompt, "max_tokens": tokens, "ignore_eos": true,
        "stream": is_stream,
    });
    body.to_string()
}

/// An answer that is still coming.
pub(crate) struct Stream {
    body: Incoming,
    // Not a text yet: a frame may end inside a character.
    bytes: Vec<u8>,
}

impl Stream {
    /// Events so far.
    pub(crate) fn events(&self) -> usize {
        self.text().matches("data: {").count()
    }

    fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    async fn more(&mut self) -> Result<bool, Failure> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        if let Ok(data) = frame?.into_data() {
            self.bytes.extend_from_slice(&data);
        }
        Ok(true)
    }

    /// Reads to the end; how it ended.
    pub(crate) async fn ending(mut self) -> Ending {
        loop {
            match self.more().await {
                Ok(true) => {}
                Ok(false) if self.text().contains("\"error\"") => return Ending::ErrorEvent,
                Ok(false) if self.text().trim_end().ends_with("data: [DONE]") => {
                    return Ending::Done;
                }
                Ok(false) => return Ending::Incomplete,
                Err(_) => return Ending::Cut,
            }
        }
    }
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In full.
    Done,
    /// With an error in an answer that had status 200.
    ErrorEvent,
    /// In order, but not in full.
    Incomplete,
    /// The connection was lost.
    Cut,
}

async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> Result<Response<Incoming>, Failure> {
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))?;
    Ok(client().request(request).await?)
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

async fn whole(response: Response<Incoming>) -> Result<Answer, Failure> {
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(Answer { status, body: String::from_utf8(body.to_vec())? })
}
