//! Looks for the few lines of an event stream that tell how it went, without buffering it.
//! Knows nothing of HTTP, time or meters.
//!
//! **Invariant:** bytes are only looked at; at most [`PREFIX_MAX`] of a line are remembered, so a
//! line split over any number of frames is seen as if it had come whole.

/// Long enough for the longest line start that matters.
const PREFIX_MAX: usize = 32;

/// What ends a stream that went well: chat and completions, responses, and Anthropic's messages.
const ENDS: [&[u8]; 3] = [b"event: response.completed", b"event: response.incomplete", STOP];
const STOP: &[u8] = b"event: message_stop";
/// What ends one that did not.
const FAILURES: [&[u8]; 2] = [b"event: error", b"event: response.failed"];

/// Follows one event stream.
#[derive(Debug, Default)]
pub(crate) struct SseScanner {
    prefix: [u8; PREFIX_MAX],
    prefix_len: usize,
    judged: bool,
    ended: bool,
    failed: bool,
}

impl SseScanner {
    /// Looks at the next bytes; returns how many data events began in them that may carry tokens.
    ///
    /// An event counts when its line is long enough to be told apart, which for one split between
    /// frames is in the later frame.
    pub(crate) fn scan(&mut self, mut bytes: &[u8]) -> u32 {
        let mut events = 0;
        while !bytes.is_empty() {
            let line_end = memchr::memchr(b'\n', bytes);
            let line = &bytes[..line_end.unwrap_or(bytes.len())];
            events += self.line(line, line_end.is_some());
            bytes = &bytes[line_end.map_or(bytes.len(), |end| end + 1)..];
        }
        events
    }

    /// Whether the stream said that it is complete, and did not say that it failed.
    pub(crate) fn is_complete(&self) -> bool {
        self.ended && !self.failed
    }

    fn line(&mut self, part: &[u8], line_ends: bool) -> u32 {
        let mut events = 0;
        if !self.judged {
            let whole = self.prefix_len == 0 && (line_ends || part.len() >= PREFIX_MAX);
            if whole {
                events = self.judge(part);
            } else {
                let take = part.len().min(PREFIX_MAX - self.prefix_len);
                self.prefix[self.prefix_len..self.prefix_len + take].copy_from_slice(&part[..take]);
                self.prefix_len += take;
                if line_ends || self.prefix_len == PREFIX_MAX {
                    let prefix = self.prefix;
                    events = self.judge(&prefix[..self.prefix_len]);
                }
            }
        }
        if line_ends {
            self.prefix_len = 0;
            self.judged = false;
        }
        events
    }

    fn judge(&mut self, line: &[u8]) -> u32 {
        self.judged = true;
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.trim_ascii_start();
            if data.starts_with(b"[DONE]") {
                self.ended = true;
                return 0;
            }
            if data.starts_with(b"{\"error\"") {
                self.failed = true;
                return 0;
            }
            return 1;
        }
        self.ended |= ENDS.iter().any(|end| line.starts_with(end));
        self.failed |= FAILURES.iter().any(|failure| line.starts_with(failure));
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans `stream` whole and cut at every place, and in single bytes: all must agree.
    #[track_caller]
    fn check(stream: &str, events: u32, complete: bool) {
        let bytes = stream.as_bytes();
        for cut in 0..=bytes.len() {
            let mut scanner = SseScanner::default();
            let seen = scanner.scan(&bytes[..cut]) + scanner.scan(&bytes[cut..]);
            assert_eq!((seen, scanner.is_complete()), (events, complete), "cut at {cut}");
        }
        let mut scanner = SseScanner::default();
        let seen: u32 = bytes.chunks(1).map(|byte| scanner.scan(byte)).sum();
        assert_eq!((seen, scanner.is_complete()), (events, complete), "byte by byte");
    }

    #[test]
    fn tells_complete_from_failed_from_cut() {
        check("data: {\"a\":1}\n\ndata: {\"a\":2}\n\ndata: [DONE]\n\n", 2, true);
        check("data: {\"a\":1}\r\n\r\ndata:[DONE]\r\n\r\n", 1, true);
        check(
            "data: {\"a\":1}\n\ndata: {\"error\": {\"code\": 500}}\n\ndata: [DONE]\n\n",
            1,
            false,
        );
        check("data: {\"a\":1}\n\n", 1, false);
        check(": keep-alive\n\ndata: [DONE]\n\n", 0, true);
        check("", 0, false);
    }

    #[test]
    fn other_dialects_end_with_named_events() {
        check(
            "event: response.created\ndata: {}\n\nevent: response.completed\ndata: {}\n\n",
            2,
            true,
        );
        check("event: response.failed\ndata: {}\n\n", 1, false);
        check("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", 1, true);
        check("event: error\ndata: {\"type\":\"error\"}\n\ndata: [DONE]\n\n", 1, false);
    }

    #[test]
    fn text_that_quotes_the_markers_is_only_text() {
        check("data: {\"text\":\"data: [DONE] {\\\"error\\\"\"}\n\n", 1, false);
        check("data: {\"errors\":0}\n\ndata: [DONE]\n\n", 1, true);
        check("xdata: [DONE]\n\n", 0, false);
    }
}
