//! What a Prometheus recorded of a pool, step by step, as a live world would have observed it.
//!
//! Prometheus has seen no replica before it served metrics, and says of one that is not there neither
//! why nor for how long. What came later tells both: a replica was on its way for a cold start before
//! it was seen first, and one that is back within [`GONE_AFTER`] was not gone.
//!
//! **Invariant:** pure; a step is observed once all is known that its observation needs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use preheat_core::{
    Instant, Observation, ReplicaId, ReplicaObservation, ReplicaPhase, Sample, TickId,
};

use super::answer::Series;
use super::source::read;
use crate::dialect::{Dialects, EngineScrape, Unrecognised};
use crate::scrape::{ScrapeError, SignalStore};

/// A replica that was not seen for longer than this was gone: as long as Prometheus itself takes old
/// values for new ones.
const GONE_AFTER: Duration = Duration::from_secs(300);

/// What was seen at one step, by the label that names a replica.
#[derive(Clone, Debug)]
pub struct Round {
    /// When.
    pub at: Instant,
    /// What each replica told.
    pub seen: BTreeMap<String, Result<EngineScrape, Unrecognised>>,
}

impl Round {
    /// The values of a range query at one of its steps, in seconds since the Unix epoch.
    pub fn of(series: &[Series], dialects: &Dialects, replica_label: &str, at: u64) -> Self {
        let mut replicas: BTreeMap<&str, Vec<(&Series, f64)>> = BTreeMap::new();
        for one in series {
            let place = one.points.partition_point(|point| point.at < at as f64 - 0.5);
            let point = one.points.get(place).filter(|point| point.at < at as f64 + 0.5);
            if let (Some(point), Some(replica)) = (point, one.label(replica_label)) {
                replicas.entry(replica).or_default().push((one, point.value));
            }
        }
        let seen = replicas
            .into_iter()
            .map(|(replica, values)| (replica.to_owned(), read(values, dialects, &BTreeSet::new())))
            .collect();
        Self { at: Instant::ORIGIN.saturating_add(Duration::from_secs(at)), seen }
    }
}

/// Rounds that wait for what comes after them.
#[derive(Debug)]
pub struct Recorded {
    cold_start: Duration,
    rounds: VecDeque<Round>,
    replicas: BTreeMap<String, Known>,
    signals: SignalStore,
    next_id: u64,
    next_tick: u64,
}

/// A replica that is there or on its way.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: ReplicaId,
    ordered_at: Instant,
    /// When it was seen first; `None` while it is on its way.
    ready_at: Option<Instant>,
}

impl Recorded {
    /// Nothing recorded yet; each replica takes `cold_start` from order to ready.
    pub fn new(cold_start: Duration) -> Self {
        Self {
            cold_start,
            rounds: VecDeque::new(),
            replicas: BTreeMap::new(),
            signals: SignalStore::default(),
            next_id: 0,
            next_tick: 0,
        }
    }

    /// Takes in the next round; what was observed at one before it, if all is known of that now.
    pub fn push(&mut self, round: Round) -> Option<Observation> {
        let newest = round.at;
        self.rounds.push_back(round);
        let ahead = GONE_AFTER.max(self.cold_start);
        let oldest = self.rounds.front()?.at;
        if newest.since(oldest) > ahead { self.observe() } else { None }
    }

    /// No more rounds come: what was observed at the rest, one after the other.
    pub fn rest(&mut self) -> Option<Observation> {
        self.observe()
    }

    fn observe(&mut self) -> Option<Observation> {
        let Round { at, mut seen } = self.rounds.pop_front()?;
        self.forget(at, &seen);
        self.learn_of(at, &seen);
        let mut replicas = Vec::new();
        for (name, known) in &self.replicas {
            if let Some(told) = seen.remove(name) {
                let told = told.map(|scrape| Sample::new(scrape, at));
                self.signals.record(known.id, told.map_err(ScrapeError::Malformed));
            }
            let mut replica = known.observation();
            self.signals.fill(&mut replica);
            replicas.push(replica);
        }
        replicas.sort_by_key(|replica| replica.id);
        let tick = TickId(self.next_tick);
        self.next_tick += 1;
        Some(Observation::of(tick, at, replicas))
    }

    /// Replicas that are not seen, and not again soon, are gone.
    fn forget(&mut self, at: Instant, seen: &BTreeMap<String, impl Sized>) {
        let rounds = &self.rounds;
        let signals = &mut self.signals;
        self.replicas.retain(|name, known| {
            let back = rounds.iter().take_while(|round| round.at.since(at) <= GONE_AFTER);
            let stays = known.ready_at.is_none()
                || seen.contains_key(name)
                || back.into_iter().any(|round| round.seen.contains_key(name));
            if !stays {
                signals.forget(known.id);
            }
            stays
        });
    }

