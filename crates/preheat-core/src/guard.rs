//! The TTFT guard: more than the rules hold, where clients wait for first tokens though the fleet,
//! as far as the rules know, is large enough.
//!
//! A rule is rehearsed on a fluid: it knows nothing of long prompts, of an engine that evicts, of a
//! router that loads unevenly. Where late first tokens come without a shortage to explain them, the
//! need is raised by a step, and what that does is looked at: it stays while it helps, is taken back
//! after a while, and is not tried again for long where it did not help.
//!
//! **Invariant:** what is late while there is a shortage, or after a start, is no evidence.
//!
//! **Invariant:** the factor is from 1 to [`BOOST_MAX`], and falls to 1 by itself.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decision::GuardExplanation;
use crate::observation::FirstTokens;
use crate::units::{Instant, Probability, ReplicaCount};

/// First tokens fade to 1/e in this time.
const FADE: Duration = Duration::from_secs(300);
/// Most that the need is raised by; beyond it something is wrong that replicas don't mend.
const BOOST_MAX: f64 = 1.5;
/// One step: in a pool of four, one replica more.
const BOOST_STEP: f64 = 0.25;
/// Late first tokens count as too many beyond this share of those that may be late …
const SHARE_OF_ALLOWANCE: f64 = 1.0;
/// … by so many standard deviations of chance …
const DEVIATIONS: f64 = 2.0;
/// … and if there are at least so many.
const LATE_MIN: f64 = 5.0;
/// They must be too many for so long before something is done: traffic that is uneven for a few
/// minutes is what the rules' headroom is for.
const LASTING: Duration = Duration::from_secs(600);
/// A queue of more than this share of the slots is what a shortage has left.
const QUEUE_SHARE: f64 = 0.25;
/// A step has helped if the share is at most this much of what it was.
const HELPED: f64 = 0.7;
/// A step is held for this long, and not tried again for as long where it did not help. It doubles
/// each time, so that a guard that is wrong costs less and less.
const PATIENCE: Duration = Duration::from_secs(1800);
/// The longest that it doubles to.
const PATIENCE_MAX: Duration = Duration::from_secs(8 * 3600);

/// After so long without a step it is as patient as it was at first.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3600);

/// What the guard remembers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardMemory {
    /// First tokens without a shortage, faded.
    pub seen: f64,
    /// Late ones among them.
    pub late: f64,
    /// Since when too many are late without a break.
    pub late_since: Option<Instant>,
    /// When there last was a shortage.
    pub shortage_at: Option<Instant>,
    /// Factor on the need.
    pub boost: f64,
    /// Share of late ones at the last step up.
    pub share_before: f64,
    /// When the factor last changed, or the guard began.
    pub changed_at: Option<Instant>,
    /// For so long from then the present step is held, or none is tried.
    pub hold: Duration,
    /// What that is next time.
    pub patience: Duration,
}

impl Default for GuardMemory {
    fn default() -> Self {
        Self {
            seen: 0.0,
            late: 0.0,
            late_since: None,
            shortage_at: None,
            boost: 1.0,
            share_before: 0.0,
            changed_at: None,
            hold: Duration::ZERO,
            patience: PATIENCE,
        }
    }
}

/// What a tick tells the guard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) now: Instant,
    pub(crate) since: Duration,
    pub(crate) first_tokens: Option<FirstTokens>,
    /// The load, in slots, and those that are ready for it.
    pub(crate) load: f64,
    pub(crate) slots_ready: f64,
    /// Requests that wait for a slot.
    pub(crate) queued: f64,
    /// Whether there may be more replicas.
    pub(crate) can_grow: bool,
    /// Whether some replica is on its way.
    pub(crate) is_growing: bool,
    /// After a shortage its queue is worked off for this long.
    pub(crate) drain_time: Duration,
    /// Share of requests that may miss the SLO.
    pub(crate) allowance: f64,
    /// Share that the rule which is followed expects to miss.
    pub(crate) misses_expected: f64,
}

