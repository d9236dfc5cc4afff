//! Rates over time. They know nothing of single arrivals.
//!
//! Each shape is given by its integral, so that the expected count of every bin is exact.

use std::f64::consts::TAU;
use std::time::Duration;

use crate::rates::RateSeries;

/// Requests per second over a stretch of time. Rates below zero count as zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateShape {
    /// Always the same.
    Constant {
        /// Requests per second.
        rate: f64,
    },
    /// From one rate to another in a straight line.
    Ramp {
        /// At the begin.
        from: f64,
        /// At the end.
        to: f64,
    },
    /// A wave, as a day has it.
    Sinusoid {
        /// The lowest rate.
        low: f64,
        /// The highest.
        high: f64,
        /// From peak to peak.
        period: Duration,
        /// When it is highest.
        peak_at: Duration,
    },
    /// On for a while, off for a while; on first.
    OnOff {
        /// The rate while it is on.
        rate: f64,
        /// The rate while it is off.
        rate_off: f64,
        /// How long it is on.
        on: Duration,
        /// How long it is off.
        off: Duration,
    },
    /// Up in a straight line, there for the rest of the time, down in a straight line.
    Burst {
        /// The rate between rise and fall.
        rate: f64,
        /// How long it rises.
        rise: Duration,
        /// How long it falls, up to the end.
        fall: Duration,
    },
}

/// Bins are about this wide.
const BIN_S: f64 = 1.0;
/// More bins than this are made wider instead: 8 MB, and eleven days at a second each.
const BINS_MAX: f64 = 1_000_000.0;

impl RateShape {
    /// The expected count of each bin of a stretch of this length.
    pub(super) fn over(&self, lasts: Duration) -> RateSeries {
        let lasts_s = lasts.as_secs_f64();
        let bins = libm::ceil(lasts_s / BIN_S).clamp(1.0, BINS_MAX);
        let width_s = lasts_s / bins;
        let until = |bin: u32| self.expected(f64::from(bin) * width_s, lasts_s);
        let counts = (0..bins as u32).map(|bin| (until(bin + 1) - until(bin)).max(0.0)).collect();
        RateSeries { bin: Duration::from_secs_f64(width_s), counts }
    }

    /// Requests expected until `t`: the integral of the rate, for rates that are not below zero.
    fn expected(&self, t: f64, lasts: f64) -> f64 {
        match *self {
            Self::Constant { rate } => rate * t,
            Self::Ramp { from, to } => from * t + (to - from) * t * t / (2.0 * lasts),
            Self::Sinusoid { low, high, period, peak_at } => {
                let (mean, amplitude) = (f64::midpoint(low, high), (high - low) / 2.0);
                let turns_per_sec = TAU / period.as_secs_f64();
                let wave = |t: f64| libm::sin((t - peak_at.as_secs_f64()) * turns_per_sec);
                mean * t + amplitude / turns_per_sec * (wave(t) - wave(0.0))
            }
            Self::OnOff { rate, rate_off, on, off } => {
                let (on, off) = (on.as_secs_f64(), off.as_secs_f64());
                let cycles = libm::floor(t / (on + off));
                let rest = t - cycles * (on + off);
                let time_on = cycles * on + rest.min(on);
                rate * time_on + rate_off * (t - time_on)
            }
            Self::Burst { rate, rise, fall } => {
                let (rise, fall) = (rise.as_secs_f64(), fall.as_secs_f64());
                // What a straight line takes away before it is up.
                let lost = |time: f64, length: f64| {
                    if length > 0.0 { time - time * time / (2.0 * length) } else { 0.0 }
                };
                let rising = lost(t.min(rise), rise);
                let falling = lost(fall, fall) - lost((lasts - t).min(fall), fall);
                rate * (t - rising - falling)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Expected requests in the seconds that begin at these, of an hour.
    #[track_caller]
    fn check(shape: RateShape, expected: &[(usize, f64)], total: f64) {
        let series = shape.over(HOUR);
        assert_eq!((series.counts.len(), series.bin), (3600, Duration::from_secs(1)));
        for &(second, rate) in expected {
            let found = series.counts[second];
            assert!((found - rate).abs() < 1e-6, "{shape:?}, second {second}: {found}, not {rate}");
        }
        let sum: f64 = series.counts.iter().sum();
        assert!((sum - total).abs() < 1e-6, "{shape:?}: {sum}, not {total}");
    }

    #[test]
    fn every_shape_has_its_rate() {
        let secs = Duration::from_secs;
        check(RateShape::Constant { rate: 4.0 }, &[(0, 4.0), (3599, 4.0)], 14_400.0);
        let middle = [(0, 1.0 / 1800.0), (1799, 1799.5 / 900.0)];
        check(RateShape::Ramp { from: 0.0, to: 4.0 }, &middle, 7200.0);
        check(RateShape::Ramp { from: 4.0, to: 0.0 }, &[(3599, 1.0 / 1800.0)], 7200.0);
        let on_off = RateShape::OnOff { rate: 6.0, rate_off: 1.0, on: secs(60), off: secs(120) };
        let edges = [(0, 6.0), (59, 6.0), (60, 1.0), (179, 1.0), (180, 6.0)];
        check(on_off, &edges, 20.0 * (360.0 + 120.0));
        let burst = RateShape::Burst { rate: 10.0, rise: secs(100), fall: secs(200) };
        let line = [(0, 0.05), (99, 9.95), (100, 10.0), (3399, 10.0), (3400, 9.975), (3599, 0.025)];
        check(burst, &line, 10.0 * (3600.0 - 50.0 - 100.0));
        let at_once = RateShape::Burst { rate: 10.0, rise: secs(0), fall: secs(0) };
        check(at_once, &[(0, 10.0), (3599, 10.0)], 36_000.0);
    }

    #[test]
    fn a_wave_peaks_where_it_should() {
        let peak_at = Duration::from_secs(900);
        let wave = RateShape::Sinusoid { low: 2.0, high: 10.0, period: HOUR, peak_at };
        let counts = wave.over(HOUR).counts;
        for (second, rate) in [(899, 10.0), (2699, 2.0), (0, 6.0), (1799, 6.0)] {
            assert!((counts[second] - rate).abs() < 0.01, "{second}: {}", counts[second]);
        }
        assert!((counts.iter().sum::<f64>() - 21_600.0).abs() < 1e-6);
    }

    #[test]
    fn odd_lengths_are_covered_to_their_end() {
        let lasts = Duration::from_millis(2500);
        let series = RateShape::Constant { rate: 3.0 }.over(lasts);
        assert_eq!(series.counts.len(), 3);
        assert!(lasts - series.span() < Duration::from_nanos(3), "{:?}", series.span());
        assert!((series.counts.iter().sum::<f64>() - 7.5).abs() < 1e-9);
        let ten_years = Duration::from_secs(10 * 365 * 86_400);
        assert_eq!(RateShape::Constant { rate: 0.0 }.over(ten_years).counts.len(), 1_000_000);
    }
}
