//! Accepts connections, runs HTTP/1.1 on each, and shuts down without cutting streams off.
//! Knows nothing of what requests mean.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use preheat_runtime::clock::Clock;
use preheat_runtime::routing::RoutingReceiver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::GatewayConfig;
use crate::forward::Forwarder;
use crate::handler::Handler;
use crate::headers::RequestIds;
use crate::request_body::BodyBudget;
use crate::stats::{GatewayStats, count};

/// hyper refuses to make do with less.
const HEADER_BYTES_MIN: usize = 8 << 10;
/// Pause after a failed accept: it fails for lack of file descriptors, which only time gives back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long, and for how many bytes, a closed connection is still read, so that the client finds
/// our last answer before the reset that unread data would cause.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 1 << 20;
/// For a client that starts a request and does not get on with it.
const TOO_SLOW: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// A gateway that is ready to serve.
pub struct Gateway {
    handler: Arc<Handler>,
    stopping: watch::Sender<bool>,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServeReport {
    /// Connections that the shutdown's time limit cut off.
    pub connections_cut_off: usize,
}

/// Serves clients that connect to `listener`, until `shutdown` resolves and the requests that run
/// then have ended, or their time is over.
pub async fn serve(
    listener: TcpListener,
    config: GatewayConfig,
    clock: Clock,
    routes: RoutingReceiver,
    shutdown: impl Future<Output = ()>,
) -> ServeReport {
    Gateway::new(config, clock, routes).serve(listener, shutdown).await
}

impl Gateway {
    /// A gateway that routes by `routes` and measures by `clock`.
    pub fn new(config: GatewayConfig, clock: Clock, routes: RoutingReceiver) -> Self {
        let (stopping, stopping_seen) = watch::channel(false);
        let budget = Arc::new(BodyBudget::new(config.body_bytes_total_max));
        let started_at = clock.now();
        let forwarder = Forwarder::new(config, clock, routes, stopping_seen);
        let request_ids = RequestIds::new();
        let handler = Arc::new(Handler { forwarder, budget, request_ids, started_at });
        Self { handler, stopping }
    }

    /// The gateway's counters; stays valid while it serves and after.
    pub fn stats(&self) -> Arc<GatewayStats> {
        Arc::clone(&self.handler.forwarder.stats)
    }

    /// See [`serve`].
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> ServeReport {
        let mut connections = JoinSet::new();
        let mut house = pin!(self.handler.forwarder.keep_house());
        let mut shutdown = pin!(shutdown);
        let connections_max = self.handler.forwarder.config.connections_max;
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut house => {}
                Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
                accepted = accept(&listener), if connections.len() < connections_max => {
                    let Some(stream) = accepted else { continue };
                    count(&self.handler.forwarder.stats.connections);
                    let handler = Arc::clone(&self.handler);
                    connections.spawn(connection(stream, handler, self.stopping.subscribe()));
                }
            }
        }
        drop(listener);
        self.stopping.send_replace(true);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        let timeout = self.handler.forwarder.config.shutdown_timeout;
        tokio::select! {
            () = all_ended => {}
            () = &mut house => {}
            () = tokio::time::sleep(timeout) => {}
        }
        let connections_cut_off = connections.len();
        if connections_cut_off > 0 {
            tracing::warn!(connections_cut_off, "the shutdown's time is over");
            self.handler.forwarder.stats.cutting_off.store(true, Ordering::Relaxed);
            connections.shutdown().await;
        }
        ServeReport { connections_cut_off }
    }
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    match listener.accept().await {
        Ok((stream, _address)) => Some(stream),
        Err(error) => {
            tracing::warn!(%error, "can't accept a connection");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

async fn connection(stream: TcpStream, handler: Arc<Handler>, mut stopping: watch::Receiver<bool>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let config = &handler.forwarder.config;
    let mut http = http1::Builder::new();
    // A client that closes its sending side counts as gone: hyper then drops what is under way.
    // Answers are small frames, which cost less to copy together than to write as three parts each.
    let header_bytes_max = config.header_bytes_max.max(HEADER_BYTES_MIN);
    http.half_close(false)
        .writev(false)
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_read_timeout)
        .max_header_size(header_bytes_max)
        .max_buf_size(header_bytes_max);
    let answering = Arc::clone(&handler);
    let service = service_fn(move |request| {
        let handler = Arc::clone(&answering);
        // Boxed, so that the connection can be taken apart again after its end.
        Box::pin(async move { handler.handle(request).await })
    });
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            biased;
            ended = std::future::poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = stopping.wait_for(|stopping| *stopping), if !told => {
                told = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let parts = connection.into_parts();
    let stream = parts.io.into_inner();
    match ended {
        Ok(()) => linger(stream, b"").await,
        // An idle connection that times out is simply closed.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            linger(stream, TOO_SLOW).await;
        }
        Err(error) => tracing::trace!(%error, "a connection broke"),
    }
}

/// Closes our side, and then waits a little for the client to close its own.
async fn linger(mut stream: TcpStream, last_words: &[u8]) {
    let closing = async {
        stream.write_all(last_words).await?;
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    // Whatever goes wrong here, the connection is closed.
    let _closed = tokio::time::timeout(LINGER, closing).await;
}
