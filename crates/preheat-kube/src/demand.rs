//! Demand that finds no replica, from what its queries tell at each tick.
//!
//! **Invariant:** pure. What is not told keeps the time at which it was told last, and grows old; what
//! was never told is absent, and no zero.

use preheat_core::{DemandObservation, Instant, Sample};

/// What one query told, if it is asked: a value and its time, nothing, or why there is no answer.
pub type Told = Option<Result<Option<Sample<f64>>, String>>;

/// What both queries told at one tick.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// Requests that wait.
    pub held: Told,
    /// Requests that arrived, in all.
    pub arrivals: Told,
}

/// What was told so far of one pool.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    held: Option<Sample<u32>>,
    total: Total,
    /// What is the matter with each query, since the last round.
    troubles: Vec<String>,
}

/// How far the counter of arrivals is known.
#[derive(Clone, Copy, Debug, Default)]
enum Total {
    /// Nobody has told yet.
    #[default]
    Unknown,
    /// It was told that there is no such counter. One that then appears has counted from zero.
    Absent,
    /// Its value.
    At(Sample<f64>),
}

impl Demand {
    /// Takes in a round.
    pub fn take(&mut self, round: Round) -> DemandObservation {
        self.troubles.clear();
        if let Some(Some(told)) = self.answer("held", round.held) {
            self.held = Some(Sample::new(whole(told.value), told.observed_at));
        }
        let arrivals = self.answer("arrivals", round.arrivals);
        DemandObservation { held: self.held, arrivals: self.arrivals(arrivals) }
    }

    /// What keeps the queries from telling anything fresh; empty where nothing does.
    pub fn troubles(&self, now: Instant) -> String {
        let mut troubles = self.troubles.clone();
        let arrivals = match self.total {
            Total::At(total) => Some(total.observed_at),
            Total::Unknown | Total::Absent => None,
        };
        if troubles.is_empty() {
            let told = [("held", self.held.map(|held| held.observed_at)), ("arrivals", arrivals)];
            troubles.extend(told.into_iter().filter_map(|(key, at)| {
                Some(format!("`{key}` is {} s old", now.since(at?).as_secs()))
            }));
        }
        troubles.join("; ")
    }

    /// The answer to a query, with what is the matter with it noted; `None` where there is none.
    fn answer(&mut self, key: &str, told: Told) -> Option<Option<Sample<f64>>> {
        match told? {
            Ok(answer) => {
                if answer.is_none() {
                    let trouble = "gives nothing: no series that it reads is there";
                    self.troubles.push(format!("`{key}` {trouble}"));
                }
                Some(answer)
            }
            Err(error) => {
                self.troubles.push(format!("`{key}`: {error}"));
                None
            }
        }
    }

    /// Arrivals since the round before, known until the counter's own time.
    fn arrivals(&mut self, answer: Option<Option<Sample<f64>>>) -> Option<Sample<u64>> {
        let before = self.total;
        match answer {
            Some(Some(now)) => self.total = Total::At(now),
            Some(None) => self.total = Total::Absent,
            None => {}
        }
        match (before, self.total) {
            (Total::At(before), Total::At(now)) => {
                // A counter that fell has begun anew.
                let fell = now.value < before.value;
                let more = if fell { now.value } else { now.value - before.value };
                Some(Sample::new(more.ceil() as u64, now.observed_at))
            }
            (Total::Absent, Total::At(now)) => {
                Some(Sample::new(now.value.max(0.0).ceil() as u64, now.observed_at))
            }
            // Those before the first look did not come since it.
            (Total::Unknown, Total::At(now)) => Some(Sample::new(0, now.observed_at)),
            (_, Total::Unknown | Total::Absent) => None,
        }
    }
}

/// A count; less than one request is one that waited for a part of the time.
fn whole(value: f64) -> u32 {
    value.ceil().clamp(0.0, f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
    }

    fn told(value: f64, seconds: u64) -> Told {
        Some(Ok(Some(Sample::new(value, at(seconds)))))
    }

    fn gone() -> Told {
        Some(Err("could not connect to http://prometheus:9090".to_owned()))
    }

    #[test]
    fn what_waits_is_told_until_it_is_old() {
        let mut demand = Demand::default();
        let mut held = |told| demand.take(Round { held: told, arrivals: None }).held;
        assert_eq!(held(gone()), None);
        assert_eq!(held(Some(Ok(None))), None, "nothing is no zero");
        assert_eq!(held(told(0.2, 10)), Some(Sample::new(1, at(10))));
        assert_eq!(held(told(-1.0, 20)), Some(Sample::new(0, at(20))));
        assert_eq!(held(gone()), Some(Sample::new(0, at(20))));
        assert_eq!(held(Some(Ok(None))), Some(Sample::new(0, at(20))));
    }

    #[test]
    fn arrivals_are_what_the_counter_grows_by() {
        let mut demand = Demand::default();
        let mut arrivals = |told| demand.take(Round { held: None, arrivals: told }).arrivals;
        assert_eq!(arrivals(gone()), None);
        assert_eq!(arrivals(told(100.0, 10)), Some(Sample::new(0, at(10))), "came before");
        assert_eq!(arrivals(told(103.0, 25)), Some(Sample::new(3, at(25))));
        // Asked again before it was scraped again.
        assert_eq!(arrivals(told(103.0, 25)), Some(Sample::new(0, at(25))));
        assert_eq!(arrivals(gone()), Some(Sample::new(0, at(25))), "and it grows old");
        assert_eq!(arrivals(told(104.0, 40)), Some(Sample::new(1, at(40))));
        assert_eq!(arrivals(told(2.0, 55)), Some(Sample::new(2, at(55))), "begun anew");
        assert_eq!(arrivals(Some(Ok(None))), None);
        // The first request ever makes the counter.
        assert_eq!(arrivals(told(1.0, 85)), Some(Sample::new(1, at(85))));
    }

    #[test]
    fn what_is_the_matter_is_said_of_each() {
        let mut demand = Demand::default();
        demand.take(Round { held: gone(), arrivals: Some(Ok(None)) });
        assert_eq!(
            demand.troubles(at(0)),
            "`held`: could not connect to http://prometheus:9090; `arrivals` gives nothing: no \
             series that it reads is there"
        );
        demand.take(Round { held: told(0.0, 10), arrivals: told(7.0, 20) });
        assert_eq!(demand.troubles(at(70)), "`held` is 60 s old; `arrivals` is 50 s old");
        assert_eq!(Demand::default().troubles(at(0)), "");
    }
}
