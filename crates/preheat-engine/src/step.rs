//! How long one engine step takes, from what is in it. It knows nothing of requests or queues.
//!
//! **Invariant:** integer arithmetic only. The time of a decode step is linear in the context
//! it reads, so a run of decode steps with an unchanged batch is an arithmetic series, exactly.

use std::time::Duration;

use crate::fine::FEMTOS_PER_NANO;

/// Tokens in a step at which the profiles state a time.
pub const KNOT_TOKENS: [u32; 16] =
    [1, 8, 16, 32, 64, 128, 192, 256, 384, 512, 1024, 2048, 2304, 4096, 8192, 16384];

/// Femtoseconds in a millisecond.
const FEMTOS_PER_MILLI: f64 = 1e12;

/// What one step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepLoad {
    /// New prefill tokens, over all sequences in prefill.
    pub prefill_tokens: u32,
    /// Twice the pairs of (new token, token it attends to) in prefill: the sum over its sequences
    /// of new · (2·cached + new). Twice, so that it is whole.
    pub prefill_attention_twice: u64,
    /// Sequences that decode one token each.
    pub decode_seqs: u32,
    /// Context tokens that the decodes read, their own new ones included.
    pub decode_context: u64,
}

impl StepLoad {
    /// Adds a chunk of `new` prefill tokens behind `cached` computed ones.
    #[must_use]
    pub const fn with_prefill(mut self, cached: u32, new: u32) -> Self {
        self.prefill_tokens += new;
        self.prefill_attention_twice += new as u64 * (2 * cached as u64 + new as u64);
        self
    }

    /// Tokens in the step.
    pub const fn tokens(&self) -> u32 {
        self.prefill_tokens + self.decode_seqs
    }
}

/// Step time of one model on one accelerator shape:
/// `t = g(P + D) + c · PX + e · KV + f · [P > 0]`, with g piecewise linear over [`KNOT_TOKENS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepProfile {
    /// g at the knots, in fs.
    knots: [u64; 16],
    /// c / 2, in fs per pair counted twice.
    per_attention_half: u64,
    /// e, in fs per context token.
    per_context: u64,
    /// f, in fs.
    if_prefill: u64,
}

impl StepProfile {
    /// From the coefficients as `fits_table.csv` states them: g in ms at each knot, c in ms per
    /// new token × token attended to, e in ms per context token read by a decode, f in ms.
    ///
    /// # Panics
    /// When g is not positive, or another coefficient is negative, NaN, or over an hour.
    pub const fn from_table_ms(g: [f64; 16], c: f64, e: f64, f: f64) -> Self {
        let mut knots = [0; 16];
        let mut i = 0;
        while i < knots.len() {
            knots[i] = femtos(g[i]);
            assert!(knots[i] > 0, "a step takes time");
            i += 1;
        }
        Self {
            knots,
            per_attention_half: femtos(c / 2.0),
            per_context: femtos(e),
            if_prefill: femtos(f),
        }
    }

    /// The same engine with `overhead` more in every step, for host and all-reduce time that
    /// kernel tables miss. At tensor parallelism 4 to 8 measured serving was 0.5–1.5 ms slower a
    /// step than the profiles.
    #[must_use]
    pub fn with_overhead(mut self, overhead: Duration) -> Self {
        let nanos = u64::try_from(overhead.as_nanos()).unwrap_or(u64::MAX);
        let femtos = nanos.saturating_mul(FEMTOS_PER_NANO);
        for knot in &mut self.knots {
            *knot = knot.saturating_add(femtos).min(FEMTOS_MAX);
        }
        self
    }

    /// The same engine with every step `factor` times as long: a noisy neighbour on a shared
    /// accelerator (1.4), or another model of the class (27/32). `None` unless the factor is
    /// finite and above zero.
    pub fn scaled(mut self, factor: f64) -> Option<Self> {
        if !(factor.is_finite() && factor > 0.0) {
            return None;
        }
        let scale = |femtos: u64| ((femtos as f64 * factor).min(FEMTOS_MAX as f64) + 0.5) as u64;
        for knot in &mut self.knots {
            *knot = scale(*knot).max(1);
        }
        self.per_attention_half = scale(self.per_attention_half);
        self.per_context = scale(self.per_context);
        self.if_prefill = scale(self.if_prefill);
        Some(self)
    }

    /// Time of one step, rounded up to whole nanoseconds.
    pub const fn step_time(&self, load: &StepLoad) -> Duration {
        Duration::from_nanos(self.step_femtos(load).div_ceil(FEMTOS_PER_NANO))
    }

