//! What the throughput planner expects of the next interval.
//!
//! Source: Dynamo 2a6da14 (2026-08-21), planner `core/load/predictors.py`, with its defaults:
//! `load_predictor_log1p` off and no trace to warm up with.
//!
//! **Invariant:** leading zeros are skipped, fewer than five points predict the last one, and no
//! prediction is below zero.

use std::collections::VecDeque;
use std::time::Duration;

use super::arima::Arima;
use super::prophet;

/// Points before a model is used.
const POINTS_MIN: u32 = 5;
/// Points that ARIMA is fitted to at most: a day at the default interval. The project keeps all, and
/// each plan takes longer than the one before.
const ARIMA_POINTS_MAX: usize = 480;
/// Points that Prophet is fitted to (`prophet_window_size`).
const PROPHET_POINTS_MAX: usize = 50;
/// Variance of the level from one interval to the next.
const Q_LEVEL: f64 = 1.0;
/// Variance of the trend.
const Q_TREND: f64 = 0.1;
/// Variance of a measurement.
const R: f64 = 10.0;
/// Variance of the first guess.
const P0: f64 = 1000.0;

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictorKind {
    /// The last value.
    Constant,
    /// ARIMA; its orders are searched once, over the first five points. The project's default.
    Arima,
    /// A Kalman filter of level and trend.
    Kalman,
    /// Prophet, fitted anew to the last fifty points each time.
    Prophet,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Predictor {
    model: Model,
    points: u32,
    last: f64,
}

#[derive(Clone, Debug)]
enum Model {
    Constant,
    Arima(ArimaState),
    Kalman(Option<Kalman>),
    Prophet { interval: Duration, values: VecDeque<f64> },
}

impl Predictor {
    /// A point comes every `interval`.
    pub(super) const fn new(kind: PredictorKind, interval: Duration) -> Self {
        let model = match kind {
            PredictorKind::Constant => Model::Constant,
            PredictorKind::Arima => Model::Arima(ArimaState::new()),
            PredictorKind::Kalman => Model::Kalman(None),
            PredictorKind::Prophet => Model::Prophet { interval, values: VecDeque::new() },
        };
        Self { model, points: 0, last: 0.0 }
    }

    pub(super) fn add(&mut self, value: f64) {
        if self.points == 0 && value == 0.0 {
            return;
        }
        self.points += 1;
        self.last = value;
        match &mut self.model {
            Model::Constant => {}
            Model::Arima(state) => state.add(value),
            Model::Kalman(Some(state)) => state.update(value),
            Model::Kalman(state) => *state = Some(Kalman::new(value)),
            Model::Prophet { values, .. } => {
                values.push_back(value);
                if values.len() > PROPHET_POINTS_MAX {
                    values.pop_front();
                }
            }
        }
    }

    /// One interval ahead; `None` before the first value.
    pub(super) fn predict(&mut self) -> Option<f64> {
        if self.points < POINTS_MIN {
            return (self.points > 0).then_some(self.last);
        }
        let found = match &mut self.model {
            Model::Constant => None,
            Model::Arima(state) => state.predict(),
            Model::Kalman(state) => state.as_ref().map(|state| state.level + state.trend),
            Model::Prophet { interval, values } => {
                prophet::next(values.make_contiguous(), *interval)
            }
        };
        Some(found.unwrap_or(self.last).max(0.0))
    }
}

/// A model that is searched once and updated from then on.
#[derive(Clone, Debug)]
struct ArimaState {
    values: Vec<f64>,
    /// The same, as logarithms of one more.
    logs: Vec<f64>,
    fitted: Option<(Scale, Arima)>,
}

/// What a model is fitted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Raw,
    Log1p,
}

impl ArimaState {
    const fn new() -> Self {
        Self { values: Vec::new(), logs: Vec::new(), fitted: None }
    }

    fn add(&mut self, value: f64) {
        self.values.push(value);
        self.logs.push(libm::log1p(value.max(0.0)));
        if self.values.len() > ARIMA_POINTS_MAX {
            self.values.remove(0);
            self.logs.remove(0);
        }
    }

    fn series(&self, scale: Scale) -> &[f64] {
        match scale {
            Scale::Raw => &self.values,
            Scale::Log1p => &self.logs,
        }
    }

    /// `None` where no model can be fitted.
    fn predict(&mut self) -> Option<f64> {
        let first = self.values.first().copied()?;
        if self.values.iter().all(|value| *value == first) {
            return Some(first);
        }
        let (scale, model) = match self.fitted {
            Some((scale, mut model)) => {
                model.update(self.series(scale));
                (scale, model)
            }
            None => self.search()?,
        };
        self.fitted = Some((scale, model));
        let next = model.next(self.series(scale))?;
        Some(match scale {
            Scale::Raw => next,
            Scale::Log1p => libm::expm1(next),
        })
    }

    /// On the values as they are; on their logarithms where that finds nothing but a level or a
    /// trend.
    fn search(&self) -> Option<(Scale, Arima)> {
        let raw = Arima::search(&self.values)?;
        let logs = raw.order().is_trivial().then(|| Arima::search(&self.logs)).flatten();
        Some(logs.map_or((Scale::Raw, raw), |found| (Scale::Log1p, found)))
    }
}

/// A local linear trend.
#[derive(Clone, Debug)]
struct Kalman {
    level: f64,
    trend: f64,
    /// Covariance: of the level, of both, of the trend.
    p: [f64; 3],
}

impl Kalman {
    const fn new(level: f64) -> Self {
        Self { level, trend: 0.0, p: [P0, 0.0, P0] }
    }

