//! Parts of the policy that can be left out, to see what each is worth. Nobody would run a pool so.

use serde::{Deserialize, Serialize};

/// A part of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The record of rules on the pool's own traffic: the rule that is best beforehand is followed
    /// for ever.
    Rehearsal,
    /// What is believed of rules before they have a record.
    Prior,
    /// Rules on the smoothed load.
    Smoothing,
    /// Rules that hold for one lead time or two; only the longest hold window stays.
    ShortHolds,
    /// Rules that hold for six lead times.
    LongHolds,
    /// Rules that hold a share of the peak of a longer window.
    Tails,
    /// Replicas on top to drain a queue.
    Backlog,
    /// The stabilization window.
    Stabilization,
    /// Slow replicas counted for less than whole ones.
    Neighbours,
    /// Slots counted for what they take of a replica rather than by number.
    Fullness,
    /// More than the rules hold where first tokens come late.
    TtftGuard,
    /// What is announced.
    Schedules,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 12] = [
        Self::Rehearsal,
        Self::Prior,
        Self::Smoothing,
        Self::ShortHolds,
        Self::LongHolds,
        Self::Tails,
        Self::Backlog,
        Self::Stabilization,
        Self::Neighbours,
        Self::Fullness,
        Self::TtftGuard,
        Self::Schedules,
    ];

    /// Name as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal",
            Self::Prior => "prior",
            Self::Smoothing => "smoothing",
            Self::ShortHolds => "short-holds",
            Self::LongHolds => "long-holds",
            Self::Tails => "tails",
            Self::Backlog => "backlog",
            Self::Stabilization => "stabilization",
            Self::Neighbours => "neighbours",
            Self::Fullness => "fullness",
            Self::TtftGuard => "ttft-guard",
            Self::Schedules => "schedules",
        }
    }

    /// The part of that name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }
}
