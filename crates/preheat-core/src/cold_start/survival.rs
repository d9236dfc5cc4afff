//! Kaplan and Meier's estimate: how long something takes, from times that were seen to their end and
//! times that were not.
//!
//! A time that was cut short (censored) says only that the whole would have been longer. It is not
//! left out, as that would make starts look short: its weight goes, in equal parts, to all times
//! longer than itself. Of 10 s, 20 s (cut short) and 30 s the first keeps 1/3 and the last gets 2/3.
//!
//! **Invariant:** without censored times a quantile is the nearest rank among the times themselves.

use std::time::Duration;

/// Ranks are sums of weights: this much above a sum is rounding, not another time.
const RANK_ROUNDING: f64 = 1e-9;

/// Times, some of them cut short, and the quantiles that follow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survival {
    /// Ascending, each time once.
    steps: Vec<Step>,
}

/// All that ended, and all that was cut short, at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    time: Duration,
    ended: u32,
    censored: u32,
}

impl Survival {
    /// From times, each with whether it was cut short.
    pub fn of(times: impl IntoIterator<Item = (Duration, bool)>) -> Self {
        let mut times: Vec<(Duration, bool)> = times.into_iter().collect();
        times.sort_unstable();
        let mut steps: Vec<Step> = Vec::new();
        for (time, is_censored) in times {
            let (ended, censored) = (u32::from(!is_censored), u32::from(is_censored));
            match steps.last_mut().filter(|step| step.time == time) {
                Some(step) => {
                    step.ended += ended;
                    step.censored += censored;
                }
                None => steps.push(Step { time, ended, censored }),
            }
        }
        Self { steps }
    }

    /// The time within which a share `q` ends. Beyond what was seen to end it is the longest time
    /// there is, cut short or not; zero where there is none at all.
    pub fn quantile(&self, q: f64) -> Duration {
        quantile(&self.steps, q).unwrap_or_default()
    }

    /// The same of what takes longer than `age`; `None` where nothing did.
    pub fn quantile_beyond(&self, age: Duration, q: f64) -> Option<Duration> {
        let from = self.steps.partition_point(|step| step.time <= age);
        quantile(self.steps.get(from..).unwrap_or_default(), q)
    }
}

fn quantile(steps: &[Step], q: f64) -> Option<Duration> {
    let total: u32 = steps.iter().map(|step| step.ended + step.censored).sum();
    let rank = f64::from(total) * q - RANK_ROUNDING;
    let (mut to_come, mut weight, mut sum) = (total, 1.0, 0.0);
    for step in steps {
        sum += weight * f64::from(step.ended);
        if step.ended > 0 && sum >= rank {
            return Some(step.time);
        }
        to_come -= step.ended + step.censored;
        if to_come > 0 {
            weight *= f64::from(to_come + step.censored) / f64::from(to_come);
        }
    }
    steps.last().map(|step| step.time)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [f64; 4] = [0.1, 0.5, 0.9, 0.99];

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// Times in seconds; negative ones were cut short.
    #[track_caller]
    fn check(times: &[i64], q: f64, expected: u64) {
        let times = times.iter().map(|time| (secs(time.unsigned_abs()), *time < 0));
        assert_eq!(Survival::of(times).quantile(q), secs(expected));
    }

    #[test]
    fn quantiles() {
        check(&[], 0.5, 0);
        check(&[10, 20, 30, 40], 0.5, 20);
        check(&[10, 20, 30, 40], 0.9, 40);
        // The weight of what was cut short at 20 s is with 30 s and 40 s.
        check(&[10, -20, 30, 40], 0.5, 30);
        // Cut short before anything ended, it says nothing.
        check(&[-5, 10, 20, 30, 40], 0.5, 20);
        // At the same time, what ended ended first.
        check(&[10, -20, 20, 30], 0.5, 20);
        // Nine in ten end, but three in thirteen were still under way at 90 s.
        check(&[50, 50, 50, 50, 50, 50, 50, 50, 50, 50, -90, -90, -90], 0.5, 50);
        check(&[50, 50, 50, 50, 50, 50, 50, 50, 50, 50, -90, -90, -90], 0.9, 90);
        // Textbook figures: S(6) = 0.857, S(10) = 0.753, S(22) = 0.538, S(23) = 0.448.
        let remission = [
            6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34,
            -35,
        ];
        check(&remission, 1.0 - 0.858, 6);
        check(&remission, 0.5, 23);
        check(&remission, 1.0 - 0.539, 22);
        check(&remission, 1.0 - 0.537, 23);
    }

    #[test]
    fn beyond_an_age_only_what_is_longer_counts() {
        let times = Survival::of([10, 20, 30, 40].map(|time| (secs(time), false)));
        assert_eq!(times.quantile_beyond(secs(20), 0.5), Some(secs(30)));
        assert_eq!(times.quantile_beyond(secs(0), 0.5), Some(secs(20)));
        assert_eq!(times.quantile_beyond(secs(40), 0.5), None);
    }

    fn times() -> impl Strategy<Value = Vec<(Duration, bool)>> {
        proptest::collection::vec((0_u64..300, any::<bool>()), 0..60).prop_map(|times| {
            times.into_iter().map(|(time, censored)| (secs(time), censored)).collect()
        })
    }

    proptest! {
        /// Knowing of one more that was cut short never makes anything look shorter.
        #[test]
        fn censoring_never_shortens(times in times(), more in 0_u64..300, age in 0_u64..300) {
            let fewer = Survival::of(times.clone());
            let with = Survival::of(times.into_iter().chain([(secs(more), true)]));
            for q in LEVELS {
                prop_assert!(with.quantile(q) >= fewer.quantile(q));
                prop_assert!(
                    with.quantile_beyond(secs(age), q) >= fewer.quantile_beyond(secs(age), q)
                );
            }
        }

        /// To take what was cut short for what ended would make it look shorter.
        #[test]
        fn ends_are_not_censored_times(times in times()) {
            let ended = Survival::of(times.iter().map(|(time, _)| (*time, false)));
            let known = Survival::of(times);
            for q in LEVELS {
                prop_assert!(known.quantile(q) >= ended.quantile(q));
            }
        }

        /// Without censored times, it is the nearest rank.
        #[test]
        fn nearest_rank_without_censoring(
            mut times in proptest::collection::vec(0_u64..300, 1..80),
        ) {
            let estimate = Survival::of(times.iter().map(|time| (secs(*time), false)));
            times.sort_unstable();
            for q in LEVELS {
                let rank = (times.len() as f64 * q - RANK_ROUNDING).ceil() as usize;
                prop_assert_eq!(estimate.quantile(q), secs(times[rank.max(1) - 1]));
            }
        }
    }
}
