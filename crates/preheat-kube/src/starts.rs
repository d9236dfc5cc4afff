//! Starts of one pool: how many become ready a day, and what a status remembers of how long they took.
//!
//! **Invariant:** pure. Before an hour was watched, nobody knows how many there are.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use preheat_core::{ColdStartSample, Instant, MachineState, PhaseTimes, ReplicaId, ReplicaPhase};

use crate::resource::{ColdStartStatus, InferenceAutoscalerStatus};
use crate::roster::Replica;

const DAY: Duration = Duration::from_secs(86_400);
/// Less says nothing of a day.
const WATCHED_MIN: Duration = Duration::from_secs(3600);
/// Starts remembered: one a minute and some.
const STARTS_MAX: usize = 2048;

/// Starts of the last day.
#[derive(Clone, Debug, Default)]
pub struct StartRate {
    since: Option<Instant>,
    starting: BTreeSet<ReplicaId>,
    became_ready: VecDeque<Instant>,
}

impl StartRate {
    /// Takes in what there is at a tick.
    pub fn take(&mut self, replicas: &[Replica], now: Instant) {
        self.since.get_or_insert(now);
        let seen = replicas.iter().map(|replica| &replica.observation);
        let ready = seen.clone().filter(|replica| replica.phase == ReplicaPhase::Ready);
        for _ in ready.filter(|replica| self.starting.contains(&replica.id)) {
            if self.became_ready.len() >= STARTS_MAX {
                self.became_ready.pop_front();
            }
            self.became_ready.push_back(now);
        }
        // A wake is no start.
        let starts =
            |phase: ReplicaPhase| phase.is_starting() && !matches!(phase, ReplicaPhase::Waking(_));
        self.starting = seen.filter(|seen| starts(seen.phase)).map(|seen| seen.id).collect();
        while self.became_ready.front().is_some_and(|at| now.since(*at) > DAY) {
            self.became_ready.pop_front();
        }
    }

    /// Starts a day, from the last one or what of it was watched.
    pub fn per_day(&self, now: Instant) -> Option<f64> {
        let watched = now.since(self.since?).min(DAY);
        let days = watched.as_secs_f64() / DAY.as_secs_f64();
        (watched >= WATCHED_MIN).then(|| self.became_ready.len() as f64 / days)
    }
}

/// Starts taken from one row of a status: a median and a 90th percentile tell no more.
const TOLD_MAX: u32 = 20;

/// Starts as a status tells of them, for whoever goes on from there without a journal: they have the
/// medians and the 90th percentiles that it tells. How long each phase took, it does not.
pub fn told_by(status: &InferenceAutoscalerStatus) -> Vec<ColdStartSample> {
    status.cold_starts.iter().flat_map(told_by_row).collect()
}

fn told_by_row(row: &ColdStartStatus) -> Vec<ColdStartSample> {
    let time = |seconds: f64| Duration::try_from_secs_f64(seconds).ok();
    let (Some(p50), Some(p90)) = (time(row.p50_seconds), time(row.p90_seconds)) else {
        return Vec::new();
    };
    let count = row.seen.min(TOLD_MAX);
    let short = (count * 4 / 5).max(1);
    let took = |index: u32| if index < short { p50 } else { p90 };
    let sample = |took: Duration| ColdStartSample {
        took,
        phases: PhaseTimes::default(),
        given_up_in: None,
        machine: MachineState { image: row.image, weights: row.weights },
    };
    (0..count).map(|index| sample(took(index))).collect()
}

#[cfg(test)]
mod tests {
    use preheat_core::Survival;

    use super::*;
    use crate::pods::SeenPod;
    use crate::roster::Roster;

    fn at(hours: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(3600 * hours))
    }

    #[test]
    fn starts_are_counted_for_a_day() {
        let mut roster = Roster::default();
        let mut rate = StartRate::default();
        let mut pods: Vec<(String, ReplicaPhase)> = Vec::new();
        let mut tick = |pods: &[(String, ReplicaPhase)], hours| {
            let seen = pods.iter().map(|(uid, phase)| SeenPod {
                uid: uid.clone(),
                name: uid.clone(),
                phase: *phase,
                phase_since: Instant::ORIGIN,
                created_at: Instant::ORIGIN,
                passed: [None; 5],
                node: None,
                machine: preheat_core::MachineState::default(),
                restarts: 0,
                address: None,
                deletion_cost: None,
                of_replica_set: true,
                traffic: crate::traffic::Traffic::On,
                grace: None,
                waiting: None,
            });
            let asked = u32::try_from(pods.len()).unwrap();
            rate.take(&roster.take(seen.collect(), asked, at(hours)), at(hours));
            rate.per_day(at(hours))
        };
        // Ready when it is first seen: nobody saw it start.
        pods.push(("a".to_owned(), ReplicaPhase::Ready));
        assert_eq!(tick(&pods, 100), None);
        pods.push(("b".to_owned(), ReplicaPhase::Loading));
        assert_eq!(tick(&pods, 101), Some(0.0));
        pods[1].1 = ReplicaPhase::Ready;
        assert_eq!(tick(&pods, 102), Some(12.0));
        assert_eq!(tick(&pods, 124), Some(1.0));
        assert_eq!(tick(&pods, 127), Some(0.0));
    }

    #[test]
    fn starts_that_a_status_tells_of_take_as_long_as_it_says() {
        for seen in [1, 2, 5, 10, 400] {
            let row = ColdStartStatus {
                image: Some(true),
                weights: None,
                seen,
                p50_seconds: 60.0,
                p90_seconds: if seen == 1 { 60.0 } else { 150.0 },
            };
            let status = InferenceAutoscalerStatus {
                cold_starts: vec![row],
                ..InferenceAutoscalerStatus::default()
            };
            let told = told_by(&status);
            assert_eq!(told.len(), seen.min(20) as usize);
            let held = MachineState { image: Some(true), weights: None };
            assert!(told.iter().all(|start| start.machine == held && start.given_up_in.is_none()));
            let times = Survival::of(told.iter().map(|start| (start.took, false)));
            let quantiles = [0.5, 0.9].map(|q| times.quantile(q).as_secs_f64());
            assert_eq!(quantiles, [row.p50_seconds, row.p90_seconds], "{seen}");
        }
    }

    #[test]
    fn times_that_are_none_tell_of_no_start() {
        let row = |p50_seconds: f64, p90_seconds: f64| ColdStartStatus {
            image: None,
            weights: None,
            seen: 3,
            p50_seconds,
            p90_seconds,
        };
        let cold_starts = vec![row(f64::NAN, 1.0), row(-1.0, 1.0), row(1.0, f64::INFINITY)];
        let status =
            InferenceAutoscalerStatus { cold_starts, ..InferenceAutoscalerStatus::default() };
        assert_eq!(told_by(&status), []);
    }
}
