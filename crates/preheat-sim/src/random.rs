//! Random numbers of a run: one stream per subsystem, so that a change in one leaves what the
//! others draw alone.
//!
//! **Invariant:** everything random in a run comes from its seed through one of these streams.

use preheat_core::Probability;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The streams of one run.
#[derive(Debug)]
pub(crate) struct Streams {
    /// How long starts take.
    pub(crate) starts: Stream,
    /// Which starts fail or hang.
    pub(crate) start_faults: Stream,
    /// Which replicas have noisy neighbours.
    pub(crate) neighbours: Stream,
    /// When in its interval an engine is scraped, and which scrapes are lost.
    pub(crate) scrapes: Stream,
    /// Who goes when a fleet shrinks at random.
    pub(crate) victims: Stream,
}

impl Streams {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            starts: Stream::new(seed, 0),
            start_faults: Stream::new(seed, 1),
            neighbours: Stream::new(seed, 2),
            scrapes: Stream::new(seed, 3),
            victims: Stream::new(seed, 4),
        }
    }
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream(ChaCha8Rng);

impl Stream {
    fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number in (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Whether something of this probability happens.
    pub(crate) fn happens(&mut self, probability: Probability) -> bool {
        probability > Probability::ZERO && self.unit() < probability.get()
    }

    /// A number below `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.unit() * bound as f64) as usize).min(bound.saturating_sub(1))
    }
}
