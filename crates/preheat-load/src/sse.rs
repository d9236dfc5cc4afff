//! A parser for server-sent events that takes bytes as they come.
//!
//! **Invariant:** the events do not depend on how the bytes are cut into chunks.
//! **Invariant:** memory is bounded by [`EVENT_BYTES_MAX`] whatever is sent, the buffers are
//! kept from event to event, and no input panics.

use std::ops::ControlFlow;

/// The longest line, and the longest event, in bytes: a million tokens' `usage` and `logprobs`
/// come nowhere near it.
pub const EVENT_BYTES_MAX: usize = 1 << 20;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SseEvent<'a> {
    /// The event's type; empty when it has none.
    pub kind: &'a [u8],
    /// Its data lines, joined by line feeds.
    pub data: &'a [u8],
}

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A line or an event is longer than [`EVENT_BYTES_MAX`].
    #[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
}

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
pub struct SseParser {
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    event: Event,
    /// The last byte was a carriage return: a line feed after it ends no other line.
    after_return: bool,
    /// The first line's end has been seen, so that no byte order mark can come.
    begun: bool,
}

#[derive(Debug, Default)]
struct Event {
    kind: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
}

impl SseParser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes and calls `on_event` for each event that they end, until it breaks.
    /// After a break or an error the parser is of no more use.
    ///
    /// # Errors
    /// When a line or an event is too long.
    pub fn push(
        &mut self,
        mut chunk: &[u8],
        mut on_event: impl FnMut(SseEvent<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SseError> {
        if self.after_return && !chunk.is_empty() {
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
            self.after_return = false;
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = chunk.split_at(end);
            let flow = self.end_line(line, &mut on_event)?;
            if flow.is_break() {
                return Ok(flow);
            }
            chunk = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_return = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        append(&mut self.line, chunk)?;
        Ok(ControlFlow::Continue(()))
    }

    fn end_line(
        &mut self,
        tail: &[u8],
        on_event: &mut impl FnMut(SseEvent<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SseError> {
        let mut line = tail;
        if !self.line.is_empty() {
            append(&mut self.line, tail)?;
            line = &self.line;
        } else if tail.len() > EVENT_BYTES_MAX {
            return Err(SseError::TooLong);
        }
        if !self.begun {
            self.begun = true;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let flow = if line.is_empty() {
            self.event.dispatch(on_event)
        } else {
            self.event.field(line)?;
            ControlFlow::Continue(())
        };
        self.line.clear();
        Ok(flow)
    }
}

impl Event {
    fn field(&mut self, line: &[u8]) -> Result<(), SseError> {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => {
                let (name, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        match name {
            b"data" => {
                if self.has_data {
                    append(&mut self.data, b"\n")?;
                }
                self.has_data = true;
                append(&mut self.data, value)
            }
            b"event" => {
                self.kind.clear();
                append(&mut self.kind, value)
            }
            // A comment has no name; `id` and `retry` are for clients that reconnect.
            _ => Ok(()),
        }
    }

    fn dispatch(
        &mut self,
        on_event: &mut impl FnMut(SseEvent<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let flow = if self.has_data {
            on_event(SseEvent { kind: &self.kind, data: &self.data })
        } else {
            ControlFlow::Continue(())
        };
        self.kind.clear();
        self.data.clear();
        self.has_data = false;
        flow
    }
}

fn append(to: &mut Vec<u8>, bytes: &[u8]) -> Result<(), SseError> {
    if to.len() + bytes.len() > EVENT_BYTES_MAX {
        return Err(SseError::TooLong);
    }
    to.extend_from_slice(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Events = Vec<(Vec<u8>, Vec<u8>)>;

    fn parse<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<Events, SseError> {
        let mut parser = SseParser::new();
        let mut events = Vec::new();
        for chunk in chunks {
            let flow = parser.push(chunk, |event| {
                events.push((event.kind.to_vec(), event.data.to_vec()));
                ControlFlow::Continue(())
            })?;
            assert!(flow.is_continue());
        }
        Ok(events)
    }

    /// Checks the (type, data) pairs of a stream, in one piece and byte by byte.
    #[track_caller]
    fn check(stream: &str, expected: &[(&str, &str)]) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let expected: Events = expected.iter().map(|(k, d)| (bytes(k), bytes(d))).collect();
        assert_eq!(parse([stream.as_bytes()]).unwrap(), expected, "{stream:?}");
        assert_eq!(parse(stream.as_bytes().chunks(1)).unwrap(), expected, "{stream:?} by bytes");
    }

    #[test]
    fn streams() {
        check("data: a\n\ndata: b\n\n", &[("", "a"), ("", "b")]);
        check("data:a\r\n\r\ndata:  b\r\n\r\n", &[("", "a"), ("", " b")]);
        check("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]);
        check("data: a\ndata: b\ndata\n\n", &[("", "a\nb\n")]);
        check(": ping\n\n:\n\ndata: a\n: between\n\n", &[("", "a")]);
        check("event: error\ndata: {}\n\ndata: a\n\n", &[("error", "{}"), ("", "a")]);
        check("event: lonely\n\ndata: a\n\n", &[("", "a")]);
        check("id: 1\nretry: 5\nother: x\ndata: a\n\n", &[("", "a")]);
        check("\u{feff}data: a\n\n", &[("", "a")]);
        check("data\n\n", &[("", "")]);
        check("\n\n\r\n\r\n", &[]);
        check("data: cut off\n", &[]);
    }

    #[test]
    fn a_break_stops() {
        let mut seen = 0;
        let flow = SseParser::new().push(b"data: a\n\ndata: b\n\n", |_| {
            seen += 1;
            ControlFlow::Break(())
        });
        assert_eq!((flow, seen), (Ok(ControlFlow::Break(())), 1));
    }

    #[test]
    fn lengths_are_bounded() {
        let long = vec![b'x'; EVENT_BYTES_MAX + 1];
        assert_eq!(parse([long.as_slice()]), Err(SseError::TooLong));
        assert_eq!(parse([long.as_slice(), b"\n"]), Err(SseError::TooLong));
        assert_eq!(parse(long.chunks(1000)), Err(SseError::TooLong));
        let mut line = b"data: ".to_vec();
        line.resize(1000, b'x');
        line.push(b'\n');
        let lines = std::iter::repeat_n(line.as_slice(), EVENT_BYTES_MAX / 900);
        assert_eq!(parse(lines), Err(SseError::TooLong));
    }

    /// What a server may send: events with one or more data lines, comments, any line end.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            "data: ?[a-z:{} ]{0,12}",
            "event: ?[a-z]{0,6}",
            ": ?[a-z]{0,6}",
            "[a-z]{0,5}:?",
            Just(String::new()),
        ];
        let end = prop::sample::select(&["\n", "\r\n", "\r"][..]);
        prop::collection::vec((line, end), 0..40)
            .prop_map(|lines| lines.into_iter().flat_map(|(l, e)| [l, e.to_owned()]).collect())
            .prop_map(|text: String| text.into_bytes())
    }

    fn cut(bytes: &[u8], cuts: &[prop::sample::Index]) -> Events {
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        parse(places.windows(2).map(|pair| &bytes[pair[0]..pair[1]])).unwrap()
    }

    proptest! {
        #[test]
        fn events_do_not_depend_on_chunks(
            bytes in stream(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            prop_assert_eq!(cut(&bytes, &cuts), parse([bytes.as_slice()]).unwrap());
        }

        #[test]
        fn any_bytes_are_taken(
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(b'\n'), Just(b'\r'), Just(b':')], 0..300),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            prop_assert_eq!(cut(&bytes, &cuts), parse([bytes.as_slice()]).unwrap());
        }
    }
}
