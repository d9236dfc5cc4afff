//! `llmd-queue-guard` and `llmd-slo`: llm-d's laws in KEDA queries over the endpoint picker's
//! metrics.
//!
//! Source: llm-d guides 7edda66 (2026-06-27), workload autoscaling.
//!
//! **Invariant:** the law is a query, KEDA serves its value (`AverageValue` 1), and the HPA carries
//! it out with its tolerance and behaviour. A series that is absent reads as zero.

use std::time::Duration;

use super::hpa::{
    Behavior, Hpa, HpaKnobs, Metric, PROMETHEUS, RateLimit, Rules, SYNC_PERIOD, Select,
};
use super::knobs::{Spec, Tunable, count_down, count_up};
use super::signals::{EngineHistory, Window, provisioned, ratio, sum};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds, ReplicaState, TTFT_BOUNDS_SECS};

/// Settings of `llmd-queue-guard`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QueueGuardKnobs {
    /// Requests in the endpoint picker's queue per replica.
    pub queue_target: f64,
    /// Running requests per replica.
    pub running_target: f64,
    /// Requests that wait inside each engine before the picker itself holds any: its saturation
    /// detector's queue threshold.
    pub engine_queue_max: f64,
    /// The HPA behind it.
    pub hpa: HpaKnobs,
}

impl Default for QueueGuardKnobs {
    fn default() -> Self {
        let mut behavior = Behavior::default();
        behavior.up.limits = [Some(percent(100.0, 15)), None];
        let hpa = HpaKnobs { behavior: Some(behavior), ..HpaKnobs::default() };
        Self { queue_target: 1.0, running_target: 16.0, engine_queue_max: 5.0, hpa }
    }
}

const fn percent(percent: f64, period_secs: u64) -> RateLimit {
    RateLimit::Percent { percent, period: Duration::from_secs(period_secs) }
}

pub(crate) struct QueueGuard;

impl Spec for QueueGuard {
    const NAME: &'static str = "llmd-queue-guard";
    type Knobs = QueueGuardKnobs;
    const TUNABLES: &'static [Tunable<QueueGuardKnobs>] = &[
        Tunable {
            name: "queue_target",
            values: &[1.0, 5.0, 20.0],
            set: |knobs, value| knobs.queue_target = value,
        },
        Tunable {
            name: "running_target",
            values: &[3.0, 4.0, 5.0, 6.0, 8.0, 16.0, 32.0, 64.0],
            set: |knobs, value| knobs.running_target = value,
        },
        Tunable {
            name: "down_window_s",
            values: &[60.0, 300.0, 900.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> QueueGuardKnobs {
        QueueGuardKnobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: QueueGuardKnobs) -> Box<dyn Scaler> {
        let hpa = Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa);
        Box::new(QueueGuardScaler { knobs, hpa })
    }
}

struct QueueGuardScaler {
    knobs: QueueGuardKnobs,
    hpa: Hpa,
}

impl QueueGuardScaler {
    fn law(&self, view: &FleetView<'_>) -> f64 {
        let ready = f64::from(view.count(ReplicaState::Ready));
        let replicas = f64::from(provisioned(view));
        let pending = replicas - ready;
        let waiting = sum(view, |m| f64::from(m.waiting)).unwrap_or(0.0);
        let running = sum(view, |m| f64::from(m.running)).unwrap_or(0.0);
        let queue =
            f64::from(view.proxy.held) + (waiting - self.knobs.engine_queue_max * ready).max(0.0);
        let demand = (queue / self.knobs.queue_target).max(running / self.knobs.running_target);
        if demand <= replicas { demand } else { (demand - pending).max(replicas) }
    }
}

impl Scaler for QueueGuardScaler {
    fn name(&self) -> &str {
        QueueGuard::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        let law = self.law(view);
        consume(&mut self.hpa, view, law)
    }
}

/// Settings of `llmd-slo`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LlmdSloKnobs {
    /// Above this share of the SLO it grows.
    pub scale_up_at: f64,
    /// Below this share of the SLO it shrinks.
    pub scale_down_at: f64,
    /// 90th percentile of TPOT over its mean, as only the mean can be read; it hardly varies between
    /// requests of one moment.
    pub tpot_p90_per_mean: f64,
    /// The HPA behind it.
    pub hpa: HpaKnobs,
}

impl Default for LlmdSloKnobs {
    fn default() -> Self {
        let four = RateLimit::Replicas { replicas: 4, period: Duration::from_secs(60) };
        let one = RateLimit::Replicas { replicas: 1, period: Duration::from_secs(120) };
        let up = Rules {
            stabilization: Duration::from_secs(30),
            select: Select::Max,
            limits: [Some(percent(100.0, 60)), Some(four)],
        };
        let down = Rules {
            stabilization: Duration::from_secs(180),
            select: Select::Max,
            limits: [Some(one), None],
        };
        let hpa = HpaKnobs { behavior: Some(Behavior { up, down }), ..HpaKnobs::default() };
        Self { scale_up_at: 0.55, scale_down_at: 0.4, tpot_p90_per_mean: 1.0, hpa }
    }
}

