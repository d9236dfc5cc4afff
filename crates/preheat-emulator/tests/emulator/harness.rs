//! Starts an engine, talks to it, reads its events, log and metrics.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use preheat_core::Concurrency;
use preheat_emulator::{EmulatorError, EmulatorOptions, run};
use preheat_engine::{EngineProfile, SleepProfile, StartupProfile};
use preheat_runtime::clock::{Clock, TimeScale};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Fast enough that an answer of some thousand tokens takes milliseconds.
pub(crate) const FAST: f64 = 1000.0;
/// Real time: an answer of [`FOREVER`] tokens takes minutes.
pub(crate) const REAL: f64 = 1.0;
/// Tokens that no test waits for.
pub(crate) const FOREVER: u32 = 30_000;
/// A test that takes this long hangs.
const HANG: Duration = Duration::from_secs(60);

/// Two slots, two served names, no start-up time.
pub(crate) fn options() -> EmulatorOptions {
    let profile = &EngineProfile::all()[0];
    let listen = ([127, 0, 0, 1], 0).into();
    let startup = StartupProfile::fixed(Duration::ZERO);
    let mut options = EmulatorOptions::for_profile(listen, "tiny", profile, startup);
    options.model_names.push("tiny-b".to_owned());
    options.engine.max_num_seqs = Concurrency::new(2).unwrap();
    options.engine.max_model_len = 40_000;
    options.engine.kv_capacity_tokens = 200_000;
    options.engine.sleep = SleepProfile::fixed(Duration::from_secs(2), Duration::from_secs(1));
    options
}

/// A running engine.
pub(crate) struct Emulator {
    pub(crate) address: SocketAddr,
    log: mpsc::UnboundedReceiver<String>,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<Result<(), EmulatorError>>,
}

impl Emulator {
    /// Begins to start; returns when the address is known.
    pub(crate) async fn begin(options: EmulatorOptions, scale: f64) -> Self {
        let (lines, mut log) = mpsc::unbounded_channel();
        let (shutdown, signal) = oneshot::channel::<()>();
        let clock = Clock::start(TimeScale::try_from(scale).unwrap());
        let log_sink = Lines { lines, partial: Vec::new() };
        let signal = async move {
            let _ = signal.await;
        };
        let task = tokio::spawn(run(options, clock, log_sink, signal));
        let bound = within(log.recv()).await.unwrap();
        let address = bound.split("Bound ").nth(1).unwrap().split(';').next().unwrap();
        Self { address: address.parse().unwrap(), log, shutdown, task }
    }

    /// Starts and waits until it serves.
    pub(crate) async fn serving(options: EmulatorOptions, scale: f64) -> Self {
        let mut emulator = Self::begin(options, scale).await;
        emulator.log_until("Application startup complete.").await;
        emulator
    }

    /// Log lines up to the first that contains `text`.
    pub(crate) async fn log_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = within(self.log.recv()).await.unwrap();
            let is_last = line.contains(text);
            lines.push(line);
            if is_last {
                return lines;
            }
        }
    }

    /// Sends the signal.
    pub(crate) fn signal(self) -> Ending {
        self.shutdown.send(()).unwrap();
        Ending { log: self.log, task: self.task }
    }

    /// What `run` returns without a signal.
    pub(crate) async fn died(self) -> EmulatorError {
        within(self.task).await.unwrap().unwrap_err()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        Reply::read(send(self.address, "GET", path, None).await).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        Reply::read(send(self.address, "POST", path, Some(body)).await).await
    }

    /// Opens a stream; panics unless it is let in.
    pub(crate) async fn stream(&self, path: &str, body: Value) -> Events {
        let response = send(self.address, "POST", path, Some(body)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let content_type = response.headers()["content-type"].to_str().unwrap();
        assert!(content_type.starts_with("text/event-stream"), "{content_type}");
        Events { body: response.into_body(), text: String::new(), is_ended: false }
    }

    /// A stream of `tokens` tokens from a prompt of 8.
    pub(crate) async fn completion(&self, tokens: u32) -> Events {
        self.stream("/v1/completions", completion_body(tokens)).await
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let reply = self.get("/metrics").await;
        assert_eq!(reply.status, StatusCode::OK);
        Metrics(String::from_utf8(reply.body.to_vec()).unwrap())
    }

    /// Scrapes until `holds`.
    pub(crate) async fn metrics_until(&self, holds: impl Fn(&Metrics) -> bool) -> Metrics {
        let scrapes = async {
            loop {
                let metrics = self.metrics().await;
                if holds(&metrics) {
                    return metrics;
                }
            }
        };
        within(scrapes).await
    }
}

