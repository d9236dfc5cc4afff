//! How fast an HPA may move: `spec.behavior` of autoscaling/v2.
//!
//! Source: Kubernetes, `pkg/controller/podautoscaler/horizontal.go` (1.28–1.30) and the defaults of
//! autoscaling/v2.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::Instant;

use crate::peers::knobs::{count_down, count_up};

/// Rules for both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Behavior {
    /// Upwards.
    pub up: Rules,
    /// Downwards.
    pub down: Rules,
}

impl Default for Behavior {
    /// What autoscaling/v2 fills in: up max(4 replicas, 100 %) per 15 s at once, down 100 % per
    /// 15 s on the highest proposal of 300 s.
    fn default() -> Self {
        let period = Duration::from_secs(15);
        let double = RateLimit::Percent { percent: 100.0, period };
        let four = RateLimit::Replicas { replicas: 4, period };
        Self {
            up: Rules {
                stabilization: Duration::ZERO,
                select: Select::Max,
                limits: [Some(four), Some(double)],
            },
            down: Rules {
                stabilization: Duration::from_secs(300),
                select: Select::Max,
                limits: [Some(double), None],
            },
        }
    }
}

/// Rules for one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Go no further than every proposal of this window would.
    pub stabilization: Duration,
    /// Which limit counts.
    pub select: Select,
    /// Limits on the change per period.
    pub limits: [Option<RateLimit>; 2],
}

/// Which of several limits counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that lets most change happen.
    Max,
    /// The one that lets least change happen.
    Min,
    /// No change at all.
    Disabled,
}

/// The most that may change within a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateLimit {
    /// So many replicas.
    Replicas {
        /// How many.
        replicas: u32,
        /// In what time.
        period: Duration,
    },
    /// A share of the replicas at the period's begin.
    Percent {
        /// 100 is a doubling, or all.
        percent: f64,
        /// In what time.
        period: Duration,
    },
}

/// Changes that were made, for rate limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    made: VecDeque<(Instant, i64)>,
}

/// Changes older than this are forgotten: autoscaling/v2 lets no period be longer than 1800 s.
const PERIOD_MAX: Duration = Duration::from_secs(1800);

impl Changes {
    pub(super) fn record(&mut self, now: Instant, from: u32, to: u32) {
        while self.made.front().is_some_and(|(at, _)| now.since(*at) > PERIOD_MAX) {
            self.made.pop_front();
        }
        if from != to {
            self.made.push_back((now, i64::from(to) - i64::from(from)));
        }
    }

    /// Replicas at the begin of a period that ends now.
    fn at_begin(&self, now: Instant, period: Duration, spec: u32) -> u32 {
        let recent = self.made.iter().filter(|(at, _)| now.since(*at) < period);
        let change: i64 = recent.map(|(_, change)| change).sum();
        u32::try_from(i64::from(spec) - change).unwrap_or(0)
    }
}

impl Rules {
    /// The most that there may be after a step up; never less than `spec`.
    pub(super) fn limit_up(&self, changes: &Changes, now: Instant, spec: u32) -> u32 {
        let limit = |limit: &RateLimit| match *limit {
            RateLimit::Replicas { replicas, period } => {
                changes.at_begin(now, period, spec).saturating_add(replicas)
            }
            RateLimit::Percent { percent, period } => {
                let begin = f64::from(changes.at_begin(now, period, spec));
                count_up(begin * (1.0 + percent / 100.0))
            }
        };
        let limits = self.limits.iter().flatten().map(limit);
        let limit = match self.select {
            Select::Max => limits.max().unwrap_or(u32::MAX),
            Select::Min => limits.min().unwrap_or(u32::MAX),
            Select::Disabled => spec,
        };
        limit.max(spec)
    }

    /// The fewest that there may be after a step down; never more than `spec`.
    pub(super) fn limit_down(&self, changes: &Changes, now: Instant, spec: u32) -> u32 {
        let limit = |limit: &RateLimit| match *limit {
            RateLimit::Replicas { replicas, period } => {
                changes.at_begin(now, period, spec).saturating_sub(replicas)
            }
            RateLimit::Percent { percent, period } => {
                let begin = f64::from(changes.at_begin(now, period, spec));
                count_down(begin * (1.0 - percent / 100.0))
            }
        };
        let limits = self.limits.iter().flatten().map(limit);
        let limit = match self.select {
            Select::Max => limits.min().unwrap_or(0),
            Select::Min => limits.max().unwrap_or(0),
            Select::Disabled => spec,
        };
        limit.min(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{at, secs};

    #[test]
    fn the_default_goes_up_by_four_or_double_and_down_at_once() {
        let behavior = Behavior::default();
        let none = Changes::default();
        assert_eq!(behavior.up.limit_up(&none, at(0), 1), 5);
        assert_eq!(behavior.up.limit_up(&none, at(0), 10), 20);
        assert_eq!(behavior.down.limit_down(&none, at(0), 10), 0);
    }

    #[test]
    fn a_period_counts_from_the_replicas_at_its_begin() {
        let period = secs(60);
        let one = RateLimit::Replicas { replicas: 1, period };
        let rules =
            Rules { stabilization: secs(0), select: Select::Max, limits: [Some(one), None] };
        let mut changes = Changes::default();
        changes.record(at(0), 3, 4);
        assert_eq!(rules.limit_up(&changes, at(45), 4), 4);
        assert_eq!(rules.limit_up(&changes, at(60), 4), 5);
        assert_eq!(rules.limit_down(&changes, at(45), 4), 2);
    }

    #[test]
    fn select_chooses_between_limits() {
        let mut rules = Behavior::default().up;
        rules.select = Select::Min;
        assert_eq!(rules.limit_up(&Changes::default(), at(0), 10), 14);
        rules.select = Select::Disabled;
        assert_eq!(rules.limit_up(&Changes::default(), at(0), 10), 10);
    }
}
