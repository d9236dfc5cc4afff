//! Token lengths by formula, and how their mix changes over time.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::gaps;
use crate::lengths::LengthDistribution;

/// Tokens of one side of a request, at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TokenLaw {
    /// Always so many.
    Fixed(u32),
    /// Log-normal.
    LogNormal(LogNormalTokens),
}

/// Log-normal token counts up to a largest one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogNormalTokens {
    mu: f64,
    sigma: f64,
    max: u32,
}

/// The 0.99 quantile of the standard normal.
const Z_99: f64 = 2.326_347_874_040_841;

impl LogNormalTokens {
    /// The largest 99th percentile that a log-normal of mean 1 can have: exp(2.326² ÷ 2) = 14.97,
    /// a little less.
    pub const P99_PER_MEAN_MAX: f64 = 14.9;

    /// Of this mean and 99th percentile; longer ones than `max` are cut to it, which takes a little
    /// off both. `None` unless the mean is at least 1, and the percentile above it by no more than
    /// [`Self::P99_PER_MEAN_MAX`].
    ///
    /// The logarithm has the standard deviation σ where ln(p99 ÷ mean) = 2.326 σ − σ² ÷ 2; the
    /// smaller solution is the one that people mean. Worked: mean 500 and p99 2000 give σ = 0.70
    /// and a median of 392.
    #[must_use]
    pub fn new(mean: f64, p99: f64, max: u32) -> Option<Self> {
        let ratio = p99 / mean;
        let fits = mean >= 1.0 && ratio > 1.0 && ratio <= Self::P99_PER_MEAN_MAX && max >= 1;
        fits.then(|| {
            let sigma = Z_99 - libm::sqrt(Z_99 * Z_99 - 2.0 * libm::log(ratio));
            Self { mu: libm::log(mean) - sigma * sigma / 2.0, sigma, max }
        })
    }
}

impl TokenLaw {
    /// The most tokens that are ever drawn.
    #[must_use]
    pub fn max(&self) -> u32 {
        match self {
            Self::Fixed(tokens) => (*tokens).max(1),
            Self::LogNormal(law) => law.max,
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> u32 {
        match self {
            Self::Fixed(tokens) => (*tokens).max(1),
            Self::LogNormal(LogNormalTokens { mu, sigma, max }) => {
                let drawn = libm::exp(mu + sigma * gaps::normal(rng));
                (libm::round(drawn) as u32).clamp(1, *max)
            }
        }
    }
}

/// Where a request's input and output tokens come from.
#[derive(Clone, Debug, PartialEq)]
pub enum LengthLaw {
    /// Each on its own.
    Each {
        /// Prompt tokens.
        input: TokenLaw,
        /// Generated tokens.
        output: TokenLaw,
    },
    /// Together, as they were recorded.
    Joint(LengthDistribution),
}

impl LengthLaw {
    /// The most tokens that prompt and answer together ever have.
    #[must_use]
    pub fn total_max(&self) -> u64 {
        match self {
            Self::Each { input, output } => u64::from(input.max()) + u64::from(output.max()),
            Self::Joint(lengths) => {
                let last = |levels: &[u32]| u64::from(levels.last().copied().unwrap_or(1));
                let of = |stratum: &crate::lengths::Stratum| {
                    last(&stratum.input) + last(&stratum.output)
                };
                lengths.strata().iter().map(of).max().unwrap_or(0)
            }
        }
    }

    fn draw(&self, rng: &mut ChaCha8Rng) -> (u32, u32) {
        match self {
            Self::Each { input, output } => (input.draw(rng), output.draw(rng)),
            Self::Joint(lengths) => lengths.draw(rng),
        }
    }
}

/// Lengths that may become others.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthMix {
    /// At first.
    pub before: LengthLaw,
    /// What they become.
    pub change: Option<MixChange>,
}

/// A change of the mix: the share of requests of the new kind grows in a straight line.
#[derive(Clone, Debug, PartialEq)]
pub struct MixChange {
    /// When the first of the new kind come.
    pub from: Duration,
    /// How long until all are of the new kind.
    pub over: Duration,
    /// The new kind.
    pub after: LengthLaw,
}

impl LengthMix {
    /// Always the same.
    #[must_use]
    pub const fn constant(lengths: LengthLaw) -> Self {
        Self { before: lengths, change: None }
    }

