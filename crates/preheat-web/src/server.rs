//! Sockets: who may connect, how many at once, and for how long.
//!
//! **Invariant:** a slow or silent client costs one of a bounded number of connections, for a
//! bounded time. Nothing here touches the control loop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::access::{Peer, Token, Tokens};
use crate::routes;
use crate::source::Source;

/// Connections at one time: scrapers and people, with the streams of `api::STREAMS_MAX` pages.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must be there within this; it also ends idle connections.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection lives longer: scrapers reconnect, and so do the dashboard's streams.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);
/// Bytes buffered of one connection: a head of a few headers.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
/// Pause after the system refused a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound admin server, not yet answering.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    tokens: Tokens,
}

impl Admin {
    /// Binds to `address`. With a token, only those who know it are told more than health; without
    /// one, only those on this machine are told more than health and metrics.
    ///
    /// # Errors
    /// When the address can't be had.
    pub async fn bind(address: SocketAddr, token: Option<Token>) -> std::io::Result<Self> {
        let tokens = Tokens { read: token, control: None };
        Ok(Self { listener: TcpListener::bind(address).await?, tokens })
    }

    /// The same, with a token whose holders may order too.
    #[must_use]
    pub fn with_control_token(mut self, token: Option<Token>) -> Self {
        self.tokens.control = token;
        self
    }

    /// Where it listens; of interest when port 0 was asked for.
    ///
    /// # Errors
    /// When the system can't say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown` is done. Connections under way are cut then.
    pub async fn serve(self, source: Source, shutdown: impl Future<Output = ()>) {
        let router = routes::router(source, self.tokens);
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
                Ok((stream, peer)) => {
                    let router = router.clone().layer(Extension(Peer(peer.ip())));
                    connections.spawn(async move {
                        // A connection that outlives its time is cut.
                        let _ended =
                            tokio::time::timeout(CONNECTION_LIFETIME, connection(stream, router))
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

async fn connection(stream: TcpStream, router: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::trace!(%error, "an admin connection ended early");
    }
}
