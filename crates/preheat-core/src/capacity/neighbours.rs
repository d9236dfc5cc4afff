//! Noisy neighbours: replicas that are persistently slower than their pool with as many requests in
//! flight count for less than a whole one.
//!
//! A replica whose tokens come f times as far apart as another's ends a request in f times the time,
//! and so 1 ÷ f as many with the same slots: that is its capacity. docs/decisions says where it must
//! be counted and where not.
//!
//! **Invariant:** a pool in which nobody is slow is counted in heads, exactly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::itl::{ItlFit, Pair, pair};
use crate::memory::{Memory, ReplicaMemory};
use crate::observation::{Observation, ReplicaObservation, ReplicaPhase};
use crate::part::Part;

/// What was seen of a replica fades to half in this time.
const HALF_LIFE: Duration = Duration::from_secs(300);
/// Nothing is believed of a replica before it was looked at for so many seconds.
const SECONDS_MIN: f64 = 180.0;
/// Its pool is as fast as the quickest in so many: half of it may be slow, and one alone is not.
const ONE_IN: usize = 4;
/// It is slow below this capacity …
const SLOW_BELOW: f64 = 0.8;
/// … and whole again above this one. What prompts do to a batch is within a few hundredths.
const WHOLE_ABOVE: f64 = 0.9;
/// What a slow one counts for moves when it is off by more than this, so that plans do not flap.
const TOLERANCE: f64 = 0.1;
/// A replica that answers at all is not believed to be worth less.
const CAPACITY_MIN: f64 = 0.1;

/// How fast a replica is beside what its pool's line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Seconds that it was looked at, faded.
    pub seconds: f64,
    /// Its ITL ÷ the pool's with as many in flight, on average.
    pub slowness: f64,
    /// What it counts for, where it is slow.
    pub slow: Option<f64>,
}

/// What each replica counts for, whole ones as 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Capacities {
    /// In the order of the observation.
    pub(crate) each: Vec<f64>,
    /// Of one that nobody has seen at work: the mean of those that were. Slow machines come in
    /// kinds, and what comes next is likely as what came before.
    pub(crate) unseen: f64,
}

impl Pace {
    fn add(&mut self, ratio: f64, secs: f64) {
        self.seconds += secs;
        self.slowness += (ratio - self.slowness) * secs / self.seconds;
    }

    fn is_known(&self) -> bool {
        self.seconds >= SECONDS_MIN && self.slowness > 0.0
    }

    /// Beside a pool whose whole replicas are at `typical`.
    fn settle(&mut self, typical: f64) {
        let capacity = (typical / self.slowness).clamp(CAPACITY_MIN, 1.0);
        self.slow = match self.slow {
            None => (capacity < SLOW_BELOW).then_some(capacity),
            Some(_) if capacity > WHOLE_ABOVE => None,
            Some(held) if (capacity - held).abs() > TOLERANCE => Some(capacity),
            held => held,
        };
    }

    /// Whether it counts among those that were seen at work: once slow, it is remembered as that
    /// through quiet hours.
    fn is_told(&self) -> bool {
        self.is_known() || self.slow.is_some()
    }

    fn capacity(&self) -> f64 {
        self.slow.unwrap_or(1.0)
    }
}

/// Learns from what ready replicas measured since the tick before: the line of whole ones, and who
/// is slower than that.
pub(super) fn learn(
    memory: &mut Memory,
    observation: &Observation,
    without: Option<Part>,
) -> Capacities {
    let since = memory.last.map_or(Duration::ZERO, |last| observation.now.since(last.at));
    let keep = libm::exp2(-since.as_secs_f64() / HALF_LIFE.as_secs_f64());
    let line = &mut memory.capacity.itl;
    line.fade(since);
    let mut known = Vec::with_capacity(observation.replicas.len());
    // Memory has an entry for each replica that exists, and both are sorted by id.
    for (entry, replica) in memory.replicas.values_mut().zip(&observation.replicas) {
        let is_new =
            replica.phase.is_starting() && !matches!(replica.phase, ReplicaPhase::Waking(_));
        if is_new {
            entry.pace = Pace::default();
            continue;
        }
        entry.pace.seconds *= keep;
        look(line, entry, replica);
        let counts = replica.phase == ReplicaPhase::Ready && entry.pace.is_known();
        if counts && without != Some(Part::Neighbours) {
            known.push(entry.pace.slowness);
        }
    }
    settle(memory, &mut known)
}

/// Compares a replica with the line, and the line with it.
fn look(line: &mut ItlFit, entry: &mut ReplicaMemory, replica: &ReplicaObservation) {
    let Some(pair) = pair(entry, replica) else { return };
    if let Some(expected_s) = line.expected(pair.in_flight) {
        entry.pace.add(pair.itl_s / expected_s, pair.secs);
    }
    let itl_s = pair.itl_s * entry.pace.capacity();
    line.add(Pair { itl_s, ..pair });
}

fn settle(memory: &mut Memory, known: &mut [f64]) -> Capacities {
    let place = known.len().saturating_sub(1) / ONE_IN;
    let typical =
        (!known.is_empty()).then(|| *known.select_nth_unstable_by(place, f64::total_cmp).1);
    let (mut sum, mut count) = (0.0, 0.0);
    for entry in memory.replicas.values_mut().filter(|entry| entry.pace.is_told()) {
        if let Some(typical) = typical.filter(|_| entry.pace.is_known()) {
            entry.pace.settle(typical);
        }
        sum += entry.pace.capacity();
        count += 1.0;
    }
    let unseen = if count > 0.0 { sum / count } else { 1.0 };
    let capacity = |entry: &ReplicaMemory| {
        if entry.pace.is_told() { entry.pace.capacity() } else { unseen }
    };
    Capacities { each: memory.replicas.values().map(capacity).collect(), unseen }
}
