//! Cold starts: how long they take here, phase by phase, and how long those under way still will.
//!
//! Starts that were given up, and those still under way, count as longer than they were seen to be
//! ([`Survival`]). While few starts are known, the policy's prior counts as two more; it is divided
//! among the phases as the starts that were seen are.
//!
//! **Invariant:** where a world shows starts as one phase, that phase is the whole start, and every
//! figure is that of whole starts.

mod follow;
mod survival;

use std::collections::VecDeque;
use std::time::Duration;

pub use follow::{EndedStart, START_PHASES, StartFollower};
pub use survival::Survival;

use crate::decision::{ColdStartExplanation, PhaseExplanation};
use crate::memory::{ColdStartSample, Memory, START_SAMPLES_MAX, StartMemory, push_bounded};
use crate::observation::{Observation, ReplicaId};
use crate::policy::PolicySpec;
use crate::units::Instant;

/// The prior counts as two observed starts, its median and its 90th percentile, until this many
/// real ones are known.
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

/// Keeps as many starts of either kind. One that was given up is forgotten with the last that became
/// ready before it: a spell of starts that hung must not be believed for ever.
fn push(starts: &mut VecDeque<ColdStartSample>, sample: ColdStartSample) {
    let is_same =
        |other: &ColdStartSample| other.given_up_in.is_none() == sample.given_up_in.is_none();
    starts.push_back(sample);
    if starts.iter().filter(|other| is_same(other)).count() <= START_SAMPLES_MAX {
        return;
    }
    let Some(oldest) = starts.iter().position(is_same) else { return };
    if sample.given_up_in.is_some() {
        starts.remove(oldest);
    } else {
        starts.drain(..=oldest);
    }
}

/// How long starts take, as known at one tick.
pub(crate) struct StartTimes {
    now: Instant,
    tick_interval: Duration,
    samples: u32,
    censored: u32,
    whole: Times,
    wakes: Times,
    /// By place in [`START_PHASES`]; those that no start was seen to pass are absent.
    phases: [Option<PhaseTimesKnown>; START_PHASES.len()],
}

/// How long something takes, and from when on it is not believed to end.
struct Times {
    known: Survival,
    overdue_after: Duration,
}

struct PhaseTimesKnown {
    samples: u32,
    censored: u32,
    times: Times,
}

impl StartTimes {
    /// From what memory holds at `now`.
    pub(crate) fn learned(spec: &PolicySpec, memory: &Memory, now: Instant) -> Self {
        let starts = memory.cold_starts.iter();
        let ready = starts.filter(|start| start.given_up_in.is_none()).count();
        let mut known = Self {
            now,
            tick_interval: spec.tick_interval,
            samples: u32::try_from(ready).unwrap_or(u32::MAX),
            censored: 0,
            whole: Times { known: Survival::default(), overdue_after: Duration::MAX },
            wakes: wakes(spec, &memory.wakes),
            phases: [const { None }; START_PHASES.len()],
        };
        // What is overdue is told by starts that have ended; one that never does must not move the
        // bound that it is measured by.
        let mut starts: Vec<ColdStartSample> = memory.cold_starts.iter().copied().collect();
        known.bound(spec, &starts, ready);
        let under_way = memory.replicas.values().filter_map(|replica| replica.start);
        let credited = under_way.filter(|start| !known.is_overdue(start));
        let credited: Vec<_> = credited.filter_map(|start| start.given_up(now)).collect();
        starts.extend(credited);
        known.learn(spec, &starts, ready);
        known
    }

    /// Sets from when on starts and phases are overdue.
    fn bound(&mut self, spec: &PolicySpec, starts: &[ColdStartSample], ready: usize) {
        let ended = |times: Vec<(Duration, bool)>| {
            Survival::of(times.into_iter().filter(|(_, is_censored)| !is_censored)).quantile(0.9)
        };
        let p90 = ended(with_prior(starts.iter().map(whole), prior(spec, 1.0), ready));
        self.whole.overdue_after = p90.mul_f64(OVERDUE_FACTOR);
        // A phase may be late by as much as a start: one of a second is not overdue after two.
        let grace = self.whole.overdue_after.saturating_sub(p90);
        for (index, share) in shares(starts).into_iter().enumerate() {
            let Some(slot) = self.phases.get_mut(index).filter(|_| share > 0.0) else { continue };
            let times = starts.iter().filter_map(|start| phase(start, index));
            let p90 = ended(with_prior(times, prior(spec, share), ready));
            let overdue_after = p90.saturating_add(grace);
            let times = Times { known: Survival::default(), overdue_after };
            *slot = Some(PhaseTimesKnown { samples: 0, censored: 0, times });
        }
    }

