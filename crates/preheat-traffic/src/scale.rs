//! Scaling a trace's rate without changing the shape of its bursts.
//!
//! The clock is left alone: compressing time would turn a ten-minute surge into a one-minute
//! one, and a replica's start does not get faster with it. Requests are added or taken away.
//!
//! - **Up (K > 1).** Every request stays, and gets `floor(K) − 1` copies and one more with the
//!   probability `K − floor(K)`, so that the rate of every stretch of time is multiplied alike:
//!   bursts stay where they are and as long as they are, idle stretches stay idle. A copy arrives
//!   uniformly within the distance from its original to the nearer of its two neighbours, on
//!   either side: inside a burst it moves by the burst's own gaps, and at its edge it does not
//!   leak into the silence. A copy has the lengths of one of the [`LENGTH_NEIGHBOURS`] requests
//!   before or after its original, input and output together: the mix of the moment is kept
//!   without sending the same request twice.
//! - **Down (K < 1).** Each request stays with the probability K, on its own. The rate's shape
//!   over time is kept; gaps below the mean of what remains grow more random, as they do when
//!   few of many users are looked at.
//!
//! Worked: 327 requests in the 10 s of a burst become about 981 in the same 10 s at K = 3.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::TrafficError;
use crate::trace::{self, REQUESTS_MAX, Trace, TraceRequest};

/// The largest rate scale: past it a trace is all copies and says nothing.
pub const RATE_SCALE_MAX: f64 = 1000.0;

/// How many requests to either side a copy's lengths may come from.
pub(crate) const LENGTH_NEIGHBOURS: usize = 16;

/// The scaling's own random stream of a seed.
const STREAM: u64 = 1;

impl Trace {
    /// The trace at `factor` times its rate; see the module's text for what is kept.
    ///
    /// # Errors
    /// When `factor` is no number in `(0, RATE_SCALE_MAX]`, the result has more than
    /// [`REQUESTS_MAX`] requests, or nothing is left.
    pub fn scaled(&self, factor: f64, seed: u64) -> Result<Self, TrafficError> {
        check_factor(factor)?;
        let expected = self.requests.len() as f64 * factor;
        if expected > REQUESTS_MAX as f64 {
            return Err(TrafficError::TooLarge { limit: REQUESTS_MAX });
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(STREAM);
        let scaled = if factor < 1.0 {
            thin(&self.requests, factor, &mut rng)
        } else {
            multiply(&self.requests, factor, &mut rng)
        };
        if scaled.is_empty() {
            return Err(trace::nothing_left(Duration::ZERO, None));
        }
        Ok(Self::new(scaled))
    }
}

pub(crate) fn check_factor(factor: f64) -> Result<(), TrafficError> {
    if factor > 0.0 && factor <= RATE_SCALE_MAX {
        Ok(())
    } else {
        Err(TrafficError::RateScale { found: factor })
    }
}

fn thin(requests: &[TraceRequest], factor: f64, rng: &mut ChaCha8Rng) -> Vec<TraceRequest> {
    requests.iter().copied().filter(|_| rng.random::<f64>() < factor).collect()
}

fn multiply(requests: &[TraceRequest], factor: f64, rng: &mut ChaCha8Rng) -> Vec<TraceRequest> {
    let whole = libm::floor(factor);
    let fraction = factor - whole;
    let copies_always = (whole as usize).saturating_sub(1);
    let mut scaled = Vec::with_capacity((requests.len() as f64 * factor) as usize);
    for (index, &original) in requests.iter().enumerate() {
        scaled.push(original);
        let one_more = fraction > 0.0 && rng.random::<f64>() < fraction;
        let reach_s = gap_to_nearer(requests, index).as_secs_f64();
        for _ in 0..copies_always + usize::from(one_more) {
            let shift_s = (2.0 * rng.random::<f64>() - 1.0) * reach_s;
            let lengths_of = neighbour(requests, index, rng).unwrap_or(original);
            let arrival = trace::seconds(original.arrival.as_secs_f64() + shift_s);
            scaled.push(TraceRequest { arrival, ..lengths_of });
        }
    }
    scaled
}

/// The time from a request to the nearer of the ones before and after it; zero when it is alone.
fn gap_to_nearer(requests: &[TraceRequest], index: usize) -> Duration {
    let arrival_at = |index: usize| requests.get(index).map(|request| request.arrival);
    let gap = |one: Option<Duration>, other: Option<Duration>| Some(other?.saturating_sub(one?));
    let before = gap(index.checked_sub(1).and_then(arrival_at), arrival_at(index));
    let after = gap(arrival_at(index), arrival_at(index + 1));
    before.into_iter().chain(after).min().unwrap_or(Duration::ZERO)
}

fn neighbour(
    requests: &[TraceRequest],
    index: usize,
    rng: &mut ChaCha8Rng,
) -> Option<TraceRequest> {
    let from = index.saturating_sub(LENGTH_NEIGHBOURS);
    let until = (index + LENGTH_NEIGHBOURS + 1).min(requests.len());
    requests.get(rng.random_range(from..until)).copied()
}