    pub(super) fn draw(&self, at: Duration, rng: &mut ChaCha8Rng) -> (u32, u32) {
        let Some(change) = &self.change else { return self.before.draw(rng) };
        let is_new = rng.random::<f64>() < change.share(at);
        if is_new { change.after.draw(rng) } else { self.before.draw(rng) }
    }
}

impl MixChange {
    /// Share of the new kind among those that arrive then.
    fn share(&self, at: Duration) -> f64 {
        match at.checked_sub(self.from) {
            None => 0.0,
            Some(since) if since >= self.over => 1.0,
            Some(since) => since.as_secs_f64() / self.over.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::embedded::EmbeddedTrace;

    #[test]
    fn log_normal_tokens_have_their_mean_and_p99() {
        for (mean, p99) in [(500.0, 2000.0), (20.0, 60.0), (1000.0, 1100.0), (100.0, 1490.0)] {
            let law = TokenLaw::LogNormal(LogNormalTokens::new(mean, p99, 1_000_000).unwrap());
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut drawn: Vec<u32> = (0..200_000).map(|_| law.draw(&mut rng)).collect();
            drawn.sort_unstable();
            let sum: f64 = drawn.iter().copied().map(f64::from).sum();
            let found = sum / drawn.len() as f64;
            assert!((found / mean - 1.0).abs() < 0.05, "mean {mean}: {found}");
            let found = f64::from(crate::lengths::quantile(&drawn, 0.99));
            assert!((found / p99 - 1.0).abs() < 0.05, "p99 {p99}: {found}");
        }
    }

    #[test]
    fn what_no_log_normal_has_is_refused() {
        for (mean, p99) in [(0.5, 2.0), (10.0, 10.0), (10.0, 5.0), (10.0, 150.0)] {
            assert_eq!(LogNormalTokens::new(mean, p99, 100), None, "{mean} {p99}");
        }
        assert_eq!(LogNormalTokens::new(f64::NAN, 1.0, 100), None);
    }

    #[test]
    fn tokens_are_cut_at_the_largest() {
        let cut = TokenLaw::LogNormal(LogNormalTokens::new(500.0, 2000.0, 600).unwrap());
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let drawn: Vec<u32> = (0..1000).map(|_| cut.draw(&mut rng)).collect();
        assert_eq!((drawn.iter().max(), cut.max()), (Some(&600), 600));
        let law = LengthLaw::Each { input: cut, output: TokenLaw::Fixed(0) };
        assert_eq!(law.total_max(), 601);
        let joint = LengthLaw::Joint(LengthDistribution::embedded(EmbeddedTrace::AzureCode));
        assert!(joint.total_max() > 7000);
    }

    #[test]
    fn a_mix_changes_in_a_straight_line() {
        let fixed = |n| LengthLaw::Each { input: TokenLaw::Fixed(n), output: TokenLaw::Fixed(1) };
        let secs = Duration::from_secs;
        let change = MixChange { from: secs(100), over: secs(100), after: fixed(9) };
        let mix = LengthMix { before: fixed(5), change: Some(change) };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut new_at = |at| {
            let drawn = (0..10_000).map(|_| mix.draw(secs(at), &mut rng));
            drawn.filter(|(input, _)| *input == 9).count() as f64 / 10_000.0
        };
        assert_eq!((new_at(0), new_at(100), new_at(200), new_at(999)), (0.0, 0.0, 1.0, 1.0));
        assert!((new_at(125) - 0.25).abs() < 0.02);
        let at_once = MixChange { from: secs(1), over: Duration::ZERO, after: fixed(9) };
        assert_eq!((at_once.share(Duration::ZERO), at_once.share(secs(1))), (0.0, 1.0));
    }
}
