//! Inter-token latency as a line over the requests in flight, `ITL ≈ a + b·n`, from what ready
//! replicas measure.
//!
//! A step reads the weights once, whoever is in the batch, and does a little more for each request:
//! 20 ms + 0.5 ms each is typical of a 27B model on one H100. Least squares with fading weights find
//! the line; they are kept as mean and central moments, so that nothing cancels.
//!
//! **Invariant:** every number is finite, and the slope of a pool that was only ever seen at one load
//! is not believed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::ReplicaMemory;
use crate::observation::{ReplicaObservation, ReplicaPhase};

/// What was seen fades to half in this time: a change of mix shows within minutes, and half an hour
/// of quiet leaves what the busy hour taught.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Left out after a replica became ready: it compiles, captures graphs and fills caches.
const SETTLING: Duration = Duration::from_secs(60);
/// Fewer gaps than this in one look are too few: a busy replica has fifty a second and request.
const GAPS_MIN: u64 = 20;
/// Nothing is said of the line before this many replica-seconds.
const SECONDS_LIKELY_MIN: f64 = 10.0;
/// The line is not believed before it rests on this many replica-seconds …
const SECONDS_MIN: f64 = 60.0;
/// … that spread, as a standard deviation, over so many requests in flight …
const SPREAD_MIN: f64 = 1.0;
/// … and over this share of their mean.
const SPREAD_SHARE_MIN: f64 = 0.1;
/// Where they spread over this share of their mean, what was seen weighs as much as what is believed
/// of any engine.
const SPREAD_SHARE_EVEN: f64 = 0.1;
/// Less than this share of the ITL is never left for the step itself.
const BASE_SHARE_MIN: f64 = 0.01;

/// One look at a replica: requests in flight and inter-token latency over a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pair {
    pub(crate) in_flight: f64,
    pub(crate) itl_s: f64,
    /// Length of the stretch in seconds; its weight.
    pub(crate) secs: f64,
}

/// What a replica's newest scrape adds: nothing if it was seen already, while the replica settles in,
/// while it generates next to nothing, and while requests wait in it, since then prompts fill every
/// step, whatever else is in the batch. `entry` is as it was before this tick's counters.
pub(crate) fn pair(entry: &ReplicaMemory, replica: &ReplicaObservation) -> Option<Pair> {
    let (itl, counters) = (replica.itl?, replica.counters?);
    let same_scrape = itl.observed_at == counters.observed_at;
    let is_new = entry.counters_at < Some(itl.observed_at);
    let begun = itl.observed_at.saturating_sub(itl.value.over);
    let settled = begun >= replica.phase_since.saturating_add(SETTLING);
    let queues = replica.queue_depth.is_some_and(|sample| sample.value > 0);
    if replica.phase != ReplicaPhase::Ready || !same_scrape || !is_new || !settled || queues {
        return None;
    }
    let (before, now) = (f64::from(entry.in_flight?), f64::from(replica.in_flight?.value));
    let (in_flight, itl_s) = ((before + now) / 2.0, itl.value.mean.as_secs_f64());
    let usable = itl.value.count >= GAPS_MIN && in_flight > 0.0 && itl_s > 0.0;
    usable.then_some(Pair { in_flight, itl_s, secs: itl.value.over.as_secs_f64() })
}

/// The moments that the line follows from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItlFit {
    /// Replica-seconds seen, faded.
    pub seconds: f64,
    /// Mean requests in flight.
    pub in_flight_mean: f64,
    /// Mean ITL in seconds.
    pub itl_mean_s: f64,
    /// Sum of squared deviations of requests in flight, faded.
    pub in_flight_moment: f64,
    /// Sum of products of both deviations, faded.
    pub product_moment: f64,
}

/// `ITL ≈ a + b·n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Line {
    /// a, in seconds: what a step takes whoever is in it.
    pub(crate) base_s: f64,
    /// b, in seconds: what each request adds. Never negative: a batch that grows is not faster.
    pub(crate) per_request_s: f64,
}

impl ItlFit {
    /// Lets what was seen fade.
    pub(crate) fn fade(&mut self, since_last: Duration) {
        let keep = libm::exp2(-since_last.as_secs_f64() / HALF_LIFE.as_secs_f64());
        self.seconds *= keep;
        self.in_flight_moment *= keep;
        self.product_moment *= keep;
    }

