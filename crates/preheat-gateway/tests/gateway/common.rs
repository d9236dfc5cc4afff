//! Stub engines whose every step the test decides, a gateway in front of them, and a client that
//! speaks raw HTTP. Nothing here waits for time: tests wait for events.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use preheat_core::ReplicaId;
use preheat_gateway::{Gateway, GatewayConfig, GatewayStats, ServeReport};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::routing::{
    Backend, PoolId, PoolRoutes, RoutingSender, RoutingTable, routing_channel,
};
use preheat_runtime::traffic_meter::{PoolMeter, PoolTotals};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Far more than anything here takes: only a hanging test meets it.
const HANGS: Duration = Duration::from_secs(60);

pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, future).await.expect("the test hangs")
}

/// Lets everything else run until `condition` holds.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    in_time(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// One request as an engine got it.
pub(crate) struct Seen {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
    reply: oneshot::Sender<Response<StubBody>>,
}

/// A body that the test feeds; what is `Err` cuts the connection.
pub(crate) struct StubBody {
    frames: mpsc::UnboundedReceiver<Result<Bytes, Cut>>,
    _dropped: oneshot::Sender<()>,
}

#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl Body for StubBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.frames.poll_recv(cx).map(|next| next.map(|data| data.map(Frame::data)))
    }
}

/// The test's end of a streamed answer.
pub(crate) struct Streaming {
    frames: Option<mpsc::UnboundedSender<Result<Bytes, Cut>>>,
    dropped: oneshot::Receiver<()>,
}

impl Streaming {
    pub(crate) fn send(&self, text: &str) {
        let frames = self.frames.as_ref().unwrap();
        frames.send(Ok(Bytes::copy_from_slice(text.as_bytes()))).unwrap();
    }

    pub(crate) fn cut(&self) {
        let _ = self.frames.as_ref().unwrap().send(Err(Cut));
    }

    pub(crate) fn end(mut self) {
        self.frames = None;
    }

    /// Resolves when the engine's side of the connection is gone.
    pub(crate) async fn abandoned(self) {
        let _frames = self.frames;
        let _ = in_time(self.dropped).await;
    }
}

impl Seen {
    pub(crate) fn answer(self, status: u16, body: &str) {
        let streaming = self.stream_as(status, "application/json");
        streaming.send(body);
        streaming.end();
    }

    pub(crate) fn stream(self) -> Streaming {
        self.stream_as(200, "text/event-stream; charset=utf-8")
    }

    fn stream_as(self, status: u16, content_type: &str) -> Streaming {
        let (frames, receive) = mpsc::unbounded_channel();
        let (dropped_send, dropped) = oneshot::channel();
        let mut response = Response::new(StubBody { frames: receive, _dropped: dropped_send });
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response.headers_mut().insert("content-type", content_type.parse().unwrap());
        assert!(self.reply.send(response).is_ok(), "the request was given up");
        Streaming { frames: Some(frames), dropped }
    }

    /// Breaks the connection off without an answer.
    pub(crate) fn reset(self) {}

    /// Resolves when whoever sent the request has given it up.
    pub(crate) async fn abandoned(mut self) {
        in_time(self.reply.closed()).await;
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A stub engine on a port of its own.
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Engine {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let tell = tell.clone();
                let service = service_fn(move |request| engine_answers(tell.clone(), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, seen }
    }

    /// The next request that comes here.
    pub(crate) async fn request(&mut self) -> Seen {
        in_time(self.seen.recv()).await.expect("the engine is gone")
    }

    pub(crate) fn is_idle(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }
}

/// A port that is taken, so that nobody else gets it, and where connections are refused.
pub(crate) fn dead_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn engine_answers(
    tell: mpsc::UnboundedSender<Seen>,
    request: Request<Incoming>,
) -> Result<Response<StubBody>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let (reply, answer) = oneshot::channel();
    tell.send(Seen { head, body, reply }).map_err(|_| Cut)?;
    answer.await.map_err(|_| Cut)
}

/// A gateway under test.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<GatewayStats>,
    routes: RoutingSender,
    meters: BTreeMap<String, Arc<PoolMeter>>,
    shutdown: Option<oneshot::Sender<()>>,
    serving: JoinHandle<ServeReport>,
}

