//! Follows every replica's way to ready, phase by phase, through what is seen at each tick.
//!
//! The phases of a start tile it: one that came and went between two ticks is counted with the one
//! seen before it, unless the world itself tells how long it took. A wake between two ticks is known by
//! standby at the first and ready at the second. A replica that crashes starts anew from its crash; the
//! start that it was in is cut short there.
//!
//! **Invariant:** nothing here knows what the times are used for.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::memory::{ColdStartSample, ReplicaMemory, StartMemory};
use crate::observation::{
    MachineState, Observation, PhaseTimes, ReplicaId, ReplicaObservation, ReplicaPhase,
};
use crate::units::Instant;

/// Phases of a cold start, in the order in which they are passed.
pub const START_PHASES: [ReplicaPhase; 5] = [
    ReplicaPhase::Pending,
    ReplicaPhase::Provisioning,
    ReplicaPhase::Pulling,
    ReplicaPhase::Loading,
    ReplicaPhase::Warming,
];

/// A start or a wake that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedStart {
    /// A cold start that became ready, or was given up.
    ColdStart(ColdStartSample),
    /// A wake that became ready, and how long it took.
    Wake(Duration),
}

/// Follows the starts of one pool through its observations, in order.
#[derive(Clone, Debug, Default)]
pub struct StartFollower {
    replicas: BTreeMap<ReplicaId, ReplicaMemory>,
    last: Option<Instant>,
}

impl StartFollower {
    /// Takes one observation; what has ended since the one before.
    pub fn observe(&mut self, observation: &Observation) -> Vec<EndedStart> {
        let ended = follow(&mut self.replicas, self.last, observation);
        self.last = Some(observation.now);
        ended
    }

    /// Cold starts that were still under way at the last observation.
    pub fn under_way(&self) -> Vec<ColdStartSample> {
        let starts = self.replicas.values().filter_map(|replica| replica.start);
        starts.filter_map(|start| start.given_up(self.last?)).collect()
    }
}

/// Brings what is known of each replica up to this observation; `last` is the time of the one before.
pub(crate) fn follow(
    replicas: &mut BTreeMap<ReplicaId, ReplicaMemory>,
    last: Option<Instant>,
    observation: &Observation,
) -> Vec<EndedStart> {
    let mut ended = Vec::new();
    // Most ticks find whom the last one left, and need look nobody up.
    if replicas.keys().eq(observation.replicas.iter().map(|replica| &replica.id)) {
        for (entry, replica) in replicas.values_mut().zip(&observation.replicas) {
            ended.extend(step(entry, replica, false, last));
        }
        return ended;
    }
    replicas.retain(|id, entry| {
        let exists = observation.replicas.binary_search_by_key(id, |r| r.id).is_ok();
        // Nobody saw it go: it lasted at least until it was seen last.
        if let Some(start) = entry.start.filter(|_| !exists) {
            ended.extend(last.and_then(|at| start.given_up(at)).map(EndedStart::ColdStart));
        }
        exists
    });
    for replica in &observation.replicas {
        let is_new = !replicas.contains_key(&replica.id);
        let entry = replicas.entry(replica.id).or_default();
        ended.extend(step(entry, replica, is_new, last));
    }
    ended
}

/// One replica at one tick; `last` is the time of the one before.
fn step(
    entry: &mut ReplicaMemory,
    replica: &ReplicaObservation,
    is_new: bool,
    last: Option<Instant>,
) -> Option<EndedStart> {
    let at = replica.phase_since;
    let is_asleep = matches!(replica.phase, ReplicaPhase::Standby(_));
    let was_asleep = std::mem::replace(&mut entry.asleep, is_asleep);
    if !replica.phase.is_starting() {
        let Some(start) = entry.start.take() else {
            // A wake between two ticks was ordered at the first of them, or when the world says.
            let woke = was_asleep && replica.phase == ReplicaPhase::Ready;
            let ordered_at = last?.max(replica.start_ordered_at);
            return woke.then(|| EndedStart::Wake(at.since(ordered_at)));
        };
        if replica.phase == ReplicaPhase::Ready {
            return Some(start.ready(at, &replica.passed));
        }
        // Draining or in standby, it may have been ready for a moment, or not.
        let cut_short = start.given_up(at).filter(|_| replica.phase == ReplicaPhase::Stopped);
        return cut_short.map(EndedStart::ColdStart);
    }
    match &mut entry.start {
        Some(start) if replica.restarts > start.restarts => {
            let cut_short = start.given_up(at).map(EndedStart::ColdStart);
            *start = StartMemory::begun(replica, at);
            cut_short
        }
        Some(start) => {
            start.enter(replica.phase, at);
            hear(&mut start.phases, &replica.passed);
            start.notice(replica);
            None
        }
        None => {
            // A crashed replica starts again from its crash, not from its first order.
            let crashed = !is_new || replica.restarts > 0;
            let since = if crashed { at } else { replica.start_ordered_at };
            entry.start = Some(StartMemory::begun(replica, since));
            entry.inside = None;
            entry.in_flight = None;
            None
        }
    }
}

