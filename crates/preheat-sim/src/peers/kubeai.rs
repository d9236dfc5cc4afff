//! `kubeai`: KubeAI's moving average of active requests.
//!
//! Source: KubeAI f442a2c (2025-10-15), `internal/modelautoscaler` and `internal/modelscaler`.

use std::collections::VecDeque;
use std::time::Duration;

use super::knobs::{Spec, Target, Tunable, count_up, secs};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds, ReplicaState};

/// `modelAutoscaling.interval`.
const INTERVAL: Duration = Duration::from_secs(10);

/// Settings of `kubeai`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KubeAiKnobs {
    /// `targetRequests`.
    pub target: Target,
    /// `modelAutoscaling.timeWindow`.
    pub time_window: Duration,
    /// `scaleDownDelaySeconds`.
    pub scale_down_delay: Duration,
}

impl Default for KubeAiKnobs {
    fn default() -> Self {
        Self {
            target: Target::Requests(100.0),
            time_window: Duration::from_secs(600),
            scale_down_delay: Duration::from_secs(30),
        }
    }
}

impl KubeAiKnobs {
    /// A target that fits the engine's slots.
    pub fn llm_guide() -> Self {
        Self { target: Target::OfSlots(0.7), ..Self::default() }
    }
}

pub(crate) struct KubeAi;

impl Spec for KubeAi {
    const NAME: &'static str = "kubeai";
    const VARIANTS: &'static [&'static str] = &["guide"];
    type Knobs = KubeAiKnobs;
    const TUNABLES: &'static [Tunable<KubeAiKnobs>] = &[
        Tunable {
            name: "target_of_slots",
            values: &[0.3, 0.5, 0.6, 0.7, 0.8, 1.0],
            set: |knobs, value| knobs.target = Target::OfSlots(value),
        },
        Tunable {
            name: "time_window_s",
            values: &[30.0, 60.0, 180.0, 600.0],
            set: |knobs, value| knobs.time_window = secs(value),
        },
        Tunable {
            name: "scale_down_delay_s",
            values: &[30.0, 300.0, 900.0],
            set: |knobs, value| knobs.scale_down_delay = secs(value),
        },
    ];

    fn defaults() -> KubeAiKnobs {
        KubeAiKnobs::default()
    }

    fn variant(name: &str) -> Option<KubeAiKnobs> {
        (name == "guide").then(KubeAiKnobs::llm_guide)
    }

    fn build(bounds: &PoolBounds, knobs: KubeAiKnobs) -> Box<dyn Scaler> {
        let history = VecDeque::new();
        Box::new(KubeAiScaler { knobs, bounds: *bounds, history, lower_in_a_row: 0 })
    }
}

struct KubeAiScaler {
    knobs: KubeAiKnobs,
    bounds: PoolBounds,
    history: VecDeque<f64>,
    lower_in_a_row: u32,
}

impl KubeAiScaler {
    fn average(&mut self, active: f64) -> f64 {
        let intervals = |time: Duration| count_up(time.as_secs_f64() / INTERVAL.as_secs_f64());
        let length = intervals(self.knobs.time_window).max(1) as usize;
        // A controller that begins finds its last average in a ConfigMap; here it is the present.
        while self.history.len() < length {
            self.history.push_back(active);
        }
        self.history.pop_front();
        self.history.push_back(active);
        self.history.iter().sum::<f64>() / length as f64
    }
}

impl Scaler for KubeAiScaler {
    fn name(&self) -> &str {
        KubeAi::NAME
    }

    fn period(&self) -> Duration {
        INTERVAL
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Nothing is read from engines: the proxy counts.
        MetricsPipeline { scrape_interval: Duration::from_secs(60), delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let current = view.desired;
        if current == 0 && view.proxy.held > 0 {
            // The proxy, not the autoscaler, starts the first.
            return 1;
        }
        if view.count(ReplicaState::Ready) == 0 {
            // A model without endpoints is skipped.
            return current;
        }
        let average = self.average(f64::from(view.proxy.concurrency));
        let wish = count_up(average / self.knobs.target.requests(view.max_num_seqs));
        let wish = wish.clamp(self.bounds.replicas_min, self.bounds.replicas_max);
        if wish >= current {
            self.lower_in_a_row = 0;
            return wish;
        }
        let needed = self.knobs.scale_down_delay.as_secs_f64() / INTERVAL.as_secs_f64();
        self.lower_in_a_row += 1;
        if self.lower_in_a_row < count_up(needed) { current } else { wish }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn tick(scaler: &mut Box<dyn Scaler>, ready: u32, concurrency: u32) -> u32 {
        let fleet = Fleet::new(0).ready(ready, |_| {});
        scaler.tick(&fleet.proxy(|proxy| proxy.concurrency = concurrency).view())
    }

    #[test]
    fn ten_minutes_of_average_are_slow() {
        let mut scaler = KubeAi::build(&bounds(1, 100), KubeAiKnobs::default());
        assert_eq!(tick(&mut scaler, 1, 100), 1);
        // (59 × 100 + 700) ÷ 60 = 110 → 2; after 30 of them 400 → 4.
        assert_eq!(tick(&mut scaler, 1, 700), 2);
        let seen: Vec<u32> = (2..=30).map(|_| tick(&mut scaler, 2, 700)).collect();
        assert_eq!(seen.last(), Some(&4));
    }

    #[test]
    fn three_lower_readings_let_it_jump_and_every_further_one_too() {
        let mut scaler = KubeAi::build(&bounds(1, 100), KubeAiKnobs::default());
        let seen: Vec<u32> = [5, 5, 5, 4].map(|ready| tick(&mut scaler, ready, 150)).to_vec();
        assert_eq!(seen, [5, 5, 2, 2]);
        // A reading that is not lower begins the count anew.
        assert_eq!(tick(&mut scaler, 2, 150), 2);
        assert_eq!(tick(&mut scaler, 5, 150), 5);
    }

    #[test]
    fn a_model_without_endpoints_is_skipped() {
        let mut scaler = KubeAi::build(&bounds(0, 100), KubeAiKnobs::default());
        let fleet = Fleet::new(0).starting(3).proxy(|proxy| proxy.concurrency = 900);
        assert_eq!(scaler.tick(&fleet.view()), 3);
        let empty = Fleet::new(0).proxy(|proxy| proxy.held = 1);
        assert_eq!(scaler.tick(&empty.view()), 1);
    }
}