    /// Replicas that are seen, or will be within a cold start, are there or on their way.
    fn learn_of(&mut self, at: Instant, seen: &BTreeMap<String, impl Sized>) {
        let is_first = self.next_tick == 0;
        for name in seen.keys() {
            let ready_at = Some(at);
            // Nobody knows for how long the first ones have been there.
            let cold_start = if is_first { Duration::ZERO } else { self.cold_start };
            match self.replicas.get_mut(name) {
                Some(known) => known.ready_at = known.ready_at.or(ready_at),
                None => self.add(name.clone(), at.saturating_sub(cold_start), ready_at),
            }
        }
        let mut coming: Vec<(String, Instant)> = Vec::new();
        for round in self.rounds.iter().take_while(|round| round.at.since(at) <= self.cold_start) {
            for name in round.seen.keys() {
                let is_new = !self.replicas.contains_key(name);
                if is_new && coming.iter().all(|(other, _)| other != name) {
                    coming.push((name.clone(), round.at));
                }
            }
        }
        for (name, ready_at) in coming {
            self.add(name, ready_at.saturating_sub(self.cold_start).max(Instant::ORIGIN), None);
        }
    }

    fn add(&mut self, name: String, ordered_at: Instant, ready_at: Option<Instant>) {
        let id = ReplicaId(self.next_id);
        self.next_id += 1;
        self.replicas.insert(name, Known { id, ordered_at, ready_at });
    }
}

impl Known {
    fn observation(&self) -> ReplicaObservation {
        let (phase, phase_since) = match self.ready_at {
            Some(ready_at) => (ReplicaPhase::Ready, ready_at),
            None => (ReplicaPhase::Loading, self.ordered_at),
        };
        ReplicaObservation {
            start_ordered_at: self.ordered_at,
            ..ReplicaObservation::untold(self.id, phase, phase_since)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLD_START: Duration = Duration::from_secs(120);

    /// What each round has, by its place: a name for each replica that is seen, 60 s apart.
    fn observed(rounds: &[&str]) -> Vec<Observation> {
        let mut recorded = Recorded::new(COLD_START);
        let mut observations = Vec::new();
        for (index, names) in (0_u64..).zip(rounds) {
            let scrape = |running| EngineScrape {
                running: Some(running),
                waiting: Some(0),
                ..EngineScrape::default()
            };
            let seen = names
                .chars()
                .map(|name| (name.to_string(), Ok(scrape(u32::from(name.is_ascii_lowercase())))))
                .collect();
            let at = Instant::ORIGIN.saturating_add(Duration::from_secs(1000 + 60 * index));
            observations.extend(recorded.push(Round { at, seen }));
        }
        observations.extend(std::iter::from_fn(|| recorded.rest()));
        observations
    }

    fn phases(observation: &Observation) -> Vec<(u64, &'static str)> {
        let replicas = observation.replicas.iter();
        replicas.map(|replica| (replica.id.0, replica.phase.name())).collect()
    }

    #[test]
    fn one_that_is_seen_later_was_on_its_way_for_a_cold_start() {
        let observations = observed(&["a", "a", "a", "a", "ab", "ab"]);
        assert_eq!(observations.len(), 6);
        let found: Vec<_> = observations.iter().map(phases).collect();
        let (one, starting) = (vec![(0, "ready")], vec![(0, "ready"), (1, "loading")]);
        let two = vec![(0, "ready"), (1, "ready")];
        // 120 s before 1240 s is 1120 s: the round then, and the one after it.
        assert_eq!(found, [one.clone(), one, starting.clone(), starting, two.clone(), two]);
        let second = &observations[4].replicas[1];
        assert_eq!(second.start_ordered_at.as_secs_f64(), 1120.0);
        assert_eq!(second.phase_since.as_secs_f64(), 1240.0);
        assert_eq!(second.in_flight.map(|sample| sample.value), Some(1));
    }

    #[test]
    fn one_that_is_back_soon_was_not_gone_and_its_signals_grow_old() {
        let observations = observed(&["ab", "a", "a", "ab", "ab"]);
        assert!(observations.iter().all(|seen| seen.replicas.len() == 2));
        let unseen = &observations[2].replicas[1];
        assert_eq!((unseen.id.0, unseen.phase), (1, ReplicaPhase::Ready));
        assert_eq!(unseen.in_flight.map(|it| it.observed_at.as_secs_f64()), Some(1000.0));
    }

    #[test]
    fn one_that_is_not_back_soon_is_gone_at_once_and_another_later() {
        let observations = observed(&["ab", "a", "a", "a", "a", "a", "a", "ab", "ab"]);
        let found: Vec<_> = observations.iter().map(phases).collect();
        assert_eq!(found[0], [(0, "ready"), (1, "ready")]);
        assert_eq!(found[1], [(0, "ready")]);
        assert_eq!(found[5], [(0, "ready"), (2, "loading")]);
        assert_eq!(found[7], [(0, "ready"), (2, "ready")]);
    }

    #[test]
    fn a_round_is_the_values_at_its_step() {
        let series = |name: &str, replica: &str, points: &[(f64, f64)]| Series {
            labels: [("__name__", name), ("instance", replica)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            points: points.iter().map(|&(at, value)| super::super::Point { at, value }).collect(),
        };
        let answer = [
            series("vllm:num_requests_running", "a", &[(960.0, 1.0), (1020.0, 4.0)]),
            series("vllm:num_requests_waiting", "a", &[(960.0, 2.0), (1020.0, 5.0)]),
            series("vllm:num_requests_running", "b", &[(960.0, 9.0)]),
        ];
        let round = Round::of(&answer, &Dialects::known(), "instance", 1020);
        assert_eq!(round.seen.len(), 1, "b has nothing at that step");
        let seen = round.seen["a"].as_ref().unwrap();
        assert_eq!((seen.running, seen.waiting), (Some(4), Some(5)));
    }
}
