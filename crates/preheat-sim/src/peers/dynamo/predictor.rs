//! What the throughput planner expects of the next interval.
//!
//! Source: Dynamo 2a6da14 (2026-08-21), planner `load_predictor`.
//!
//! **Invariant:** leading zeros are skipped, and fewer than five points predict the last one.

/// Points before a model is used.
const POINTS_MIN: u32 = 5;
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
    /// A Kalman filter of level and trend.
    Kalman,
}

/// One series.
#[derive(Clone, Debug)]
pub(super) struct Predictor {
    kind: PredictorKind,
    points: u32,
    last: f64,
    state: Option<Kalman>,
}

impl Predictor {
    pub(super) const fn new(kind: PredictorKind) -> Self {
        Self { kind, points: 0, last: 0.0, state: None }
    }

    pub(super) fn add(&mut self, value: f64) {
        if self.points == 0 && value == 0.0 {
            return;
        }
        self.points += 1;
        self.last = value;
        match &mut self.state {
            Some(state) => state.update(value),
            None => self.state = Some(Kalman::new(value)),
        }
    }

    /// One interval ahead; `None` before the first value.
    pub(super) fn predict(&self) -> Option<f64> {
        if self.points == 0 {
            return None;
        }
        match (self.kind, &self.state) {
            (PredictorKind::Kalman, Some(state)) if self.points >= POINTS_MIN => {
                Some((state.level + state.trend).max(0.0))
            }
            _ => Some(self.last),
        }
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

    fn predicted(kind: PredictorKind, values: &[f64]) -> Option<f64> {
        let mut predictor = Predictor::new(kind);
        values.iter().for_each(|value| predictor.add(*value));
        predictor.predict()
    }

    #[test]
    fn few_points_and_the_constant_predict_the_last() {
        assert_eq!(predicted(PredictorKind::Kalman, &[0.0, 0.0]), None);
        assert_eq!(predicted(PredictorKind::Kalman, &[0.0, 10.0, 20.0, 30.0, 40.0]), Some(40.0));
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
}
