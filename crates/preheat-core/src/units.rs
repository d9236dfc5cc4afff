//! Quantities with their units. A value that exists is finite and in range.
//!
//! **Invariant:** no `Deref`, and only arithmetic that means something.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A point in time: nanoseconds since the world's origin (the Unix epoch for live worlds, zero
/// for a simulation). `std::time::Instant` can neither be built nor stored, which would end
/// record and replay.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instant(u64);

impl Instant {
    /// The world's origin.
    pub const ORIGIN: Self = Self(0);

    /// A point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the origin, for reports and for plotting.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// This point plus `duration`, clamped to the end of representable time (the year 2554).
    pub fn saturating_add(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// This point minus `duration`, clamped to the origin.
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }

    /// Time from `earlier` to here; zero when `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Defines a non-negative, finite quantity backed by `f64`.
macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $unit:literal, max = $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        #[repr(transparent)]
        pub struct $name(f64);

        impl $name {
            /// Nothing of it.
            pub const ZERO: Self = Self(0.0);

            /// `None` when the value is NaN, negative or above the quantity's range.
            pub fn new(value: f64) -> Option<Self> {
                // `-0.0` compares equal to zero but prints differently: adding 0.0 removes it.
                (0.0..=$max).contains(&value).then_some(Self(value + 0.0))
            }

            /// The nearest value in range; NaN becomes zero. For computed values whose inputs
            /// were in range and that rounding alone can push out of it.
            pub fn saturating(value: f64) -> Self {
                if value.is_nan() { Self::ZERO } else { Self(value.clamp(0.0, $max) + 0.0) }
            }

            #[doc = concat!("The bare number, in ", $unit, ".")]
            pub const fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;

            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value).ok_or(OutOfRange { quantity: stringify!($name), value })
            }
        }

        impl From<$name> for f64 {
            fn from(quantity: $name) -> f64 {
                quantity.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

/// A number that its quantity cannot take.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{value} is no {quantity}: it must be finite, not negative, and in range")]
pub struct OutOfRange {
    quantity: &'static str,
    value: f64,
}

quantity! {
    /// Requests per second.
    RequestRate, "requests per second", max = f64::MAX
}
quantity! {
    /// Offered load, arrival rate × service time: the mean number of batch slots in use if none
    /// ever had to wait.
    Erlangs, "erlangs", max = f64::MAX
}
quantity! {
    /// A share of a capacity, 0–1.
    Utilization, "a ratio from 0 to 1", max = 1.0
}
quantity! {
    /// A probability or quantile level, 0–1.
    Probability, "a ratio from 0 to 1", max = 1.0
}
quantity! {
    /// What a GPU is worth to a pool: per GPU-hour, in any currency that all pools share.
    GpuWorth, "a currency per GPU-hour", max = f64::MAX
}
quantity! {
    /// Accelerators × seconds held, from the moment a start is ordered.
    GpuSeconds, "GPU-seconds", max = f64::MAX
}

impl RequestRate {
    /// Offered load of requests arriving at this rate that each hold a slot for `service_time`
    /// (Little's Law): 5 requests/s × 8 s = 40 erlangs.
    pub fn offered_load(self, service_time: Duration) -> Erlangs {
        Erlangs::saturating(self.0 * service_time.as_secs_f64())
    }
}

/// How many replicas.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ReplicaCount(pub u32);

impl fmt::Display for ReplicaCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Batch slots of one replica; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Concurrency(u32);

impl Concurrency {
    /// `None` for zero: a replica without a slot serves nobody.
    pub const fn new(slots: u32) -> Option<Self> {
        if slots == 0 { None } else { Some(Self(slots)) }
    }

    /// The bare number of slots.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Concurrency {
    type Error = OutOfRange;

    fn try_from(slots: u32) -> Result<Self, OutOfRange> {
        Self::new(slots).ok_or(OutOfRange { quantity: "Concurrency", value: 0.0 })
    }
}

impl From<Concurrency> for u32 {
    fn from(concurrency: Concurrency) -> u32 {
        concurrency.0
    }
}

impl fmt::Display for Concurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_reject_what_they_cannot_be() {
        for bad in [f64::NAN, -1.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(RequestRate::new(bad), None, "{bad}");
            assert_eq!(Utilization::new(bad), None, "{bad}");
        }
        assert_eq!(Utilization::new(1.01), None);
        assert_eq!(Utilization::new(-0.0).map(|u| u.get().to_bits()), Some(0));
        assert_eq!(Concurrency::new(0), None);
    }

    #[test]
    fn offered_load_is_rate_times_service_time() {
        let load = RequestRate::saturating(5.0).offered_load(Duration::from_secs(8));
        assert_eq!(load.get(), 40.0);
    }

    #[test]
    fn time_saturates_at_both_ends() {
        let t = Instant::from_nanos(5);
        assert_eq!(t.saturating_sub(Duration::from_secs(1)), Instant::ORIGIN);
        assert_eq!(t.saturating_add(Duration::MAX).as_nanos(), u64::MAX);
        assert_eq!(Instant::ORIGIN.since(t), Duration::ZERO);
    }
}
