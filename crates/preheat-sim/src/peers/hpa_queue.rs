//! `hpa-queue`: an HPA on the number of waiting requests, through prometheus-adapter.
//!
//! Source: Kubernetes HPA; the HPA tutorial of vLLM production-stack (a6c01db) and its like.

use std::time::Duration;

use super::hpa::{Hpa, HpaKnobs, Metric, PROMETHEUS, SYNC_PERIOD};
use super::knobs::{Spec, Tunable};
use super::signals::sum;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

/// What the queue's target means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QueueTarget {
    /// The whole queue, times ready replicas.
    Value(f64),
    /// Waiting requests per replica.
    AverageValue(f64),
}

/// Settings of `hpa-queue`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaQueueKnobs {
    /// The queue to keep.
    pub target: QueueTarget,
    /// The HPA.
    pub hpa: HpaKnobs,
}

impl Default for HpaQueueKnobs {
    /// production-stack's tutorial: Object metric, `Value` 1.
    fn default() -> Self {
        Self { target: QueueTarget::Value(1.0), hpa: HpaKnobs::default() }
    }
}

impl HpaQueueKnobs {
    /// Most guides: `AverageValue` 5 with the default behaviour.
    pub fn llm_guide() -> Self {
        let hpa = HpaKnobs { behavior: Some(Default::default()), ..HpaKnobs::default() };
        Self { target: QueueTarget::AverageValue(5.0), hpa }
    }
}

pub(crate) struct HpaQueue;

impl Spec for HpaQueue {
    const NAME: &'static str = "hpa-queue";
    const VARIANTS: &'static [&'static str] = &["guide"];
    type Knobs = HpaQueueKnobs;
    const TUNABLES: &'static [Tunable<HpaQueueKnobs>] = &[
        Tunable {
            name: "average_value",
            values: &[1.0, 3.0, 5.0, 10.0, 25.0],
            set: |knobs, value| knobs.target = QueueTarget::AverageValue(value),
        },
        Tunable {
            name: "down_window_s",
            values: &[60.0, 300.0, 900.0, 1800.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
        Tunable {
            name: "up_window_s",
            values: &[0.0, 60.0, 180.0],
            set: |knobs, value| knobs.hpa.set_up_window(value),
        },
    ];

    fn defaults() -> HpaQueueKnobs {
        HpaQueueKnobs::default()
    }

    fn variant(name: &str) -> Option<HpaQueueKnobs> {
        (name == "guide").then(HpaQueueKnobs::llm_guide)
    }

    fn build(bounds: &PoolBounds, knobs: HpaQueueKnobs) -> Box<dyn Scaler> {
        let hpa = Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa);
        Box::new(HpaQueueScaler { hpa, target: knobs.target })
    }
}

struct HpaQueueScaler {
    hpa: Hpa,
    target: QueueTarget,
}

impl Scaler for HpaQueueScaler {
    fn name(&self) -> &str {
        HpaQueue::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let waiting = sum(view, |m| f64::from(m.waiting));
        let metric = waiting.map(|total| match self.target {
            QueueTarget::Value(target) => Metric::Value { total, target },
            QueueTarget::AverageValue(target) => Metric::AverageValue { total, target },
        });
        self.hpa.sync(view, &[metric])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn tick(knobs: HpaQueueKnobs, fleet: &Fleet) -> u32 {
        HpaQueue::build(&bounds(1, 50), knobs).tick(&fleet.view())
    }

    #[test]
    fn value_and_average_value_differ_by_the_ready_replicas() {
        let fleet = Fleet::new(0).ready(2, |m| m.waiting = 4).starting(1);
        // Value: 8 ÷ 1 × 2 ready = 16, held to 2 × 3 = 6 by the step limit.
        assert_eq!(tick(HpaQueueKnobs::default(), &fleet), 6);
        // AverageValue: 8 ÷ 5 = 1.6 → 2, but the first look remembers 3.
        assert_eq!(tick(HpaQueueKnobs::llm_guide(), &fleet), 3);
        let long = Fleet::new(0).ready(2, |m| m.waiting = 40).starting(1);
        // 80 ÷ 5 = 16, at most 3 + 4 in 15 s.
        assert_eq!(tick(HpaQueueKnobs::llm_guide(), &long), 7);
    }

    #[test]
    fn no_series_freezes() {
        assert_eq!(tick(HpaQueueKnobs::default(), &Fleet::new(0).blind(7)), 7);
    }
}
