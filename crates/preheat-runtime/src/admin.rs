//! The admin server: what preheat says about itself, over HTTP, to whoever may connect.
//!
//! `/metrics` for Prometheus, `/status` for people and programs, `/healthz` for probes. Read-only.
//!
//! **Invariant:** a slow or silent client costs one of a bounded number of connections, for a
//! bounded time. Nothing here touches the control loop.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use preheat_api::status::Status;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::telemetry;

/// Connections at one time: a few scrapers and people, with room.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must be there within this; it also ends idle connections.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection lives longer: scrapers reconnect.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// Bytes buffered of one connection: a head of a few headers.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Pause after the system refused a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says how things are, when asked. Must not block.
pub type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

/// A bound admin server, not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Binds to `address`.
    ///
    /// # Errors
    /// When the address can't be had.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await? })
    }

    /// Where it listens; of interest when port 0 was asked for.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown` is done. Connections under way are cut then.
    pub async fn serve(self, status: StatusSource, shutdown: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = tokio::task::JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accepted => accepted,
            };
            // Those that have ended; a set that is never asked keeps them.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, _)) => {
                    let status = Arc::clone(&status);
                    connections.spawn(async move {
                        // A connection that outlives its time is cut.
                        let _ended =
                            tokio::time::timeout(CONNECTION_LIFETIME, connection(stream, status))
                                .await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "the admin server could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn connection(stream: TcpStream, status: StatusSource) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(request.method(), request.uri().path(), &status);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "an admin connection ended early");
    }
}

fn respond(method: &Method, path: &str, status: &StatusSource) -> Response<Full<Bytes>> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/metrics" | "/status" | "/healthz" if !is_read => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            response
        }
        "/metrics" => answer(StatusCode::OK, telemetry::CONTENT_TYPE, telemetry::render(&status())),
        "/status" => match serde_json::to_vec(&status()) {
            Ok(json) => answer(StatusCode::OK, "application/json", json),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/healthz" => text(StatusCode::OK, "ok\n"),
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /status and /healthz\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", body)
}

fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use preheat_api::status::GatewayTotals;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    use super::*;

    async fn ask(address: SocketAddr, head: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_answers_what_it_has_and_refuses_the_rest() {
        let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = admin.local_addr().unwrap();
        let gateway = Some(GatewayTotals { unroutable: 7, ..GatewayTotals::default() });
        let status = Status { version: "1.2.3".to_owned(), gateway, ..Status::default() };
        let source: StatusSource = Arc::new(move || status.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let server = tokio::spawn(admin.serve(source, async move {
            let _told = stopped.await;
        }));
        let close = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        for (request, expected) in [
            ("GET /healthz", vec!["HTTP/1.1 200", "\r\n\r\nok\n"]),
            ("GET /metrics?x=1", vec!["HTTP/1.1 200", "preheat_build_info{version=\"1.2.3\"} 1\n"]),
            ("GET /metrics", vec!["preheat_gateway_unroutable_requests_total 7\n"]),
            ("GET /status", vec!["\"gateway\":{", "\"unroutable\":7"]),
            ("GET /status", vec!["HTTP/1.1 200", "application/json", "\"version\":\"1.2.3\""]),
            ("HEAD /status", vec!["HTTP/1.1 200", "application/json"]),
            ("POST /status", vec!["HTTP/1.1 405", "allow: GET, HEAD"]),
            ("GET /", vec!["HTTP/1.1 404"]),
        ] {
            let answer = ask(address, &format!("{request} {close}")).await;
            for part in expected {
                assert!(answer.contains(part), "{request}: {part:?} is not in {answer:?}");
            }
        }
        let silent = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        server.await.unwrap();
        drop(silent);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_cut_off() {
        let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = admin.local_addr().unwrap();
        let source: StatusSource = Arc::new(Status::default);
        let server = tokio::spawn(admin.serve(source, std::future::pending()));
        // Half a head. Time passes by itself while everybody waits.
        let answer = ask(address, "GET /status HTTP/1.1\r\nHost:").await;
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.abort();
    }
}
