//! How soon an engine can have made so many steps, at the earliest.
//!
//! **Invariant:** never later than the truth, as long as no sequence leaves the batch meanwhile.

use preheat_core::Instant;
use preheat_engine::{EngineConfig, KNOT_TOKENS, StepLoad, StepProfile};

/// Femtoseconds in a nanosecond.
const FEMTOS_PER_NANO: u128 = 1_000_000;

/// Shortest steps of one engine. A fit's step time may fall where a batch grows, so what counts is
/// the shortest of this size and of every larger one.
#[derive(Clone, Debug)]
pub(crate) struct StepFloor {
    profile: StepProfile,
    /// At each knot: the shortest step of so many tokens or more, without host time, which grows
    /// with sequences and not with tokens.
    shortest_from: [u64; KNOT_TOKENS.len()],
    per_context: u64,
    /// By sequences: a cache, as one size is asked for again and again.
    last: (u32, u64),
}

impl StepFloor {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        let profile = config.profile;
        let mut shortest = kernel_femtos(&profile, config.max_num_batched_tokens);
        let mut shortest_from = [0; KNOT_TOKENS.len()];
        for (from, tokens) in shortest_from.iter_mut().zip(KNOT_TOKENS).rev() {
            shortest = shortest.min(kernel_femtos(&profile, tokens));
            *from = shortest;
        }
        let one = StepLoad { decode_seqs: 1, decode_context: 1, ..StepLoad::default() };
        let per_context =
            profile.step_femtos(&one) - profile.step_femtos(&StepLoad { decode_context: 0, ..one });
        Self { profile, shortest_from, per_context, last: (0, 0) }
    }

    /// The shortest step in which at least `seqs` sequences decode over at least `context` tokens.
    pub(crate) fn femtos(&mut self, seqs: u32, context: u64) -> u64 {
        let seqs = seqs.max(1);
        if self.last.0 != seqs {
            let own = kernel_femtos(&self.profile, seqs);
            let larger = KNOT_TOKENS.iter().zip(self.shortest_from).find(|(t, _)| **t >= seqs);
            let shortest = larger.map_or(own, |(_, shortest)| own.min(shortest));
            self.last = (seqs, shortest.saturating_add(self.profile.host_femtos(seqs)));
        }
        self.last.1.saturating_add(self.per_context.saturating_mul(context))
    }

    /// The end of `steps` more steps after `from`, the first of which takes `first` and each next
    /// one longer by one more token per sequence.
    pub(crate) fn after(&self, from: Instant, steps: u64, first: u64, seqs: u32) -> Instant {
        let steps = u128::from(steps);
        let growth = u128::from(self.per_context) * u128::from(seqs);
        let pairs = steps * steps.saturating_sub(1) / 2;
        let femtos = (steps * u128::from(first)).saturating_add(pairs.saturating_mul(growth));
        let nanos = u64::try_from(femtos / FEMTOS_PER_NANO).unwrap_or(u64::MAX);
        Instant::from_nanos(from.as_nanos().saturating_add(nanos))
    }
}

/// The least that a step of so many tokens takes besides the host's time.
fn kernel_femtos(profile: &StepProfile, decode_seqs: u32) -> u64 {
    let step = profile.step_femtos(&StepLoad { decode_seqs, ..StepLoad::default() });
    step - profile.host_femtos(decode_seqs)
}

#[cfg(test)]
mod tests {
    use preheat_engine::EngineProfile;

    use super::*;

    #[test]
    fn no_larger_step_is_shorter() {
        for profile in EngineProfile::all() {
            let config = EngineConfig::for_profile(profile);
            let mut floor = StepFloor::new(&config);
            for seqs in [1, 2, 9, 33, 100, 500, 1024] {
                for more in [0, 1, 7, 60, 300, 2000] {
                    let load = StepLoad {
                        decode_seqs: seqs,
                        decode_context: 10_000 + more,
                        ..StepLoad::default()
                    };
                    let real = load.with_prefill(0, more as u32);
                    let real = config.profile.step_femtos(&real);
                    assert!(floor.femtos(seqs, 10_000) <= real, "{} {seqs} {more}", profile.name);
                }
            }
        }
    }
}
