//! `hpa-cpu`: an HPA on the CPU of its replicas, as for any other service.
//!
//! Source: Kubernetes HPA, `replica_calculator.go`; metrics-server's manifest for its resolution; the
//! Kubernetes example of vLLM's documentation for the request.
//!
//! **Invariant:** the signal says as little as it does; nothing here corrects it.

use std::time::Duration;

use super::hpa::{Hpa, HpaKnobs, Metric, SYNC_PERIOD};
use super::knobs::{Spec, Tunable};
use crate::scaler::Scaler;
use crate::view::{
    EngineMetrics, FleetView, MetricsPipeline, PoolBounds, ReplicaState, ReplicaView,
};

/// metrics-server asks every kubelet that often, and a usage is that of the time since it asked last.
const METRIC_RESOLUTION: Duration = Duration::from_secs(15);
/// A kubelet reads its containers' counters every 10 s.
const METRICS_SERVER: MetricsPipeline =
    MetricsPipeline { scrape_interval: METRIC_RESOLUTION, delay: Duration::from_secs(10) };
/// `--horizontal-pod-autoscaler-cpu-initialization-period`.
const INITIALIZATION: Duration = Duration::from_secs(300);

/// Settings of `hpa-cpu`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HpaCpuKnobs {
    /// Mean utilisation to keep, in percent of what replicas request.
    pub target_percent: f64,
    /// Cores that a replica requests.
    pub request_cores: f64,
    /// The HPA.
    pub hpa: HpaKnobs,
}

impl Default for HpaCpuKnobs {
    /// The HPA's 80 %, and the two cores of vLLM's example.
    fn default() -> Self {
        Self { target_percent: 80.0, request_cores: 2.0, hpa: HpaKnobs::default() }
    }
}

pub(crate) struct HpaCpu;

impl Spec for HpaCpu {
    const NAME: &'static str = "hpa-cpu";
    const IN_ALL: bool = false;
    type Knobs = HpaCpuKnobs;
    const TUNABLES: &'static [Tunable<HpaCpuKnobs>] = &[
        Tunable {
            name: "target_percent",
            values: &[20.0, 50.0, 60.0, 70.0, 80.0, 90.0],
            set: |knobs, value| knobs.target_percent = value,
        },
        Tunable {
            name: "request_cores",
            values: &[1.0, 2.0, 4.0],
            set: |knobs, value| knobs.request_cores = value,
        },
        Tunable {
            name: "down_window_s",
            values: &[30.0, 300.0, 900.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> HpaCpuKnobs {
        HpaCpuKnobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: HpaCpuKnobs) -> Box<dyn Scaler> {
        let hpa = Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa);
        let HpaCpuKnobs { target_percent, request_cores, .. } = knobs;
        Box::new(HpaCpuScaler { hpa, target_percent, request_cores })
    }
}

struct HpaCpuScaler {
    hpa: Hpa,
    target_percent: f64,
    request_cores: f64,
}

impl Scaler for HpaCpuScaler {
    fn name(&self) -> &str {
        HpaCpu::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        METRICS_SERVER
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let percent = |metrics: &EngineMetrics| metrics.cpu_cores / self.request_cores * 100.0;
        // What starts has never been ready, and is left out for that, whatever its CPU does.
        let mut unready = view.count(ReplicaState::Starting);
        let (mut samples, mut missing) = (Vec::new(), 0);
        for replica in view.replicas.iter().filter(|r| r.state == ReplicaState::Ready) {
            match &replica.metrics {
                None => missing += 1,
                Some(metrics) if is_of_its_start(view, replica, metrics) => unready += 1,
                Some(metrics) => samples.push(percent(metrics)),
            }
        }
        let target_percent = self.target_percent;
        let metric = Metric::Resource { percents: samples, missing, unready, target_percent };
        self.hpa.sync(view, &[Some(metric)])
    }
}

/// Whether the sample is of a time in which the replica was not ready, shortly after its start.
fn is_of_its_start(view: &FleetView<'_>, replica: &ReplicaView, metrics: &EngineMetrics) -> bool {
    let ready_at = replica.ready_at.unwrap_or(view.now);
    view.now.since(replica.ordered_at) < INITIALIZATION
        && metrics.at < ready_at.saturating_add(METRIC_RESOLUTION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, at, bounds};

    fn build(request_cores: f64) -> Box<dyn Scaler> {
        HpaCpu::build(&bounds(1, 20), HpaCpuKnobs { request_cores, ..HpaCpuKnobs::default() })
    }

    fn busy(fleet: Fleet, count: u32) -> Fleet {
        fleet.ready(count, |metrics| metrics.cpu_cores = 1.05)
    }

    /// One core turns, however full the engine is: the request decides what happens.
    #[test]
    fn the_same_engines_ask_for_more_or_fewer_by_what_they_request() {
        let late = 1_000;
        // 105 ÷ 80 × 4 = 5.25.
        assert_eq!(build(1.0).tick(&busy(Fleet::new(late), 4).view()), 6);
        // 52 ÷ 80 × 4 = 2.6: it would shrink, after 300 s.
        let mut two = build(2.0);
        assert_eq!(two.tick(&busy(Fleet::new(late), 4).view()), 4);
        assert_eq!(two.tick(&busy(Fleet::new(late + 301), 4).view()), 3);
    }

    #[test]
    fn a_sample_from_before_it_was_ready_does_not_count() {
        let mut fleet = busy(Fleet::new(200), 4);
        // Ordered at 20 s, ready at 190 s: its sample is of the start.
        let last = fleet.replicas.last_mut().unwrap();
        (last.ordered_at, last.ready_at) = (at(20), Some(at(190)));
        // (105 × 3 + 0) ÷ 4 = 78: on target, where 105 × 4 ÷ 4 would ask for 6.
        assert_eq!(build(1.0).tick(&fleet.view()), 4);
        // Beyond the initialization period it does.
        fleet.now = 320;
        assert_eq!(build(1.0).tick(&fleet.view()), 6);
    }

    #[test]
    fn no_sample_holds() {
        assert_eq!(build(1.0).tick(&Fleet::new(0).blind(4).view()), 4);
        assert_eq!(build(1.0).tick(&Fleet::new(0).starting(4).view()), 4);
    }
}
