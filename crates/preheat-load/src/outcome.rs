//! What became of one request, in wall time.

use std::borrow::Cow;
use std::time::Duration;

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// No connection could be made.
    Connect,
    /// The connection ended before anything of an answer came.
    Reset,
    /// An answer with another status than 200.
    Status(u16),
    /// An error inside an answer that had status 200.
    ErrorEvent,
    /// The connection was lost inside an answer.
    Cut,
    /// The answer ended in order, but without `[DONE]` or a finish reason.
    Incomplete,
    /// The answer is not what the protocol has.
    Malformed,
    /// The request's time was up.
    Timeout,
    /// Too many requests were under way to send one more.
    ClientLimit,
}

impl ErrorKind {
    /// The name in reports; stable.
    pub(crate) fn name(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Status(status) => return Cow::Owned(format!("http_{status}")),
            Self::ErrorEvent => "error_event",
            Self::Cut => "cut",
            Self::Incomplete => "incomplete",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::ClientLimit => "client_limit",
        })
    }

    /// Whether it was the server's side that ended the answer.
    pub(crate) fn is_cut(self) -> bool {
        match self {
            Self::ErrorEvent | Self::Cut | Self::Incomplete => true,
            Self::Connect
            | Self::Reset
            | Self::Status(_)
            | Self::Malformed
            | Self::Timeout
            | Self::ClientLimit => false,
        }
    }
}

/// What became of one request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: Result<(), ErrorKind>,
    /// How late it was sent.
    pub(crate) lag: Duration,
    pub(crate) ttft: Option<Duration>,
    pub(crate) tpot: Option<Duration>,
    /// From the time it should have been sent to its end.
    pub(crate) e2e: Duration,
    /// The gaps between events with tokens, in microseconds.
    pub(crate) gaps_us: Vec<u32>,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    /// How many events had tokens.
    pub(crate) events: u64,
    /// The server did not say how many tokens it made.
    pub(crate) usage_missing: bool,
    /// Tokens had begun to come when the server's side ended the answer.
    pub(crate) stream_cut: bool,
}

impl Outcome {
    /// A request that was not sent because too many were under way.
    pub(crate) fn client_limit(lag: Duration) -> Self {
        Self {
            result: Err(ErrorKind::ClientLimit),
            lag,
            ttft: None,
            tpot: None,
            e2e: lag,
            gaps_us: Vec::new(),
            input_tokens: 0,
            output_tokens: 0,
            events: 0,
            usage_missing: false,
            stream_cut: false,
        }
    }
}
