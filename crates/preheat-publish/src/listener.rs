//! Sockets: connections, with TLS or without, each bounded in what it may hold up.
//!
//! **Invariant:** a slow or silent client costs one of a bounded number of connections.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Connections at one time: the apiservers of a cluster, or KEDA's operators with a stream for each
/// of some dozens of ScaledObjects, which share connections.
const CONNECTIONS_MAX: usize = 256;
/// Streams on one connection at one time: KEDA keeps one open for each ScaledObject.
const STREAMS_MAX: u32 = 1024;
/// A handshake, or the head of a request, must be there within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is silent is asked whether it still is one.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Pause after the system refused a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The certificates that a client showed, its own first.
pub(crate) type Shown = Arc<Vec<CertificateDer<'static>>>;

/// How connections are secured; absent for not at all.
pub(crate) type Tls = Option<Arc<ServerConfig>>;

/// Answers until stopped. Connections under way are cut then.
pub(crate) async fn serve<H, F, B>(
    listener: TcpListener,
    tls: watch::Receiver<Tls>,
    handle: H,
    mut stopped: watch::Receiver<bool>,
) where
    H: Fn(Request<Incoming>, Option<Shown>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _sent = stopped.wait_for(|stopped| *stopped) => break,
        };
        // Those that have ended; a set that is never asked keeps them.
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                let tls = tls.borrow().clone();
                let handle = handle.clone();
                connections.spawn(async move {
                    secured(stream, tls, handle).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn secured<H, F, B>(stream: TcpStream, tls: Tls, handle: H)
where
    H: Fn(Request<Incoming>, Option<Shown>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Some(config) = tls else {
        return connection(stream, None, handle).await;
    };
    let handshake = TlsAcceptor::from(config).accept(stream);
    match tokio::time::timeout(HEAD_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => {
            let shown = stream.get_ref().1.peer_certificates();
            let shown = shown.map(|all| {
                Arc::new(all.iter().map(|one| one.clone().into_owned()).collect::<Vec<_>>())
            });
            connection(stream, shown, handle).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
        Err(_) => tracing::debug!("a handshake took too long"),
    }
}

async fn connection<S, H, F, B>(stream: S, shown: Option<Shown>, handle: H)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    H: Fn(Request<Incoming>, Option<Shown>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let service = service_fn(move |request| {
        let answer = handle(request, shown.clone());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .max_concurrent_streams(STREAMS_MAX);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}