/// An engine that was told to stop.
pub(crate) struct Ending {
    log: mpsc::UnboundedReceiver<String>,
    task: JoinHandle<Result<(), EmulatorError>>,
}

impl Ending {
    pub(crate) async fn log_until(&mut self, text: &str) {
        while !within(self.log.recv()).await.unwrap().contains(text) {}
    }

    /// Waits until `run` has returned well.
    pub(crate) async fn ended(self) {
        within(self.task).await.unwrap().unwrap();
    }
}

pub(crate) fn completion_body(tokens: u32) -> Value {
    serde_json::json!({
        "model": "tiny", "prompt": [1, 2, 3, 4, 5, 6, 7, 8], "max_tokens": tokens,
        "ignore_eos": true, "stream": true, "stream_options": {"include_usage": true},
    })
}

/// An answer in full.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) async fn read(response: Response<Incoming>) -> Self {
        let status = response.status();
        let body = within(response.into_body().collect()).await.unwrap().to_bytes();
        Self { status, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks an error's status, type and part of its message.
    #[track_caller]
    pub(crate) fn check_error(&self, status: u16, kind: &str, message: &str) {
        let json = self.json();
        assert_eq!(self.status.as_u16(), status, "{json}");
        let error = &json["error"];
        assert_eq!(error["code"], status, "{json}");
        assert_eq!(error["type"], kind, "{json}");
        assert!(error["message"].as_str().unwrap().contains(message), "{json}");
    }
}

/// Server-sent events as a client reads them. Dropping it hangs up.
pub(crate) struct Events {
    body: Incoming,
    text: String,
    is_ended: bool,
}

impl Events {
    /// The payload of the next event; `None` at the end of the body.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                return Some(event.strip_prefix("data: ").unwrap().trim_end().to_owned());
            }
            if self.is_ended {
                assert_eq!(self.text, "", "an event was cut");
                return None;
            }
            match within(self.body.frame()).await {
                None => self.is_ended = true,
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap();
                    self.text.push_str(std::str::from_utf8(&data).unwrap());
                }
                Some(Err(_)) => return None,
            }
        }
    }

    /// The next event as JSON.
    pub(crate) async fn next_json(&mut self) -> Value {
        serde_json::from_str(&self.next().await.unwrap()).unwrap()
    }

    /// All further events but `[DONE]`, which must be the last.
    pub(crate) async fn rest(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            if event == "[DONE]" {
                assert_eq!(self.next().await, None);
                return events;
            }
            events.push(serde_json::from_str(&event).unwrap());
        }
        panic!("no [DONE] after {events:?}");
    }
}

/// A scrape.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    /// The value of the one series of `name` whose line contains `label`.
    #[track_caller]
    pub(crate) fn value_of(&self, name: &str, label: &str) -> f64 {
        let is_series = |line: &&str| {
            let rest = line.strip_prefix(name).unwrap_or("");
            (rest.starts_with('{') || rest.starts_with(' ')) && rest.contains(label)
        };
        let line = self.0.lines().find(is_series).unwrap_or_else(|| panic!("no {name}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.value_of(name, "")
    }

    /// Running and waiting.
    pub(crate) fn inside(&self) -> (f64, f64) {
        (self.value("vllm:num_requests_running"), self.value("vllm:num_requests_waiting"))
    }
}

/// One request on a connection of its own.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Response<Incoming> {
    let stream = within(TcpStream::connect(address)).await.unwrap();
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("content-type", "application/json")
        .body(Full::new(body))
        .unwrap();
    send_on(stream, request).await.unwrap()
}

/// The connection closes when the response is dropped.
pub(crate) async fn send_on(
    stream: TcpStream,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    within(sender.send_request(request)).await
}

/// Fails a test that would hang.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, future).await.expect("it hangs")
}

/// A log sink that sends whole lines.
struct Lines {
    lines: mpsc::UnboundedSender<String>,
    partial: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8(std::mem::take(&mut self.partial)).unwrap();
                let _ = self.lines.send(line);
            } else {
                self.partial.push(*byte);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
