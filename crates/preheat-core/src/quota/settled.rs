//! A pool's settled need: the part of what it wants for which it may take GPUs that others hold.
//!
//! It rises to what has been wanted for all of one span of time and is needed at its end again, and
//! falls to what has been enough for all of another. So it neither rises with a short burst, whose peak
//! a pool goes on to hold for long, nor falls with a short lull.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::push_bounded;
use crate::units::{GpuWorth, Instant};

/// What is remembered of one pool's needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedMemory {
    /// Replicas.
    pub settled: u32,
    /// Times and levels ascend: at least so much was wanted ever since.
    pub at_least: VecDeque<WantedSince>,
    /// Times ascend, levels descend: at most so much was wanted ever since.
    pub at_most: VecDeque<WantedSince>,
}

/// A level of what is wanted, and since when it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedSince {
    /// From the first look at which it held.
    pub since: Instant,
    /// Replicas.
    pub wanted: u32,
}

/// Levels kept. A level is one look at most: twice the looks of a move of four minutes, every two
/// seconds. The oldest is dropped beyond, which only delays.
pub(super) const LEVELS_MAX: usize = 240;

/// How long a need must have lasted to take GPUs from pools of lower rank.
///
/// Moving a GPU takes `move_time`, in which it serves nobody. What is lost meanwhile weighs
/// `move_time` × what the GPU is worth to the one that loses it; what has been missed until then, the
/// patience × what it is worth to the one that takes it. The move is made when the second reaches the
/// first: a need that ends sooner did not deserve it, and one that goes on has cost at most twice what
/// it would have, had one known. Never more than `move_time`, as the rank is higher.
///
/// A start of 180 s and a drain of 14 s between equals in worth: 194 s; worth four times: 48.5 s.
pub(super) fn patience(move_time: Duration, worth_below: GpuWorth, worth: GpuWorth) -> Duration {
    if worth_below >= worth {
        return move_time;
    }
    move_time.mul_f64(worth_below.get() / worth.get())
}

impl NeedMemory {
    /// Of a pool that is seen for the first time: what it holds is taken to have been needed.
    pub(super) fn new(held: u32) -> Self {
        Self { settled: held, ..Self::default() }
    }

    /// Takes in what is wanted, and what of it the load of this moment needs.
    pub(super) fn follow(
        &mut self,
        now: Instant,
        wanted: u32,
        needed_now: u32,
        rise_after: Duration,
        fall_after: Duration,
    ) {
        note(&mut self.at_least, now, wanted, |before| before >= wanted);
        note(&mut self.at_most, now, wanted, |before| before <= wanted);
        if let Some(least) = lasting(&mut self.at_least, now, rise_after) {
            self.settled = self.settled.max(least.min(needed_now));
        }
        if let Some(most) = lasting(&mut self.at_most, now, fall_after) {
            self.settled = self.settled.min(most);
        }
    }

    /// When the next of what is wanted beyond will be settled, if it is still needed then.
    pub(super) fn settles_at(&self, rise_after: Duration) -> Option<Instant> {
        let next = self.at_least.iter().find(|level| level.wanted > self.settled)?;
        Some(next.since.saturating_add(rise_after))
    }
}

/// A level that still holds is carried on from when it began.
fn note(
    levels: &mut VecDeque<WantedSince>,
    now: Instant,
    wanted: u32,
    holds: impl Fn(u32) -> bool,
) {
    let mut since = now;
    while let Some(last) = levels.back().filter(|last| holds(last.wanted)) {
        since = last.since;
        levels.pop_back();
    }
    push_bounded(levels, WantedSince { since, wanted }, LEVELS_MAX);
}

/// The strictest level that has held for `span`. Levels before it are forgotten.
fn lasting(levels: &mut VecDeque<WantedSince>, now: Instant, span: Duration) -> Option<u32> {
    let has_lasted = |level: &WantedSince| now.since(level.since) >= span;
    while levels.get(1).is_some_and(has_lasted) {
        levels.pop_front();
    }
    levels.front().filter(|level| has_lasted(level)).map(|level| level.wanted)
}
