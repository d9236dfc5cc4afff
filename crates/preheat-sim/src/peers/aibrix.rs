//! `aibrix`: AIBrix's APA on KV cache utilisation, as coded and corrected.
//!
//! Source: AIBrix e3e10f9 (2026-08-23), `pkg/controller/podautoscaler`.
//!
//! **Invariant:** as coded, the window that should hold back a scale-down takes its lowest
//! proposal. `aibrix:corrected` takes the highest, as the Kubernetes HPA does.

use std::time::Duration;

use super::knobs::{Spec, Tunable, count_down, count_up, secs};
use super::signals::Window;
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

const RECONCILE: Duration = Duration::from_secs(10);

/// Settings of `aibrix`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AibrixKnobs {
    /// `targetValue` of `kv_cache_usage_perc`, as a ratio; the sample's, there is no default.
    pub target: f64,
    /// `observeWindowSeconds`.
    pub window: Duration,
    /// `up-fluctuation-tolerance`.
    pub tolerance_up: f64,
    /// `down-fluctuation-tolerance`.
    pub tolerance_down: f64,
    /// `max-scale-up-rate`.
    pub scale_up_rate_max: f64,
    /// `max-scale-down-rate`.
    pub scale_down_rate_max: f64,
    /// Cooldown before a scale-up.
    pub cooldown_up: Duration,
    /// Cooldown before a scale-down.
    pub cooldown_down: Duration,
    /// Whether the window of the cooldown down takes its highest proposal.
    pub corrected: bool,
}

impl Default for AibrixKnobs {
    fn default() -> Self {
        Self {
            target: 0.5,
            window: Duration::from_secs(180),
            tolerance_up: 0.1,
            tolerance_down: 0.1,
            scale_up_rate_max: 2.0,
            scale_down_rate_max: 2.0,
            cooldown_up: Duration::ZERO,
            cooldown_down: Duration::from_secs(300),
            corrected: false,
        }
    }
}

impl AibrixKnobs {
    /// `samples/autoscaling/apa.yaml`: a window of 30 s, and 0.2 downwards.
    pub fn llm_guide() -> Self {
        Self { window: Duration::from_secs(30), tolerance_down: 0.2, ..Self::default() }
    }

    /// With the window as it was meant.
    pub fn corrected() -> Self {
        Self { corrected: true, ..Self::default() }
    }
}

pub(crate) struct Aibrix;

impl Spec for Aibrix {
    const NAME: &'static str = "aibrix";
    const VARIANTS: &'static [&'static str] = &["corrected", "guide"];
    type Knobs = AibrixKnobs;
    const TUNABLES: &'static [Tunable<AibrixKnobs>] = &[
        Tunable {
            name: "target_kv",
            values: &[0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7],
            set: |knobs, value| knobs.target = value,
        },
        Tunable {
            name: "window_s",
            values: &[30.0, 60.0, 180.0],
            set: |knobs, value| knobs.window = secs(value),
        },
        Tunable {
            name: "corrected",
            values: &[0.0, 1.0],
            set: |knobs, value| knobs.corrected = value != 0.0,
        },
    ];

    fn defaults() -> AibrixKnobs {
        AibrixKnobs::default()
    }

    fn variant(name: &str) -> Option<AibrixKnobs> {
        match name {
            "corrected" => Some(AibrixKnobs::corrected()),
            "guide" => Some(AibrixKnobs::llm_guide()),
            _ => None,
        }
    }

    fn build(bounds: &PoolBounds, knobs: AibrixKnobs) -> Box<dyn Scaler> {
        Box::new(AibrixScaler {
            knobs,
            bounds: *bounds,
            metric: Window::new(knobs.window),
            up: Window::new(knobs.cooldown_up),
            down: Window::new(knobs.cooldown_down),
        })
    }
}

struct AibrixScaler {
    knobs: AibrixKnobs,
    bounds: PoolBounds,
    metric: Window,
    up: Window,
    down: Window,
}

