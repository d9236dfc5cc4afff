//! The body of a response to a client: the gateway's own bytes, or an engine's as they come.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use preheat_runtime::clock::Clock;
use preheat_runtime::traffic_meter::Outstanding;

use crate::aside::BackendKey;
use crate::idle::IdlePool;
use crate::outcome::Progress;
use crate::upstream::{Upstream, UpstreamBody};

/// What is sent to a client.
pub(crate) enum GatewayBody {
    Whole(Full<Bytes>),
    Relay(Box<Relay>),
}

impl From<Bytes> for GatewayBody {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

/// The engine broke off after it had begun. The client's connection is aborted then: a stream that
/// ended properly with an error event inside would pass for a success with many a client.
#[derive(Debug)]
pub(crate) struct BrokeOff;

impl std::fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the engine broke off its response")
    }
}

impl std::error::Error for BrokeOff {}

/// Gives an engine's connection back when its response has ended.
pub(crate) struct Return {
    pub(crate) pool: Arc<IdlePool>,
    pub(crate) backend: BackendKey,
    pub(crate) clock: Clock,
    pub(crate) outstanding: Outstanding,
}

impl Return {
    fn finish(self, upstream: Box<Upstream>) {
        drop(self.outstanding);
        self.pool.put(self.backend, upstream, self.clock.now());
    }
}

/// Passes an engine's body on frame by frame.
pub(crate) struct Relay {
    first: Option<Bytes>,
    passing: Option<Passing>,
    /// The engine broke off; told to the client one poll later, so that what came before is
    /// flushed first.
    broke_off: bool,
}

struct Passing {
    body: UpstreamBody,
    progress: Progress,
    back: Return,
}

impl GatewayBody {
    /// A body that has begun with `first`.
    pub(crate) fn relay(
        first: Option<Bytes>,
        body: UpstreamBody,
        mut progress: Progress,
        back: Return,
    ) -> Self {
        progress.passing(first.as_deref().unwrap_or_default());
        if first.is_none() || body.is_end() {
            progress.ended();
            back.finish(body.into_upstream());
            return Self::Whole(Full::new(first.unwrap_or_default()));
        }
        let passing = Some(Passing { body, progress, back });
        Self::Relay(Box::new(Relay { first, passing, broke_off: false }))
    }
}

impl Relay {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokeOff>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(Passing { body, progress, .. }) = &mut self.passing else {
            let broke_off = std::mem::take(&mut self.broke_off);
            return Poll::Ready(broke_off.then_some(Err(BrokeOff)));
        };
        let polled = ready!(body.poll_data(cx));
        if let Some(Ok(data)) = &polled {
            progress.passing(data);
            if !body.is_end() {
                return Poll::Ready(polled.map(|data| data.or(Err(BrokeOff))));
            }
        }
        self.finish(polled, cx)
    }

    /// Settles a response whose last bytes, end or failure is `last`.
    fn finish(
        &mut self,
        last: Option<Result<Bytes, hyper::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokeOff>>> {
        let Some(Passing { body, progress, back }) = self.passing.take() else {
            return Poll::Ready(None);
        };
        match last {
            Some(Err(error)) => {
                tracing::debug!(%error, "an engine broke off its response");
                progress.broke_off();
                self.broke_off = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Ok(data)) => {
                progress.ended();
                back.finish(body.into_upstream());
                Poll::Ready(Some(Ok(data)))
            }
            None => {
                progress.ended();
                back.finish(body.into_upstream());
                Poll::Ready(None)
            }
        }
    }
}

impl Body for GatewayBody {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        match self.get_mut() {
            Self::Whole(full) => Pin::new(full)
                .poll_frame(cx)
                .map(|next| next.map(|frame| frame.map_err(|never: Infallible| match never {}))),
            Self::Relay(relay) => relay.poll(cx).map(|next| next.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(full) => full.is_end_stream(),
            Self::Relay(relay) => {
                relay.first.is_none() && relay.passing.is_none() && !relay.broke_off
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let relay = match self {
            Self::Whole(full) => return full.size_hint(),
            Self::Relay(relay) => relay,
        };
        let first = relay.first.as_ref().map_or(0, Bytes::len) as u64;
        let rest = relay.passing.as_ref().map_or(Some(0), |passing| passing.body.remaining());
        rest.map_or_else(SizeHint::default, |rest| SizeHint::with_exact(first + rest))
    }
}
