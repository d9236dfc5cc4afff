//! Response bodies: bytes at once, or the events of one answer.
//!
//! **Invariant:** dropping a body before its end cancels the request it belongs to.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::answer::{Answer, End};
use crate::api_response::EventWriter;
use crate::tickets::{EngineTicket, HttpTicket};

/// A response body and the record of its request, which is written when the body is gone.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    /// Held for its drop.
    _http: HttpTicket,
}

#[derive(Debug)]
enum Content {
    Whole(Bytes),
    /// Boxed, because most answers are small and whole.
    Events(Box<Events>),
    Done,
}

#[derive(Debug)]
struct Events {
    answer: Answer,
    writer: EventWriter,
    ticket: EngineTicket,
}

impl ResponseBody {
    pub(crate) fn whole(bytes: Bytes, http: HttpTicket) -> Self {
        Self { content: Content::Whole(bytes), _http: http }
    }

    pub(crate) fn events(
        answer: Answer,
        writer: EventWriter,
        ticket: EngineTicket,
        http: HttpTicket,
    ) -> Self {
        let events = Box::new(Events { answer, writer, ticket });
        Self { content: Content::Events(events), _http: http }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut self.content {
            Content::Done => return Poll::Ready(None),
            Content::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.content = Content::Done;
                bytes
            }
            Content::Events(events) => {
                let (tokens, end) = ready!(events.answer.poll_take(context));
                let bytes = match end {
                    None => events.writer.tokens(tokens),
                    Some(End::Finished(reason)) => events.writer.finish(tokens, reason),
                    Some(End::Cut) => events.writer.cut(tokens),
                };
                if end.is_some() {
                    events.ticket.close();
                    self.content = Content::Done;
                }
                bytes
            }
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Done => true,
            Content::Whole(bytes) => bytes.is_empty(),
            Content::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Done => SizeHint::with_exact(0),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Events(_) => SizeHint::default(),
        }
    }
}