impl GuardMemory {
    /// Takes a tick in; the factor on the need is [`Self::boost`] then.
    pub(crate) fn step(&mut self, watch: &Watch) {
        let keep = libm::exp(-watch.since.as_secs_f64() / FADE.as_secs_f64());
        self.seen *= keep;
        self.late *= keep;
        let calm = self.calm(watch);
        if let Some(tokens) = watch.first_tokens.filter(|_| calm > Duration::ZERO) {
            self.seen += tokens.count.saturating_sub(tokens.late_after_start) as f64;
            self.late += tokens.late.saturating_sub(tokens.late_after_start) as f64;
        }
        let unchanged = watch.now.since(*self.changed_at.get_or_insert(watch.now));
        let is_over = unchanged >= self.hold;
        // A handful at once is a coincidence, and a step is not judged by its first minute.
        let is_late = calm.min(unchanged) >= FADE && self.is_late(watch.allowance);
        self.late_since = if is_late { self.late_since.or(Some(watch.now)) } else { None };
        let is_lasting = self.late_since.is_some_and(|at| watch.now.since(at) >= LASTING);
        if self.boost <= 1.0 {
            if unchanged >= FORGOTTEN_AFTER {
                self.patience = PATIENCE;
            }
            let is_blind_spot = watch.misses_expected <= watch.allowance;
            if is_lasting && is_over && is_blind_spot && watch.can_grow {
                self.raise(watch.now);
            }
        } else if is_late && self.share() > HELPED * self.share_before {
            self.give_up(watch.now);
        } else if is_late && self.boost < BOOST_MAX {
            self.raise(watch.now);
        } else if is_over {
            self.lower(watch.now);
        }
    }

    /// For how long nothing but the guard's own matter has made requests wait.
    fn calm(&mut self, watch: &Watch) -> Duration {
        // What is on its way may end it. Of a step nothing shows before its replicas are there.
        let is_short = watch.load > watch.slots_ready;
        let is_backed_up = watch.queued > QUEUE_SHARE * watch.slots_ready;
        if is_short || is_backed_up || watch.is_growing {
            self.shortage_at = Some(watch.now);
        }
        let aftermath = FirstTokens::AFTER_START.saturating_add(watch.drain_time);
        let since = self.shortage_at.map_or(Duration::MAX, |at| watch.now.since(at));
        since.saturating_sub(aftermath)
    }

    fn share(&self) -> f64 {
        if self.seen > 0.0 { self.late / self.seen } else { 0.0 }
    }

    /// Whether more are late than chance and half of what is allowed explain: of 10,000 first tokens
    /// at a P99, 50 + 2·√50 = 64.
    fn is_late(&self, allowance: f64) -> bool {
        let fine = SHARE_OF_ALLOWANCE * allowance * self.seen;
        self.late >= LATE_MIN && self.late > fine + DEVIATIONS * libm::sqrt(fine)
    }

    fn raise(&mut self, now: Instant) {
        self.share_before = self.share();
        self.change((self.boost + BOOST_STEP).min(BOOST_MAX), self.patience, now);
    }

    /// It did not help, and is not tried again for a while.
    fn give_up(&mut self, now: Instant) {
        self.change(1.0, self.patience, now);
        self.lose_patience();
    }

    /// It helped, and may be needed no more. If it is, it comes back at once, for longer.
    fn lower(&mut self, now: Instant) {
        let boost = (self.boost - BOOST_STEP).max(1.0);
        let hold = if boost > 1.0 { self.patience } else { Duration::ZERO };
        self.change(boost, hold, now);
        self.lose_patience();
    }

    /// What was seen so far tells nothing of what comes.
    fn change(&mut self, boost: f64, hold: Duration, now: Instant) {
        (self.boost, self.hold, self.changed_at) = (boost, hold, Some(now));
        (self.seen, self.late, self.late_since) = (0.0, 0.0, None);
    }

    fn lose_patience(&mut self) {
        self.patience = self.patience.saturating_mul(2).min(PATIENCE_MAX);
    }

    pub(crate) fn explain(&self, replicas: u32) -> GuardExplanation {
        GuardExplanation {
            first_tokens: self.seen,
            late_share: Probability::saturating(self.share()),
            factor: self.boost,
            replicas: ReplicaCount(replicas),
        }
    }
}

#[cfg(test)]
mod tests;