    /// Time of one step in femtoseconds: the resolution in which an engine adds step times up.
    pub const fn step_femtos(&self, load: &StepLoad) -> u64 {
        let attention = self.per_attention_half.saturating_mul(load.prefill_attention_twice);
        let context = self.per_context.saturating_mul(load.decode_context);
        let prefill = if load.prefill_tokens > 0 { self.if_prefill } else { 0 };
        self.token_femtos(load.tokens())
            .saturating_add(attention)
            .saturating_add(context)
            .saturating_add(prefill)
    }

    /// By how much a decode step of `decode_seqs` sequences is longer than the one before it:
    /// each of them reads one more token.
    pub(crate) const fn decode_growth_femtos(&self, decode_seqs: u32) -> u64 {
        self.per_context.saturating_mul(decode_seqs as u64)
    }

    /// g at `tokens`; beyond the last knot the last slope goes on.
    const fn token_femtos(&self, tokens: u32) -> u64 {
        let mut right = 1;
        while right < KNOT_TOKENS.len() - 1 && tokens > KNOT_TOKENS[right] {
            right += 1;
        }
        let (x0, x1) = (KNOT_TOKENS[right - 1], KNOT_TOKENS[right]);
        let (y0, y1) = (self.knots[right - 1], self.knots[right]);
        let (run, span) = (tokens.saturating_sub(x0) as u64, (x1 - x0) as u64);
        // The fits are of noisy points, so a segment may fall.
        if y1 >= y0 {
            y0.saturating_add((y1 - y0).saturating_mul(run) / span)
        } else {
            let fall = (y0 - y1).saturating_mul(run) / span;
            if fall < y0 - y1 { y0 - fall } else { y1 }
        }
    }
}

/// An hour: above any step, and low enough that the sums of a step don't overflow.
const FEMTOS_MAX: u64 = 3_600_000 * 1_000_000_000_000;

/// `millis` in whole femtoseconds. All figures of the profiles convert without loss.
const fn femtos(millis: f64) -> u64 {
    let femtos = millis * FEMTOS_PER_MILLI;
    assert!(femtos >= 0.0 && femtos <= FEMTOS_MAX as f64, "a coefficient is out of range");
    (femtos + 0.5) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// g rises by 1 ms per knot from 1 ms; c = 2 ns, e = 100 ns, f = 0.5 ms.
    fn profile() -> StepProfile {
        let mut g = [0.0; 16];
        for (i, knot) in g.iter_mut().enumerate() {
            *knot = 1.0 + i as f64;
        }
        StepProfile::from_table_ms(g, 2e-6, 1e-4, 0.5)
    }

    #[track_caller]
    fn check(load: StepLoad, expected_us: f64) {
        let got = profile().step_femtos(&load) as f64 / 1e9;
        assert!((got - expected_us).abs() < 1e-6, "{got} us, expected {expected_us} us");
    }

    #[test]
    fn every_term_counts() {
        let decodes = |decode_seqs, decode_context| StepLoad {
            decode_seqs,
            decode_context,
            ..StepLoad::default()
        };
        check(decodes(1, 0), 1_000.0);
        check(decodes(12, 0), 2_500.0);
        check(decodes(8, 1_000), 2_000.0 + 100.0);
        check(StepLoad::default().with_prefill(0, 8), 2_000.0 + 500.0 + 0.064);
        check(decodes(8, 10).with_prefill(100, 8), 3_000.0 + 500.0 + 1.664 + 1.0);
    }

    #[test]
    fn the_last_slope_goes_on() {
        check(StepLoad { decode_seqs: 24_576, ..StepLoad::default() }, 17_000.0);
    }

    #[test]
    fn a_falling_segment_stays_positive() {
        let mut g = [5.0; 16];
        g[15] = 1.0;
        let profile = StepProfile::from_table_ms(g, 0.0, 0.0, 0.0);
        let at = |decode_seqs| profile.token_femtos(decode_seqs) / 1_000_000_000;
        assert_eq!(at(8192), 5_000);
        assert_eq!(at(12_288), 3_000);
        assert_eq!(at(16_384), 1_000);
        assert_eq!(at(60_000), 1_000);
    }

    #[test]
    fn scaling_scales_all_but_rejects_nonsense() {
        let load = StepLoad { decode_seqs: 8, decode_context: 1_000, ..StepLoad::default() };
        let doubled = profile().scaled(2.0).map(|p| p.step_femtos(&load));
        assert_eq!(doubled, Some(2 * profile().step_femtos(&load)));
        assert_eq!(profile().scaled(f64::NAN), None);
        assert_eq!(profile().scaled(0.0), None);
        let slower = profile().with_overhead(Duration::from_micros(7)).step_femtos(&load);
        assert_eq!(slower - profile().step_femtos(&load), 7_000_000_000);
    }
}
