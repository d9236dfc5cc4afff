//! `keda-waiting` and `keda-concurrency`: KEDA on a Prometheus query, between zero and one itself,
//! above through the HPA that it makes.
//!
//! Source: KEDA 8b4f083 (after 2.20.2), `pkg/scaling` and `pkg/fallback`; the recipes of vLLM
//! production-stack (a6c01db).
//!
//! **Invariant:** an empty result is zero unless told otherwise, as KEDA has it. What preheat's
//! rules say about absence does not hold here.

use std::time::Duration;

use preheat_core::Instant;

use super::hpa::{Hpa, HpaKnobs, Metric, PROMETHEUS, SYNC_PERIOD};
use super::knobs::{Spec, Target, Tunable};
use super::signals::{ProxyHistory, sum};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

/// The keepalive trigger looks at arrivals of one minute.
const KEEPALIVE_WINDOW: Duration = Duration::from_secs(60);

/// What the query sums over engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KedaSignal {
    /// `vllm:num_requests_waiting`: the recipe that is copied most.
    Waiting,
    /// Waiting and running: everything inside.
    Concurrency,
}

/// What stands in for a metric that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KedaFallback {
    /// Failures in a row that are still passed on to the HPA, which then freezes.
    pub failure_threshold: u32,
    /// Replicas after that.
    pub replicas: u32,
}

/// Settings of both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KedaKnobs {
    /// The query.
    pub signal: KedaSignal,
    /// `threshold`, per replica (`AverageValue`).
    pub threshold: Target,
    /// `activationThreshold`: active above it.
    pub activation_threshold: f64,
    /// `pollingInterval`.
    pub polling_interval: Duration,
    /// `cooldownPeriod`: inactive for so long before zero.
    pub cooldown: Duration,
    /// `initialCooldownPeriod`.
    pub initial_cooldown: Duration,
    /// `fallback`.
    pub fallback: Option<KedaFallback>,
    /// `ignoreNullValues`: an empty result is zero.
    pub ignore_null_values: bool,
    /// `advanced.horizontalPodAutoscalerConfig`.
    pub hpa: HpaKnobs,
}

impl KedaKnobs {
    /// KEDA's own defaults around a query and its threshold, which has none.
    pub fn with_threshold(signal: KedaSignal, threshold: Target) -> Self {
        Self {
            signal,
            threshold,
            activation_threshold: 0.0,
            polling_interval: Duration::from_secs(30),
            cooldown: Duration::from_secs(300),
            initial_cooldown: Duration::ZERO,
            fallback: None,
            ignore_null_values: true,
            hpa: HpaKnobs::default(),
        }
    }

    /// production-stack's tutorial: 5 waiting requests per replica, polls of 15 s, 360 s to zero.
    pub fn production_stack() -> Self {
        Self {
            polling_interval: Duration::from_secs(15),
            cooldown: Duration::from_secs(360),
            ..Self::with_threshold(KedaSignal::Waiting, Target::Requests(5.0))
        }
    }

    /// The fair one: everything inside, 0.7 of a replica's slots.
    pub fn concurrency() -> Self {
        Self::with_threshold(KedaSignal::Concurrency, Target::OfSlots(0.7))
    }

    /// The same with what careful users add: an empty result is an error, and after three the
    /// fleet stands at `replicas`.
    pub fn careful(self, replicas: u32) -> Self {
        let fallback = Some(KedaFallback { failure_threshold: 3, replicas });
        Self { ignore_null_values: false, fallback, ..self }
    }
}

pub(crate) struct KedaWaiting;

impl Spec for KedaWaiting {
    const NAME: &'static str = "keda-waiting";
    type Knobs = KedaKnobs;
    const TUNABLES: &'static [Tunable<KedaKnobs>] = &[
        Tunable {
            name: "threshold",
            values: &[1.0, 2.0, 5.0, 10.0, 25.0],
            set: |knobs, value| knobs.threshold = Target::Requests(value),
        },
        DOWN_WINDOW,
        UP_WINDOW,
    ];

    fn defaults() -> KedaKnobs {
        KedaKnobs::production_stack()
    }

    fn build(bounds: &PoolBounds, knobs: KedaKnobs) -> Box<dyn Scaler> {
        Box::new(KedaScaler::new(Self::NAME, bounds, knobs))
    }
}

pub(crate) struct KedaConcurrency;

