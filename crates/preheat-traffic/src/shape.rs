//! From a recording to the trace that is replayed: the window, then the rate, then (for a rate
//! series) the placing of single requests.
//!
//! The order matters: a rate series is cut and scaled before it is drawn, so that two weeks at
//! hundreds of requests a second can be used without ever being held.

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::embedded::EmbeddedTrace;
use crate::error::TrafficError;
use crate::lengths::LengthDistribution;
use crate::rates::{Placement, RateSeries};
use crate::read::{Recording, Traffic};
use crate::scale;
use crate::trace::{Trace, TraceRequest};

/// The random streams of a seed that placing and lengths use.
const ARRIVALS_STREAM: u64 = 2;
const LENGTHS_STREAM: u64 = 3;

/// What to make of a recording. The default leaves it as it is, and gives a rate series the
/// lengths of the Azure conversation trace.
#[derive(Clone, Debug)]
pub struct Shaping {
    /// Where to start; arrivals are counted from here.
    pub from: Duration,
    /// Where to end, if not at the recording's end.
    pub until: Option<Duration>,
    /// The factor on the rate, in `(0, RATE_SCALE_MAX]`.
    pub rate_scale: f64,
    /// Decides every draw.
    pub seed: u64,
    /// How a rate series' requests are placed in its bins.
    pub placement: Placement,
    /// Where a rate series' token lengths come from.
    pub lengths: LengthDistribution,
}

impl Default for Shaping {
    fn default() -> Self {
        Self {
            from: Duration::ZERO,
            until: None,
            rate_scale: 1.0,
            seed: 0,
            placement: Placement::default(),
            lengths: LengthDistribution::embedded(EmbeddedTrace::AzureConversation),
        }
    }
}

impl Recording {
    /// The trace to replay.
    ///
    /// # Errors
    /// When the window or the rate scale is wrong, nothing is left, or too much is.
    pub fn into_trace(self, shaping: &Shaping) -> Result<Trace, TrafficError> {
        match self.traffic {
            Traffic::Requests(trace) => trace.shaped(shaping),
            Traffic::Rates(series) => series.shaped(shaping),
        }
    }
}

impl Trace {
    /// The trace's window at the scaled rate.
    ///
    /// # Errors
    /// As [`Recording::into_trace`].
    pub fn shaped(self, shaping: &Shaping) -> Result<Self, TrafficError> {
        scale::check_factor(shaping.rate_scale)?;
        let whole = shaping.from.is_zero() && shaping.until.is_none();
        let cut = if whole { self } else { self.window(shaping.from, shaping.until)? };
        if shaping.rate_scale == 1.0 {
            return Ok(cut);
        }
        cut.scaled(shaping.rate_scale, shaping.seed)
    }
}

impl RateSeries {
    /// Single requests drawn from the series' window at the scaled rate.
    ///
    /// # Errors
    /// As [`Recording::into_trace`].
    pub fn shaped(&self, shaping: &Shaping) -> Result<Trace, TrafficError> {
        scale::check_factor(shaping.rate_scale)?;
        let cut = self.window(shaping.from, shaping.until)?.scaled(shaping.rate_scale);
        let trace = draw(&cut, shaping.placement, &shaping.lengths, shaping.seed)?;
        if trace.requests.is_empty() {
            return Err(crate::trace::nothing_left(shaping.from, shaping.until));
        }
        Ok(trace)
    }
}

/// Arrivals from `series`, lengths from `lengths`, each from its own stream of `seed`.
pub(crate) fn draw(
    series: &RateSeries,
    placement: Placement,
    lengths: &LengthDistribution,
    seed: u64,
) -> Result<Trace, TrafficError> {
    let stream = |number: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(number);
        rng
    };
    let arrivals = series.arrivals(placement, &mut stream(ARRIVALS_STREAM))?;
    let mut lengths_rng = stream(LENGTHS_STREAM);
    let request = |arrival: Duration| {
        let (input_tokens, output_tokens) = lengths.draw(&mut lengths_rng);
        TraceRequest { arrival, input_tokens, output_tokens }
    };
    Ok(Trace { requests: arrivals.into_iter().map(request).collect() })
}
