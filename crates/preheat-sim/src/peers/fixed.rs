//! `static:N`: a fleet that nobody scales.

use std::time::Duration;

use super::hpa::PROMETHEUS;
use super::knobs::{Spec, Tunable, count_up};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

/// Settings of `static:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StaticKnobs {
    /// How many replicas; the pool's minimum unless told.
    pub replicas: Option<u32>,
}

pub(crate) struct Static;

impl Spec for Static {
    const NAME: &'static str = "static";
    type Knobs = StaticKnobs;
    const TUNABLES: &'static [Tunable<StaticKnobs>] = &[Tunable {
        name: "replicas",
        values: &[
            1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0, 20.0, 24.0, 32.0, 40.0, 48.0, 64.0,
            80.0, 100.0,
        ],
        set: |knobs, value| knobs.replicas = Some(count_up(value)),
    }];

    fn defaults() -> StaticKnobs {
        StaticKnobs::default()
    }

    fn variant(name: &str) -> Option<StaticKnobs> {
        name.parse().ok().map(|replicas| StaticKnobs { replicas: Some(replicas) })
    }

    fn build(bounds: &PoolBounds, knobs: StaticKnobs) -> Box<dyn Scaler> {
        let replicas = knobs.replicas.unwrap_or(bounds.replicas_min);
        Box::new(FixedScaler { name: format!("static:{replicas}"), replicas })
    }
}

struct FixedScaler {
    name: String,
    replicas: u32,
}

impl Scaler for FixedScaler {
    fn name(&self) -> &str {
        &self.name
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn replicas_initial(&self) -> Option<u32> {
        Some(self.replicas)
    }

    fn tick(&mut self, _view: &FleetView<'_>) -> u32 {
        self.replicas
    }
}
