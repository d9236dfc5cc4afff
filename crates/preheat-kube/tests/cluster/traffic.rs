//! Clients that stream answers from whatever pods their Service would list.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::kubelet::{Endpoints, MODEL};

/// Tokens of an answer: about a second of streaming.
const TOKENS: u32 = 60;

/// How the streams ended.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    pub(crate) whole: AtomicU64,
    pub(crate) cut: AtomicU64,
}

/// So many clients, each with one stream at a time, until stopped.
pub(crate) struct Traffic {
    ends: Arc<Ends>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Traffic {
    pub(crate) fn start(endpoints: &Endpoints, namespace: &str, clients: usize) -> Self {
        let ends = Arc::new(Ends::default());
        let (stop, stopped) = watch::channel(false);
        let http = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let (endpoints, namespace) = (Arc::clone(endpoints), namespace.to_owned());
            let (ends, stopped, http) = (Arc::clone(&ends), stopped.clone(), http.clone());
            tasks.spawn(async move {
                let mut turn = number;
                while !*stopped.borrow() {
                    let address = {
                        let endpoints = endpoints.lock().unwrap();
                        let mine = endpoints.get(&namespace).filter(|mine| !mine.is_empty());
                        mine.map(|mine| mine[turn % mine.len()])
                    };
                    turn += 1;
                    let Some(address) = address else {
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let end = if stream(&http, address).await { &ends.whole } else { &ends.cut };
                    end.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self { ends, stop, clients: tasks }
    }

    /// Lets the streams that run end; `(whole, cut)`.
    pub(crate) async fn stop(self) -> (u64, u64) {
        self.stop.send_replace(true);
        self.clients.join_all().await;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.ends.whole), count(&self.ends.cut))
    }
}

/// One answer, read to its end; whether it had one.
async fn stream(http: &Client<HttpConnector, Full<Bytes>>, address: SocketAddr) -> bool {
    let body = serde_json::json!({
        "model": MODEL, "prompt": "a few words", "max_tokens": TOKENS, "stream": true,
        "ignore_eos": true,
    });
    let request = Request::post(format!("http://{address}/v1/completions"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let Ok(response) = http.request(request).await else { return false };
    let whole = response.status().is_success();
    let Ok(body) = response.into_body().collect().await else { return false };
    whole && body.to_bytes().trim_ascii_end().ends_with(b"data: [DONE]")
}
