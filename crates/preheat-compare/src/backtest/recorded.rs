//! The fleet as it was, as an autoscaler: what really happened, replayed in the model.
//!
//! **Invariant:** it looks at nothing but the clock.

use std::time::Duration;

use preheat_sim::scaler::Scaler;
use preheat_sim::view::{FleetView, MetricsPipeline};

/// Replicas that existed in each step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    step: Duration,
    existing: Vec<f64>,
}

impl Recorded {
    /// As it was, starting replicas included.
    pub(crate) const fn new(step: Duration, existing: Vec<f64>) -> Self {
        Self { step, existing }
    }
}

impl Scaler for Recorded {
    fn name(&self) -> &str {
        "recorded"
    }

    fn period(&self) -> Duration {
        self.step
    }

    fn pipeline(&self) -> MetricsPipeline {
        MetricsPipeline { scrape_interval: self.step, delay: Duration::ZERO }
    }

    fn replicas_initial(&self) -> Option<u32> {
        self.existing.first().map(|count| count.round() as u32)
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let index = u128::from(view.now.as_nanos()) / self.step.as_nanos().max(1);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let count = self.existing.get(index).or(self.existing.last());
        count.map_or(0, |count| count.round() as u32)
    }
}