impl World {
    pub(crate) async fn start(config: GatewayConfig) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (routes, receiver) = routing_channel();
        let gateway = Gateway::new(config, Clock::start(TimeScale::REAL), receiver);
        let stats = gateway.stats();
        let (shutdown, stop) = oneshot::channel::<()>();
        let serving = tokio::spawn(gateway.serve(listener, async {
            let _ = stop.await;
        }));
        let meters = BTreeMap::new();
        Self { address, stats, routes, meters, shutdown: Some(shutdown), serving }
    }

    /// A gateway with default limits and one pool for model `m`.
    pub(crate) async fn with_engines(engines: &[&Engine]) -> Self {
        let mut world = Self::start(GatewayConfig::default()).await;
        world.route("m", &engines.iter().map(|engine| engine.address).collect::<Vec<_>>());
        world
    }

    /// Routes `model` to `addresses`, and to nothing else.
    pub(crate) fn route(&mut self, model: &str, addresses: &[SocketAddr]) {
        let meter = Arc::clone(self.meters.entry(model.to_owned()).or_default());
        let backends = addresses
            .iter()
            .map(|&address| {
                let replica = ReplicaId(u64::from(address.port()));
                Backend { replica, address, meter: meter.replica(replica) }
            })
            .collect();
        let pool = PoolRoutes { pool: PoolId(model.to_owned()), backends, meter };
        self.routes.send_modify(|table| {
            let mut pools_by_model = table.pools_by_model.clone();
            pools_by_model.insert(model.to_owned(), Arc::new(pool));
            *table = Arc::new(RoutingTable { pools_by_model });
        });
    }

    pub(crate) fn meter(&self) -> &Arc<PoolMeter> {
        &self.meters["m"]
    }

    pub(crate) fn totals(&self) -> PoolTotals {
        self.meter().totals()
    }

    /// Waits until the outcomes so far are (completions, failures, rejections, cancelled).
    #[track_caller]
    pub(crate) fn settled(&self, expected: (u64, u64, u64, u64)) -> impl Future<Output = ()> {
        let meter = Arc::clone(self.meter());
        let stats = Arc::clone(&self.stats);
        async move {
            let now = || {
                let t = meter.totals();
                (t.completions, t.failures, t.rejections, stats.totals().cancelled)
            };
            let sum = |o: (u64, u64, u64, u64)| o.0 + o.1 + o.2 + o.3;
            until(|| sum(now()) >= sum(expected)).await;
            assert_eq!(now(), expected, "completions, failures, rejections, cancelled");
        }
    }

    pub(crate) fn begin_shutdown(&mut self) {
        self.shutdown.take().unwrap().send(()).unwrap();
    }

    pub(crate) async fn ended(self) -> ServeReport {
        in_time(self.serving).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// A client that has sent a request for model `m`.
    pub(crate) async fn post(&self, extra: &str) -> Client {
        self.post_to("/v1/chat/completions", &format!("{{\"model\":\"m\"{extra}}}")).await
    }

    pub(crate) async fn post_to(&self, path: &str, body: &str) -> Client {
        let mut client = self.client().await;
        client.send(&post_text(path, body)).await;
        client
    }
}

pub(crate) fn post_text(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: gw\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// A raw connection to the gateway.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    pub(crate) fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads until `needle` has come.
    pub(crate) async fn read_until(&mut self, needle: &str) {
        in_time(async {
            while !self.so_far().contains(needle) {
                let read = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(read > 0, "ended without {needle:?}: {}", self.so_far());
            }
        })
        .await;
    }

    /// Reads to the end of the connection.
    pub(crate) async fn read_all(mut self) -> String {
        let _reset_or_end = in_time(self.stream.read_to_end(&mut self.read)).await;
        self.so_far()
    }

    /// Whether a chunked response came to its proper end.
    pub(crate) async fn ends_properly(self) -> bool {
        self.read_all().await.ends_with("0\r\n\r\n")
    }
}

#[track_caller]
pub(crate) fn assert_status(answer: &str, status: u16) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
}

#[track_caller]
pub(crate) fn assert_error(answer: &str, status: u16, code: &str) {
    assert_status(answer, status);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let error: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(error["error"]["code"], code, "{answer}");
    for field in ["message", "type", "param"] {
        assert!(error["error"].get(field).is_some(), "{field} is missing in {answer}");
    }
}
