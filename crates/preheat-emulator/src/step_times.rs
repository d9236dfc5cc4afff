//! Step times as two lines, for an engine that no profile is of: who measures one can emulate it.
//!
//! A step takes `base + per_seq · decodes + per_prompt_token · prompt tokens`. What grows with the
//! context is not in it; where contexts are short beside the weights, little does.

use std::time::Duration;

use preheat_engine::{HostTime, KNOT_TOKENS, StepProfile};

use crate::options::OptionsError;

/// The longest that one figure may be: far above any step, and low enough that sums don't overflow.
const FIGURE_MAX: Duration = Duration::from_millis(200);

/// What a step takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTimes {
    /// Whatever is in it: reading the weights, mostly.
    pub base: Duration,
    /// More, for each sequence that decodes.
    pub per_seq: Duration,
    /// More, for each token of a prompt; no more than `per_seq`.
    pub per_prompt_token: Duration,
}

impl StepTimes {
    /// The same for the engine's model. There a sequence whose prompt is computed takes, once for
    /// each step, what `per_seq` has beyond `per_prompt_token`: it is sampled and answered as those
    /// that decode are.
    ///
    /// # Errors
    /// When a step would take no time, a figure is over 200 ms, or a decode takes less than a token
    /// of a prompt, though it computes one.
    pub fn profile(&self) -> Result<StepProfile, OptionsError> {
        let Self { base, per_seq, per_prompt_token } = *self;
        let beyond = per_seq.checked_sub(per_prompt_token);
        let longest = base.max(per_seq).max(per_prompt_token);
        let (Some(beyond), false, true) = (beyond, base.is_zero(), longest <= FIGURE_MAX) else {
            return Err(OptionsError::StepTimes(*self));
        };
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let knots = KNOT_TOKENS.map(|tokens| ms(base) + ms(per_prompt_token) * f64::from(tokens));
        let host = HostTime::from_ms(0.0, ms(beyond));
        Ok(StepProfile::from_table_ms(knots, 0.0, 0.0, 0.0).with_host(host))
    }
}

#[cfg(test)]
mod tests {
    use preheat_engine::StepLoad;

    use super::*;

    const TIMES: StepTimes = StepTimes {
        base: Duration::from_millis(5),
        per_seq: Duration::from_millis(2),
        per_prompt_token: Duration::from_micros(500),
    };

    #[test]
    fn a_step_takes_what_its_two_lines_say() {
        let profile = TIMES.profile().unwrap();
        let decodes = |decode_seqs| StepLoad { decode_seqs, ..StepLoad::default() };
        let ms = |load: StepLoad| (profile.step_time(&load).as_secs_f64() * 1e5).round() / 1e2;
        assert_eq!(ms(decodes(1)), 7.0);
        assert_eq!(ms(decodes(4)), 13.0);
        // 40 tokens at 0.5 ms, and 1.5 ms for the sequence that they are of.
        assert_eq!(ms(StepLoad::default().with_prefill(0, 40)), 26.5);
        assert_eq!(ms(decodes(2).with_prefill(100, 400)), 5.0 + 4.0 + 200.0 + 1.5);
    }

    #[test]
    fn nonsense_is_an_error() {
        for wrong in [
            StepTimes { base: Duration::ZERO, ..TIMES },
            StepTimes { per_prompt_token: Duration::from_millis(3), ..TIMES },
            StepTimes { per_seq: Duration::from_secs(1), ..TIMES },
        ] {
            assert_eq!(wrong.profile(), Err(OptionsError::StepTimes(wrong)));
        }
        // As long as may be: nothing overflows.
        let longest =
            StepTimes { base: FIGURE_MAX, per_seq: FIGURE_MAX, per_prompt_token: FIGURE_MAX };
        let all = StepLoad::default().with_prefill(0, u32::MAX / 2);
        assert!(longest.profile().unwrap().step_time(&all) > Duration::from_secs(3_600));
    }
}
