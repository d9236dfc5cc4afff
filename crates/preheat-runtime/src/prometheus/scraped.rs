//! A past as it was scraped, and how often that was.
//!
//! **Invariant:** where nothing was scraped, nothing is told. Prometheus itself repeats the last value
//! for five minutes, unless it saw the target go: a gap would look like idleness and a burst after it,
//! and a replica would live five minutes too long.

use std::time::Duration;

use super::answer::Series;
use super::client::{Prometheus, PrometheusError};

/// How long Prometheus itself repeats a value.
const LOOKBACK: Duration = Duration::from_secs(300);
/// Scrapes are counted over so long: ten of the longest usual interval.
const COUNTED_OVER_S: u64 = 600;
/// One scrape may be missed, and the next be half an interval late.
const INTERVALS: f64 = 2.5;
const HOUR_S: u64 = 3600;

/// How often series are scraped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scraped {
    /// From one scrape to the next; `None` where nothing tells.
    pub interval: Option<Duration>,
}

impl Scraped {
    /// The query of series at each step, as they were scraped last: within the step, or two scrapes.
    pub fn within(&self, selector: &str, step: Duration) -> String {
        let window = self.interval.map_or(LOOKBACK, |interval| interval.mul_f64(INTERVALS));
        let window = window.max(step).min(LOOKBACK.max(step));
        format!("last_over_time({selector}[{}s])", window.as_secs_f64().ceil())
    }
}

/// A time in parts of about an hour, each of which is looked at whole, from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u64,
    until: u64,
    length: u64,
}

impl Hours {
    /// From one moment to another, in seconds since the Unix epoch.
    pub fn of(from: u64, until: u64) -> Self {
        let over = until.saturating_sub(from).max(1);
        Self { from, until, length: (over / over.div_ceil(HOUR_S)).max(1) }
    }

    /// The query of everything that was there in a part, by its last value in it.
    pub fn all(&self, selector: &str) -> String {
        format!("last_over_time({selector}[{}s])", self.length)
    }
}

impl Prometheus {
    /// Evaluates a query at the end of each part.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn hourly(&self, hours: Hours, query: &str) -> Result<Vec<Series>, PrometheusError> {
        let length = Duration::from_secs(hours.length);
        self.range(query, hours.from + hours.length, hours.until, length).await
    }

    /// How often the series that a selector names are scraped in these hours: in half of them, more
    /// often or as often.
    ///
    /// # Errors
    /// When there is no answer that can be used.
    pub async fn scraped(&self, hours: Hours, selector: &str) -> Result<Scraped, PrometheusError> {
        let over = COUNTED_OVER_S.min(hours.length);
        let query = format!("max(count_over_time({selector}[{over}s]))");
        let found = self.hourly(hours, &query).await?;
        Ok(Scraped { interval: interval(&found, over) })
    }
}

fn interval(counts: &[Series], over: u64) -> Option<Duration> {
    let points = counts.iter().flat_map(|series| &series.points);
    let mut counts: Vec<f64> = points.map(|point| point.value).filter(|it| *it >= 1.0).collect();
    counts.sort_by(f64::total_cmp);
    let median = counts.get(counts.len() / 2)?;
    // A window that has both its ends in it counts one more.
    let seconds = (over as f64 / median).round().max(1.0);
    Some(Duration::from_secs(seconds as u64))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Point;
    use super::*;

    #[test]
    fn two_scrapes_or_a_step_are_looked_back_on_and_no_more_than_prometheus_does() {
        let window = |interval: Option<u64>, step: u64| {
            let scraped = Scraped { interval: interval.map(Duration::from_secs) };
            let query = scraped.within("up", Duration::from_secs(step));
            query.trim_start_matches("last_over_time(up[").trim_end_matches("s])").to_owned()
        };
        assert_eq!(window(Some(15), 30), "38");
        assert_eq!(window(Some(15), 60), "60");
        assert_eq!(window(Some(60), 60), "150");
        assert_eq!(window(Some(240), 240), "300");
        assert_eq!(window(Some(600), 600), "600");
        assert_eq!(window(None, 30), "300");
    }

    #[test]
    fn parts_are_of_one_length_and_cover_everything() {
        let parts = |from, until| {
            let Hours { length, .. } = Hours::of(from, until);
            (length, (until - from) / length)
        };
        assert_eq!(parts(1000, 1000 + 86_400), (3600, 24));
        assert_eq!(parts(1000, 1000 + 5400), (2700, 2));
        assert_eq!(parts(1000, 1000 + 600), (600, 1));
        assert_eq!(Hours::of(7, 7).length, 1);
    }

    #[test]
    fn how_often_is_what_half_of_the_hours_say() {
        let points = |values: &[f64]| {
            let points = values.iter().map(|&value| Point { at: 0.0, value }).collect();
            vec![Series { points, ..Series::default() }]
        };
        let seconds = |values: &[f64]| interval(&points(values), 600).map(|it| it.as_secs());
        assert_eq!(seconds(&[40.0, 40.0, 3.0]), Some(15), "it was down in one of them");
        assert_eq!(seconds(&[41.0]), Some(15), "both ends of the window are in it");
        assert_eq!(seconds(&[10.0, 10.0]), Some(60));
        assert_eq!(seconds(&[]), None);
        assert_eq!(seconds(&[0.0]), None);
    }
}
