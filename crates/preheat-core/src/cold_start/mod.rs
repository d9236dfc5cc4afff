//! Cold starts: how long they take here, phase by phase, and how long those under way still will.
//!
//! Starts that were given up, and those still under way, count as longer than they were seen to be
//! ([`Survival`]). While few starts are known, the policy's prior counts as two more; it is divided
//! among the phases as the starts that were seen are.
//!
//! Where a world tells what machines hold, starts on machines that hold the same are learned from
//! together; while few of those are known, from all starts of the pool.
//!
//! **Invariant:** where a world shows starts as one phase, that phase is the whole start, and every
//! figure is that of whole starts. Where it tells nothing of machines, all starts are alike.

mod follow;
mod known;
mod survival;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub use follow::{EndedStart, START_PHASES, StartFollower};
pub use survival::Survival;

use crate::decision::{ColdStartExplanation, MachineExplanation};
use crate::memory::{ColdStartSample, Memory, START_SAMPLES_MAX, StartMemory, push_bounded};
use crate::observation::{MachineState, Observation, ReplicaId};
use crate::policy::PolicySpec;
use crate::units::Instant;
use known::{Known, Times};

/// The prior counts as two observed starts, its median and its 90th percentile, until this many
/// real ones are known; until then, too, starts on machines of one state are too few to tell.
const PRIOR_UNTIL_SAMPLES: usize = 8;
/// A start that takes this many times the 90th percentile is overdue: it may never end.
const OVERDUE_FACTOR: f64 = 1.5;
/// Wake time assumed until one was seen: between vLLM's 0.3 s (8B) and 6 s (large models).
pub const WAKE_PRIOR: Duration = Duration::from_secs(5);

/// Follows every replica's way to ready, and learns from those that have ended it.
pub(crate) fn remember(memory: &mut Memory, observation: &Observation) {
    let last = memory.last.map(|last| last.at);
    for ended in follow::follow(&mut memory.replicas, last, observation) {
        match ended {
            EndedStart::Wake(took) => push_bounded(&mut memory.wakes, took, START_SAMPLES_MAX),
            EndedStart::ColdStart(sample) => push(&mut memory.cold_starts, sample),
        }
    }
}

/// Keeps as many starts of either kind on machines of each state. One that was given up is forgotten
/// with the last that became ready before it: a spell of starts that hung must not be believed for
/// ever.
fn push(starts: &mut VecDeque<ColdStartSample>, sample: ColdStartSample) {
    let is_same = |other: &ColdStartSample| {
        other.machine == sample.machine
            && other.given_up_in.is_none() == sample.given_up_in.is_none()
    };
    starts.push_back(sample);
    if starts.iter().filter(|other| is_same(other)).count() <= START_SAMPLES_MAX {
        return;
    }
    let Some(oldest) = starts.iter().position(is_same) else { return };
    if sample.given_up_in.is_some() {
        starts.remove(oldest);
        return;
    }
    let mut index = 0;
    starts.retain(|other| {
        let is_older = index <= oldest;
        index += 1;
        !(is_older && other.machine == sample.machine)
    });
}

/// The newest starts of all that are kept, as many of either kind as [`push`] keeps of one state.
fn newest(starts: &VecDeque<ColdStartSample>) -> Vec<ColdStartSample> {
    let ready = starts.iter().rev().enumerate().filter(|(_, start)| start.given_up_in.is_none());
    let beyond = ready.map(|(back, _)| back).nth(START_SAMPLES_MAX);
    let from = beyond.map_or(0, |back| starts.len().saturating_sub(back));
    let given_up = starts.iter().skip(from).filter(|start| start.given_up_in.is_some()).count();
    let mut to_skip = given_up.saturating_sub(START_SAMPLES_MAX);
    let kept = starts.iter().skip(from).filter(|start| {
        let is_skipped = start.given_up_in.is_some() && to_skip > 0;
        to_skip -= usize::from(is_skipped);
        !is_skipped
    });
    kept.copied().collect()
}

/// How long starts take, as known at one tick.
pub(crate) struct StartTimes {
    now: Instant,
    tick_interval: Duration,
    /// All starts, wherever they were.
    all: Known,
    /// Those on machines that held the same, by what they held.
    by_machine: BTreeMap<MachineState, Known>,
    /// The slowest machine that a start may come to, where it makes a difference, and the 90th
    /// percentile there.
    slowest: Option<(MachineState, Duration)>,
    wakes: Times,
}

