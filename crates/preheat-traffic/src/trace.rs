//! A trace: the requests of a stretch of time, in order of arrival.
//!
//! **Invariant:** [`Trace::requests`] is sorted by arrival and not longer than
//! [`REQUESTS_MAX`]. Nothing here knows where the requests came from.

use std::io;
use std::time::Duration;

use crate::error::TrafficError;

/// The most requests in one trace: 24 bytes each make 240 MB, and the largest public trace of
/// single LLM requests (BurstGPT) has about 5 million.
pub const REQUESTS_MAX: usize = 10_000_000;

/// The latest arrival: ten years, far past any recording, so that sums cannot overflow.
pub const ARRIVAL_MAX: Duration = Duration::from_secs(10 * 366 * 86_400);

/// One request: when it came and how much work it brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// Time since the trace's origin.
    pub arrival: Duration,
    /// Prompt tokens, at least 1.
    pub input_tokens: u32,
    /// Generated tokens, at least 1.
    pub output_tokens: u32,
}

/// Requests in order of arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The requests, sorted by arrival.
    pub requests: Vec<TraceRequest>,
}

impl Trace {
    /// Sorts `requests` by arrival; those that arrive together keep their order.
    #[must_use]
    pub fn new(mut requests: Vec<TraceRequest>) -> Self {
        requests.sort_by_key(|request| request.arrival);
        Self { requests }
    }

    /// From the first arrival to the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        match (self.requests.first(), self.requests.last()) {
            (Some(first), Some(last)) => last.arrival.saturating_sub(first.arrival),
            (None, _) | (_, None) => Duration::ZERO,
        }
    }

    /// The requests with `from <= arrival < until`, their arrivals counted from `from`.
    ///
    /// # Errors
    /// When the window ends before it starts, or holds no request.
    pub fn window(&self, from: Duration, until: Option<Duration>) -> Result<Self, TrafficError> {
        check_window(from, until)?;
        let kept: Vec<TraceRequest> = self
            .requests
            .iter()
            .filter(|r| r.arrival >= from && until.is_none_or(|until| r.arrival < until))
            .map(|r| TraceRequest { arrival: r.arrival.saturating_sub(from), ..*r })
            .collect();
        if kept.is_empty() {
            return Err(nothing_left(from, until));
        }
        Ok(Self { requests: kept })
    }

    /// Writes the trace as the CSV that [`crate::Format::Plain`] reads.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn write_csv(&self, mut to: impl io::Write) -> io::Result<()> {
        writeln!(to, "arrival_s,input_tokens,output_tokens")?;
        for request in &self.requests {
            let arrival = request.arrival;
            writeln!(
                to,
                "{}.{:06},{},{}",
                arrival.as_secs(),
                arrival.subsec_micros(),
                request.input_tokens,
                request.output_tokens
            )?;
        }
        Ok(())
    }
}

/// A time in seconds that is held inside what a trace can have.
pub(crate) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).map_or(ARRIVAL_MAX, |d| d.min(ARRIVAL_MAX))
}

pub(crate) fn check_window(from: Duration, until: Option<Duration>) -> Result<(), TrafficError> {
    match until {
        Some(until) if until <= from => {
            Err(TrafficError::Window { from_s: from.as_secs_f64(), until_s: until.as_secs_f64() })
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn nothing_left(from: Duration, until: Option<Duration>) -> TrafficError {
    TrafficError::NothingLeft {
        from_s: from.as_secs_f64(),
        until_s: until.map(|until| until.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> TraceRequest {
        TraceRequest { arrival: Duration::from_secs(seconds), input_tokens: 10, output_tokens: 5 }
    }

    #[test]
    fn a_trace_is_sorted_and_spans_first_to_last() {
        let trace = Trace::new(vec![at(7), at(3), at(5)]);
        let order: Vec<u64> = trace.requests.iter().map(|r| r.arrival.as_secs()).collect();
        assert_eq!(order, [3, 5, 7]);
        assert_eq!(trace.span(), Duration::from_secs(4));
        assert_eq!(Trace::default().span(), Duration::ZERO);
    }

    #[test]
    fn a_window_is_half_open_and_starts_at_zero() {
        let trace = Trace::new(vec![at(1), at(3), at(5), at(7)]);
        let seconds = Duration::from_secs;
        let cut = trace.window(seconds(3), Some(seconds(7))).unwrap();
        assert_eq!(cut.requests, [at(0), at(2)]);
        assert_eq!(trace.window(seconds(5), None).unwrap().requests, [at(0), at(2)]);
        assert!(matches!(
            trace.window(seconds(8), None),
            Err(TrafficError::NothingLeft { until_s: None, .. })
        ));
        assert!(matches!(
            trace.window(seconds(3), Some(seconds(3))),
            Err(TrafficError::Window { .. })
        ));
    }
}