impl StartMemory {
    fn begun(replica: &ReplicaObservation, since: Instant) -> Self {
        let mut begun = Self {
            since,
            phase: replica.phase,
            phase_since: replica.phase_since,
            phases: replica.passed,
            restarts: replica.restarts,
            machine: MachineState::default(),
        };
        begun.notice(replica);
        begun
    }

    /// What its machine held when it came there, as soon as that is told.
    fn notice(&mut self, replica: &ReplicaObservation) {
        self.machine.image = self.machine.image.or(replica.machine.image);
        self.machine.weights = self.machine.weights.or(replica.machine.weights);
    }

    /// Whether it is a wake, not a cold start.
    pub(crate) const fn is_wake(&self) -> bool {
        matches!(self.phase, ReplicaPhase::Waking(_))
    }

    /// Place of its present phase in [`START_PHASES`]; `None` for a wake.
    pub(crate) fn index(&self) -> Option<usize> {
        index_of(self.phase)
    }

    /// Time in its present phase until `at`, earlier stays included.
    pub(crate) fn phase_took(&self, at: Instant) -> Duration {
        let earlier = self.index().and_then(|index| *self.phases.get(index)?).unwrap_or_default();
        earlier.saturating_add(at.since(self.phase_since))
    }

    /// Goes on to `phase`, which may be the same one, entered at `at`.
    fn enter(&mut self, phase: ReplicaPhase, at: Instant) {
        if phase == self.phase && at == self.phase_since {
            return;
        }
        self.phases = self.passed(at, index_of(phase).unwrap_or_default());
        self.phase = phase;
        self.phase_since = at;
    }

    fn ready(&self, at: Instant, told: &PhaseTimes) -> EndedStart {
        let took = at.since(self.since);
        if self.is_wake() {
            return EndedStart::Wake(took);
        }
        let mut phases = self.passed(at, START_PHASES.len());
        hear(&mut phases, told);
        EndedStart::ColdStart(ColdStartSample {
            took,
            phases,
            given_up_in: None,
            machine: self.machine,
        })
    }

    /// What is known of it if it is cut short at `at`; nothing is kept of wakes.
    pub(crate) fn given_up(&self, at: Instant) -> Option<ColdStartSample> {
        let index = self.index()?;
        let (took, phases) = (at.since(self.since), self.passed(at, index));
        Some(ColdStartSample { took, phases, given_up_in: Some(self.phase), machine: self.machine })
    }

    /// Times in the phases when the present one ends at `at` and that of index `next` comes: those
    /// between were skipped. Those before the first that was seen stay unknown.
    fn passed(&self, at: Instant, next: usize) -> PhaseTimes {
        let mut phases = self.phases;
        let Some(index) = self.index() else { return phases };
        for skipped in phases.iter_mut().take(next).skip(index + 1) {
            skipped.get_or_insert(Duration::ZERO);
        }
        if let Some(present) = phases.get_mut(index) {
            *present = Some(self.phase_took(at));
        }
        phases
    }
}

/// What the world tells of phases that were left goes before what ticks have seen of them.
fn hear(seen: &mut PhaseTimes, told: &PhaseTimes) {
    for (seen, told) in seen.iter_mut().zip(told) {
        *seen = told.or(*seen);
    }
}

fn index_of(phase: ReplicaPhase) -> Option<usize> {
    START_PHASES.iter().position(|other| *other == phase)
}
