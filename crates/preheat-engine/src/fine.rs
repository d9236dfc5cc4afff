//! Time finer than a nanosecond, so that the sum of many step times does not depend on how the
//! steps are grouped. It knows nothing of engines.
//!
//! **Invariant:** integers only. Adding a then b gives exactly what adding a + b gives.

use preheat_core::Instant;

/// Femtoseconds in a nanosecond.
pub(crate) const FEMTOS_PER_NANO: u64 = 1_000_000;

/// A point in time with femtosecond resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FineInstant {
    nanos: u64,
    /// Below [`FEMTOS_PER_NANO`].
    femtos: u64,
}

impl FineInstant {
    /// The same point, exactly.
    pub(crate) const fn from_instant(instant: Instant) -> Self {
        Self { nanos: instant.as_nanos(), femtos: 0 }
    }

    /// This point plus `femtos` femtoseconds; clamped at the end of representable time.
    pub(crate) const fn plus(self, femtos: u64) -> Self {
        let sum = self.femtos + femtos % FEMTOS_PER_NANO;
        let carried = femtos / FEMTOS_PER_NANO + sum / FEMTOS_PER_NANO;
        Self { nanos: self.nanos.saturating_add(carried), femtos: sum % FEMTOS_PER_NANO }
    }

    /// The first whole nanosecond not before this point: when it can be seen to have happened.
    pub(crate) const fn ceil(self) -> Instant {
        Instant::from_nanos(if self.femtos == 0 {
            self.nanos
        } else {
            self.nanos.saturating_add(1)
        })
    }

    /// Whether `instant` lies at or before this point.
    pub(crate) const fn has_reached(self, instant: Instant) -> bool {
        instant.as_nanos() <= self.nanos
    }

    /// Femtoseconds from here to `instant`, zero when it has been reached, and at most
    /// `u64::MAX` (five hours).
    pub(crate) const fn femtos_until(self, instant: Instant) -> u64 {
        if self.has_reached(instant) {
            return 0;
        }
        let nanos = instant.as_nanos() - self.nanos;
        nanos.saturating_mul(FEMTOS_PER_NANO).saturating_sub(self.femtos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grouping_does_not_matter() {
        let start = FineInstant::from_instant(Instant::from_nanos(7));
        let one_by_one = (0..10).fold(start, |t, _| t.plus(1_234_567));
        assert_eq!(one_by_one, start.plus(12_345_670));
        assert_eq!(one_by_one.ceil(), Instant::from_nanos(7 + 13));
    }

    #[test]
    fn the_window_to_an_instant_is_exact() {
        let t = FineInstant::from_instant(Instant::from_nanos(5)).plus(250_000);
        assert_eq!(t.femtos_until(Instant::from_nanos(7)), 1_750_000);
        assert_eq!(t.plus(1_750_000).ceil(), Instant::from_nanos(7));
        assert_eq!(t.femtos_until(Instant::from_nanos(5)), 0);
        assert_eq!(t.femtos_until(Instant::from_nanos(u64::MAX)), u64::MAX - 250_000);
    }
}
