//! Shifted log-normal durations. They know nothing of what takes that long.
//!
//! **Invariant:** draws go through the quantile function, so that what is drawn and what is
//! stated agree; transcendental functions come from `libm`.

use std::time::Duration;

use preheat_core::Probability;

/// A duration of at least `shift`, with a log-normal rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiftedLogNormal {
    shift: Duration,
    rest_median: Duration,
    sigma: f64,
}

/// Above any spread that means something: p99 would be a thousand million times the median.
const SIGMA_MAX: f64 = 9.0;
/// Halvings that locate a quantile of the standard normal to the last bit.
const HALVINGS: u32 = 64;
/// Beyond this many standard deviations an `f64` probability is 0 or 1.
const DEVIATIONS_MAX: f64 = 9.0;

impl ShiftedLogNormal {
    /// No time at all.
    pub const ZERO: Self = Self::fixed(Duration::ZERO);

    /// Always `duration`.
    pub const fn fixed(duration: Duration) -> Self {
        Self { shift: duration, rest_median: Duration::ZERO, sigma: 0.0 }
    }

    /// `shift` plus a log-normal rest of this median, whose logarithm has the standard deviation
    /// `sigma`. `None` unless `sigma` is from 0 to 9.
    pub fn new(shift: Duration, rest_median: Duration, sigma: f64) -> Option<Self> {
        (0.0..=SIGMA_MAX).contains(&sigma).then_some(Self { shift, rest_median, sigma })
    }

    /// The duration that a share `level` of draws stays below; shift 2 s, rest 10 s, sigma 0.5:
    /// median 12 s, p95 24.8 s. Level 1 is taken at nine standard deviations.
    pub fn quantile(&self, level: Probability) -> Duration {
        let rest = self.rest_median.as_secs_f64() * libm::exp(self.sigma * normal_quantile(level));
        let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
        self.shift.saturating_add(rest)
    }

    /// The mean: shift + median · exp(sigma² / 2).
    pub fn mean(&self) -> Duration {
        let rest = self.rest_median.as_secs_f64() * libm::exp(self.sigma * self.sigma / 2.0);
        let rest = Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX);
        self.shift.saturating_add(rest)
    }
}

/// Quantile of the standard normal, by bisection of its distribution function.
fn normal_quantile(level: Probability) -> f64 {
    let (mut low, mut high) = (-DEVIATIONS_MAX, DEVIATIONS_MAX);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if libm::erfc(-middle / std::f64::consts::SQRT_2) / 2.0 < level.get() {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(level: f64) -> Probability {
        Probability::new(level).unwrap()
    }

    #[test]
    fn normal_quantiles_are_the_known_ones() {
        for (p, z) in [(0.5, 0.0), (0.95, 1.644_853_627), (0.01, -2.326_347_874)] {
            assert!((normal_quantile(level(p)) - z).abs() < 1e-9, "{p}");
        }
        assert!(normal_quantile(level(0.0)) <= -8.9 && normal_quantile(level(1.0)) > 8.0);
    }

    #[test]
    fn quantiles_of_the_documented_example() {
        let (shift, rest) = (Duration::from_secs(2), Duration::from_secs(10));
        let d = ShiftedLogNormal::new(shift, rest, 0.5).unwrap();
        let secs = |p| d.quantile(level(p)).as_secs_f64();
        assert!((secs(0.5) - 12.0).abs() < 1e-6);
        assert!((secs(0.95) - 24.76).abs() < 0.01);
        assert!((d.mean().as_secs_f64() - 13.331).abs() < 0.001);
        assert_eq!(ShiftedLogNormal::fixed(rest).quantile(level(0.99)), rest);
        assert_eq!(ShiftedLogNormal::new(shift, rest, f64::NAN), None);
    }
}
