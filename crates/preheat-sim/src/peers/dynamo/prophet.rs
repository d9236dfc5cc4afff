//! Prophet: a trend of straight pieces, and seasons where the points reach over enough of them.
//!
//! Source: Prophet 1.5 (Taylor and Letham 2018) with its defaults, as Dynamo calls it: 25
//! changepoints in the first 80 % of the points, whose slopes have a Laplace prior of scale 0.05;
//! yearly, weekly and daily seasons of 10, 3 and 4 harmonics, each only with two years, two weeks or
//! two days of points. The most probable parameters are found by turns: all that is linear with the
//! noise held, then the noise.
//!
//! **Invariant:** the points are evenly spaced, and nothing but them is known.

mod lasso;

use std::f64::consts::TAU;
use std::time::Duration;

use lasso::Lasso;

/// Changepoints (`n_changepoints`).
const CHANGEPOINTS_MAX: usize = 25;
/// Share of the points in which they lie (`changepoint_range`).
const CHANGEPOINT_RANGE: f64 = 0.8;
/// Scale of the prior of a change of slope (`changepoint_prior_scale`).
const CHANGEPOINT_SCALE: f64 = 0.05;
/// Standard deviation of the priors of slope and level.
const TREND_SCALE: f64 = 5.0;
/// Standard deviation of the prior of a harmonic (`seasonality_prior_scale`).
const SEASON_SCALE: f64 = 10.0;
/// Standard deviation of the prior of the noise.
const NOISE_SCALE: f64 = 0.5;
/// Least variance of the noise, which would vanish where points are met exactly.
const NOISE_VARIANCE_MIN: f64 = 1e-12;
/// Turns at most.
const TURNS_MAX: u32 = 100;
/// Relative change of the variance of the noise at which it has settled.
const SETTLED: f64 = 1e-9;
/// Days of a period, its harmonics, and the days that it takes.
const SEASONS: [(f64, u32, f64); 3] = [(365.25, 10, 730.0), (7.0, 3, 14.0), (1.0, 4, 2.0)];

/// The value after these, which came one per `interval`; `None` for fewer than two.
pub(super) fn next(values: &[f64], interval: Duration) -> Option<f64> {
    let (first, count) = (*values.first()?, values.len());
    if values.iter().all(|value| *value == first) {
        return Some(first);
    }
    let scale = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
    let columns = Columns::new(count, interval.as_secs_f64() / 86_400.0);
    let rows: Vec<Vec<f64>> = (0..count).map(|index| columns.row(index)).collect();
    let scaled: Vec<f64> = values.iter().map(|value| value / scale).collect();
    let coefficients = most_probable(&rows, &scaled, &columns.priors());
    Some(dot(&columns.row(count), &coefficients) * scale)
}

/// What a point's value is made of.
struct Columns {
    /// Index of the last point, which is time 1.
    last: f64,
    /// Time between two points, in days.
    interval_days: f64,
    /// In time.
    changepoints: Vec<f64>,
    /// Days of a period, and its harmonics.
    seasons: Vec<(f64, u32)>,
}

impl Columns {
    fn new(count: usize, interval_days: f64) -> Self {
        let last = (count - 1) as f64;
        let early = libm::floor(count as f64 * CHANGEPOINT_RANGE) as usize;
        let pieces = CHANGEPOINTS_MAX.min(early.saturating_sub(1));
        let gap = early.saturating_sub(1) as f64 / pieces.max(1) as f64;
        let changepoints = (1..=pieces).map(|piece| libm::rint(piece as f64 * gap) / last);
        // A year is not looked at closely enough to have points that lie further apart.
        let is_seen = |period: f64, least: f64| {
            last * interval_days >= least && (interval_days < period || period > 7.0)
        };
        let seasons = SEASONS.into_iter().filter(|(period, _, least)| is_seen(*period, *least));
        Self {
            last,
            interval_days,
            changepoints: changepoints.collect(),
            seasons: seasons.map(|(period, harmonics, _)| (period, harmonics)).collect(),
        }
    }

    /// Slope, level, changes of slope, harmonics.
    fn row(&self, index: usize) -> Vec<f64> {
        let time = index as f64 / self.last;
        let mut row = vec![time, 1.0];
        row.extend(self.changepoints.iter().map(|change| (time - change).max(0.0)));
        for (period, harmonics) in &self.seasons {
            for harmonic in 1..=*harmonics {
                let turns = f64::from(harmonic) * index as f64 * self.interval_days / period;
                row.extend([libm::sin(TAU * turns), libm::cos(TAU * turns)]);
            }
        }
        row
    }

