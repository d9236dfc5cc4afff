//! Reading one answer and judging it.
//!
//! Status 200 and `[DONE]` are not success: vLLM ends the streams that it aborts with both,
//! after an event that holds an error. An answer is whole when its end was announced *and* a
//! choice has a finish reason *and* no error came.
//!
//! Events are not tokens: engines put several into one, and hold incomplete characters back.
//! The number of tokens is the server's (`usage`); gaps are those between events.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::AnswerMode;
use crate::outcome::ErrorKind;
use crate::piece::{Piece, Usage};
use crate::sse::{SseEvent, SseParser};

/// The most bytes of an answer that is not streamed.
const WHOLE_BYTES_MAX: usize = 64 << 20;

/// The most gaps kept of one answer: as many as the longest outputs have tokens. Later gaps are
/// not counted.
const GAPS_MAX: usize = 1 << 17;

/// How an answer's bytes came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As HTTP has it.
    InOrder,
    /// The connection was lost.
    Lost,
    /// What came cannot be read.
    Malformed,
    /// The request's time was up.
    TimedOut,
}

/// An answer, as far as it has come.
#[derive(Debug)]
pub(crate) struct Answer {
    decoder: Decoder,
    seen: Seen,
}

#[derive(Debug)]
enum Decoder {
    Streamed(SseParser),
    Whole(Vec<u8>),
}

/// What has been seen of an answer.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// When the first choice came, perhaps empty.
    first_choice_at: Option<Instant>,
    /// When the first and the last event with tokens came.
    tokens_at: Option<(Instant, Instant)>,
    /// The gaps between events with tokens, in microseconds.
    pub(crate) gaps_us: Vec<u32>,
    /// How many events had tokens.
    pub(crate) events: u64,
    pub(crate) usage: Usage,
    /// When the end was announced.
    pub(crate) done_at: Option<Instant>,
    has_error: bool,
    has_finish_reason: bool,
    is_malformed: bool,
}

impl Answer {
    pub(crate) fn new(mode: AnswerMode) -> Self {
        let decoder = match mode {
            AnswerMode::Streamed => Decoder::Streamed(SseParser::new()),
            AnswerMode::Whole => Decoder::Whole(Vec::new()),
        };
        Self { decoder, seen: Seen::default() }
    }

