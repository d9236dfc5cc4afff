//! From a rate series to single arrivals whose gaps vary as they are told to.
//!
//! Gaps are drawn with mean 1 from a gamma distribution and laid along the expected count rather
//! than along time, so that at any rate they have the same coefficient of variation.

use std::f64::consts::TAU;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::TrafficError;
use crate::rates::{Placement, RateSeries};
use crate::trace::{self, REQUESTS_MAX};

/// The largest coefficient of variation of gaps: arrivals in clumps of a hundred.
pub const GAP_CV_MAX: f64 = 10.0;

/// Single arrivals, in order.
pub(super) fn arrivals(
    series: &RateSeries,
    gap_cv: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Duration>, TrafficError> {
    if gap_cv == 1.0 {
        return series.arrivals(Placement::Poisson, rng);
    }
    let too_large = TrafficError::TooLarge { limit: REQUESTS_MAX };
    if series.counts.iter().sum::<f64>() > REQUESTS_MAX as f64 {
        return Err(too_large);
    }
    let width_s = series.bin.as_secs_f64();
    let mut arrivals = Vec::new();
    // Requests expected before the bin, and where the next one is on the same scale.
    let mut before = 0.0;
    let mut next = gap(gap_cv, rng);
    for (index, &count) in series.counts.iter().enumerate() {
        while next < before + count {
            let offset = (next - before) / count;
            arrivals.push(trace::seconds(width_s * (index as f64 + offset)));
            next += gap(gap_cv, rng);
            if arrivals.len() > REQUESTS_MAX {
                return Err(too_large);
            }
        }
        before += count;
    }
    Ok(arrivals)
}

/// A gap of mean 1: gamma with shape 1 ÷ cv² and scale cv².
fn gap(cv: f64, rng: &mut ChaCha8Rng) -> f64 {
    if cv <= 0.0 {
        return 1.0;
    }
    let cv = cv.min(GAP_CV_MAX);
    let shape = 1.0 / (cv * cv);
    if shape >= 1.0 {
        return gamma(shape, rng) / shape;
    }
    // Gamma(a) = Gamma(a + 1) × U^(1/a).
    gamma(shape + 1.0, rng) * libm::pow(unit(rng), 1.0 / shape) / shape
}

/// Gamma of a shape of at least 1 and scale 1, after Marsaglia and Tsang, "A simple method for
/// generating gamma variables", ACM TOMS 26 (2000).
fn gamma(shape: f64, rng: &mut ChaCha8Rng) -> f64 {
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / libm::sqrt(9.0 * d);
    loop {
        let x = normal(rng);
        let v = 1.0 + c * x;
        if v <= 0.0 {
            continue;
        }
        let v = v * v * v;
        if libm::log(unit(rng)) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
            return d * v;
        }
    }
}

/// A standard normal number, after Box and Muller.
pub(super) fn normal(rng: &mut ChaCha8Rng) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(unit(rng)));
    radius * libm::cos(TAU * unit(rng))
}

/// A number in (0, 1], whose logarithm is finite.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - rng.random::<f64>()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn moments(values: &[f64]) -> (f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = |value: &f64| (value - mean) * (value - mean);
        let variance = values.iter().map(square).sum::<f64>() / values.len() as f64;
        (mean, libm::sqrt(variance) / mean)
    }

    #[test]
    fn gaps_have_mean_one_and_the_variation_asked_for() {
        for cv in [0.0, 0.3, 0.7, 1.0, 2.0, 4.0] {
            let mut rng = ChaCha8Rng::seed_from_u64(4);
            let gaps: Vec<f64> = (0..200_000).map(|_| gap(cv, &mut rng)).collect();
            let (mean, found) = moments(&gaps);
            assert!((mean - 1.0).abs() < 0.03, "cv {cv}: mean {mean}");
            assert!((found - cv).abs() <= 0.03 * cv, "cv {cv}: {found}");
        }
    }

    #[test]
    fn arrivals_follow_the_rate_whatever_the_gaps() {
        let counts = [vec![2.0; 10_000], vec![0.0; 100], vec![20.0; 1000]].concat();
        let series = RateSeries { bin: Duration::from_secs(1), counts };
        for cv in [0.0, 0.5, 1.0, 3.0] {
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let arrivals = arrivals(&series, cv, &mut rng).unwrap();
            assert!(arrivals.is_sorted());
            let until = |secs| arrivals.partition_point(|a| *a < Duration::from_secs(secs));
            let (slow, idle, fast) =
                (until(10_000), until(10_100) - until(10_000), until(11_100) - until(10_100));
            assert_eq!(idle, 0, "cv {cv}");
            for count in [slow, fast] {
                assert!((count as f64 - 20_000.0).abs() < 300.0 + 800.0 * cv, "cv {cv}: {count}");
            }
        }
    }

    #[test]
    fn normal_numbers_are_normal() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let drawn: Vec<f64> = (0..100_000).map(|_| normal(&mut rng)).collect();
        let above = |z: f64| drawn.iter().filter(|x| **x > z).count() as f64 / drawn.len() as f64;
        assert!((above(0.0) - 0.5).abs() < 0.01 && (above(2.326) - 0.01).abs() < 0.002);
    }
}
