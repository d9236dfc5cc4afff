//! How long one engine step takes, from what is in it. It knows nothing of requests or queues.
//!
//! **Invariant:** integer arithmetic only. The time of a decode step is linear in the context
//! it reads, so a run of decode steps with an unchanged batch is an arithmetic series, exactly.

use std::time::Duration;

use crate::fine::FEMTOS_PER_NANO;

/// Tokens in a step at which the profiles state a time. Kernels jump just past powers of two, so
/// there is a knot on either side where a jump is large: under per-tensor FP8 a step of 257 tokens
/// takes 1.7 times as long as one of 256.
pub const KNOT_TOKENS: [u32; 25] = [
    1, 8, 16, 17, 32, 64, 128, 129, 192, 256, 257, 384, 512, 513, 768, 1024, 1025, 1536, 2048,
    2049, 2304, 4096, 4097, 8192, 16384,
];
/// As many.
const KNOTS: usize = KNOT_TOKENS.len();

/// By the bits of (tokens − 1): where to begin the search for the first knot of so many tokens. For
/// 200 tokens: 199 has 8 bits, as have 128 to 255, so it begins at the knot of 129.
const KNOT_FROM: [u8; 33] = {
    let mut from = [0; 33];
    let mut bits = 0;
    while bits < from.len() {
        let lowest = if bits == 0 { 1 } else { (1_u64 << (bits - 1)) + 1 };
        let mut knot = 1;
        while knot < KNOTS - 1 && lowest > KNOT_TOKENS[knot] as u64 {
            knot += 1;
        }
        from[bits] = knot as u8;
        bits += 1;
    }
    from
};

/// Femtoseconds in a millisecond.
const FEMTOS_PER_MILLI: f64 = 1e12;

/// What the host of a served engine adds to each step: scheduling, inputs, sampling, output and,
/// over several GPUs, keeping workers in step. Sums of kernels have none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTime {
    /// Of a step, in fs.
    per_step: u64,
    /// Of each sequence in it, in fs.
    per_seq: u64,
}

impl HostTime {
    /// None: it is hidden behind the kernels, or not known.
    pub const NONE: Self = Self { per_step: 0, per_seq: 0 };

    /// From ms per step and per sequence in it.
    ///
    /// # Panics
    /// When a figure is negative, NaN, or over an hour.
    pub const fn from_ms(per_step: f64, per_seq: f64) -> Self {
        Self { per_step: femtos(per_step), per_seq: femtos(per_seq) }
    }

    const fn femtos(&self, seqs: u32) -> u64 {
        self.per_step.saturating_add(self.per_seq.saturating_mul(seqs as u64))
    }
}

/// What one step computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepLoad {
    /// Sequences in prefill.
    pub prefill_seqs: u32,
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
        self.prefill_seqs += 1;
        self.prefill_tokens += new;
        self.prefill_attention_twice += new as u64 * (2 * cached as u64 + new as u64);
        self
    }

    /// Tokens in the step.
    pub const fn tokens(&self) -> u32 {
        self.prefill_tokens + self.decode_seqs
    }

    /// Sequences in the step.
    pub const fn seqs(&self) -> u32 {
        self.prefill_seqs + self.decode_seqs
    }
}

/// Step time of one model on one accelerator shape:
/// `t = g(P + D) + c · PX + e · KV + f · [P > 0] + host`, with g piecewise linear over
/// [`KNOT_TOKENS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepProfile {
    /// g at the knots, in fs.
    knots: [u64; KNOTS],
    /// How g rises to each knot from the one before, in fs per token; kept because a division would
    /// be most of a step's cost.
    slopes: [i64; KNOTS],
    /// c / 2, in fs per pair counted twice.
    per_attention_half: u64,
    /// e, in fs per context token.
    per_context: u64,
    /// f, in fs.
    if_prefill: u64,
    host: HostTime,
}

impl StepProfile {
    /// From the coefficients as `examples/fit` prints them: g in ms at each knot, c in ms per new
    /// token × token attended to, e in ms per context token read by a decode, f in ms. No host time.
    ///
    /// # Panics
    /// When g is not positive, or another coefficient is negative, NaN, or over an hour.
    pub const fn from_table_ms(g: [f64; KNOTS], c: f64, e: f64, f: f64) -> Self {
        let mut knots = [0; KNOTS];
        let mut i = 0;
        while i < knots.len() {
            knots[i] = femtos(g[i]);
            assert!(knots[i] > 0, "a step takes time");
            i += 1;
        }
        Self {
            knots,
            slopes: slopes(&knots),
            per_attention_half: femtos(c / 2.0),
            per_context: femtos(e),
            if_prefill: femtos(f),
            host: HostTime::NONE,
        }
    }

    /// The same engine as it is served by such a host.
    #[must_use]
    pub const fn with_host(mut self, host: HostTime) -> Self {
        self.host = host;
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
        self.slopes = slopes(&self.knots);
        self.per_attention_half = scale(self.per_attention_half);
        self.per_context = scale(self.per_context);
        self.if_prefill = scale(self.if_prefill);
        self.host.per_step = scale(self.host.per_step);
        self.host.per_seq = scale(self.host.per_seq);
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
            .saturating_add(self.host_femtos(load.seqs()))
    }

