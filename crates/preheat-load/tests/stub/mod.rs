//! A server that answers as a script says, on loopback.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// How one request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status 200 with these parts of a body.
    Parts(Vec<Part>),
    /// As `Parts`, once the server has been told to go on.
    Held(Vec<Part>),
    /// Another status, perhaps with a header.
    Status(u16, Option<(&'static str, &'static str)>),
    /// No answer: the connection is closed.
    Close,
}

/// A part of a body; each is sent on its own.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// These bytes.
    Bytes(String),
    /// The connection is lost here.
    Cut,
    /// Nothing more ever comes.
    Hang,
}

/// Events: a token, the last token, the usage, an error and the end.
pub(crate) fn token() -> Part {
    data(r#"{"choices":[{"index":0,"text":" a","finish_reason":null}]}"#)
}
pub(crate) fn last() -> Part {
    data(r#"{"choices":[{"index":0,"text":" b","finish_reason":"length"}]}"#)
}
pub(crate) fn usage(prompt: u32, completion: u32) -> Part {
    data(&format!(
        r#"{{"choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#
    ))
}
pub(crate) fn error() -> Part {
    data(r#"{"error":{"message":"aborted","type":"InternalServerError","code":500}}"#)
}
pub(crate) fn done() -> Part {
    data("[DONE]")
}
fn data(json: &str) -> Part {
    Part::Bytes(format!("data: {json}\n\n"))
}

/// A whole stream: two tokens, and as many as the server says.
pub(crate) fn stream() -> Vec<Part> {
    vec![token(), last(), usage(7, 5), done()]
}

/// What the server has been sent.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// The server; it ends with the test's runtime.
pub(crate) struct Stub {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    seen_count: watch::Sender<usize>,
    go_on: watch::Sender<bool>,
}

impl Stub {
    /// Serves, and answers the nth request as `script(n)` says.
    pub(crate) async fn start(script: impl Fn(u64) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    pub(crate) fn serve(
        listener: TcpListener,
        script: impl Fn(u64) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let stub = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            seen_count: watch::channel(0).0,
            go_on: watch::channel(false).0,
        };
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: AtomicU64::new(0),
            seen: Arc::clone(&stub.seen),
            seen_count: stub.seen_count.clone(),
            go_on: stub.go_on.subscribe(),
        });
        tokio::spawn(accept(listener, shared));
        stub
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this many requests have come.
    pub(crate) async fn has_seen(&self, count: usize) {
        let mut seen_count = self.seen_count.subscribe();
        seen_count.wait_for(|seen| *seen >= count).await.unwrap();
    }

    /// Answers what is held.
    pub(crate) fn go_on(&self) {
        self.go_on.send_replace(true);
    }
}

struct Shared {
    script: Box<dyn Fn(u64) -> Reply + Send + Sync>,
    asked: AtomicU64,
    seen: Arc<Mutex<Vec<Seen>>>,
    seen_count: watch::Sender<usize>,
    go_on: watch::Receiver<bool>,
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, Arc::clone(&shared)));
            // A connection that is cut is an error here, as the script wants it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<ScriptBody>, io::Error> {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&body).unwrap();
    shared.seen.lock().unwrap().push(Seen { path, authorization, body });
    shared.seen_count.send_modify(|seen| *seen += 1);
    let reply = (shared.script)(shared.asked.fetch_add(1, Ordering::Relaxed));
    let respond = |status: u16, parts: Vec<Part>| {
        let body = ScriptBody { parts: parts.into(), flushed: false };
        Response::builder().status(status).body(body).unwrap()
    };
    match reply {
        Reply::Parts(parts) => Ok(respond(200, parts)),
        Reply::Held(parts) => {
            shared.go_on.clone().wait_for(|go_on| *go_on).await.unwrap();
            Ok(respond(200, parts))
        }
        Reply::Status(status, header) => {
            let mut response = respond(status, vec![Part::Bytes("{}".into())]);
            if let Some((name, value)) = header {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(response)
        }
        Reply::Close => Err(io::Error::other("the script closes the connection")),
    }
}

struct ScriptBody {
    parts: VecDeque<Part>,
    /// The parts before the next one have been given the time to be sent.
    flushed: bool,
}

impl Body for ScriptBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !self.flushed {
            self.flushed = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(Part::Hang) = self.parts.front() {
            return Poll::Pending;
        }
        self.flushed = false;
        match self.parts.pop_front() {
            None | Some(Part::Hang) => Poll::Ready(None),
            Some(Part::Bytes(text)) => Poll::Ready(Some(Ok(Frame::data(text.into())))),
            Some(Part::Cut) => Poll::Ready(Some(Err(io::Error::other("cut")))),
        }
    }
}
