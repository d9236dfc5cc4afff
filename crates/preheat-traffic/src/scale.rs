//! Scaling a trace's rate without changing the shape of its bursts.
//!
//! The clock is left alone: compressing time would turn a ten-minute surge into a one-minute
//! one, and a replica's start does not get faster with it. Requests are added or taken away.
//!
//! - **Up (K > 1).** Every request stays, and gets `floor(K) − 1` copies and one more with the
//!   probability `K − floor(K)`, so that the rate of every stretch of time is multiplied alike:
//!   bursts stay where they are and as long as they are, idle stretches stay idle. A copy arrives
//!   up to [`JITTER_NEIGHBOURS`] local gaps before or after its original ([`reach_s`]): far
//!   enough that a copy is no echo (gaps vary as they did), near enough that it stays in its
//!   burst. A copy has the lengths of one of the [`LENGTH_NEIGHBOURS`] requests before or after
//!   its original, input and output together: the mix of the moment is kept without sending the
//!   same request twice.
//! - **Down (K < 1).** Each request stays with the probability K, on its own. The rate's shape
//!   over time is kept; gaps below the mean of what remains grow more random, as they do when
//!   few of many users are looked at.
//!
//! Worked: 327 requests in the 10 s of a burst become about 981 in the same 10 s at K = 3.
//! Measured at K = 5 on the Azure traces: the busiest 10 s stay 12.7 times (code) and 1.8 times
//! (conversation) the mean, code stays idle in 55 % of its 10-second bins (56 % before), and the
//! variation of the conversation's gaps goes from 1.09 to 1.20.
//!
//! What no scaling of one recording can know: a larger service has *relatively* less noise, a
//! scaled one has that of the recording. The counts over 10 s of a Poisson process vary √K times
//! as much here as those of a Poisson process of K times the rate.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::TrafficError;
use crate::trace::{self, REQUESTS_MAX, Trace, TraceRequest};

/// The largest rate scale: past it a trace is all copies and says nothing.
pub const RATE_SCALE_MAX: f64 = 1000.0;

/// How many requests to either side a copy's lengths may come from.
pub(crate) const LENGTH_NEIGHBOURS: usize = 16;

/// How many local gaps a copy is moved by at most. Fewer leave copies in clumps around their
/// originals, more wash out bursts of few requests.
const JITTER_NEIGHBOURS: usize = 8;

/// The mean of exponential gaps ÷ their lower quartile: 1 ÷ ln(4/3).
const MEAN_PER_QUARTILE: f64 = 3.476;

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
    let last_s = requests.last().map_or(0.0, |request| request.arrival.as_secs_f64());
    let mut scaled = Vec::with_capacity((requests.len() as f64 * factor) as usize);
    for (index, &original) in requests.iter().enumerate() {
        scaled.push(original);
        let one_more = fraction > 0.0 && rng.random::<f64>() < fraction;
        let copies = copies_always + usize::from(one_more);
        let reach_s = if copies == 0 { 0.0 } else { reach_s(requests, index) };
        for _ in 0..copies {
            let shift_s = (2.0 * rng.random::<f64>() - 1.0) * reach_s;
            let arrival = reflect(original.arrival.as_secs_f64() + shift_s, last_s);
            let lengths_of = neighbour(requests, index, rng).unwrap_or(original);
            scaled.push(TraceRequest { arrival, ..lengths_of });
        }
    }
    scaled
}

/// How far a copy may be from its original: [`JITTER_NEIGHBOURS`] local gaps, by the least of
/// three measures. The requests so many places before and after bound it at the edge of a long
/// burst, where one side is dense and the other is silence. The lower quartile of the gaps
/// around bounds it in bursts of few requests with silence on both sides.
fn reach_s(requests: &[TraceRequest], index: usize) -> f64 {
    let from = index.saturating_sub(JITTER_NEIGHBOURS);
    let until = (index + JITTER_NEIGHBOURS + 1).min(requests.len());
    let around: Vec<f64> =
        requests.iter().take(until).skip(from).map(|r| r.arrival.as_secs_f64()).collect();
    let mut gaps: Vec<f64> =
        around.iter().zip(around.iter().skip(1)).map(|(one, next)| next - one).collect();
    gaps.sort_by(f64::total_cmp);
    let quartile = gaps.get(gaps.len() / 4).copied().unwrap_or(0.0);
    let by_quartile = JITTER_NEIGHBOURS as f64 * MEAN_PER_QUARTILE * quartile;
    let here = around.get(index - from);
    let distance = |to: Option<&f64>| to.zip(here).map(|(to, here)| (to - here).abs());
    let before = distance(index.checked_sub(JITTER_NEIGHBOURS).and(around.first()));
    let after = distance(around.get(index - from + JITTER_NEIGHBOURS));
    before.into_iter().chain(after).fold(by_quartile, f64::min)
}

/// Turns what falls out of `[0, last_s]` back into it.
fn reflect(arrival_s: f64, last_s: f64) -> Duration {
    let inside_s = if arrival_s > last_s { 2.0 * last_s - arrival_s } else { arrival_s };
    trace::seconds(inside_s.abs().min(last_s))
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
