//! What one expression tells of everything that it reads, added up.

use std::time::Duration;

use preheat_api::dialect::Expression;
use preheat_core::{Instant, Sample};

use super::answer::Series;
use super::client::{Prometheus, PrometheusError};

impl Prometheus {
    /// The sum of the series that an expression gives now, as old as the oldest of those that it reads
    /// and never of later than `now`. `None` where it gives none, or reads none: that is no zero.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn total(
        &self,
        expression: &Expression,
        now: Instant,
    ) -> Result<Option<Sample<f64>>, PrometheusError> {
        let told = self.instant(expression.as_str(), None).await?;
        let mut scraped = Vec::new();
        for selector in expression.selectors() {
            let query = format!("min(timestamp({selector}))");
            scraped.extend(self.instant(&query, None).await?);
        }
        Ok(total(&told, &scraped, now))
    }
}

fn total(told: &[Series], scraped: &[Series], now: Instant) -> Option<Sample<f64>> {
    let newest = |series: &Series| series.points.last().map(|point| point.value);
    let values: Vec<f64> = told.iter().filter_map(newest).collect();
    let value: f64 = values.iter().sum();
    let oldest = scraped.iter().filter_map(newest).fold(f64::INFINITY, f64::min);
    // Infinite where nothing was scraped, which is no time.
    let at = Duration::try_from_secs_f64(oldest).ok()?;
    let told = !values.is_empty() && value.is_finite();
    told.then(|| Sample::new(value, Instant::ORIGIN.saturating_add(at).min(now)))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Point;
    use super::*;

    fn series(values: &[f64]) -> Vec<Series> {
        let one =
            |&value| Series { points: vec![Point { at: 1000.0, value }], ..Series::default() };
        values.iter().map(one).collect()
    }

    #[test]
    fn series_are_added_and_as_old_as_the_oldest() {
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000));
        let told = |told: &[f64], scraped: &[f64]| {
            let sample = total(&series(told), &series(scraped), now)?;
            Some((sample.value, sample.observed_at.as_secs_f64()))
        };
        assert_eq!(told(&[3.0, 4.0], &[990.0, 970.0]), Some((7.0, 970.0)));
        assert_eq!(told(&[0.0], &[990.0]), Some((0.0, 990.0)));
        // A clock that runs ahead makes nothing fresher than it is.
        assert_eq!(told(&[1.0], &[2000.0]), Some((1.0, 1000.0)));
        // Nothing is no zero: no value, a value of no series (`or vector(0)`), and one that is none.
        assert_eq!(told(&[], &[990.0]), None);
        assert_eq!(told(&[0.0], &[]), None);
        assert_eq!(told(&[f64::INFINITY], &[990.0]), None);
    }
}