impl AibrixScaler {
    fn propose(&self, mean: f64, replicas: u32) -> u32 {
        let (ratio, n) = (mean / self.knobs.target, f64::from(replicas));
        let wish = count_up(n * ratio);
        if ratio > 1.0 + self.knobs.tolerance_up {
            wish.min(count_up(n * self.knobs.scale_up_rate_max))
        } else if ratio < 1.0 - self.knobs.tolerance_down {
            wish.max(count_down(n / self.knobs.scale_down_rate_max))
        } else {
            replicas
        }
    }
}

impl Scaler for AibrixScaler {
    fn name(&self) -> &str {
        if self.knobs.corrected { "aibrix:corrected" } else { Aibrix::NAME }
    }

    fn period(&self) -> Duration {
        RECONCILE
    }

    fn pipeline(&self) -> MetricsPipeline {
        // The controller asks replicas itself at each reconcile.
        MetricsPipeline { scrape_interval: RECONCILE, delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let replicas = view.desired;
        if replicas == 0 && self.bounds.replicas_min != 0 {
            return 0;
        }
        let usages = view.ready_metrics().map(|m| m.kv_utilization);
        let (sum, count) = usages.fold((0.0, 0_u32), |(sum, n), usage| (sum + usage, n + 1));
        if count == 0 {
            return replicas;
        }
        self.metric.push(view.now, sum / f64::from(count));
        let mean = self.metric.mean().unwrap_or_default();
        let proposal = self.propose(mean, replicas);
        self.up.push(view.now, f64::from(proposal));
        self.down.push(view.now, f64::from(proposal));
        let proposal = if proposal > replicas {
            self.up.max()
        } else if self.knobs.corrected {
            self.down.max().map(|highest| highest.min(f64::from(replicas)))
        } else {
            self.down.min()
        };
        let proposal = count_up(proposal.unwrap_or_default());
        proposal.clamp(self.bounds.replicas_min, self.bounds.replicas_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn tick(scaler: &mut Box<dyn Scaler>, now: u64, ready: u32, kv: f64) -> u32 {
        scaler.tick(&Fleet::new(now).ready(ready, move |m| m.kv_utilization = kv).view())
    }

    #[test]
    fn proposals_are_held_to_double_and_half() {
        for (kv, proposal) in
            [(0.7, 6), (0.9, 8), (0.54, 4), (0.46, 4), (0.4, 4), (0.3, 3), (0.0, 2)]
        {
            let mut scaler = Aibrix::build(&bounds(1, 100), AibrixKnobs::default());
            assert_eq!(tick(&mut scaler, 10, 4, kv), proposal, "{kv}");
        }
    }

    #[test]
    fn pending_replicas_do_not_hold_it_back() {
        let mut scaler = Aibrix::build(&bounds(1, 100), AibrixKnobs::default());
        let mut desired = 2;
        let mut seen = Vec::new();
        for tick in 1..=4 {
            let fleet = Fleet::new(tick * 10).ready(2, |m| m.kv_utilization = 1.0);
            desired = scaler.tick(&fleet.desired(desired).view());
            seen.push(desired);
        }
        assert_eq!(seen, [4, 8, 16, 32]);
    }

    #[test]
    fn as_coded_one_low_look_in_five_minutes_shrinks_and_corrected_it_does_not() {
        let run = |knobs| {
            let mut scaler = Aibrix::build(&bounds(1, 100), knobs);
            let mut seen = Vec::new();
            let mut desired = 8;
            for (now, kv) in [(10, 0.5), (200, 0.1), (390, 0.5), (700, 0.1), (710, 0.1)] {
                desired = tick(&mut scaler, now, desired, kv);
                seen.push(desired);
            }
            seen
        };
        // At 390 s the utilisation is on target again, and the window still says 4.
        assert_eq!(run(AibrixKnobs::default()), [8, 4, 4, 2, 1]);
        assert_eq!(run(AibrixKnobs::corrected()), [8, 8, 8, 4, 4]);
    }

    #[test]
    fn no_metric_holds() {
        let mut scaler = Aibrix::build(&bounds(1, 100), AibrixKnobs::default());
        assert_eq!(scaler.tick(&Fleet::new(10).blind(5).view()), 5);
    }
}
