//! The Kubernetes HPA: what all policies that end in one share.
//!
//! Source: Kubernetes, `pkg/controller/podautoscaler/horizontal.go` (1.28–1.30).
//!
//! **Invariant:** a metric that can't be read never shrinks a fleet.

mod behavior;
mod proposal;

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::Instant;

pub use behavior::{Behavior, RateLimit, Rules, Select};
pub use proposal::Tolerance;
pub(crate) use proposal::{Metric, Scale};

use behavior::Changes;

use crate::peers::knobs::secs;
use crate::peers::signals::provisioned;
use crate::view::{FleetView, MetricsPipeline, ReplicaState};

/// `--horizontal-pod-autoscaler-sync-period`.
pub(crate) const SYNC_PERIOD: Duration = Duration::from_secs(15);
/// `--horizontal-pod-autoscaler-downscale-stabilization`.
const DOWNSCALE_STABILIZATION: Duration = Duration::from_secs(300);
/// Without a behaviour a step may double the replicas, or reach this.
const STEP_UP_MIN: u32 = 4;

/// A stock Prometheus that an adapter or KEDA asks: the newest scrape is seen after a second.
pub(crate) const PROMETHEUS: MetricsPipeline =
    MetricsPipeline { scrape_interval: Duration::from_secs(15), delay: Duration::from_secs(1) };

/// What one HPA is told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HpaKnobs {
    /// When nothing is done.
    pub tolerance: Tolerance,
    /// `spec.behavior`, if it is set at all.
    pub behavior: Option<Behavior>,
}

impl HpaKnobs {
    /// Sets the window over which a scale-down takes the highest proposal.
    pub(crate) fn set_down_window(&mut self, value_secs: f64) {
        self.behavior.get_or_insert_default().down.stabilization = secs(value_secs);
    }

    /// Sets the window over which a scale-up takes the lowest proposal.
    pub(crate) fn set_up_window(&mut self, value_secs: f64) {
        self.behavior.get_or_insert_default().up.stabilization = secs(value_secs);
    }
}

/// One HPA and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Hpa {
    replicas_min: u32,
    replicas_max: u32,
    knobs: HpaKnobs,
    proposals: VecDeque<(Instant, u32)>,
    changes: Changes,
}

impl Hpa {
    pub(crate) fn new(replicas_min: u32, replicas_max: u32, knobs: HpaKnobs) -> Self {
        let (proposals, changes) = (VecDeque::new(), Changes::default());
        Self { replicas_min, replicas_max, knobs, proposals, changes }
    }

    /// The new `spec.replicas`. A metric that could not be read is `None`.
    pub(crate) fn sync(&mut self, view: &FleetView<'_>, metrics: &[Option<Metric>]) -> u32 {
        let scale = Scale {
            spec: view.desired,
            status: provisioned(view),
            ready: view.count(ReplicaState::Ready),
        };
        let desired = self.decide(view.now, scale, metrics);
        self.changes.record(view.now, scale.spec, desired);
        desired
    }

    fn decide(&mut self, now: Instant, scale: Scale, metrics: &[Option<Metric>]) -> u32 {
        let Scale { spec, .. } = scale;
        if self.proposals.is_empty() {
            self.proposals.push_back((now, spec));
        }
        // Zero by somebody else's hand disables it.
        if spec == 0 && self.replicas_min != 0 {
            return 0;
        }
        if spec > self.replicas_max || spec < self.replicas_min {
            return spec.clamp(self.replicas_min, self.replicas_max);
        }
        let propose = |metric: &Metric| metric.propose(scale, self.knobs.tolerance);
        let proposals = metrics.iter().map(|metric| metric.as_ref().and_then(propose));
        let blind = proposals.clone().any(|proposal| proposal.is_none());
        let Some(proposal) = proposals.flatten().max() else { return spec };
        if blind && proposal < spec {
            return spec;
        }
        match self.knobs.behavior {
            None => self.without_behavior(now, spec, proposal),
            Some(behavior) => self.with_behavior(now, spec, proposal, &behavior),
        }
    }