impl Spec for KedaConcurrency {
    const NAME: &'static str = "keda-concurrency";
    type Knobs = KedaKnobs;
    const TUNABLES: &'static [Tunable<KedaKnobs>] = &[
        Tunable {
            name: "threshold_of_slots",
            values: &[0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            set: |knobs, value| knobs.threshold = Target::OfSlots(value),
        },
        DOWN_WINDOW,
        UP_WINDOW,
    ];

    fn defaults() -> KedaKnobs {
        KedaKnobs::concurrency()
    }

    fn build(bounds: &PoolBounds, knobs: KedaKnobs) -> Box<dyn Scaler> {
        Box::new(KedaScaler::new(Self::NAME, bounds, knobs))
    }
}

const DOWN_WINDOW: Tunable<KedaKnobs> = Tunable {
    name: "down_window_s",
    values: &[60.0, 300.0, 900.0, 1800.0],
    set: |knobs, value| knobs.hpa.set_down_window(value),
};
const UP_WINDOW: Tunable<KedaKnobs> = Tunable {
    name: "up_window_s",
    values: &[0.0, 60.0, 180.0],
    set: |knobs, value| knobs.hpa.set_up_window(value),
};

struct KedaScaler {
    name: &'static str,
    knobs: KedaKnobs,
    replicas_min: u32,
    hpa: Hpa,
    arrivals: ProxyHistory,
    began_at: Option<Instant>,
    polled_at: Option<Instant>,
    active_at: Option<Instant>,
    failures: u32,
}

impl KedaScaler {
    fn new(name: &'static str, bounds: &PoolBounds, knobs: KedaKnobs) -> Self {
        Self {
            name,
            knobs,
            replicas_min: bounds.replicas_min,
            hpa: Hpa::new(bounds.replicas_min.max(1), bounds.replicas_max, knobs.hpa),
            arrivals: ProxyHistory::new(KEEPALIVE_WINDOW),
            began_at: None,
            polled_at: None,
            active_at: None,
            failures: 0,
        }
    }

    /// The query's result; `None` is a failed trigger. Who asks counts failures: the poll and the
    /// HPA share one counter.
    fn read(&mut self, view: &FleetView<'_>) -> Option<f64> {
        let gauge: fn(&_) -> f64 = match self.knobs.signal {
            KedaSignal::Waiting => |m: &crate::view::EngineMetrics| f64::from(m.waiting),
            KedaSignal::Concurrency => |m| f64::from(m.waiting) + f64::from(m.running),
        };
        let value = sum(view, gauge).or(self.knobs.ignore_null_values.then_some(0.0));
        self.failures = if value.is_some() { 0 } else { self.failures.saturating_add(1) };
        value
    }

    /// The router's keepalive trigger: engines have no series at zero. Only where zero is allowed.
    fn keepalive(&self) -> Option<f64> {
        let any = self.arrivals.arrivals(KEEPALIVE_WINDOW) > 0.0;
        (self.replicas_min == 0).then(|| f64::from(u8::from(any)))
    }

    /// KEDA's own loop: only between zero and one.
    fn poll(&mut self, view: &FleetView<'_>) -> u32 {
        let value = self.read(view);
        let active = value.is_some_and(|value| value > self.knobs.activation_threshold)
            || self.keepalive().is_some_and(|value| value > 0.0);
        let current = view.desired;
        if active {
            if current == 0 {
                self.active_at = Some(view.now);
                return self.replicas_min.max(1);
            }
            if value.is_some() {
                self.active_at = Some(view.now);
            }
            return current;
        }
        let falls_through = self.knobs.fallback.is_some_and(|fallback| fallback.replicas == 0);
        if value.is_none() && !falls_through {
            return current;
        }
        if current > 0 && self.replicas_min == 0 && self.has_cooled(view.now) {
            // In one step, whatever the HPA's behaviour says.
            return 0;
        }
        if current > 0 { current.max(self.replicas_min) } else { self.replicas_min }
    }

    fn has_cooled(&self, now: Instant) -> bool {
        match (self.active_at, self.began_at) {
            (Some(active_at), _) => now.since(active_at) > self.knobs.cooldown,
            (None, Some(began_at)) => now.since(began_at) > self.knobs.initial_cooldown,
            (None, None) => false,
        }
    }

