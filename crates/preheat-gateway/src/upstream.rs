//! One HTTP/1.1 connection to an engine, driven by the request that uses it. Knows nothing of
//! pools, retries or meters.
//!
//! hyper splits a connection into a sender and a driver that is meant to be spawned. Here the two
//! stay together and the request's own task drives both, so that a request costs no task switch,
//! and dropping the request closes the socket at once.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection to an engine, idle or in use.
pub(crate) struct Upstream {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    /// Whether it carried a request before: such a one may be closed just as it is used again.
    pub(crate) reused: bool,
}

/// Moves bytes between hyper and the socket; `None` once the connection is over.
struct Driver(Option<Connection<TokioIo<TcpStream>, Full<Bytes>>>);

/// Why a request got no response head.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing of it was written: it can't have had any effect.
    NotSent,
    /// It was written, at least in part, and then the connection broke.
    Closed(hyper::Error),
}

impl Driver {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(cx).is_ready()
        {
            // Any error also reaches the sender or the body, whoever waits.
            self.0 = None;
        }
    }
}

impl Upstream {
    pub(crate) async fn connect(address: SocketAddr, timeout: Duration) -> io::Result<Box<Self>> {
        let stream = tokio::time::timeout(timeout, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        Ok(Box::new(Self { sender, driver: Driver(Some(connection)), reused: false }))
    }

    /// Whether the connection is open and waits for a request. Looks at the socket.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.driver.drive(&mut Context::from_waker(Waker::noop()));
        self.driver.0.is_some() && self.sender.is_ready()
    }

    /// Sends `request`; resolves when the response's head is there.
    pub(crate) async fn send(
        mut self: Box<Self>,
        request: Request<Full<Bytes>>,
    ) -> Result<(response::Parts, UpstreamBody), SendError> {
        let Self { sender, driver, .. } = &mut *self;
        let mut answer = pin!(sender.try_send_request(request));
        let answered = std::future::poll_fn(|cx| {
            driver.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await;
        let (head, incoming) = answered
            .map_err(|mut failure| match failure.take_message() {
                Some(_) => SendError::NotSent,
                None => SendError::Closed(failure.into_error()),
            })
            .map(Response::into_parts)?;
        Ok((head, UpstreamBody { incoming, upstream: self }))
    }
}

/// A response's body, with the connection that it comes over.
pub(crate) struct UpstreamBody {
    incoming: Incoming,
    upstream: Box<Upstream>,
}

impl UpstreamBody {
    /// The next bytes, or `None` at the end. Trailers are left out: no engine sends any.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            // Asking first tells the driver that the body is wanted; without that it reads nothing.
            let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
            if polled.is_pending() {
                self.upstream.driver.drive(cx);
                polled = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            match ready!(polled) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// The next bytes, or `None` at the end.
    pub(crate) async fn data(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Whether the end is known to have come, without waiting for it.
    pub(crate) fn is_end(&self) -> bool {
        self.incoming.is_end_stream()
    }

    /// Bytes still to come, if the engine said how many.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }

    /// The connection, for the next request; only worth keeping after the end.
    pub(crate) fn into_upstream(self) -> Box<Upstream> {
        self.upstream
    }
}
