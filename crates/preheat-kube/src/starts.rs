//! How many starts of one pool become ready, a day.
//!
//! **Invariant:** pure. Before an hour was watched, nobody knows.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use preheat_core::{Instant, ReplicaId, ReplicaPhase};

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

#[cfg(test)]
mod tests {
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
}