    /// Takes a look at a whole replica.
    pub(crate) fn add(&mut self, pair: Pair) {
        if pair.secs <= 0.0 {
            return;
        }
        self.seconds += pair.secs;
        let share = pair.secs / self.seconds;
        let deviation = pair.in_flight - self.in_flight_mean;
        self.in_flight_mean += deviation * share;
        self.itl_mean_s += (pair.itl_s - self.itl_mean_s) * share;
        let weighted = pair.secs * deviation;
        // Rounding alone can make the square negative.
        let square = weighted * (pair.in_flight - self.in_flight_mean);
        self.in_flight_moment += square.max(0.0);
        self.product_moment += weighted * (pair.itl_s - self.itl_mean_s);
    }

    /// The line, once it rests on enough, over enough of a spread.
    pub(crate) fn line(&self) -> Option<Line> {
        let spread = libm::sqrt(self.in_flight_moment / self.seconds.max(SECONDS_MIN));
        let spread_min = SPREAD_MIN.max(SPREAD_SHARE_MIN * self.in_flight_mean);
        if self.seconds < SECONDS_MIN || spread < spread_min {
            return None;
        }
        let per_request_s = self.slope_seen()?;
        let base_s = (self.itl_mean_s - per_request_s * self.in_flight_mean).max(0.0);
        Some(Line { base_s, per_request_s })
    }

    /// The line as it most likely is. Through the means that were seen goes a slope between the one
    /// that was seen and the one that is believed of any engine with these requests, b = `slope` · a:
    /// the wider the loads that were seen, the nearer to the former.
    ///
    /// `None` before anything was seen.
    pub(crate) fn likely(&self, slope: f64) -> Option<Line> {
        if self.seconds < SECONDS_LIKELY_MIN || self.itl_mean_s <= 0.0 {
            return None;
        }
        let believed = slope * self.itl_mean_s / (1.0 + slope * self.in_flight_mean);
        let spread = self.in_flight_moment / self.seconds;
        let even = SPREAD_SHARE_EVEN * self.in_flight_mean;
        let seen_weight = spread / (spread + even * even).max(f64::MIN_POSITIVE);
        let seen = self.slope_seen().unwrap_or(believed);
        let most = (1.0 - BASE_SHARE_MIN) * self.itl_mean_s / self.in_flight_mean.max(1.0);
        let per_request_s = (seen_weight * seen + (1.0 - seen_weight) * believed).min(most);
        let base_s = self.itl_mean_s - per_request_s * self.in_flight_mean;
        Some(Line { base_s: base_s.max(BASE_SHARE_MIN * self.itl_mean_s), per_request_s })
    }

    /// What each request in flight adds, by least squares.
    fn slope_seen(&self) -> Option<f64> {
        let slope = self.product_moment / self.in_flight_moment;
        (self.in_flight_moment > 0.0 && slope.is_finite()).then_some(slope.max(0.0))
    }

    /// ITL of a whole replica with so many in flight; the mean of all where no line is believed.
    pub(crate) fn expected(&self, in_flight: f64) -> Option<f64> {
        let itl_s = self.line().map_or(self.itl_mean_s, |line| line.at(in_flight));
        (self.seconds >= SECONDS_MIN && itl_s > 0.0).then_some(itl_s)
    }
}

impl Line {
    /// ITL with so many in flight, in seconds.
    pub(crate) fn at(&self, in_flight: f64) -> f64 {
        self.base_s + self.per_request_s * in_flight
    }

