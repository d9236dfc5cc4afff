//! A count over time that changes now and then.

use std::time::Duration;

use preheat_core::Instant;

/// A count and when it changed, ascending in time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    changes: Vec<(Instant, u32)>,
}

/// From one moment to another, a count stayed the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// Those of the first, and of the second.
    pub(super) counts: (u32, u32),
}

impl Stretch {
    pub(super) fn lasts(&self) -> Duration {
        self.until.since(self.from)
    }
}

impl Counts {
    /// From now on it is so many.
    pub(super) fn set(&mut self, now: Instant, count: u32) {
        if self.changes.last().is_none_or(|last| last.1 != count) {
            self.changes.push((now, count));
        }
    }

    /// Its changes, the first value among them.
    pub(super) fn changes(&self) -> &[(Instant, u32)] {
        &self.changes
    }

    /// How many at a moment; `None` before the first was known.
    pub(super) fn at(&self, moment: Instant) -> Option<u32> {
        let after = self.changes.partition_point(|change| change.0 <= moment);
        Some(self.changes.get(after.checked_sub(1)?)?.1)
    }

    /// Since when, seen from `moment`, it has been at least `level` without a break; `None` where it is
    /// not. The flag says that it was from the begin of what is known.
    pub(super) fn at_least_since(&self, level: u32, moment: Instant) -> Option<(Instant, bool)> {
        let until = self.changes.partition_point(|change| change.0 <= moment);
        let known = self.changes.get(..until)?;
        let below = known.iter().rposition(|change| change.1 < level);
        let first = below.map_or(0, |below| below + 1);
        Some((known.get(first)?.0, below.is_none()))
    }

    /// Until when, before the change at `moment`, it was last at least `level`.
    pub(super) fn at_least_until(&self, level: u32, moment: Instant) -> Option<Instant> {
        let until = self.changes.partition_point(|change| change.0 <= moment);
        let known = self.changes.get(..until)?;
        let had =
            known.windows(2).rev().find(|pair| pair.first().is_some_and(|was| was.1 >= level));
        had.and_then(|pair| pair.last()).map(|next| next.0)
    }

    /// When, after `moment`, it is at least `level` first.
    pub(super) fn at_least_after(&self, level: u32, moment: Instant) -> Option<Instant> {
        let after = self.changes.partition_point(|change| change.0 <= moment);
        let later = self.changes.get(after..)?;
        later.iter().find(|change| change.1 >= level).map(|change| change.0)
    }

    /// When, after `moment`, it is below `level` first.
    pub(super) fn below_after(&self, level: u32, moment: Instant) -> Option<Instant> {
        let after = self.changes.partition_point(|change| change.0 <= moment);
        let later = self.changes.get(after..)?;
        later.iter().find(|change| change.1 < level).map(|change| change.0)
    }

    /// Stretches in which both counts stay the same, up to `end`.
    pub(super) fn beside(&self, other: &Self, end: Instant) -> Vec<Stretch> {
        let mut moments: Vec<Instant> =
            self.changes.iter().chain(&other.changes).map(|change| change.0).collect();
        moments.sort_unstable();
        moments.dedup();
        moments.push(end);
        let stretch = |pair: &[Instant]| {
            let &[from, until] = pair else { return None };
            let counts = (self.at(from)?, other.at(from)?);
            (until > from).then_some(Stretch { from, until, counts })
        };
        moments.windows(2).filter_map(stretch).collect()
    }
}
