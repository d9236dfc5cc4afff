//! What is known of starts that are alike: how long they take, phase by phase, and from when on one
//! is not believed to end.

use std::time::Duration;

use super::{OVERDUE_FACTOR, PRIOR_UNTIL_SAMPLES, START_PHASES, Survival};
use crate::decision::PhaseExplanation;
use crate::memory::{ColdStartSample, StartMemory};
use crate::policy::PolicySpec;
use crate::units::Instant;

/// How long something takes, and from when on it is not believed to end.
pub(super) struct Times {
    pub(super) known: Survival,
    pub(super) overdue_after: Duration,
}

struct PhaseTimesKnown {
    samples: u32,
    censored: u32,
    times: Times,
}

/// How long starts of one kind take.
pub(super) struct Known {
    /// Those that became ready.
    pub(super) samples: u32,
    /// Those that were given up, or are under way.
    pub(super) censored: u32,
    whole: Times,
    /// The same without the prior.
    seen: Survival,
    /// By place in [`START_PHASES`]; those that no start was seen to pass are absent.
    phases: [Option<PhaseTimesKnown>; START_PHASES.len()],
}

impl Known {
    /// From starts that have ended and those under way.
    pub(super) fn learned(
        spec: &PolicySpec,
        now: Instant,
        mut starts: Vec<ColdStartSample>,
        under_way: impl Iterator<Item = StartMemory>,
    ) -> Self {
        let ready = starts.iter().filter(|start| start.given_up_in.is_none()).count();
        let mut known = Self {
            samples: u32::try_from(ready).unwrap_or(u32::MAX),
            censored: 0,
            whole: Times { known: Survival::default(), overdue_after: Duration::MAX },
            seen: Survival::default(),
            phases: [const { None }; START_PHASES.len()],
        };
        // What is overdue is told by starts that have ended; one that never does must not move the
        // bound that it is measured by.
        known.bound(spec, &starts, ready);
        let credited = under_way.filter(|start| !start.is_wake() && !known.is_overdue(start, now));
        let credited: Vec<_> = credited.filter_map(|start| start.given_up(now)).collect();
        starts.extend(credited);
        known.learn(spec, &starts, ready);
        known
    }

    /// Whether there are enough of them to be believed without others.
    pub(super) const fn is_enough(&self) -> bool {
        self.samples as usize >= PRIOR_UNTIL_SAMPLES
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
        self.seen = Survival::of(starts.iter().map(whole));
        for (index, share) in shares(starts).into_iter().enumerate() {
            let Some(Some(known)) = self.phases.get_mut(index) else { continue };
            let times: Vec<_> = starts.iter().filter_map(|start| phase(start, index)).collect();
            let passed = times.iter().filter(|(took, cut)| !cut && !took.is_zero()).count();
            known.samples = u32::try_from(passed).unwrap_or(u32::MAX);
            known.censored = censored(&times);
            known.times.known = Survival::of(with_prior(times, prior(spec, share), ready));
        }
    }

    pub(super) fn p50(&self) -> Duration {
        self.whole.known.quantile(0.5)
    }

    pub(super) fn p90(&self) -> Duration {
        self.whole.known.quantile(0.9)
    }

    /// The median of what was seen, whatever was believed before.
    pub(super) fn p50_seen(&self) -> Duration {
        self.seen.quantile(0.5)
    }

    /// The same of the 90th percentile.
    pub(super) fn p90_seen(&self) -> Duration {
        self.seen.quantile(0.9)
    }

    /// The phases that starts were seen to pass; none where the world tells none apart.
    pub(super) fn explain_phases(&self) -> Vec<PhaseExplanation> {
        let explained = self.phases.iter().zip(START_PHASES).filter_map(|(known, phase)| {
            let known = known.as_ref()?;
            let quantile = |q| known.times.known.quantile_beyond(Duration::ZERO, q);
            let (p50, p90) = (quantile(0.5)?, quantile(0.9)?);
            let (samples, censored) = (known.samples, known.censored);
            Some(PhaseExplanation { phase, samples, censored, p50, p90 })
        });
        let phases: Vec<PhaseExplanation> = explained.collect();
        if phases.len() > 1 { phases } else { Vec::new() }
    }

    /// Time until a cold start should be ready; `None` when it is overdue.
    pub(super) fn residual(&self, start: &StartMemory, now: Instant) -> Option<Duration> {
        if self.is_overdue(start, now) {
            return None;
        }
        let (times, age, index) = self.measure(start, now);
        let present = times.known.quantile_beyond(age, 0.5).unwrap_or(age).saturating_sub(age);
        let Some(index) = index else { return Some(present) };
        let to_come = self.phases.iter().skip(index + 1).flatten();
        Some(to_come.fold(present, |sum, phase| sum + phase.times.known.quantile(0.5)))
    }

    fn is_overdue(&self, start: &StartMemory, now: Instant) -> bool {
        let (times, age, _) = self.measure(start, now);
        age > times.overdue_after
    }

    /// What a start is measured by, its age by that measure, and the place of the phase if it is one:
    /// its present phase where that is known, else the whole.
    fn measure(&self, start: &StartMemory, now: Instant) -> (&Times, Duration, Option<usize>) {
        let index = start.index();
        let known = index.and_then(|index| self.phases.get(index)?.as_ref());
        match known {
            Some(known) => (&known.times, start.phase_took(now), index),
            None => (&self.whole, now.since(start.since), None),
        }
    }
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
pub(super) fn with_prior(
    times: impl IntoIterator<Item = (Duration, bool)>,
    prior: [Duration; 2],
    ready: usize,
) -> Vec<(Duration, bool)> {
    let prior = prior.map(|took| (took, false)).into_iter();
    times.into_iter().chain(prior.filter(|_| ready < PRIOR_UNTIL_SAMPLES)).collect()
}
