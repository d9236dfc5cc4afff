//! How long to wait before an engine that ended is started again.
//!
//! **Invariant:** no randomness. Jitter comes from the replica's identity, so that replicas which
//! crash together don't restart together, and a run can be repeated.

use std::time::Duration;

use preheat_core::ReplicaId;

/// Before the first restart, in model time.
const DELAY_FIRST: Duration = Duration::from_secs(1);
/// Never more than this.
const DELAY_MAX: Duration = Duration::from_secs(60);
/// A replica that was ready for this long has earned a fresh start.
pub(crate) const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Delay after the `failures`-th failure in a row, counted from 1: 1 s, 2 s, 4 s … 60 s, each up to
/// a quarter longer.
pub(crate) fn delay(replica: ReplicaId, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let base = DELAY_FIRST.saturating_mul(1 << doublings).min(DELAY_MAX);
    let share = mix(replica.0 ^ (u64::from(failures) << 32)) as f64 / u64::MAX as f64;
    base.mul_f64(1.0 + share / 4.0)
}

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_a_limit_and_differ_between_replicas() {
        let within = |failures, secs: f64| {
            let got = delay(ReplicaId(3), failures).as_secs_f64();
            assert!((secs..=secs * 1.25).contains(&got), "{failures}: {got}");
        };
        within(1, 1.0);
        within(2, 2.0);
        within(6, 32.0);
        within(7, 60.0);
        within(u32::MAX, 60.0);
        assert_eq!(delay(ReplicaId(3), 2), delay(ReplicaId(3), 2));
        assert_ne!(delay(ReplicaId(3), 2), delay(ReplicaId(4), 2));
    }
}
