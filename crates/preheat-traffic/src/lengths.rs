//! Token lengths as a joint distribution of input and output.
//!
//! Requests are sorted by input and cut into strata of equal size; each stratum keeps quantiles
//! of its inputs and of its outputs. A draw takes a stratum, then an input and an output from it
//! independently: the link between long prompts and long or short answers is kept across strata
//! and lost only within one.
//!
//! Worked: 40 requests in 20 strata are two requests each; a draw from the stratum with inputs
//! {100, 120} is uniform between 100 and 120.

use std::borrow::Cow;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::embedded::EmbeddedTrace;
use crate::trace::{Trace, TraceRequest};

/// How many strata of input length a distribution has.
pub const STRATA: usize = 20;
/// The quantile levels kept of a stratum's inputs. The upper ones are for the top stratum, whose
/// longest prompt may be several times the others: its 0.8 is the 0.99 of all requests.
pub const INPUT_LEVELS: [f64; 8] = [0.0, 0.25, 0.5, 0.75, 0.8, 0.9, 0.99, 1.0];
/// The quantile levels kept of a stratum's outputs: finer at both ends, which are long.
pub const OUTPUT_LEVELS: [f64; 10] = [0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

/// One stratum: quantiles at [`INPUT_LEVELS`] and [`OUTPUT_LEVELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stratum {
    /// Input tokens at each of [`INPUT_LEVELS`].
    pub input: [u32; INPUT_LEVELS.len()],
    /// Output tokens at each of [`OUTPUT_LEVELS`].
    pub output: [u32; OUTPUT_LEVELS.len()],
}

/// Where token lengths are drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LengthDistribution {
    strata: Cow<'static, [Stratum]>,
}

impl LengthDistribution {
    /// The lengths of an embedded trace.
    #[must_use]
    pub fn embedded(of: EmbeddedTrace) -> Self {
        Self { strata: Cow::Borrowed(of.strata()) }
    }

    /// The same lengths for every request; zero is taken as 1.
    #[must_use]
    pub fn fixed(input_tokens: u32, output_tokens: u32) -> Self {
        let stratum = Stratum {
            input: [input_tokens.max(1); INPUT_LEVELS.len()],
            output: [output_tokens.max(1); OUTPUT_LEVELS.len()],
        };
        Self { strata: Cow::Owned(vec![stratum]) }
    }

    /// The lengths of a trace; none when it is empty. A trace with fewer than [`STRATA`]
    /// requests has a stratum for each.
    #[must_use]
    pub fn of(trace: &Trace) -> Option<Self> {
        if trace.requests.is_empty() {
            return None;
        }
        let mut by_input: Vec<&TraceRequest> = trace.requests.iter().collect();
        // Stable: requests of equal input stay in order of arrival, not of output, so that a
        // stratum border inside a run of equals makes no link that was not there.
        by_input.sort_by_key(|request| request.input_tokens);
        let number = STRATA.min(by_input.len());
        let border = |index: usize| index * by_input.len() / number;
        let strata = (0..number)
            .filter_map(|index| by_input.get(border(index)..border(index + 1)))
            .map(stratum);
        Some(Self { strata: Cow::Owned(strata.collect()) })
    }

    /// The strata, by rising input.
    #[must_use]
    pub fn strata(&self) -> &[Stratum] {
        &self.strata
    }

    /// One request's input and output tokens.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> (u32, u32) {
        let place = (rng.random::<f64>() * self.strata.len() as f64) as usize;
        let (input_u, output_u) = (rng.random(), rng.random());
        self.strata.get(place).map_or((1, 1), |stratum| {
            (
                interpolate(&INPUT_LEVELS, &stratum.input, input_u),
                interpolate(&OUTPUT_LEVELS, &stratum.output, output_u),
            )
        })
    }
}

fn stratum(requests: &[&TraceRequest]) -> Stratum {
    let sorted = |of: fn(&TraceRequest) -> u32| {
        let mut values: Vec<u32> = requests.iter().map(|request| of(request)).collect();
        values.sort_unstable();
        values
    };
    let (input, output) = (sorted(|r| r.input_tokens), sorted(|r| r.output_tokens));
    Stratum {
        input: INPUT_LEVELS.map(|level| quantile(&input, level)),
        output: OUTPUT_LEVELS.map(|level| quantile(&output, level)),
    }
}

/// The nearest-rank quantile of sorted values, 0 of none: the smallest value that at least
/// `level` of all are no larger than.
pub(crate) fn quantile(sorted: &[u32], level: f64) -> u32 {
    let rank = libm::ceil(level * sorted.len() as f64) as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The value at `u` on the straight lines between the quantiles.
fn interpolate(levels: &[f64], values: &[u32], u: f64) -> u32 {
    for (level, value) in levels.windows(2).zip(values.windows(2)) {
        if let (&[low, high], &[from, to]) = (level, value)
            && u <= high
        {
            let share = (u - low) / (high - low);
            let drawn = f64::from(from) + share * (f64::from(to) - f64::from(from));
            return (libm::round(drawn) as u32).max(1);
        }
    }
    values.last().copied().unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&values, 0.0), 1);
        assert_eq!(quantile(&values, 0.5), 50);
        assert_eq!(quantile(&values, 0.99), 99);
        assert_eq!(quantile(&values, 1.0), 100);
        assert_eq!(quantile(&[7], 0.9), 7);
        assert_eq!(quantile(&[], 0.9), 0);
    }

    #[test]
    fn interpolation_runs_through_the_quantiles() {
        let values = [100, 200, 300, 400, 500, 600, 700, 1000];
        assert_eq!(interpolate(&INPUT_LEVELS, &values, 0.0), 100);
        assert_eq!(interpolate(&INPUT_LEVELS, &values, 0.25), 200);
        assert_eq!(interpolate(&INPUT_LEVELS, &values, 0.375), 250);
        assert_eq!(interpolate(&INPUT_LEVELS, &values, 0.85), 550);
        assert_eq!(interpolate(&INPUT_LEVELS, &values, 1.0), 1000);
    }

    /// Prompts of two kinds: short with long answers, long with short ones.
    fn two_kinds() -> Trace {
        let request = |index: u32| TraceRequest {
            arrival: Duration::from_secs(u64::from(index)),
            input_tokens: if index.is_multiple_of(2) { 50 + index } else { 5000 + index },
            output_tokens: if index.is_multiple_of(2) { 900 } else { 10 },
        };
        Trace::new((0..1000).map(request).collect())
    }

    #[test]
    fn draws_keep_the_link_between_input_and_output() {
        let lengths = LengthDistribution::of(&two_kinds()).unwrap();
        assert_eq!(lengths.strata().len(), STRATA);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let drawn: Vec<(u32, u32)> = (0..2000).map(|_| lengths.draw(&mut rng)).collect();
        assert!(drawn.iter().all(|&(input, output)| (input > 3000) == (output == 10)));
        let short = drawn.iter().filter(|(input, _)| *input < 3000).count();
        assert!((900..1100).contains(&short), "{short}");
    }

    #[test]
    fn few_requests_and_fixed_lengths() {
        let mut few = two_kinds();
        few.requests.truncate(3);
        assert_eq!(LengthDistribution::of(&few).unwrap().strata().len(), 3);
        assert_eq!(LengthDistribution::of(&Trace::default()), None);
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        assert_eq!(LengthDistribution::fixed(512, 0).draw(&mut rng), (512, 1));
    }
}