pub(crate) struct LlmdSlo;

impl Spec for LlmdSlo {
    const NAME: &'static str = "llmd-slo";
    type Knobs = LlmdSloKnobs;
    const TUNABLES: &'static [Tunable<LlmdSloKnobs>] = &[
        Tunable {
            name: "scale_up_at",
            values: &[0.2, 0.35, 0.55, 0.75],
            set: |knobs, value| {
                // Kept apart in proportion, as in the defaults.
                knobs.scale_up_at = value;
                knobs.scale_down_at = value * 0.4 / 0.55;
            },
        },
        Tunable {
            name: "down_window_s",
            values: &[60.0, 180.0, 600.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> LlmdSloKnobs {
        LlmdSloKnobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: LlmdSloKnobs) -> Box<dyn Scaler> {
        Box::new(LlmdSloScaler {
            knobs,
            ttft_slo: bounds.ttft_slo.as_secs_f64(),
            tpot_slo: bounds.tpot_slo.map(|slo| slo.as_secs_f64()),
            engines: EngineHistory::new(Duration::from_secs(60)),
            stress: Window::new(Duration::from_secs(45)),
            hpa: Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa),
        })
    }
}

struct LlmdSloScaler {
    knobs: LlmdSloKnobs,
    ttft_slo: f64,
    tpot_slo: Option<f64>,
    engines: EngineHistory,
    stress: Window,
    hpa: Hpa,
}

impl LlmdSloScaler {
    /// Latency as a share of the SLO; an idle minute is zero.
    fn stress_now(&self) -> f64 {
        let increase = |bucket: usize| self.engines.increase(|m| f64::from(m.ttft_buckets[bucket]));
        let all = self.engines.increase(|m| m.ttft_count as f64);
        let ttft = histogram_quantile(0.9, &TTFT_BOUNDS_SECS, increase, all).unwrap_or(0.0);
        let (sum, count) = (
            self.engines.increase(|m| m.itl_seconds_sum),
            self.engines.increase(|m| m.itl_count as f64),
        );
        let tpot = ratio(sum, count).unwrap_or(0.0) * self.knobs.tpot_p90_per_mean;
        let ttft = ttft / self.ttft_slo;
        let tpot = self.tpot_slo.map_or(0.0, |slo| tpot / slo);
        ttft.max(tpot)
    }