    /// Requests in flight at which the ITL is just `threshold`; without a limit where it does not
    /// depend on them.
    ///
    /// With 20 ms + 0.5 ms each, 30 ms are reached with 20 in flight.
    pub(crate) fn in_flight_at(&self, threshold: Duration) -> f64 {
        (threshold.as_secs_f64() - self.base_s) / self.per_request_s.max(1e-12)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Looks at `(requests in flight, ITL in ms)`, two seconds each, over and over for so long.
    fn fit(looks: &[(f64, f64)], secs: u32) -> ItlFit {
        let mut fit = ItlFit::default();
        for &(in_flight, itl_ms) in looks.iter().cycle().take(secs as usize / 2) {
            fit.fade(Duration::from_secs(2));
            fit.add(Pair { in_flight, itl_s: itl_ms / 1e3, secs: 2.0 });
        }
        fit
    }

    #[track_caller]
    fn check(looks: &[(f64, f64)], secs: u32, expected: Option<(f64, f64)>) {
        let rounded = |secs: f64| (secs * 1e4).round() / 1e1;
        let line = fit(looks, secs).line();
        let line = line.map(|line| (rounded(line.base_s), rounded(line.per_request_s)));
        assert_eq!(line, expected);
    }

    #[test]
    fn a_line_is_found_where_loads_differ_enough() {
        check(&[(4.0, 22.0), (8.0, 24.0), (20.0, 30.0)], 600, Some((20.0, 0.5)));
        // Half a minute is too little.
        check(&[(4.0, 22.0), (20.0, 30.0)], 30, None);
        // One load, or nearly so.
        check(&[(8.0, 24.0)], 3600, None);
        check(&[(8.0, 24.0), (8.5, 30.0)], 3600, None);
        check(&[(100.0, 70.0), (106.0, 73.0)], 3600, None);
        // A batch that grows is not faster.
        check(&[(4.0, 30.0), (8.0, 20.0)], 3600, Some((25.0, 0.0)));
    }

    /// 26 ms at 12 in flight; any engine is believed to take b = 0.025 · a, which is 20 ms + 0.5 ms
    /// each then.
    #[test]
    fn what_is_likely_lies_between_what_was_seen_and_what_is_believed() {
        let likely = |looks: &[(f64, f64)], secs: u32| {
            let line = fit(looks, secs).likely(0.025)?;
            Some(((line.base_s * 1e4).round() / 10.0, (line.per_request_s * 1e5).round() / 100.0))
        };
        assert_eq!(likely(&[(12.0, 26.0)], 8), None);
        assert_eq!(likely(&[(12.0, 26.0)], 60), Some((20.0, 0.5)));
        // 14 ms + 1 ms each, seen over a tenth of the mean: half way.
        assert_eq!(likely(&[(10.8, 24.8), (13.2, 27.2)], 600), Some((17.0, 0.75)));
        assert_eq!(likely(&[(2.0, 16.0), (22.0, 36.0)], 600), Some((14.1, 0.99)));
        // All of it in the requests: some of it is the step's nevertheless.
        assert_eq!(likely(&[(2.0, 2.0), (22.0, 50.0)], 600), Some((0.3, 2.15)));
    }

    #[test]
    fn what_a_mix_was_is_forgotten() {
        let mut fit = fit(&[(4.0, 22.0), (20.0, 30.0)], 3600);
        for look in 0..3600 {
            let in_flight = if look % 2 == 0 { 4.0 } else { 20.0 };
            fit.fade(Duration::from_secs(2));
            fit.add(Pair { in_flight, itl_s: 0.040 + 0.001 * in_flight, secs: 2.0 });
        }
        let line = fit.line().unwrap();
        assert!((line.base_s - 0.040).abs() < 1e-4 && (line.per_request_s - 0.001).abs() < 1e-5);
    }

    #[test]
    fn the_load_at_a_threshold() {
        let line = Line { base_s: 0.020, per_request_s: 0.0005 };
        assert!((line.in_flight_at(Duration::from_millis(30)) - 20.0).abs() < 1e-9);
        assert!(line.in_flight_at(Duration::from_millis(10)) < 0.0);
        let flat = Line { per_request_s: 0.0, ..line };
        assert!(flat.in_flight_at(Duration::from_millis(30)) > 1e6);
    }

    proptest! {
        #[test]
        fn nothing_is_ever_not_a_number(
            looks in proptest::collection::vec(
                (0.0..1e5_f64, 1e-9..1e4_f64, 0.0..1e5_f64, 0_u64..1_000_000),
                0..100,
            ),
        ) {
            let mut fit = ItlFit::default();
            for (in_flight, itl_s, secs, pause) in looks {
                fit.fade(Duration::from_secs(pause));
                fit.add(Pair { in_flight, itl_s, secs });
                let moments = [fit.seconds, fit.in_flight_mean, fit.itl_mean_s, fit.in_flight_moment, fit.product_moment];
                prop_assert!(moments.iter().all(|moment| moment.is_finite()), "{fit:?}");
                prop_assert!(fit.in_flight_moment >= 0.0);
                let at = fit.line().map(|line| line.in_flight_at(Duration::from_millis(50)));
                prop_assert!(at.is_none_or(f64::is_finite));
                let likely = fit.likely(0.1).map(|line| (line.base_s, line.per_request_s));
                prop_assert!(likely.is_none_or(|(a, b)| a > 0.0 && a.is_finite() && b >= 0.0 && b.is_finite()), "{fit:?} {likely:?}");
            }
        }
    }
}