    fn without_behavior(&mut self, now: Instant, spec: u32, proposal: u32) -> u32 {
        self.remember(now, proposal, DOWNSCALE_STABILIZATION);
        let highest = self.proposals.iter().map(|(_, p)| *p).max().unwrap_or(proposal);
        let limit = spec.saturating_mul(2).max(STEP_UP_MIN);
        highest.min(limit).clamp(self.replicas_min, self.replicas_max)
    }

    fn with_behavior(
        &mut self,
        now: Instant,
        spec: u32,
        proposal: u32,
        behavior: &Behavior,
    ) -> u32 {
        let (up, down) = (&behavior.up, &behavior.down);
        self.remember(now, proposal, up.stabilization.max(down.stabilization));
        let within = |window: Duration| {
            let recent = self.proposals.iter().filter(move |(at, _)| now.since(*at) < window);
            recent.map(|(_, p)| *p).chain([proposal])
        };
        let lowest = within(up.stabilization).min().unwrap_or(proposal);
        let highest = within(down.stabilization).max().unwrap_or(proposal);
        let stable = spec.max(lowest).min(highest);
        let limited = if stable > spec {
            stable.min(up.limit_up(&self.changes, now, spec))
        } else {
            stable.max(down.limit_down(&self.changes, now, spec))
        };
        limited.clamp(self.replicas_min, self.replicas_max)
    }

    fn remember(&mut self, now: Instant, proposal: u32, window: Duration) {
        self.proposals.push_back((now, proposal));
        while self.proposals.front().is_some_and(|(at, _)| now.since(*at) > window) {
            self.proposals.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, at};

    fn average(total: f64) -> Vec<Option<Metric>> {
        vec![Some(Metric::AverageValue { total, target: 5.0 })]
    }

    /// Ticks of 15 s with everything ready at once.
    fn run(hpa: &mut Hpa, mut spec: u32, totals: &[f64]) -> Vec<u32> {
        let mut seen = Vec::new();
        for (tick, total) in totals.iter().enumerate() {
            let fleet = Fleet::new(tick as u64 * 15).ready(spec, |_| {});
            spec = hpa.sync(&fleet.view(), &average(*total));
            seen.push(spec);
        }
        seen
    }

    #[test]
    fn without_a_behavior_it_doubles_up_and_waits_down() {
        let mut hpa = Hpa::new(1, 100, HpaKnobs::default());
        assert_eq!(run(&mut hpa, 1, &[200.0; 5]), [4, 8, 16, 32, 40]);
        let mut hpa = Hpa::new(1, 100, HpaKnobs::default());
        // The first look stores the present count, and it is as old as the window at 300 s.
        let seen = run(&mut hpa, 10, &[0.0; 23]);
        assert_eq!((seen[0], seen[20], seen[21]), (10, 10, 1));
    }

    #[test]
    fn an_up_window_waits_for_the_lowest_proposal() {
        let mut knobs = HpaKnobs::default();
        knobs.set_up_window(30.0);
        let mut hpa = Hpa::new(1, 100, knobs);
        assert_eq!(run(&mut hpa, 2, &[40.0; 4]), [2, 2, 6, 8]);
    }

    #[test]
    fn one_blind_metric_lets_grow_and_never_shrink() {
        let mut hpa = Hpa::new(1, 100, HpaKnobs::default());
        let fleet = Fleet::new(0).ready(4, |_| {});
        let with_blind = |total| [average(total), vec![None]].concat();
        assert_eq!(hpa.sync(&fleet.view(), &with_blind(0.0)), 4);
        assert_eq!(hpa.sync(&fleet.view(), &with_blind(30.0)), 6);
        assert_eq!(hpa.sync(&fleet.view(), &[None]), 4);
    }

    #[test]
    fn zero_by_anothers_hand_disables_it_and_bounds_come_first() {
        let mut hpa = Hpa::new(2, 5, HpaKnobs::default());
        let decide = |hpa: &mut Hpa, spec| {
            hpa.decide(at(0), Scale { spec, status: spec, ready: spec }, &[None])
        };
        assert_eq!([0, 1, 3, 9].map(|spec| decide(&mut hpa, spec)), [0, 2, 3, 5]);
    }
}
