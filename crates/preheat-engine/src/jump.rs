//! Passing many decode steps at once. Between two changes of the batch each step is longer than
//! the one before by the same amount, so the end of the k-th is known in closed form.
//!
//! **Invariant:** a jump passes only steps in which nothing is admitted, preempted or cancelled,
//! and that all end by the given time; what it leaves behind is what stepping would leave behind.

use preheat_core::Instant;

use crate::engine::{Engine, Stepping};
use crate::event::EngineEvent;
use crate::fine::FineInstant;
use crate::step::StepLoad;

/// Steps passed at once at most: keeps sums in range, and is more than a context is long.
const STEPS_MAX: u32 = 1 << 24;

/// Step times that grow by the same amount each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Series {
    /// Length of the first, above zero.
    first: u64,
    growth: u64,
}

impl Series {
    /// Length of the first `steps` steps together: k·first + growth·k(k−1)/2.
    fn sum(self, steps: u32) -> u128 {
        let k = u128::from(steps);
        k * u128::from(self.first) + u128::from(self.growth) * (k * k.saturating_sub(1) / 2)
    }

    /// Most steps, up to `steps_max`, that fit `window` together.
    fn steps_within(self, window: u64, steps_max: u32) -> u32 {
        let fits = |steps| self.sum(steps) <= u128::from(window);
        if fits(steps_max) {
            return steps_max;
        }
        if !fits(1) {
            return 0;
        }
        // The root of the quadratic, then corrected: the exact sum decides, not rounding.
        let half = self.growth as f64 / 2.0;
        let (b, w) = (self.first as f64 - half, window as f64);
        let root = 2.0 * w / (b + libm::sqrt(b * b + 4.0 * half * w));
        let mut steps = (root as u32).clamp(1, steps_max - 1);
        while !fits(steps) {
            steps -= 1;
        }
        while fits(steps + 1) {
            steps += 1;
        }
        steps
    }
}

impl Engine {
    /// At the end of a step that started at `started`: passes as many decode steps as end by
    /// `now`. Returns the start of the last step passed.
    pub(crate) fn jump(
        &mut self,
        mut started: FineInstant,
        now: Instant,
        events: &mut Vec<EngineEvent>,
    ) -> FineInstant {
        if self.stepping == Stepping::EachStep {
            return started;
        }
        loop {
            self.release_unseen(started);
            let Some(last_started) = self.jump_once(now, events) else { return started };
            started = last_started;
            self.finish_due(events);
        }
    }

    /// Gives back what requests that ended hold, when the plan that does not see their end comes
    /// out the same: nobody in its view waits, and the decodes get their blocks anyway.
    fn release_unseen(&mut self, seen: FineInstant) {
        let contested = self.partial.is_some() || self.decodes.blocks_needed() > self.blocks_free;
        if self.leaving.is_empty() || contested {
            return;
        }
        let is_seen = self.queue_first().is_some_and(|slot| {
            seen.has_reached(Instant::from_nanos(self.store.get(slot).arrived_at_nanos))
        });
        if !is_seen {
            self.release_leaving();
        }
    }

    /// Passes steps up to the next end of a request. `None` when there is none to pass.
    fn jump_once(&mut self, now: Instant, events: &mut Vec<EngineEvent>) -> Option<FineInstant> {
        if self.decodes.len() == 0 || self.partial.is_some() || !self.leaving.is_empty() {
            return None;
        }
        let window = self.quiet_femtos(now)?;
        let steps_max = self.decodes.steps_to_finish().unwrap_or(0);
        let steps_max = u32::try_from(steps_max).unwrap_or(STEPS_MAX).min(STEPS_MAX);
        let load = StepLoad {
            decode_seqs: self.decodes.len(),
            decode_context: self.decodes.context(),
            ..StepLoad::default()
        };
        let series = Series {
            first: self.config.profile.step_femtos(&load),
            growth: self.config.profile.decode_growth_femtos(load.decode_seqs),
        };
        let steps = series.steps_within(window, steps_max);
        let steps = self.decodes.steps_within(steps, self.blocks_free);
        if steps == 0 {
            return None;
        }
        self.blocks_free -= self.decodes.blocks_needed_for(steps);
        let began = self.clock;
        let femtos = |steps| u64::try_from(series.sum(steps)).unwrap_or(u64::MAX);
        self.clock = began.plus(femtos(steps));
        self.pass_decodes(steps);
        self.report_steps(began, steps, &load, events);
        Some(began.plus(femtos(steps - 1)))
    }

    /// How long from the clock on nobody can be admitted, up to `now`. While nothing ends, free
    /// blocks only become fewer, so whoever is blocked stays blocked.
    fn quiet_femtos(&mut self, now: Instant) -> Option<u64> {
        let window = self.clock.femtos_until(now);
        let Some(slot) = self.queue_first() else { return Some(window) };
        if self.is_blocked(slot) {
            return Some(window);
        }
        let arrives_at = Instant::from_nanos(self.store.get(slot).arrived_at_nanos);
        // A step that ends when it arrives is followed by one that may see it.
        let before_arrival = self.clock.femtos_until(arrives_at).checked_sub(1)?;
        Some(window.min(before_arrival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_is_the_sum() {
        let series = Series { first: 1_000, growth: 7 };
        let mut sum = 0;
        for steps in 0..50 {
            assert_eq!(series.sum(steps), sum);
            sum += u128::from(1_000 + 7 * u64::from(steps));
        }
    }

    #[test]
    fn the_window_is_used_to_the_last_step() {
        for growth in [0, 1, 7, 1_000_000] {
            let series = Series { first: 22_445_500_000_000, growth };
            for steps in [1, 2, 3, 1_000, 99_999] {
                let exact = u64::try_from(series.sum(steps)).unwrap();
                assert_eq!(series.steps_within(exact, STEPS_MAX), steps);
                assert_eq!(series.steps_within(exact - 1, STEPS_MAX), steps - 1);
                assert_eq!(series.steps_within(exact, steps.min(2)), steps.min(2));
            }
        }
    }
}
