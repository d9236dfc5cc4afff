//! Traffic that nobody recorded: a rate over time, gaps between arrivals, and token lengths, each as
//! a formula.
//!
//! A [`SyntheticPart`] is one stretch of it; [`superpose`] lays stretches and recordings over each
//! other.
//!
//! **Invariant:** a part and a seed give the same trace everywhere: transcendental functions come
//! from `libm`.

mod gaps;
mod laws;
mod shapes;

use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use gaps::GAP_CV_MAX;
pub use laws::{LengthLaw, LengthMix, LogNormalTokens, MixChange, TokenLaw};
pub use shapes::RateShape;

use crate::error::TrafficError;
use crate::trace::{ARRIVAL_MAX, REQUESTS_MAX, Trace, TraceRequest};

/// One stretch of traffic, its times counted from its own begin.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticPart {
    /// Its length.
    pub lasts: Duration,
    /// Requests per second over time.
    pub shape: RateShape,
    /// Coefficient of variation of the gaps between arrivals at a steady rate, 0 to
    /// [`GAP_CV_MAX`]: 1 is a Poisson process, less is more even, more comes in clumps.
    pub gap_cv: f64,
    /// Tokens of its requests.
    pub lengths: LengthMix,
}

/// The first random stream of parts; each has two of its own. The ones below are other modules'.
const PART_STREAM_FIRST: u64 = 100;

impl SyntheticPart {
    /// How many requests it should have: their number is drawn around this.
    pub fn requests_expected(&self) -> f64 {
        self.shape.over(self.lasts).counts.iter().sum()
    }

    /// Its requests. `number` tells parts of one seed apart.
    ///
    /// # Errors
    /// When there would be more than [`REQUESTS_MAX`].
    pub fn trace(&self, seed: u64, number: u32) -> Result<Trace, TrafficError> {
        let stream = |which: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(PART_STREAM_FIRST + 2 * u64::from(number) + which);
            rng
        };
        let rates = self.shape.over(self.lasts);
        let arrivals = gaps::arrivals(&rates, self.gap_cv, &mut stream(0))?;
        let mut lengths_rng = stream(1);
        let request = |arrival: Duration| {
            let (input_tokens, output_tokens) = self.lengths.draw(arrival, &mut lengths_rng);
            TraceRequest { arrival, input_tokens, output_tokens }
        };
        Ok(Trace { requests: arrivals.into_iter().map(request).collect() })
    }
}

/// All of these at once, each shifted by the time beside it.
///
/// # Errors
/// When there would be more than [`REQUESTS_MAX`] requests.
pub fn superpose(
    traces: impl IntoIterator<Item = (Duration, Trace)>,
) -> Result<Trace, TrafficError> {
    let mut requests = Vec::new();
    for (shift, trace) in traces {
        if requests.len() + trace.requests.len() > REQUESTS_MAX {
            return Err(TrafficError::TooLarge { limit: REQUESTS_MAX });
        }
        let shifted = trace.requests.into_iter().map(|request| {
            let arrival = request.arrival.saturating_add(shift).min(ARRIVAL_MAX);
            TraceRequest { arrival, ..request }
        });
        requests.extend(shifted);
    }
    Ok(Trace::new(requests))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(shape: RateShape) -> SyntheticPart {
        let lengths = LengthLaw::Each { input: TokenLaw::Fixed(100), output: TokenLaw::Fixed(10) };
        let lasts = Duration::from_secs(3600);
        SyntheticPart { lasts, shape, gap_cv: 1.0, lengths: LengthMix::constant(lengths) }
    }

    #[test]
    fn seed_and_number_decide_everything() {
        let part = part(RateShape::Constant { rate: 2.0 });
        let trace = part.trace(1, 0).unwrap();
        assert_eq!(trace, part.trace(1, 0).unwrap());
        assert_ne!(trace, part.trace(2, 0).unwrap());
        assert_ne!(trace, part.trace(1, 1).unwrap());
        assert!((6900..7500).contains(&trace.requests.len()), "{}", trace.requests.len());
        assert!(trace.requests.iter().all(|r| (r.input_tokens, r.output_tokens) == (100, 10)));
    }

    #[test]
    fn parts_are_laid_over_each_other() {
        let steady = part(RateShape::Constant { rate: 1.0 }).trace(1, 0).unwrap();
        let later = part(RateShape::Constant { rate: 3.0 }).trace(1, 1).unwrap();
        let shift = Duration::from_secs(1800);
        let sum = steady.requests.len() + later.requests.len();
        let both = superpose([(Duration::ZERO, steady), (shift, later)]).unwrap();
        assert_eq!(both.requests.len(), sum);
        assert!(both.requests.is_sorted_by_key(|request| request.arrival));
        let counts = both.counts(shift).unwrap();
        assert!(counts[0] < 2000 && counts[1] > 6500 && counts[2] > 5000, "{counts:?}");
    }

    #[test]
    fn too_much_is_an_error() {
        let huge = part(RateShape::Constant { rate: 1e6 });
        assert!(matches!(huge.trace(1, 0), Err(TrafficError::TooLarge { .. })));
        let nonsense = part(RateShape::Constant { rate: f64::NAN });
        assert_eq!(nonsense.trace(1, 0).unwrap(), Trace::default());
    }
}