    fn update(&mut self, value: f64) {
        let [p00, p01, p11] = self.p;
        let level = self.level + self.trend;
        let (p00, p01, p11) = (p00 + 2.0 * p01 + p11 + Q_LEVEL, p01 + p11, p11 + Q_TREND);
        let (gain_level, gain_trend) = (p00 / (p00 + R), p01 / (p00 + R));
        let innovation = value - level;
        self.level = level + gain_level * innovation;
        self.trend += gain_trend * innovation;
        self.p = [(1.0 - gain_level) * p00, (1.0 - gain_level) * p01, p11 - gain_trend * p01];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(180);

    /// Predictions after each of these points, as the planner asks for them.
    fn followed(kind: PredictorKind, values: &[f64]) -> Vec<Option<f64>> {
        let mut predictor = Predictor::new(kind, INTERVAL);
        let found = values.iter().map(|value| {
            predictor.add(*value);
            predictor.predict()
        });
        found.collect()
    }

    fn predicted(kind: PredictorKind, values: &[f64]) -> Option<f64> {
        followed(kind, values).pop().flatten()
    }

    #[test]
    fn few_points_and_the_constant_predict_the_last() {
        for kind in [PredictorKind::Arima, PredictorKind::Kalman, PredictorKind::Prophet] {
            assert_eq!(predicted(kind, &[0.0, 0.0]), None);
            assert_eq!(predicted(kind, &[0.0, 10.0, 20.0, 30.0, 40.0]), Some(40.0));
        }
        assert_eq!(predicted(PredictorKind::Constant, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), Some(6.0));
    }

    #[test]
    fn the_filter_carries_a_trend_on_and_settles_on_a_level() {
        let ramp: Vec<f64> = (1..=30).map(|n| f64::from(n) * 10.0).collect();
        let next = predicted(PredictorKind::Kalman, &ramp).unwrap();
        assert!((next - 310.0).abs() < 3.0, "{next}");
        let level = predicted(PredictorKind::Kalman, &[50.0; 30]).unwrap();
        assert!((level - 50.0).abs() < 1e-6, "{level}");
    }

    #[test]
    fn the_filters_first_update_is_by_hand() {
        let mut kalman = Kalman::new(10.0);
        kalman.update(20.0);
        // P = 1000 + 1000 + 1 = 2001: gain 2001 ÷ 2011 on the level, 1000 ÷ 2011 on the trend.
        assert!((kalman.level - (10.0 + 10.0 * 2001.0 / 2011.0)).abs() < 1e-9);
        assert!((kalman.trend - 10.0 * 1000.0 / 2011.0).abs() < 1e-9);
    }

    /// Against Dynamo's own steps over pmdarima 2.1.1 and statsmodels 0.15.0: `auto_arima` with
    /// `suppress_warnings` and `error_action="ignore"` on five points, over `log1p` where p = q = 0,
    /// then `update` with each new point; `predict(1)` after points 5, 6, 8, 12 and 20. The points
    /// are requests in 600 s from line 2 of a rate series made after ServeGen's model M (large), and
    /// hundredths of those from line 605.
    #[test]
    fn arima_is_pmdarimas_as_dynamo_calls_it() {
        let level = [
            127_668, 107_819, 112_633, 138_856, 116_323, 135_976, 130_345, 135_020, 141_068,
            152_235, 142_758, 127_317, 131_595, 129_881, 131_330, 140_313, 141_718, 125_409,
            131_151, 126_397,
        ];
        let moving = [
            1091, 1108, 1140, 1129, 1112, 1129, 1095, 1147, 1196, 1186, 1218, 1178, 1434, 1701,
            1330, 1300, 1320, 1309, 1327, 1353,
        ];
        let cases = [
            (level, [120_153.01, 122_655.79, 125_083.88, 130_042.73, 130_866.04]),
            (moving, [1113.66, 1129.66, 1169.93, 1135.97, 1297.82]),
        ];
        for (values, expected) in cases {
            let found = followed(PredictorKind::Arima, &values.map(f64::from));
            for (point, expected) in [5, 6, 8, 12, 20].into_iter().zip(expected) {
                let found = found[point - 1].unwrap();
                assert!((found / expected - 1.0).abs() < 1e-4, "{point}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn arima_repeats_a_constant_and_is_searched_at_the_first_change() {
        assert_eq!(predicted(PredictorKind::Arima, &[50.0; 30]), Some(50.0));
        let mut values = vec![50.0; 30];
        values.extend([80.0; 20]);
        let next = predicted(PredictorKind::Arima, &values).unwrap();
        assert!((50.0..=85.0).contains(&next), "{next}");
    }

    /// Where five points show no lag, the search is not repeated: what is left is the geometric mean
    /// of everything so far, whatever the traffic does.
    #[test]
    fn arima_that_found_only_a_level_predicts_the_mean_of_its_past() {
        let mut values = vec![1277.0, 1078.0, 1126.0, 1389.0, 1163.0];
        values.extend([1800.0; 45]);
        let next = predicted(PredictorKind::Arima, &values).unwrap();
        let logs: f64 = values.iter().map(|value| libm::log1p(*value)).sum();
        let mean = libm::expm1(logs / values.len() as f64);
        assert!((next / mean - 1.0).abs() < 1e-3 && next < 1750.0, "{next} for {mean}");
    }

    #[test]
    fn prophet_goes_by_the_last_fifty_points() {
        let mut values = vec![10_000.0; 30];
        values.extend((1..=50).map(|n| 100.0 + f64::from(n)));
        let next = predicted(PredictorKind::Prophet, &values).unwrap();
        assert!((next - 151.0).abs() < 0.1, "{next}");
        let falling: Vec<f64> = (1..=20).map(|n| 100.0 - 5.0 * f64::from(n)).collect();
        assert_eq!(predicted(PredictorKind::Prophet, &falling), Some(0.0));
    }
}