    /// What the HPA reads through KEDA's adapter.
    fn metrics(&mut self, view: &FleetView<'_>) -> Vec<Option<Metric>> {
        let target = self.knobs.threshold.requests(view.max_num_seqs);
        let value = self.read(view).or_else(|| {
            let fallback = self.knobs.fallback?;
            let over = self.failures > fallback.failure_threshold;
            over.then(|| target * f64::from(fallback.replicas))
        });
        let average = |total, target| Metric::AverageValue { total, target };
        let mut metrics = vec![value.map(|total| average(total, target))];
        metrics.extend(self.keepalive().map(|total| Some(average(total, 1.0))));
        metrics
    }
}

impl Scaler for KedaScaler {
    fn name(&self) -> &str {
        self.name
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.arrivals.record(view.proxy);
        self.began_at.get_or_insert(view.now);
        let due = self.polled_at.is_none_or(|at| view.now.since(at) >= self.knobs.polling_interval);
        if due {
            self.polled_at = Some(view.now);
            let polled = self.poll(view);
            if polled != view.desired {
                return polled;
            }
        }
        let metrics = self.metrics(view);
        self.hpa.sync(view, &metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    fn scaler(knobs: KedaKnobs, replicas_min: u32) -> KedaScaler {
        KedaScaler::new("keda", &bounds(replicas_min, 100), knobs)
    }

    #[test]
    fn the_copied_recipe_forgets_who_is_being_served() {
        let mut scaler = scaler(KedaKnobs::production_stack(), 1);
        let tick = |scaler: &mut KedaScaler, now, waiting| {
            let fleet = Fleet::new(now).ready(4, move |m| (m.waiting, m.running) = (waiting, 32));
            scaler.tick(&fleet.view())
        };
        // 80 ÷ 5 = 16, at most 2 × 4.
        assert_eq!(tick(&mut scaler, 15, 20), 8);
        // The queue is gone and all slots are busy: down to one once the window has passed.
        assert_eq!(tick(&mut scaler, 30, 0), 8);
        assert_eq!(tick(&mut scaler, 345, 0), 1);
    }

    #[test]
    fn concurrency_counts_everything_inside() {
        let mut scaler = scaler(KedaKnobs::concurrency(), 1);
        let fleet = Fleet::new(15).ready(4, |m| (m.waiting, m.running) = (10, 32));
        // 168 ÷ 22.4 = 7.5 → 8.
        assert_eq!(scaler.tick(&fleet.view()), 8);
    }

    #[test]
    fn an_empty_result_is_zero_and_shrinks_at_peak() {
        let mut scaler = scaler(KedaKnobs::concurrency(), 1);
        for tick in 0..21 {
            let fleet = Fleet::new(tick * 15).blind(10);
            assert_eq!(scaler.tick(&fleet.view()), 10, "{tick}");
        }
        assert_eq!(scaler.tick(&Fleet::new(316).blind(10).view()), 1);
    }

    #[test]
    fn with_a_fallback_an_empty_result_freezes_first() {
        let mut scaler = scaler(KedaKnobs::concurrency().careful(20), 1);
        let mut tick = |now| scaler.tick(&Fleet::new(now).blind(10).view());
        // Poll and HPA both count: 2 failures at 15 s, 3 at 30 s, 5 at 45 s.
        assert_eq!([15, 30, 45].map(&mut tick), [10, 10, 20]);
    }

    #[test]
    fn zero_takes_a_cooldown_and_one_step_and_the_router_wakes_it() {
        let mut scaler = scaler(KedaKnobs::production_stack(), 0);
        let tick = |scaler: &mut KedaScaler, now, ready, arrivals| {
            let fleet = Fleet::new(now).ready(ready, |_| {});
            let fleet = fleet.proxy(|proxy| proxy.arrivals_total = arrivals);
            scaler.tick(&fleet.view())
        };
        assert_eq!(tick(&mut scaler, 15, 3, 5), 3);
        assert_eq!(tick(&mut scaler, 30, 3, 6), 3);
        // The last arrival is seen until 90 s; 360 s later it falls from 3 to 0 at once.
        for now in (45..=435).step_by(15) {
            assert_ne!(tick(&mut scaler, now, 3, 6), 0, "{now}");
        }
        assert_eq!(tick(&mut scaler, 450, 3, 6), 0);
        assert_eq!(tick(&mut scaler, 465, 0, 6), 0);
        assert_eq!(tick(&mut scaler, 480, 0, 7), 1);
    }
}
