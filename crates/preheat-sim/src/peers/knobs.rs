//! What a user of a policy would turn, and the values they would try.
//!
//! **Invariant:** a knob that is not assigned keeps the policy's own default.

use std::time::Duration;

use preheat_core::Concurrency;

use crate::scaler::Scaler;
use crate::view::PoolBounds;

/// One thing to tune.
#[derive(Clone, Debug, PartialEq)]
pub struct Knob {
    /// Its name; units are part of it.
    pub name: &'static str,
    /// Values that users would try. The default need not be among them.
    pub values: Vec<f64>,
}

/// A knob of one policy and how it is set.
pub(crate) struct Tunable<K> {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [f64],
    pub(crate) set: fn(&mut K, f64),
}

/// What the registry has to know of a policy.
pub(crate) trait Spec {
    /// Its name on the command line.
    const NAME: &'static str;
    /// What can follow a colon after the name.
    const VARIANTS: &'static [&'static str] = &[];
    /// Whether a comparison of all has it. One whose signal is an assumption of ours, fitted to no
    /// measurement, is compared only when it is named.
    const IN_ALL: bool = true;
    /// Its settings.
    type Knobs: 'static;
    /// What is tuned.
    const TUNABLES: &'static [Tunable<Self::Knobs>];

    /// The project's defaults.
    fn defaults() -> Self::Knobs;

    /// The settings of one of [`Self::VARIANTS`].
    fn variant(_name: &str) -> Option<Self::Knobs> {
        None
    }

    /// The policy.
    fn build(bounds: &PoolBounds, knobs: Self::Knobs) -> Box<dyn Scaler>;
}

/// A target per replica, in requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// So many.
    Requests(f64),
    /// This share of a replica's slots, as a user sets it who knows `max-num-seqs`.
    OfSlots(f64),
}

impl Target {
    pub(crate) fn requests(self, max_num_seqs: Concurrency) -> f64 {
        match self {
            Self::Requests(requests) => requests,
            Self::OfSlots(share) => share * f64::from(max_num_seqs.get()),
        }
    }
}

/// A knob's value as a duration; nonsense is zero.
pub(crate) fn secs(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or(Duration::ZERO)
}

/// The smallest count that is no less than `value`; nonsense is zero.
pub(crate) fn count_up(value: f64) -> u32 {
    libm::ceil(value) as u32
}

/// The largest count that is no more than `value`; nonsense is zero.
pub(crate) fn count_down(value: f64) -> u32 {
    libm::floor(value) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_of_slots_follows_max_num_seqs() {
        let slots = Concurrency::new(32).unwrap();
        assert_eq!(Target::OfSlots(0.7).requests(slots), 22.4);
        assert_eq!(Target::Requests(70.0).requests(slots), 70.0);
    }

    #[test]
    fn counts_round_their_own_way() {
        assert_eq!((count_up(2.1), count_down(2.9)), (3, 2));
        assert_eq!((count_up(-1.0), count_up(f64::NAN)), (0, 0));
        assert_eq!(secs(-1.0), Duration::ZERO);
    }
}