impl StartTimes {
    /// From what memory holds at the observation's time.
    pub(crate) fn learned(spec: &PolicySpec, memory: &Memory, observation: &Observation) -> Self {
        let now = observation.now;
        let starts = &memory.cold_starts;
        let under_way = || memory.replicas.values().filter_map(|replica| replica.start);
        let all = Known::learned(spec, now, newest(starts), under_way());
        let told = starts.iter().map(|start| start.machine);
        let told = told.chain(under_way().map(|start| start.machine));
        let mut by_machine = BTreeMap::new();
        for machine in told.filter(|machine| !machine.is_unknown()) {
            by_machine.entry(machine).or_insert_with(|| {
                let starts = starts.iter().copied().filter(|start| start.machine == machine);
                let under_way = under_way().filter(|start| start.machine == machine);
                Known::learned(spec, now, starts.collect(), under_way)
            });
        }
        let wakes = wakes(spec, &memory.wakes);
        let tick_interval = spec.tick_interval;
        let mut known = Self { now, tick_interval, all, by_machine, slowest: None, wakes };
        let places = observation.placeable_on.iter().filter(|machine| !machine.is_unknown());
        let slowest = places.map(|machine| (known.p90_on(*machine), *machine)).max();
        known.slowest = slowest.map(|(p90, machine)| (machine, p90));
        known
    }

    /// The 90th percentile of starts on machines that hold this. While few are known, it is that of
    /// all starts, or what was seen of those few where that is longer.
    fn p90_on(&self, machine: MachineState) -> Duration {
        let all = self.all.p90();
        match self.by_machine.get(&machine) {
            Some(known) if known.is_enough() => known.p90(),
            Some(known) => all.max(known.p90_seen()),
            None => all,
        }
    }

    /// What is known of starts like this one.
    fn known(&self, start: &StartMemory) -> &Known {
        self.by_machine.get(&start.machine).filter(|known| known.is_enough()).unwrap_or(&self.all)
    }

    /// The distribution of cold starts as known now.
    pub(crate) fn explain(&self) -> ColdStartExplanation {
        let p90 = self.slowest.map_or_else(|| self.all.p90(), |(_, p90)| p90);
        let by_machine = self.by_machine.iter().map(|(machine, known)| MachineExplanation {
            machine: *machine,
            samples: known.samples,
            censored: known.censored,
            p50: known.p50_seen(),
            p90: known.p90_seen(),
        });
        ColdStartExplanation {
            samples: self.all.samples,
            censored: self.all.censored,
            p50: self.all.p50(),
            p90: self.all.p90(),
            lead_time: self.tick_interval + p90,
            phases: self.all.explain_phases(),
            by_machine: by_machine.collect(),
            slowest: self.slowest.map(|(machine, _)| machine),
        }
    }

    /// The 90th percentile of wakes.
    pub(crate) fn wake_p90(&self) -> Duration {
        self.wakes.known.quantile(0.9)
    }

    /// Time until a start under way should be ready, or `None` when it is overdue: a start this old
    /// gets no credit. Of the present phase it is the median of those that took longer than this one
    /// already has, of each phase to come the median.
    pub(crate) fn residual(&self, memory: &Memory, replica: ReplicaId) -> Option<Duration> {
        let start = memory.replicas.get(&replica)?.start?;
        if start.is_wake() {
            let age = self.now.since(start.since);
            let present = self.wakes.known.quantile_beyond(age, 0.5).unwrap_or(age);
            return (age <= self.wakes.overdue_after).then(|| present.saturating_sub(age));
        }
        self.known(&start).residual(&start, self.now)
    }
}

fn wakes(spec: &PolicySpec, wakes: &VecDeque<Duration>) -> Times {
    let times = wakes.iter().map(|took| (*took, false));
    let prior = spec.standby.map_or(WAKE_PRIOR, |standby| standby.wake_prior);
    let known = Survival::of(known::with_prior(times, [prior; 2], wakes.len()));
    let overdue_after = known.quantile(0.9).mul_f64(OVERDUE_FACTOR);
    Times { known, overdue_after }
}
