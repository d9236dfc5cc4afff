//! How many replicas preheat would have had, if its decisions had been carried out.
//!
//! `decide` keeps what there is between what is needed now and what its stabilization window
//! remembers. What there was here is the other's, so the same is done with a count of preheat's own.
//!
//! **Invariant:** where preheat itself has scaled, this is what there was.

use std::collections::VecDeque;

use preheat_core::{Explanation, Instant, Observation, PolicySpec};

use super::is_blind;

/// Preheat's own count.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    count: Option<u32>,
    /// What it gave up within the period of the rate limit.
    removals: VecDeque<(Instant, u32)>,
}

impl Wanted {
    /// The count after this tick. The first begins with what was found, as `decide` does.
    pub(super) fn step(
        &mut self,
        spec: &PolicySpec,
        observation: &Observation,
        explanation: Option<&Explanation>,
        there: u32,
    ) -> u32 {
        let before = self.count.unwrap_or(there);
        let count = match explanation {
            Some(told) if !observation.controls.paused => {
                self.decided(spec, observation, told, before)
            }
            _ => before,
        };
        self.count = Some(count);
        count
    }

    fn decided(
        &mut self,
        spec: &PolicySpec,
        observation: &Observation,
        told: &Explanation,
        before: u32,
    ) -> u32 {
        let (min, max) = preheat_core::bounds(spec, observation);
        let needed = told.target.0.clamp(min, max);
        if needed >= before {
            return needed;
        }
        if is_blind(observation, told) {
            return before;
        }
        let remembered = told.target_stabilized.0.clamp(min, max).max(needed);
        let surplus = before.saturating_sub(remembered);
        let removed = surplus.min(self.removable(spec, observation.now, before));
        if removed > 0 {
            self.removals.push_back((observation.now, removed));
        }
        before - removed
    }

    /// What the rate limit leaves to give up.
    fn removable(&mut self, spec: &PolicySpec, now: Instant, before: u32) -> u32 {
        let limit = spec.scale_down_limit;
        let oldest = now.saturating_sub(limit.period);
        while self.removals.front().is_some_and(|removal| removal.0 <= oldest) {
            self.removals.pop_front();
        }
        let used: u32 = self.removals.iter().map(|removal| removal.1).sum();
        let by_share = limit.share.get() * f64::from(before.saturating_add(used));
        limit.replicas.max(by_share as u32).saturating_sub(used)
    }
}
