//! A rate series: how many requests came in each bin of time, and placing single arrivals in it.
//!
//! Knows nothing of token lengths.

use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::error::TrafficError;
use crate::trace::{self, REQUESTS_MAX};

/// How arrivals are placed inside a bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    /// Exactly the bin's count, each uniformly in the bin (a fraction of a request is rounded at
    /// random). Keeps the recorded counts; for counts of what really happened.
    #[default]
    Uniform,
    /// A Poisson process at the bin's rate: the count varies as well. For counts that are means
    /// or that have been scaled down a long way.
    Poisson,
}

/// Requests in bins of one width, from time zero on.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSeries {
    /// The width of each bin.
    pub bin: Duration,
    /// The requests in each bin; a fraction is an expectation.
    pub counts: Vec<f64>,
}

impl RateSeries {
    /// From the first bin's start to the last one's end.
    #[must_use]
    pub fn span(&self) -> Duration {
        trace::seconds(self.bin.as_secs_f64() * self.counts.len() as f64)
    }

    /// The bins with `from <= start < until`.
    ///
    /// # Errors
    /// When the window ends before it starts, or holds no request.
    pub fn window(&self, from: Duration, until: Option<Duration>) -> Result<Self, TrafficError> {
        trace::check_window(from, until)?;
        let width_s = self.bin.as_secs_f64();
        let inside = |index: usize| {
            let start = trace::seconds(width_s * index as f64);
            start >= from && until.is_none_or(|until| start < until)
        };
        let kept = self.counts.iter().enumerate().filter(|(index, _)| inside(*index));
        let counts: Vec<f64> = kept.map(|(_, count)| *count).collect();
        if counts.iter().sum::<f64>() <= 0.0 {
            return Err(trace::nothing_left(from, until));
        }
        Ok(Self { bin: self.bin, counts })
    }

    /// The same shape at `factor` times the rate.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { bin: self.bin, counts: self.counts.iter().map(|count| count * factor).collect() }
    }

    /// Single arrivals, in order.
    ///
    /// # Errors
    /// When there would be more than [`REQUESTS_MAX`].
    pub fn arrivals(
        &self,
        placement: Placement,
        rng: &mut ChaCha8Rng,
    ) -> Result<Vec<Duration>, TrafficError> {
        let too_large = TrafficError::TooLarge { limit: REQUESTS_MAX };
        let expected: f64 = self.counts.iter().sum();
        if expected > REQUESTS_MAX as f64 {
            return Err(too_large);
        }
        let width_s = self.bin.as_secs_f64();
        let mut offsets = Vec::new();
        let mut arrivals = Vec::with_capacity(expected as usize);
        for (index, &count) in self.counts.iter().enumerate() {
            offsets.clear();
            match placement {
                Placement::Uniform => uniform_offsets(count, rng, &mut offsets),
                Placement::Poisson => poisson_offsets(count, rng, &mut offsets),
            }
            let at = |offset: &f64| trace::seconds(width_s * (index as f64 + offset));
            arrivals.extend(offsets.iter().map(at));
        }
        // A Poisson draw may pass the limit by its own spread.
        if arrivals.len() > REQUESTS_MAX { Err(too_large) } else { Ok(arrivals) }
    }
}

/// `count` places in `[0, 1)`, sorted.
fn uniform_offsets(count: f64, rng: &mut ChaCha8Rng, offsets: &mut Vec<f64>) {
    let whole = libm::floor(count);
    let one_more = rng.random::<f64>() < count - whole;
    let number = whole as usize + usize::from(one_more);
    offsets.extend((0..number).map(|_| rng.random::<f64>()));
    offsets.sort_by(f64::total_cmp);
}

/// The points of a Poisson process of `count` expected points on `[0, 1)`: gaps are exponential.
fn poisson_offsets(count: f64, rng: &mut ChaCha8Rng, offsets: &mut Vec<f64>) {
    if count <= 0.0 {
        return;
    }
    let mut at = 0.0;
    loop {
        // `1 - u` is in (0, 1], so the logarithm is finite.
        at -= libm::log(1.0 - rng.random::<f64>()) / count;
        if at >= 1.0 {
            return;
        }
        offsets.push(at);
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn series(counts: &[f64]) -> RateSeries {
        RateSeries { bin: Duration::from_secs(10), counts: counts.to_vec() }
    }

    fn counted(arrivals: &[Duration], bins: usize) -> Vec<usize> {
        let mut counts = vec![0; bins];
        for arrival in arrivals {
            counts[(arrival.as_secs() / 10) as usize] += 1;
        }
        counts
    }

    #[test]
    fn uniform_keeps_every_count() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let arrivals =
            series(&[3.0, 0.0, 120.0, 1.0]).arrivals(Placement::Uniform, &mut rng).unwrap();
        assert!(arrivals.is_sorted());
        assert_eq!(counted(&arrivals, 4), [3, 0, 120, 1]);
    }

    #[test]
    fn uniform_rounds_fractions_at_random() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let arrivals = series(&[0.25; 4000]).arrivals(Placement::Uniform, &mut rng).unwrap();
        assert!((900..1100).contains(&arrivals.len()), "{}", arrivals.len());
    }

    #[test]
    fn poisson_has_the_mean_and_the_variance_of_its_name() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let bins = 4000;
        let arrivals = series(&vec![5.0; bins]).arrivals(Placement::Poisson, &mut rng).unwrap();
        assert!(arrivals.is_sorted());
        let counts = counted(&arrivals, bins);
        let mean = arrivals.len() as f64 / bins as f64;
        let variance = counts.iter().map(|c| (*c as f64 - mean).powi(2)).sum::<f64>() / bins as f64;
        assert!((mean - 5.0).abs() < 0.2, "mean {mean}");
        assert!((variance / mean - 1.0).abs() < 0.1, "variance {variance}");
    }

    #[test]
    fn windows_and_limits() {
        let cut = series(&[1.0, 2.0, 3.0, 4.0])
            .window(Duration::from_secs(10), Some(Duration::from_secs(30)))
            .unwrap();
        assert_eq!(cut.counts, [2.0, 3.0]);
        assert_eq!(cut.span(), Duration::from_secs(20));
        assert_eq!(cut.scaled(0.5).counts, [1.0, 1.5]);
        let nothing = series(&[1.0, 0.0]).window(Duration::from_secs(10), None);
        assert!(matches!(nothing, Err(TrafficError::NothingLeft { .. })));
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let huge = series(&[1e9]).arrivals(Placement::Uniform, &mut rng);
        assert!(matches!(huge, Err(TrafficError::TooLarge { .. })));
    }
}