    /// Learns from starts that have ended and those under way.
    fn learn(&mut self, spec: &PolicySpec, starts: &[ColdStartSample], ready: usize) {
        let censored = |times: &[(Duration, bool)]| {
            let count = times.iter().filter(|(_, is_censored)| *is_censored).count();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let times = with_prior(starts.iter().map(whole), prior(spec, 1.0), ready);
        self.censored = censored(&times);
        self.whole.known = Survival::of(times);
        for (index, share) in shares(starts).into_iter().enumerate() {
            let Some(Some(known)) = self.phases.get_mut(index) else { continue };
            let times: Vec<_> = starts.iter().filter_map(|start| phase(start, index)).collect();
            let passed = times.iter().filter(|(took, cut)| !cut && !took.is_zero()).count();
            known.samples = u32::try_from(passed).unwrap_or(u32::MAX);
            known.censored = censored(&times);
            known.times.known = Survival::of(with_prior(times, prior(spec, share), ready));
        }
    }

    /// The distribution of cold starts as known now.
    pub(crate) fn explain(&self) -> ColdStartExplanation {
        let (p50, p90) = (self.whole.known.quantile(0.5), self.whole.known.quantile(0.9));
        let explained = self.phases.iter().zip(START_PHASES).filter_map(|(known, phase)| {
            let known = known.as_ref()?;
            let quantile = |q| known.times.known.quantile_beyond(Duration::ZERO, q);
            let (p50, p90) = (quantile(0.5)?, quantile(0.9)?);
            let (samples, censored) = (known.samples, known.censored);
            Some(PhaseExplanation { phase, samples, censored, p50, p90 })
        });
        let phases: Vec<PhaseExplanation> = explained.collect();
        ColdStartExplanation {
            samples: self.samples,
            censored: self.censored,
            p50,
            p90,
            lead_time: self.tick_interval + p90,
            phases: if phases.len() > 1 { phases } else { Vec::new() },
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
        if self.is_overdue(&start) {
            return None;
        }
        let (times, age, index) = self.measure(&start);
        let present = times.known.quantile_beyond(age, 0.5).unwrap_or(age).saturating_sub(age);
        let Some(index) = index else { return Some(present) };
        let to_come = self.phases.iter().skip(index + 1).flatten();
        Some(to_come.fold(present, |sum, phase| sum + phase.times.known.quantile(0.5)))
    }

    fn is_overdue(&self, start: &StartMemory) -> bool {
        let (times, age, _) = self.measure(start);
        age > times.overdue_after
    }

    /// What a start is measured by, its age by that measure, and the place of the phase if it is one:
    /// its present phase where that is known, else the whole.
    fn measure(&self, start: &StartMemory) -> (&Times, Duration, Option<usize>) {
        let age = self.now.since(start.since);
        if start.is_wake() {
            return (&self.wakes, age, None);
        }
        let index = start.index();
        let known = index.and_then(|index| self.phases.get(index)?.as_ref());
        match known {
            Some(known) => (&known.times, start.phase_took(self.now), index),
            None => (&self.whole, age, None),
        }
    }
}

fn wakes(spec: &PolicySpec, wakes: &VecDeque<Duration>) -> Times {
    let times = wakes.iter().map(|took| (*took, false));
    let prior = spec.standby.map_or(WAKE_PRIOR, |standby| standby.wake_prior);
    let known = Survival::of(with_prior(times, [prior; 2], wakes.len()));
    let overdue_after = known.quantile(0.9).mul_f64(OVERDUE_FACTOR);
    Times { known, overdue_after }
}

/// A whole start's time, and whether it was cut short.
fn whole(start: &ColdStartSample) -> (Duration, bool) {
    (start.took, start.given_up_in.is_some())
}

/// The same of one of its phases; `None` where that is not known, or was not reached.
fn phase(start: &ColdStartSample, index: usize) -> Option<(Duration, bool)> {
    let took = (*start.phases.get(index)?)?;
    Some((took, start.given_up_in == START_PHASES.get(index).copied()))
}

/// Share of each phase in the starts that became ready.
fn shares(starts: &[ColdStartSample]) -> [f64; START_PHASES.len()] {
    let mut totals = [0.0; START_PHASES.len()];
    for start in starts.iter().filter(|start| start.given_up_in.is_none()) {
        for (total, took) in totals.iter_mut().zip(start.phases) {
            *total += took.unwrap_or_default().as_secs_f64();
        }
    }
    let all: f64 = totals.iter().sum();
    totals.map(|total| if total > 0.0 { total / all } else { 0.0 })
}

fn prior(spec: &PolicySpec, share: f64) -> [Duration; 2] {
    [spec.cold_start_prior.p50, spec.cold_start_prior.p90].map(|prior| prior.mul_f64(share))
}

/// Times, with the prior among them while few starts are known.
fn with_prior(
    times: impl IntoIterator<Item = (Duration, bool)>,
    prior: [Duration; 2],
    ready: usize,
) -> Vec<(Duration, bool)> {
    let prior = prior.map(|took| (took, false)).into_iter();
    times.into_iter().chain(prior.filter(|_| ready < PRIOR_UNTIL_SAMPLES)).collect()
}