    /// Of each column, the weight of its square and of its size.
    fn priors(&self) -> Vec<(f64, f64)> {
        let normal = |scale: f64| (1.0 / (scale * scale), 0.0);
        let mut priors = vec![normal(TREND_SCALE); 2];
        priors.extend(self.changepoints.iter().map(|_| (0.0, 1.0 / CHANGEPOINT_SCALE)));
        let harmonics: u32 = self.seasons.iter().map(|(_, harmonics)| 2 * harmonics).sum();
        priors.extend((0..harmonics).map(|_| normal(SEASON_SCALE)));
        priors
    }
}

/// Coefficients and noise that are most probable together; the coefficients are what is returned.
fn most_probable(rows: &[Vec<f64>], values: &[f64], priors: &[(f64, f64)]) -> Vec<f64> {
    let gram = |i: usize, j: usize| rows.iter().map(|row| row[i] * row[j]).sum::<f64>();
    let squares: Vec<Vec<f64>> =
        (0..priors.len()).map(|i| (0..priors.len()).map(|j| gram(i, j)).collect()).collect();
    let right: Vec<f64> = (0..priors.len())
        .map(|i| rows.iter().zip(values).map(|(row, value)| row[i] * value).sum())
        .collect();
    let mut lasso = Lasso::new(&squares, &right, priors);
    let n = rows.len() as f64;
    let mut variance: f64 = 1.0;
    for _ in 0..TURNS_MAX {
        lasso.solve(variance);
        let rest = rows.iter().zip(values).map(|(row, value)| value - dot(row, &lasso.solution));
        let squares: f64 = rest.map(|rest| rest * rest).sum();
        // Of n ln σ + S ÷ 2σ² + σ² ÷ 2s² the least is where σ⁴ ÷ s² + n σ² = S.
        let root = libm::sqrt(n * n + 4.0 * squares / (NOISE_SCALE * NOISE_SCALE));
        let found = (2.0 * squares / (n + root)).max(NOISE_VARIANCE_MIN);
        let is_settled = (found - variance).abs() <= SETTLED * variance;
        variance = found;
        if is_settled {
            break;
        }
    }
    lasso.solution
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One point per so many seconds.
    fn after(values: &[f64], secs: u64) -> f64 {
        next(values, Duration::from_secs(secs)).unwrap()
    }

    fn made(count: u32, value: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..count).map(|n| value(f64::from(n))).collect()
    }

    #[test]
    fn lines_and_bends_go_on() {
        assert_eq!(after(&[7.0; 20], 180), 7.0);
        let line = made(50, |n| 100.0 + 3.0 * n);
        assert!((after(&line, 180) - 250.0).abs() < 1e-3);
        let bend = made(50, |n| 100.0 + 20.0 * (n - 25.0).max(0.0));
        assert!((after(&bend, 180) - 600.0).abs() < 1e-2);
    }

    #[test]
    fn a_day_is_seen_from_two_days_on() {
        let hourly = |count| made(count, |hour| 100.0 + 50.0 * libm::sin(TAU * hour / 24.0));
        // Hour 49 begins the third day; 50 is 15° further: 100 + 50 × sin 30°.
        assert!((after(&hourly(50), 3600) - 125.0).abs() < 1e-3);
        assert!((after(&hourly(48), 3600) - 100.0).abs() > 5.0);
        // The same points in 3-minute steps are two and a half hours, and no day.
        assert!((after(&hourly(50), 180) - 125.0).abs() > 5.0);
    }

    /// Requests in 600 s from line 2, 302 and 1502 of a rate series made after ServeGen's model M
    /// (large); `Prophet().fit(ds, y).predict(next)["yhat"]` of Prophet 1.5, whose Newton search
    /// stops a little before the optimum.
    #[test]
    fn forecasts_are_prophets() {
        let first = [
            127_668, 107_819, 112_633, 138_856, 116_323, 135_976, 130_345, 135_020, 141_068,
            152_235, 142_758, 127_317,
        ];
        let second = [
            114_096, 113_334, 115_196, 110_266, 114_633, 113_445, 111_511, 109_387, 107_474,
            108_794, 109_881, 108_926,
        ];
        let third = [
            90_417, 90_869, 99_496, 101_269, 95_339, 91_715, 123_369, 137_991, 111_921, 125_127,
            109_758, 115_220,
        ];
        let cases = [(first, 145_426.5), (second, 107_676.1), (third, 126_687.4)];
        for (values, expected) in cases {
            let found = after(&values.map(f64::from), 600);
            assert!((found / expected - 1.0).abs() < 1e-4, "{found} for {expected}");
        }
    }
}
