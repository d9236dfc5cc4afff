//! Sleep and wake: how long they take. What becomes of requests meanwhile is the engine's matter.

use std::time::Duration;

/// How deep a sleep is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SleepLevel {
    /// Weights go to host memory, the KV cache is dropped.
    WeightsOffloaded,
    /// Weights are dropped too and loaded anew on wake.
    WeightsDiscarded,
}

/// Whether an engine sleeps (`vllm:engine_sleep_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SleepState {
    /// It serves.
    Awake,
    /// It is falling asleep.
    FallingAsleep(SleepLevel),
    /// It sleeps.
    Asleep(SleepLevel),
    /// It is waking.
    Waking,
}

/// How long it takes to fall asleep and to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepProfile {
    /// To fall asleep at level 1.
    pub offload: Duration,
    /// To fall asleep at level 2.
    pub discard: Duration,
    /// To wake from level 1.
    pub wake_offloaded: Duration,
    /// To wake from level 2.
    pub wake_discarded: Duration,
}

/// Host-to-device bandwidth of one GPU that vLLM's wake reaches over PCIe 5: 64 GiB of tensors
/// came back in about 3 s (llm-d fast model actuation).
const WAKE_BYTES_PER_SEC: u64 = 25_000_000_000;
/// Device-to-host: the first sleep allocates and pins host memory, and takes several times as
/// long as a wake (16 GB in 5.7 s: llm-d-benchmark PR 399).
const OFFLOAD_BYTES_PER_SEC: u64 = 3_000_000_000;
/// Reading the weights again from the page cache or a fast disk: 8 GB in 2.6 s (vLLM's blog on
/// sleep mode, 2025-10-26).
const RELOAD_BYTES_PER_SEC: u64 = 4_000_000_000;
/// Collecting garbage, unmapping, mapping: the same models with almost no weights.
const FIXED: Duration = Duration::from_millis(250);

impl SleepProfile {
    /// Estimates for `weights_bytes` spread over `gpus`, each with its own link.
    ///
    /// 32 GB on one GPU: falls asleep in 10.9 s, wakes in 1.5 s, from level 2 in 8.3 s.
    pub const fn for_weights(weights_bytes: u64, gpus: u32) -> Self {
        let links = if gpus == 0 { 1 } else { gpus as u64 };
        let share = weights_bytes / links;
        Self {
            offload: transfer(share, OFFLOAD_BYTES_PER_SEC),
            discard: FIXED,
            wake_offloaded: transfer(share, WAKE_BYTES_PER_SEC),
            // All GPUs read from the same store.
            wake_discarded: transfer(weights_bytes, RELOAD_BYTES_PER_SEC),
        }
    }

    /// The same time for either level: for a caller that was told one.
    pub const fn fixed(to_sleep: Duration, to_wake: Duration) -> Self {
        Self {
            offload: to_sleep,
            discard: to_sleep,
            wake_offloaded: to_wake,
            wake_discarded: to_wake,
        }
    }

    /// To fall asleep.
    pub const fn to_sleep(&self, level: SleepLevel) -> Duration {
        match level {
            SleepLevel::WeightsOffloaded => self.offload,
            SleepLevel::WeightsDiscarded => self.discard,
        }
    }

    /// To wake.
    pub const fn to_wake(&self, level: SleepLevel) -> Duration {
        match level {
            SleepLevel::WeightsOffloaded => self.wake_offloaded,
            SleepLevel::WeightsDiscarded => self.wake_discarded,
        }
    }
}

/// [`FIXED`] plus `bytes` at `bytes_per_sec`.
const fn transfer(bytes: u64, bytes_per_sec: u64) -> Duration {
    let nanos = bytes as u128 * 1_000_000_000 / bytes_per_sec as u128;
    let nanos = if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 };
    Duration::from_nanos(nanos).saturating_add(FIXED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_bytes() {
        let one = SleepProfile::for_weights(32_000_000_000, 1);
        assert_eq!(one.offload.as_millis(), 10_916);
        assert_eq!(one.wake_offloaded.as_millis(), 1_530);
        assert_eq!(one.wake_discarded.as_millis(), 8_250);
        let four = SleepProfile::for_weights(32_000_000_000, 4);
        assert!(four.wake_offloaded < one.wake_offloaded);
        assert_eq!(four.wake_discarded, one.wake_discarded);
    }
}
