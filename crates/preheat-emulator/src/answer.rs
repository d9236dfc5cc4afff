//! One request's output on its way from the engine's task to its HTTP response.
//!
//! It is a slot, not a queue: tokens that a slow client has not taken add up to one event, as in
//! vLLM's own output collector.
//!
//! **Invariant:** memory per request is constant, however slow the client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine_metrics::FinishReason;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With its last token.
    Finished(FinishReason),
    /// The server shuts down: a stream ends in an error event, another answer is a 500.
    Cut,
}

/// When the reader wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WakeOn {
    /// At each batch of tokens.
    Tokens,
    /// At the end only.
    End,
}

/// Both sides of the slot.
#[derive(Clone, Debug)]
pub(crate) struct Answer(Arc<Mutex<Slot>>);

#[derive(Debug)]
struct Slot {
    wake_on: WakeOn,
    tokens: u32,
    end: Option<End>,
    waker: Option<Waker>,
}

impl Answer {
    pub(crate) fn new(wake_on: WakeOn) -> Self {
        Self(Arc::new(Mutex::new(Slot { wake_on, tokens: 0, end: None, waker: None })))
    }

    /// More tokens are there.
    pub(crate) fn add(&self, tokens: u32) {
        let mut slot = self.lock();
        slot.tokens += tokens;
        if slot.wake_on == WakeOn::Tokens && tokens > 0 {
            wake(slot);
        }
    }

    /// The last tokens are there. Later calls change nothing.
    pub(crate) fn end(&self, tokens: u32, end: End) {
        let mut slot = self.lock();
        if slot.end.is_none() {
            slot.tokens += tokens;
            slot.end = Some(end);
            wake(slot);
        }
    }

    /// Takes what is there, as soon as there is what the reader waits for.
    pub(crate) fn poll_take(&self, context: &mut Context<'_>) -> Poll<(u32, Option<End>)> {
        let mut slot = self.lock();
        let is_ready = match slot.wake_on {
            WakeOn::Tokens => slot.tokens > 0 || slot.end.is_some(),
            WakeOn::End => slot.end.is_some(),
        };
        if is_ready {
            return Poll::Ready((std::mem::take(&mut slot.tokens), slot.end));
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the reader outside the lock.
fn wake(mut slot: MutexGuard<'_, Slot>) {
    let waker = slot.waker.take();
    drop(slot);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::{Answer, End, WakeOn};
    use crate::engine_metrics::FinishReason;

    #[test]
    fn tokens_add_up_until_taken() {
        let answer = Answer::new(WakeOn::Tokens);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(answer.poll_take(&mut context), Poll::Pending);
        answer.add(2);
        answer.add(3);
        assert_eq!(answer.poll_take(&mut context), Poll::Ready((5, None)));
        assert_eq!(answer.poll_take(&mut context), Poll::Pending);
        let end = End::Finished(FinishReason::Length);
        answer.end(1, end);
        answer.end(9, End::Cut);
        assert_eq!(answer.poll_take(&mut context), Poll::Ready((1, Some(end))));
    }

    #[test]
    fn a_whole_answer_waits_for_its_end() {
        let answer = Answer::new(WakeOn::End);
        let mut context = Context::from_waker(Waker::noop());
        answer.add(2);
        assert_eq!(answer.poll_take(&mut context), Poll::Pending);
        answer.end(1, End::Cut);
        assert_eq!(answer.poll_take(&mut context), Poll::Ready((3, Some(End::Cut))));
    }
}
