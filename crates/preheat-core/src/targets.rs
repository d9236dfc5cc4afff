//! The largest of what was needed lately: what a pool shrinks to.
//!
//! **Invariant:** a pool that was just adopted, or that nobody looked at for a while, is not cut down.

use std::collections::VecDeque;
use std::time::Duration;

use crate::fleet::{Fleet, count};
use crate::ladder::Ladder;
use crate::memory::{Memory, TargetAt, WINDOW_ENTRIES_MAX, push_bounded};
use crate::need::Need;
use crate::part::Part;
use crate::policy::PolicySpec;
use crate::units::Instant;

/// A tick that comes later than so many intervals is the first after a pause, not a slow one.
const PAUSE_TICKS: u32 = 10;

/// Starts are given up only after half of what the next would take: the nearer one is to ready, the
/// less is left to pay for it, and what was paid is lost.
const STARTS_KEPT: u32 = 2;

/// The largest targets of the stabilization window, this tick's included.
pub(crate) struct Targets {
    pub(crate) ready: u32,
    /// The same of replicas in all, over half a cold start where that is longer: for so long, starts
    /// that are under way go on, and replicas sleep.
    pub(crate) in_all: u32,
}

impl Targets {
    /// After a pause that covers the window, or without memory, what exists is taken to have been
    /// needed: a fleet that was just adopted is not cut down.
    pub(crate) fn stabilize(
        spec: &PolicySpec,
        memory: &mut Memory,
        now: Instant,
        need: &Need,
        fleet: &Fleet,
        ladder: &Ladder,
    ) -> Self {
        let pause = spec.tick_interval.saturating_mul(PAUSE_TICKS);
        let paused = memory.last.is_none_or(|last| now.since(last.at) > pause);
        let found = |supply| if paused { supply } else { 0 };
        let (keep, keep_in_all) = match spec.without {
            Some(Part::Stabilization) => (Duration::ZERO, Duration::ZERO),
            _ => {
                (spec.scale_down_window, spec.scale_down_window.max(ladder.lead_cold / STARTS_KEPT))
            }
        };
        let window = |keep| Window { now, oldest: now.saturating_sub(keep) };
        let (targets, in_all) = (&mut memory.targets, &mut memory.targets_in_all);
        Self {
            ready: window(keep).largest(targets, need.target, found(fleet.supply())),
            in_all: window(keep_in_all).largest(in_all, need.in_all, found(fleet.in_all())),
        }
    }

    /// Replicas, by heads, to which what is ready or on its way may shrink now.
    pub(crate) fn kept(&self, fleet: &Fleet, ladder: &Ladder) -> u32 {
        let lead = ladder.counted_within();
        let kept = fleet.ready_for(self.ready, lead);
        if ladder.has_standby() {
            return kept;
        }
        let with_starts = fleet.ready_for(self.in_all, lead).min(fleet.supply());
        // What is ready beyond that goes on its own terms.
        if with_starts > count(fleet.ready.len()) { kept.max(with_starts) } else { kept }
    }
}

/// The stabilization window at one tick.
struct Window {
    now: Instant,
    oldest: Instant,
}

impl Window {
    /// Adds `target`, and before it what was `found` if nothing is remembered; returns the largest.
    fn largest(&self, targets: &mut VecDeque<TargetAt>, target: u32, found: u32) -> u32 {
        while targets.front().is_some_and(|entry| entry.at < self.oldest) {
            targets.pop_front();
        }
        if targets.is_empty() && found > 0 {
            targets.push_back(TargetAt { at: self.now, target: found });
        }
        // A target that a later one reaches can never again be the window's largest.
        while targets.back().is_some_and(|entry| entry.target <= target) {
            targets.pop_back();
        }
        push_bounded(targets, TargetAt { at: self.now, target }, WINDOW_ENTRIES_MAX);
        targets.front().map_or(target, |entry| entry.target)
    }
}