    /// What of a step with `seqs` sequences is the host's, in femtoseconds.
    pub const fn host_femtos(&self, seqs: u32) -> u64 {
        self.host.femtos(seqs)
    }

    /// By how much a decode step of `decode_seqs` sequences is longer than the one before it:
    /// each of them reads one more token.
    pub(crate) const fn decode_growth_femtos(&self, decode_seqs: u32) -> u64 {
        self.per_context.saturating_mul(decode_seqs as u64)
    }

    /// g at `tokens`; beyond the last knot the last slope goes on.
    const fn token_femtos(&self, tokens: u32) -> u64 {
        let mut right =
            KNOT_FROM[(u32::BITS - tokens.saturating_sub(1).leading_zeros()) as usize] as usize;
        while right < KNOTS - 1 && tokens > KNOT_TOKENS[right] {
            right += 1;
        }
        let run = tokens.saturating_sub(KNOT_TOKENS[right - 1]) as u64;
        let (from, slope) = (self.knots[right - 1], self.slopes[right]);
        let change = slope.unsigned_abs().saturating_mul(run);
        // The fits are of noisy points, so a segment may fall.
        if slope >= 0 {
            from.saturating_add(change)
        } else {
            let fallen = from.saturating_sub(change);
            let lowest = self.knots[right];
            if fallen > lowest { fallen } else { lowest }
        }
    }
}

/// Slopes between knots, toward zero: off by less than a femtosecond per token.
const fn slopes(knots: &[u64; KNOTS]) -> [i64; KNOTS] {
    let mut slopes = [0; KNOTS];
    let mut i = 1;
    while i < KNOTS {
        let rise = knots[i] as i64 - knots[i - 1] as i64;
        slopes[i] = rise / (KNOT_TOKENS[i] - KNOT_TOKENS[i - 1]) as i64;
        i += 1;
    }
    slopes
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

    /// Slopes are whole femtoseconds per token, and steps have up to 24,576 tokens here.
    const CLOSE_US: f64 = 2e-5;

    /// g rises by 1 ms per knot from 1 ms; c = 2 ns, e = 100 ns, f = 0.5 ms.
    fn profile() -> StepProfile {
        let mut g = [0.0; KNOTS];
        for (i, knot) in g.iter_mut().enumerate() {
            *knot = 1.0 + i as f64;
        }
        StepProfile::from_table_ms(g, 2e-6, 1e-4, 0.5)
    }

    #[track_caller]
    fn check(load: StepLoad, expected_us: f64) {
        let got = profile().step_femtos(&load) as f64 / 1e9;
        assert!((got - expected_us).abs() < CLOSE_US, "{got} us, expected {expected_us} us");
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
        check(decodes(257, 0), 11_000.0);
        check(decodes(8, 1_000), 2_000.0 + 100.0);
        check(StepLoad::default().with_prefill(0, 8), 2_000.0 + 500.0 + 0.064);
        check(decodes(8, 10).with_prefill(100, 8), 3_000.0 + 500.0 + 1.664 + 1.0);
    }

    #[test]
    fn the_last_slope_goes_on() {
        check(StepLoad { decode_seqs: 24_576, ..StepLoad::default() }, 26_000.0);
    }

    #[test]
    fn a_falling_segment_stays_positive() {
        let mut g = [5.0; KNOTS];
        g[KNOTS - 1] = 1.0;
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
    }
    #[test]
    fn the_host_takes_its_time_per_step_and_per_sequence() {
        let decodes = StepLoad { decode_seqs: 8, decode_context: 1_000, ..StepLoad::default() };
        let mixed = decodes.with_prefill(0, 512).with_prefill(100, 16);
        let served = profile().with_host(HostTime::from_ms(0.5, 0.02));
        for (load, expected_us) in [(decodes, 660), (mixed, 700)] {
            let host = served.step_femtos(&load) - profile().step_femtos(&load);
            assert_eq!(host, expected_us * 1_000_000_000);
            assert_eq!(host, served.host_femtos(load.seqs()));
        }
        let doubled = served.scaled(2.0).map(|p| p.host_femtos(8));
        assert_eq!(doubled, Some(2 * served.host_femtos(8)));
    }

    #[test]
    fn every_number_of_tokens_lies_between_its_knots() {
        const MILLI_FEMTOS: u64 = 1_000_000_000_000;
        for tokens in (0..20_000).chain([1_000_000]) {
            let right = (1..KNOTS - 1).find(|knot| tokens <= KNOT_TOKENS[*knot]);
            let right = right.unwrap_or(KNOTS - 1);
            let left_tokens = KNOT_TOKENS[right - 1];
            let run = u64::from(tokens.saturating_sub(left_tokens)) * MILLI_FEMTOS;
            let exact =
                right as u64 * MILLI_FEMTOS + run / u64::from(KNOT_TOKENS[right] - left_tokens);
            let got = profile().token_femtos(tokens);
            assert!(got <= exact && exact - got <= u64::from(tokens), "{got}, not {exact}");
        }
    }
}
