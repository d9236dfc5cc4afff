//! From values to places on a chart, and which values to write beside an axis.

use libm::{ceil, floor, log10, pow};

/// How values are bent before they are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bend {
    /// Equal differences are equal distances.
    Linear,
    /// Equal ratios are equal distances.
    Log,
    /// Of shares: equal ratios of what is missed are equal distances, `−log10(1 − share)`.
    /// 90 % is at 1, 99 % at 2, 99.9 % at 3.
    Misses,
}

/// Places values of a domain on a range of pixels; what lies outside is put at its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    bend: Bend,
    domain: (f64, f64),
    range: (f64, f64),
}

/// Fewest misses that are told apart: one in a billion.
const MISSES_MIN: f64 = 1e-9;
/// Ends of every logarithmic axis: a microsecond, and more GPU-hours than there are.
const LOG_ENDS: (f64, f64) = (1e-6, 1e12);

impl Scale {
    /// A scale from `domain` onto `range`, whose order may be reversed. A domain that is empty or
    /// without end is made one unit wide.
    pub(super) fn new(bend: Bend, domain: (f64, f64), range: (f64, f64)) -> Self {
        let (low, high) = (bend.apply(domain.0), bend.apply(domain.1));
        let low = if low.is_finite() { low } else { 0.0 };
        let wide = high.is_finite() && high - low > 1e-9;
        let high = if wide { high } else { low + 1.0 };
        Self { bend, domain: (low, high), range }
    }

    /// Where the domain begins and ends.
    pub(super) fn range(&self) -> (f64, f64) {
        self.range
    }

    /// Where a value lies.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (low, high) = self.domain;
        let bent = self.bend.apply(value);
        // `clamp` keeps NaN, which no attribute may hold.
        let share = ((bent - low) / (high - low)).clamp(0.0, 1.0);
        let share = if share.is_nan() { 0.0 } else { share };
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    /// Whether a value lies inside the domain.
    pub(super) fn holds(&self, value: f64) -> bool {
        let bent = self.bend.apply(value);
        bent >= self.domain.0 - 1e-9 && bent <= self.domain.1 + 1e-9
    }

    /// Round values inside the domain, at least `gap` pixels from one another.
    pub(super) fn ticks(&self, gap: f64) -> Vec<f64> {
        let candidates = match self.bend {
            Bend::Linear => self.linear_ticks(gap),
            Bend::Log => self.log_ticks(gap),
            Bend::Misses => MISSES_TICKS.to_vec(),
        };
        self.spaced(candidates, gap)
    }

    /// Those of `candidates` inside the domain that keep `gap` pixels from the one before.
    pub(super) fn spaced(&self, candidates: Vec<f64>, gap: f64) -> Vec<f64> {
        let mut kept: Vec<f64> = Vec::new();
        for value in candidates.into_iter().filter(|value| self.holds(*value)) {
            let far = |last: &f64| (self.place(value) - self.place(*last)).abs() >= gap - 1e-6;
            if kept.last().is_none_or(far) {
                kept.push(value);
            }
        }
        kept
    }

    fn linear_ticks(&self, gap: f64) -> Vec<f64> {
        let (low, high) = self.domain;
        let count = ((self.range.1 - self.range.0).abs() / gap).max(1.0);
        let step = nice_step((high - low) / count);
        let first = ceil(low / step - 1e-9);
        let last = floor(high / step + 1e-9);
        // No more ticks than pixels: `count` bounds them, whatever the domain.
        let ticks = (last - first).clamp(0.0, 1_000.0) as u32;
        (0..=ticks).map(|index| (first + f64::from(index)) * step).collect()
    }