    /// Takes the next bytes; breaks when they cannot be read.
    pub(crate) fn take(&mut self, bytes: &[u8], now: Instant) -> ControlFlow<()> {
        let seen = &mut self.seen;
        match &mut self.decoder {
            Decoder::Streamed(parser) => {
                let flow = parser.push(bytes, |event| seen.event(event, now));
                seen.is_malformed |= flow.is_err();
            }
            Decoder::Whole(body) if body.len() + bytes.len() <= WHOLE_BYTES_MAX => {
                body.extend_from_slice(bytes);
            }
            Decoder::Whole(_) => seen.is_malformed = true,
        }
        if seen.is_malformed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Judges the answer at its end.
    pub(crate) fn end(&mut self, end: End, now: Instant) -> Result<(), ErrorKind> {
        if let (Decoder::Whole(body), End::InOrder) = (&self.decoder, end) {
            self.seen.piece(body, now);
            self.seen.done_at = Some(now);
        }
        self.seen.verdict(end)
    }

    pub(crate) fn into_seen(self) -> Seen {
        self.seen
    }
}

impl Seen {
    fn event(&mut self, event: SseEvent<'_>, now: Instant) -> ControlFlow<()> {
        if event.kind == b"error" {
            self.has_error = true;
        } else if event.data == b"[DONE]" {
            self.done_at.get_or_insert(now);
        } else {
            self.piece(event.data, now);
        }
        if self.is_malformed { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn piece(&mut self, json: &[u8], now: Instant) {
        let Ok(piece) = Piece::parse(json) else {
            self.is_malformed = true;
            return;
        };
        self.has_error |= piece.is_error;
        self.has_finish_reason |= piece.has_finish_reason;
        if piece.has_choice {
            self.first_choice_at.get_or_insert(now);
        }
        if piece.has_tokens {
            self.tokens(now);
        }
        if let Some(usage) = piece.usage {
            self.usage = usage;
        }
    }

    fn tokens(&mut self, now: Instant) {
        self.events += 1;
        if let Some((_, last)) = self.tokens_at
            && self.gaps_us.len() < GAPS_MAX
        {
            let gap_us = now.saturating_duration_since(last).as_micros();
            self.gaps_us.push(u32::try_from(gap_us).unwrap_or(u32::MAX));
        }
        let first = self.tokens_at.map_or(now, |(first, _)| first);
        self.tokens_at = Some((first, now));
    }

    fn verdict(&self, end: End) -> Result<(), ErrorKind> {
        if self.has_error {
            return Err(ErrorKind::ErrorEvent);
        }
        if self.is_malformed {
            return Err(ErrorKind::Malformed);
        }
        // What happens to the connection after the announced end harms nobody.
        if self.done_at.is_some() && self.has_finish_reason {
            return Ok(());
        }
        Err(match end {
            End::InOrder => ErrorKind::Incomplete,
            End::Lost => ErrorKind::Cut,
            End::Malformed => ErrorKind::Malformed,
            End::TimedOut => ErrorKind::Timeout,
        })
    }

    /// When the first token came. A token may have no text (half a character): when none had,
    /// the first choice stands for it.
    pub(crate) fn first_token_at(&self) -> Option<Instant> {
        self.tokens_at.map(|(first, _)| first).or(self.first_choice_at)
    }

    pub(crate) fn output_tokens(&self) -> u64 {
        self.usage.completion_tokens.unwrap_or(self.events)
    }

    /// The mean time per output token after the first. Worked: 21 tokens, the last 2 s after
    /// the first, are 0.1 s each.
    pub(crate) fn tpot(&self) -> Option<Duration> {
        let (first, last) = self.tokens_at?;
        let after_first = self.output_tokens().checked_sub(1).filter(|tokens| *tokens > 0)?;
        let between = last.saturating_duration_since(first);
        Some(Duration::from_secs_f64(between.as_secs_f64() / after_first as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "data: {\"choices\":[{\"text\":\" a\"}]}\n\n";
    const LAST: &str = "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}]}\n\n";
    const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"completion_tokens\":21}}\n\n";
    const ERROR: &str = "data: {\"error\":{\"message\":\"aborted\",\"code\":500}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    /// Takes the parts 100 ms apart.
    fn answer(mode: AnswerMode, parts: &[&str]) -> (Answer, Instant) {
        let mut answer = Answer::new(mode);
        let mut now = Instant::now();
        for part in parts {
            now += Duration::from_millis(100);
            if answer.take(part.as_bytes(), now).is_break() {
                break;
            }
        }
        (answer, now)
    }

    #[track_caller]
    fn check(parts: &[&str], end: End, expected: Result<(), ErrorKind>) {
        let (mut answer, now) = answer(AnswerMode::Streamed, parts);
        assert_eq!(answer.end(end, now), expected, "{parts:?} {end:?}");
    }

    #[test]
    fn verdicts() {
        let whole = [TOKEN, TOKEN, LAST, USAGE, DONE];
        check(&whole, End::InOrder, Ok(()));
        check(&whole, End::Lost, Ok(()));
        check(&whole, End::TimedOut, Ok(()));
        check(&[TOKEN, ERROR, DONE], End::InOrder, Err(ErrorKind::ErrorEvent));
        check(&[TOKEN, LAST, ERROR, DONE], End::InOrder, Err(ErrorKind::ErrorEvent));
        check(&["event: error\ndata: oh\n\n", DONE], End::InOrder, Err(ErrorKind::ErrorEvent));
        check(&[TOKEN, DONE], End::InOrder, Err(ErrorKind::Incomplete));
        check(&[TOKEN, LAST], End::InOrder, Err(ErrorKind::Incomplete));
        check(&[], End::InOrder, Err(ErrorKind::Incomplete));
        check(&[TOKEN, LAST], End::Lost, Err(ErrorKind::Cut));
        check(&[TOKEN], End::TimedOut, Err(ErrorKind::Timeout));
        check(&[TOKEN, "data: {oops\n\n", LAST, DONE], End::InOrder, Err(ErrorKind::Malformed));
        check(&[], End::Malformed, Err(ErrorKind::Malformed));
    }

    #[test]
    fn tokens_are_the_servers_and_gaps_are_events() {
        let (answer, _) = answer(AnswerMode::Streamed, &[TOKEN, TOKEN, TOKEN, LAST, USAGE, DONE]);
        let seen = answer.into_seen();
        assert_eq!((seen.events, seen.output_tokens()), (3, 21));
        assert_eq!(seen.gaps_us, [100_000, 100_000]);
        assert_eq!(seen.tpot(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn one_token_has_no_tpot_and_none_has_the_first_choice() {
        let (one, _) = answer(AnswerMode::Streamed, &[TOKEN, LAST, DONE]);
        assert_eq!(one.into_seen().tpot(), None);
        let (none, _) = answer(AnswerMode::Streamed, &[LAST, DONE]);
        let seen = none.into_seen();
        assert_eq!((seen.events, seen.first_token_at()), (0, seen.first_choice_at));
        assert!(seen.first_token_at().is_some());
    }

    #[test]
    fn whole_answers() {
        let body = "{\"choices\":[{\"text\":\"a b\",\"finish_reason\":\"length\"}]}";
        let (mut good, now) = answer(AnswerMode::Whole, &[&body[..20], &body[20..]]);
        assert_eq!(good.end(End::InOrder, now), Ok(()));
        assert_eq!(good.into_seen().first_token_at(), Some(now));
        let (mut lost, now) = answer(AnswerMode::Whole, &[&body[..20]]);
        assert_eq!(lost.end(End::Lost, now), Err(ErrorKind::Cut));
        let (mut half, now) = answer(AnswerMode::Whole, &[&body[..20]]);
        assert_eq!(half.end(End::InOrder, now), Err(ErrorKind::Malformed));
        let (mut error, now) = answer(AnswerMode::Whole, &["{\"error\":{}}"]);
        assert_eq!(error.end(End::InOrder, now), Err(ErrorKind::ErrorEvent));
    }
}