    fn law(&self, stress: f64, provisioned: u32, ready: u32) -> u32 {
        let n = f64::from(provisioned);
        let credit = if 0 < ready && ready < provisioned { f64::from(ready) / n } else { 1.0 };
        let (up, down) = (self.knobs.scale_up_at, self.knobs.scale_down_at);
        if stress > up {
            provisioned + count_up(n * (stress * credit / up - 1.0))
        } else if stress < down {
            provisioned - count_down(n * (1.0 - stress / down)).min(provisioned)
        } else {
            provisioned
        }
    }
}

impl Scaler for LlmdSloScaler {
    fn name(&self) -> &str {
        LlmdSlo::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.engines.record(view);
        self.stress.push(view.now, self.stress_now().min(2.0));
        let stress = self.stress.mean().unwrap_or(0.0);
        let law = self.law(stress, provisioned(view), view.count(ReplicaState::Ready));
        consume(&mut self.hpa, view, f64::from(law))
    }
}

/// Prometheus' `histogram_quantile`: within the bucket that holds it, values are taken to be spread
/// evenly. Beyond the last bound it is that bound; of nothing there is none.
fn histogram_quantile(
    quantile: f64,
    bounds: &[f64],
    cumulative: impl Fn(usize) -> f64,
    all: f64,
) -> Option<f64> {
    let rank = quantile * all;
    let (mut below, mut lower) = (0.0, 0.0);
    for (bucket, upper) in bounds.iter().enumerate() {
        let count = cumulative(bucket);
        if count >= rank && count > below {
            return Some(lower + (upper - lower) * (rank - below) / (count - below));
        }
        (below, lower) = (count, *upper);
    }
    (all > 0.0).then_some(lower)
}

/// KEDA serves the law's value; from zero it wakes one when the picker holds requests.
fn consume(hpa: &mut Hpa, view: &FleetView<'_>, total: f64) -> u32 {
    if view.desired == 0 {
        return u32::from(view.proxy.held > 0);
    }
    hpa.sync(view, &[Some(Metric::AverageValue { total, target: 1.0 })])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::Fleet;

    #[test]
    fn the_guard_subtracts_what_starts_from_what_is_asked_beyond_the_fleet() {
        let knobs = QueueGuardKnobs::default();
        let scaler = QueueGuardScaler { knobs, hpa: Hpa::new(1, 20, knobs.hpa) };
        let law = |fleet: Fleet| scaler.law(&fleet.view());
        // 2 × 24 ÷ 16 = 3 by running.
        assert_eq!(law(Fleet::new(0).ready(2, |m| m.running = 24)), 3.0);
        // 2 × 10 waiting, of which engines keep 5 each: 10 held, two of them are on their way.
        let queued = |fleet: Fleet| fleet.ready(2, |m| m.waiting = 10);
        assert_eq!(law(queued(Fleet::new(0))), 10.0);
        assert_eq!(law(queued(Fleet::new(0)).starting(2)), 8.0);
        assert_eq!(law(queued(Fleet::new(0)).starting(7)), 9.0);
        assert_eq!(law(queued(Fleet::new(0)).starting(10)), 10.0);
        // An outage reads as nothing to do.
        assert_eq!(law(Fleet::new(0).blind(9)), 0.0);
    }

    fn slo() -> LlmdSloScaler {
        let knobs = LlmdSloKnobs::default();
        LlmdSloScaler {
            knobs,
            ttft_slo: 3.0,
            tpot_slo: Some(0.1),
            engines: EngineHistory::new(Duration::from_secs(60)),
            stress: Window::new(Duration::from_secs(45)),
            hpa: Hpa::new(1, 20, knobs.hpa),
        }
    }

    #[test]
    fn the_slo_law_credits_what_starts_upwards_only() {
        let law = |stress, provisioned, ready| slo().law(stress, provisioned, ready);
        // 4 × (1.1 ÷ 0.55 − 1) = 4.
        assert_eq!(law(1.1, 4, 4), 8);
        // 4 × (1.1 × 0.75 ÷ 0.55 − 1) = 2.
        assert_eq!(law(1.1, 4, 3), 6);
        assert_eq!(law(1.1, 8, 4), 8);
        assert_eq!(law(0.5, 4, 4), 4);
        // 4 × (1 − 0.2 ÷ 0.4) = 2.
        assert_eq!(law(0.2, 4, 4), 2);
        assert_eq!(law(0.2, 4, 2), 2);
    }

    #[test]
    fn a_quantile_is_within_its_bucket() {
        // 10 up to 1 s, 10 more up to 2.5 s, 5 beyond 5 s.
        let quantile = |quantile| {
            histogram_quantile(
                quantile,
                &[1.0, 2.5, 5.0],
                |bucket| [10.0, 20.0, 20.0][bucket],
                25.0,
            )
        };
        // 12.5 of 25: a quarter of the second bucket.
        assert_eq!(quantile(0.5), Some(1.375));
        assert_eq!((quantile(0.2), quantile(0.8)), (Some(0.5), Some(2.5)));
        assert_eq!(quantile(0.9), Some(5.0));
        assert_eq!(histogram_quantile(0.9, &[1.0], |_| 0.0, 0.0), None);
    }

    #[test]
    fn the_slo_law_reads_both_latencies() {
        let mut scaler = slo();
        let fleet = |now, slow: u32, itl: (f64, u64)| {
            Fleet::new(now).ready(2, move |m| {
                // `slow` take 1 s to 2.5 s, all others 0.5 s to 0.75 s.
                m.ttft_count = now * 2;
                for (bucket, bound) in m.ttft_buckets.iter_mut().zip(TTFT_BOUNDS_SECS) {
                    let all = now as u32 * 2;
                    *bucket = match bound {
                        bound if bound < 0.75 => 0,
                        bound if bound < 2.5 => all - slow,
                        _ => all,
                    };
                }
                (m.itl_seconds_sum, m.itl_count) = itl;
            })
        };
        scaler.engines.record(&fleet(0, 0, (0.0, 0)).view());
        assert_eq!(scaler.stress_now(), 0.0);
        // 3 of 30 are slow: P90 is 0.75 s, a quarter of 3 s, and 0.09 s ÷ 0.1 s is more.
        scaler.engines.record(&fleet(15, 3, (9.0, 100)).view());
        assert!((scaler.stress_now() - 0.9).abs() < 1e-9);
        // 12 of 60: 1 s + 6 ÷ 12 of 1.5 s = 1.75 s, as the mean hardly shows.
        scaler.engines.record(&fleet(30, 12, (9.0, 200)).view());
        assert!((scaler.stress_now() - 1.75 / 3.0).abs() < 1e-9);
    }
}