    fn log_ticks(&self, gap: f64) -> Vec<f64> {
        let (low, high) = self.domain;
        let decades = (floor(low) as i32)..=(ceil(high) as i32);
        let decade_px = (self.range.1 - self.range.0).abs() / (high - low);
        // 1, 2, 5, 10 are 0.3 decades apart at least.
        let steps: &[f64] = match decade_px {
            narrow if narrow * 0.3 < gap => &[1.0],
            wide if wide * 0.12 >= gap => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            _ => &[1.0, 2.0, 5.0],
        };
        decades
            .flat_map(|decade| steps.iter().map(move |step| step * pow(10.0, f64::from(decade))))
            .collect()
    }
}

impl Bend {
    fn apply(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => log10(value.clamp(LOG_ENDS.0, LOG_ENDS.1)),
            Self::Misses => -log10((1.0 - value).clamp(MISSES_MIN, 1.0)),
        }
    }
}

/// Shares worth a line.
const MISSES_TICKS: [f64; 13] =
    [0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 0.99999];

/// The least of 1, 2, 5 times a power of ten that is no less than `rough`.
fn nice_step(rough: f64) -> f64 {
    let rough = if rough.is_finite() { rough.max(1e-9) } else { 1.0 };
    let power = pow(10.0, floor(log10(rough)));
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * power >= rough * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_placed_by_their_order_of_magnitude() {
        let scale = Scale::new(Bend::Misses, (0.9, 0.999), (200.0, 0.0));
        for (share, place) in [(0.9, 200.0), (0.99, 100.0), (0.999, 0.0), (0.5, 200.0), (1.0, 0.0)]
        {
            assert!((scale.place(share) - place).abs() < 1e-6, "{share}");
        }
        assert!(!scale.holds(1.0) && !scale.holds(0.5) && scale.holds(0.95));
    }

    #[test]
    fn ratios_are_equal_distances_on_a_logarithmic_axis() {
        let scale = Scale::new(Bend::Log, (1.0, 100.0), (0.0, 200.0));
        assert!((scale.place(10.0) - 100.0).abs() < 1e-9);
        assert!((scale.place(20.0) - scale.place(10.0) - scale.place(2.0)).abs() < 1e-9);
        assert!(scale.place(0.0).abs() < 1e-9 && scale.place(-3.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_placed_nowhere() {
        for bend in [Bend::Linear, Bend::Log, Bend::Misses] {
            let scale = Scale::new(bend, (0.5, 0.5), (0.0, 10.0));
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0] {
                assert!((0.0..=10.0).contains(&scale.place(value)), "{bend:?} {value}");
            }
        }
    }

    #[test]
    fn ticks_are_round_and_apart() {
        #[track_caller]
        fn check(bend: Bend, domain: (f64, f64), gap: f64, expected: &[f64]) {
            let ticks = Scale::new(bend, domain, (0.0, 200.0)).ticks(gap);
            let near = |(tick, expected): (&f64, &f64)| (tick - expected).abs() < 1e-9;
            let equal = ticks.len() == expected.len() && ticks.iter().zip(expected).all(near);
            assert!(equal, "{ticks:?} are not {expected:?}");
        }
        check(Bend::Linear, (0.0, 17.0), 40.0, &[0.0, 5.0, 10.0, 15.0]);
        check(Bend::Linear, (0.0, 1.0), 40.0, &[0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        check(Bend::Linear, (-3.0, 3.0), 60.0, &[-2.0, 0.0, 2.0]);
        check(Bend::Log, (0.5, 60.0), 20.0, &[0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        let decades = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0];
        check(Bend::Log, (0.001, 1_000.0), 30.0, &decades);
        let shares = [0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999];
        check(Bend::Misses, (0.8, 0.999), 20.0, &shares);
    }

    #[test]
    fn an_absurd_domain_gives_no_more_ticks_than_fit() {
        for bend in [Bend::Linear, Bend::Log, Bend::Misses] {
            for domain in [(0.0, 1e300), (0.0, f64::INFINITY), (5.0, 5.0), (3.0, -3.0)] {
                let ticks = Scale::new(bend, domain, (0.0, 200.0)).ticks(20.0);
                assert!(ticks.len() <= 11, "{bend:?} {domain:?}: {}", ticks.len());
            }
        }
    }
}
