//! `hpa-gpu`: an HPA on the mean GPU utilisation of its replicas.
//!
//! Source: Kubernetes HPA; the recipe of `kubernetes/examples`, `ai/vllm-deployment/hpa`.
//!
//! **Invariant:** the gauge is as misleading as it is; nothing here corrects it.

use std::time::Duration;

use super::hpa::{Behavior, Hpa, HpaKnobs, Metric, SYNC_PERIOD};
use super::knobs::{Spec, Tunable};
use super::signals::provisioned;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

/// dcgm-exporter collects every 30 s.
const DCGM: MetricsPipeline =
    MetricsPipeline { scrape_interval: Duration::from_secs(30), delay: Duration::from_secs(1) };

/// Settings of `hpa-gpu`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaGpuKnobs {
    /// Mean utilisation to keep, in percent.
    pub target_percent: f64,
    /// The HPA.
    pub hpa: HpaKnobs,
}

impl Default for HpaGpuKnobs {
    /// 80 %, as the HPA's default for CPU; there is none for GPUs.
    fn default() -> Self {
        Self { target_percent: 80.0, hpa: HpaKnobs::default() }
    }
}

impl HpaGpuKnobs {
    /// `gpu-horizontal-pod-autoscaler.yaml` of `kubernetes/examples`: 20 %, and 30 s down.
    pub fn llm_guide() -> Self {
        let mut behavior = Behavior::default();
        behavior.down.stabilization = Duration::from_secs(30);
        let hpa = HpaKnobs { behavior: Some(behavior), ..HpaKnobs::default() };
        Self { target_percent: 20.0, hpa }
    }
}

pub(crate) struct HpaGpu;

impl Spec for HpaGpu {
    const NAME: &'static str = "hpa-gpu";
    const VARIANTS: &'static [&'static str] = &["guide"];
    type Knobs = HpaGpuKnobs;
    const TUNABLES: &'static [Tunable<HpaGpuKnobs>] = &[
        Tunable {
            name: "target_percent",
            values: &[20.0, 50.0, 60.0, 70.0, 80.0, 90.0],
            set: |knobs, value| knobs.target_percent = value,
        },
        Tunable {
            name: "down_window_s",
            values: &[30.0, 300.0, 900.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> HpaGpuKnobs {
        HpaGpuKnobs::default()
    }

    fn variant(name: &str) -> Option<HpaGpuKnobs> {
        (name == "guide").then(HpaGpuKnobs::llm_guide)
    }

    fn build(bounds: &PoolBounds, knobs: HpaGpuKnobs) -> Box<dyn Scaler> {
        let hpa = Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa);
        Box::new(HpaGpuScaler { hpa, target_percent: knobs.target_percent })
    }
}

struct HpaGpuScaler {
    hpa: Hpa,
    target_percent: f64,
}

impl Scaler for HpaGpuScaler {
    fn name(&self) -> &str {
        HpaGpu::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        DCGM
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let samples: Vec<f64> = view.ready_metrics().map(|m| m.gpu_utilization * 100.0).collect();
        let missing = provisioned(view).saturating_sub(samples.len() as u32);
        let metric = Metric::Pods { samples, missing, target: self.target_percent };
        self.hpa.sync(view, &[Some(metric)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    #[test]
    fn a_gauge_near_one_asks_for_a_quarter_more_until_replicas_load() {
        let mut scaler = HpaGpu::build(&bounds(1, 20), HpaGpuKnobs::default());
        let busy = |fleet: Fleet, count| fleet.ready(count, |m| m.gpu_utilization = 1.0);
        // 100 ÷ 80 × 4 = 5.
        assert_eq!(scaler.tick(&busy(Fleet::new(0), 4).view()), 5);
        // 4 × 100 ÷ 5 = 80: on target while the fifth loads.
        assert_eq!(scaler.tick(&busy(Fleet::new(15), 4).starting(1).view()), 5);
    }

    #[test]
    fn no_sample_holds() {
        let mut scaler = HpaGpu::build(&bounds(1, 20), HpaGpuKnobs::default());
        assert_eq!(scaler.tick(&Fleet::new(0).blind(4).view()), 4);
    }
}
