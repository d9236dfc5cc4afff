//! What one decision leaves for the next. Bounded: every list has a named limit.
//!
//! **Invariant:** memory is data only. It holds nothing that a journal could not store.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capacity::{CapacityMemory, Pace};
use crate::guard::GuardMemory;
use crate::observation::{MachineState, PhaseTimes, ReplicaId, ReplicaPhase, TickId};
use crate::rehearsal::Rehearsal;
use crate::units::{Erlangs, Instant, RequestRate};

/// Everything remembered between two ticks of one pool. [`Memory::default`] knows nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The tick before this one.
    pub last: Option<LastTick>,
    /// Arrivals of the last windows, oldest first.
    pub arrivals: VecDeque<ArrivalBin>,
    /// Decayed totals from which service time and request size follow.
    pub work: WorkTotals,
    /// Cold starts that became ready or were given up, newest last.
    pub cold_starts: VecDeque<ColdStartSample>,
    /// Wakes that ended, newest last.
    pub wakes: VecDeque<Duration>,
    /// What must be known of each replica that exists.
    pub replicas: BTreeMap<ReplicaId, ReplicaMemory>,
    /// Slots in use and requests inside over the arrival window, oldest first.
    pub loads: VecDeque<LoadSample>,
    /// The demand when somebody could last tell.
    pub demand: Option<DemandKnown>,
    /// What has been learned of a replica's capacity.
    pub capacity: CapacityMemory,
    /// What the TTFT guard has seen and done.
    pub guard: GuardMemory,
    /// Every rule's record on this pool's traffic, for how many should be ready.
    pub rehearsal: Rehearsal,
    /// The same for how many there should be in all, where some may sleep.
    pub rehearsal_in_all: Option<Rehearsal>,
    /// Targets of the stabilization window: times ascend, targets descend, so that the front is
    /// the window's largest.
    pub targets: VecDeque<TargetAt>,
    /// The same of replicas in all, sleeping ones included.
    pub targets_in_all: VecDeque<TargetAt>,
    /// Recent removals, for the rate limit.
    pub removals: VecDeque<RemovalAt>,
}

/// The tick before this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastTick {
    /// Its number.
    pub tick: TickId,
    /// Its time.
    pub at: Instant,
}

/// Requests that arrived within a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrivalBin {
    /// End of the span.
    pub end: Instant,
    /// Its length.
    pub over: Duration,
    /// How many arrived.
    pub arrivals: u64,
}

/// What was inside the pool at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadSample {
    /// When.
    pub at: Instant,
    /// Slots in use, in slots of a whole replica.
    pub in_flight: f64,
    /// Requests in slots, queued, and held.
    pub inside: u32,
}

/// The demand as it was last known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandKnown {
    /// Mean over the arrival window.
    pub arrival_rate: RequestRate,
    /// Slots in use if nobody had to wait.
    pub offered_load: Erlangs,
}

/// Totals that fade with time, so that ratios between them follow a changing mix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkTotals {
    /// Slots in use, in slots of a whole replica, integrated over time.
    pub slot_seconds: f64,
    /// Requests that passed through a slot in the same time: the mean of those that began and those
    /// that ended. Counting ends alone would overstate the service time while traffic grows.
    pub requests: f64,
    /// Prompt tokens computed for them.
    pub prompt_tokens: f64,
    /// Tokens generated for them.
    pub generation_tokens: f64,
}

/// One cold start, from its order or from the crash before it to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStartSample {
    /// How long it took, or had taken when it was given up.
    pub took: Duration,
    /// How long each phase took.
    pub phases: PhaseTimes,
    /// The phase in which it was given up (stopped, crashed, timed out), and so would have been for
    /// longer; `None` when it became ready.
    pub given_up_in: Option<ReplicaPhase>,
    /// What its machine held when it came there.
    #[serde(default, skip_serializing_if = "MachineState::is_unknown")]
    pub machine: MachineState,
}

/// The start or wake that a replica is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartMemory {
    /// When it began.
    pub since: Instant,
    /// Its present phase.
    pub phase: ReplicaPhase,
    /// When it entered that.
    pub phase_since: Instant,
    /// Time in phases that it has left.
    pub phases: PhaseTimes,
    /// Restarts of the replica when it began.
    pub restarts: u32,
    /// What its machine held when it came there.
    #[serde(default, skip_serializing_if = "MachineState::is_unknown")]
    pub machine: MachineState,
}

/// What must be known of one replica from tick to tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicaMemory {
    /// Its present start or wake; `None` once it was ready.
    pub start: Option<StartMemory>,
    /// Whether it was in standby at the last tick: a wake may begin and end before the next one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asleep: bool,
    /// Time of the newest counters already used, so that none is used twice.
    pub counters_at: Option<Instant>,
    /// Requests inside it when last known.
    pub inside: Option<u32>,
    /// Requests in its slots at the newest counters.
    pub in_flight: Option<u32>,
    /// How fast it is beside its pool.
    pub pace: Pace,
}

/// A target and when it was computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetAt {
    /// When.
    pub at: Instant,
    /// Replicas.
    pub target: u32,
}

/// Replicas given up and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalAt {
    /// When.
    pub at: Instant,
    /// How many.
    pub count: u32,
    /// Replicas ready or on their way just before.
    pub live: u32,
}

/// Bins kept: an arrival window of an hour at one bin a second.
pub(crate) const ARRIVAL_BINS_MAX: usize = 3600;
/// Samples of what is inside: an arrival window of an hour at one a second.
pub(crate) const LOAD_SAMPLES_MAX: usize = 3600;
/// Starts kept on machines of each state, of those that became ready and of those that were given up:
/// enough for a stable 90th percentile, few enough to follow a change of image.
pub(crate) const START_SAMPLES_MAX: usize = 32;
/// States of machines: image and weights there, not there, or nobody knows.
pub(crate) const MACHINE_STATES: usize = 9;
/// Entries of the stabilization window and of the rate limit: an hour at one a second.
pub(crate) const WINDOW_ENTRIES_MAX: usize = 3600;

/// Appends and drops the oldest beyond `max`.
pub(crate) fn push_bounded<T>(list: &mut VecDeque<T>, item: T, max: usize) {
    if list.len() >= max {
        list.pop_front();
    }
    list.push_back(item);
}
