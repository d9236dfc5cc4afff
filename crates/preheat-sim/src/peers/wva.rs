//! `wva-v1` and `wva-v2`: llm-d's Workload Variant Autoscaler with one variant.
//!
//! Source: WVA 2976e4e (2026-08-19), saturation analyzers and cost-aware optimizer.
//!
//! **Invariant:** WVA publishes a wish, an HPA carries it out (`AverageValue` 1), with its own
//! windows.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::hpa::{Hpa, HpaKnobs, Metric, PROMETHEUS, SYNC_PERIOD, Tolerance};
use super::knobs::{Spec, Tunable, count_down, count_up};
use super::signals::{EngineHistory, ProxyHistory, provisioned};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds, ReplicaState, ReplicaView};

/// KV usage and queues are the highest of a minute.
const GAUGE_WINDOW: Duration = Duration::from_secs(60);
/// Token means are rates over five minutes.
const TOKENS_WINDOW: Duration = Duration::from_secs(300);
/// KV share up to which a replica is used.
const KV_THRESHOLD: f64 = 0.8;
/// Queue at which a replica is saturated.
const QUEUE_THRESHOLD: f64 = 5.0;
/// Samples of the rolling mean of observed capacity.
const OBSERVED_MAX: usize = 10;

/// Settings of `wva-v1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WvaV1Knobs {
    /// `kvCacheThreshold`.
    pub kv_threshold: f64,
    /// `queueLengthThreshold`.
    pub queue_threshold: f64,
    /// `kvSpareTrigger`.
    pub kv_spare: f64,
    /// `queueSpareTrigger`.
    pub queue_spare: f64,
    /// The HPA behind it.
    pub hpa: HpaKnobs,
}

impl Default for WvaV1Knobs {
    /// The HPA has no tolerance here: its 0.1 would swallow every step of one from ten replicas
    /// on, and the gate would then never open again.
    fn default() -> Self {
        let tolerance = Tolerance { up: 0.0, down: 0.0 };
        Self {
            kv_threshold: KV_THRESHOLD,
            queue_threshold: QUEUE_THRESHOLD,
            kv_spare: 0.1,
            queue_spare: 3.0,
            hpa: HpaKnobs { tolerance, behavior: None },
        }
    }
}

pub(crate) struct WvaV1;

impl Spec for WvaV1 {
    const NAME: &'static str = "wva-v1";
    type Knobs = WvaV1Knobs;
    const TUNABLES: &'static [Tunable<WvaV1Knobs>] = &[
        Tunable {
            name: "kv_spare",
            values: &[0.1, 0.2, 0.3, 0.5],
            set: |knobs, value| knobs.kv_spare = value,
        },
        Tunable {
            name: "queue_spare",
            values: &[1.0, 3.0, 4.0, 5.0],
            set: |knobs, value| knobs.queue_spare = value,
        },
        Tunable {
            name: "down_window_s",
            values: &[60.0, 300.0, 900.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> WvaV1Knobs {
        WvaV1Knobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: WvaV1Knobs) -> Box<dyn Scaler> {
        let engines = EngineHistory::new(GAUGE_WINDOW);
        let actuator = Actuator::new(bounds, knobs.hpa);
        Box::new(WvaV1Scaler { knobs, engines, wish: None, actuator })
    }
}

struct WvaV1Scaler {
    knobs: WvaV1Knobs,
    engines: EngineHistory,
    wish: Option<u32>,
    actuator: Actuator,
}

/// What to do by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Up,
    Down,
    None,
}

impl WvaV1Scaler {
    /// From each replica's KV usage and queue.
    fn step(&self, replicas: &[(f64, f64)]) -> Step {
        let knobs = &self.knobs;
        let spare = replicas.iter().filter_map(|(kv, queue)| {
            let spare = (knobs.kv_threshold - kv, knobs.queue_threshold - queue);
            (spare.0 > 0.0 && spare.1 > 0.0).then_some(spare)
        });
        let (kv, queue, count) = spare.fold((0.0, 0.0, 0.0), |(kv, queue, n), spare| {
            (kv + spare.0, queue + spare.1, n + 1.0)
        });
        let (kv, queue) = if count > 0.0 { (kv / count, queue / count) } else { (0.0, 0.0) };
        if kv < knobs.kv_spare || queue < knobs.queue_spare {
            return Step::Up;
        }
        if count < 2.0 {
            return Step::None;
        }
        let after =
            |threshold: f64, spare: f64| threshold - (threshold - spare) * count / (count - 1.0);
        let is_safe = after(knobs.kv_threshold, kv) >= knobs.kv_spare
            && after(knobs.queue_threshold, queue) >= knobs.queue_spare;
        if is_safe { Step::Down } else { Step::None }
    }
}

impl Scaler for WvaV1Scaler {
    fn name(&self) -> &str {
        WvaV1::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.engines.record(view);
        let current = provisioned(view);
        let wish = self.wish.unwrap_or(current);
        let seen = |replica: &ReplicaView| {
            let kv = self.engines.max_of(replica.id, |m| m.kv_utilization)?;
            Some((kv, self.engines.max_of(replica.id, |m| f64::from(m.waiting))?))
        };
        let replicas: Vec<(f64, f64)> = view.replicas.iter().filter_map(seen).collect();
        let is_moving = wish != current || view.count(ReplicaState::Starting) > 0;
        let wish = if is_moving || replicas.is_empty() {
            wish
        } else {
            match self.step(&replicas) {
                Step::Up => current + 1,
                Step::Down => current.saturating_sub(1),
                Step::None => current,
            }
        };
        let wish = self.actuator.bounded(wish);
        self.wish = Some(wish);
        self.actuator.sync(view, wish)
    }
}

/// Settings of `wva-v2`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WvaV2Knobs {
    /// Demand over this share of supply asks for more.
    pub scale_up_threshold: f64,
    /// Supply is spare where demand is below this share of it.
    pub scale_down_boundary: f64,
    /// The engine's `max-num-batched-tokens`.
    pub max_num_batched_tokens: f64,
    /// The HPA behind it.
    pub hpa: HpaKnobs,
}

impl Default for WvaV2Knobs {
    /// 8,192 batched tokens are vLLM's default on large GPUs.
    fn default() -> Self {
        Self {
            scale_up_threshold: 0.85,
            scale_down_boundary: 0.7,
            max_num_batched_tokens: 8192.0,
            hpa: HpaKnobs::default(),
        }
    }
}

pub(crate) struct WvaV2;

impl Spec for WvaV2 {
    const NAME: &'static str = "wva-v2";
    type Knobs = WvaV2Knobs;
    const TUNABLES: &'static [Tunable<WvaV2Knobs>] = &[
        Tunable {
            name: "scale_up_threshold",
            values: &[0.4, 0.55, 0.7, 0.85],
            set: |knobs, value| {
                // Kept apart as in the defaults.
                knobs.scale_up_threshold = value;
                knobs.scale_down_boundary = value - 0.15;
            },
        },
        Tunable {
            name: "down_window_s",
            values: &[60.0, 300.0, 900.0],
            set: |knobs, value| knobs.hpa.set_down_window(value),
        },
    ];

    fn defaults() -> WvaV2Knobs {
        WvaV2Knobs::default()
    }

    fn build(bounds: &PoolBounds, knobs: WvaV2Knobs) -> Box<dyn Scaler> {
        Box::new(WvaV2Scaler {
            knobs,
            engines: EngineHistory::new(GAUGE_WINDOW),
            proxy: ProxyHistory::new(TOKENS_WINDOW),
            observed: BTreeMap::new(),
            actuator: Actuator::new(bounds, knobs.hpa),
        })
    }
}

/// Length of answers, by which observed capacities are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OutputBucket {
    Short,
    Medium,
    Long,
}

struct WvaV2Scaler {
    knobs: WvaV2Knobs,
    engines: EngineHistory,
    proxy: ProxyHistory,
    observed: BTreeMap<OutputBucket, VecDeque<f64>>,
    actuator: Actuator,
}

/// Mean prompt and answer.
#[derive(Clone, Copy)]
struct Tokens {
    input: f64,
    output: f64,
}

impl Tokens {
    fn bucket(self) -> OutputBucket {
        match self.output {
            output if output < 100.0 => OutputBucket::Short,
            output if output < 500.0 => OutputBucket::Medium,
            _ => OutputBucket::Long,
        }
    }
}

impl WvaV2Scaler {
    /// Tokens that one replica can have in use, and tokens that it is asked for.
    fn replica(&mut self, view: &FleetView<'_>, kv: f64, queue: f64, tokens: Tokens) -> (f64, f64) {
        let kv_tokens = view.kv_capacity_tokens as f64;
        let in_use = kv * kv_tokens;
        let memory = kv_tokens * KV_THRESHOLD;
        let observed = self.observed.entry(tokens.bucket()).or_default();
        let compute = if queue >= QUEUE_THRESHOLD && in_use > 0.0 {
            observed.push_back(in_use);
            if observed.len() > OBSERVED_MAX {
                observed.pop_front();
            }
            in_use
        } else if observed.is_empty() {
            self.derived(view, tokens).unwrap_or(memory)
        } else {
            observed.iter().sum::<f64>() / observed.len() as f64
        };
        (memory.min(compute), in_use + queue * (tokens.input + tokens.output))
    }

    /// From the engine's limits: requests that steady state keeps in the batch, half done on
    /// average.
    fn derived(&self, view: &FleetView<'_>, tokens: Tokens) -> Option<f64> {
        let Tokens { input, output } = tokens;
        let slots = f64::from(view.max_num_seqs.get());
        let budget = self.knobs.max_num_batched_tokens * output / (input + output);
        let capacity = budget.min(slots) * (input + output / 2.0);
        (capacity > 0.0).then_some(capacity)
    }

    /// `None` when no replica could be read.
    fn wish(&mut self, view: &FleetView<'_>) -> Option<u32> {
        let tokens = Tokens {
            input: self.proxy.prompt_tokens_mean().unwrap_or_default(),
            output: self.proxy.generation_tokens_mean().unwrap_or_default(),
        };
        let mut capacities = Vec::new();
        let mut demand = 0.0;
        for replica in view.replicas {
            let kv = self.engines.max_of(replica.id, |m| m.kv_utilization);
            let queue = self.engines.max_of(replica.id, |m| f64::from(m.waiting));
            let Some((kv, queue)) = kv.zip(queue) else { continue };
            let (capacity, asked) = self.replica(view, kv, queue, tokens);
            capacities.push(capacity);
            demand += asked;
        }
        let capacity = median(&mut capacities).filter(|capacity| *capacity > 0.0)?;
        let ready = f64::from(view.count(ReplicaState::Ready));
        let current = provisioned(view);
        let required = demand / self.knobs.scale_up_threshold - f64::from(current) * capacity;
        let spare = ready * capacity - demand / self.knobs.scale_down_boundary;
        let wish = if required > 0.0 {
            current + count_up(required / capacity)
        } else {
            current.saturating_sub(count_down(spare / capacity))
        };
        Some(wish)
    }
}

/// The mean of the middle two where there is no middle one.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

impl Scaler for WvaV2Scaler {
    fn name(&self) -> &str {
        WvaV2::NAME
    }

    fn period(&self) -> Duration {
        SYNC_PERIOD
    }

    fn pipeline(&self) -> MetricsPipeline {
        PROMETHEUS
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.engines.record(view);
        self.proxy.record(view.proxy);
        let wish = self.wish(view).unwrap_or_else(|| provisioned(view));
        let wish = self.actuator.bounded(wish);
        self.actuator.sync(view, wish)
    }
}

/// The HPA that carries out a published wish.
struct Actuator {
    replicas_min: u32,
    replicas_max: u32,
    hpa: Hpa,
}

impl Actuator {
    /// Scale to zero is off by default: one replica stays.
    fn new(bounds: &PoolBounds, knobs: HpaKnobs) -> Self {
        let (replicas_min, replicas_max) = (bounds.replicas_min.max(1), bounds.replicas_max.max(1));
        Self { replicas_min, replicas_max, hpa: Hpa::new(replicas_min, replicas_max, knobs) }
    }

    fn bounded(&self, wish: u32) -> u32 {
        wish.clamp(self.replicas_min, self.replicas_max)
    }

    fn sync(&mut self, view: &FleetView<'_>, wish: u32) -> u32 {
        if view.desired == 0 {
            // Its loop for waking sets one directly when requests are held.
            return u32::from(view.proxy.held > 0);
        }
        let metric = Metric::AverageValue { total: f64::from(wish), target: 1.0 };
        self.hpa.sync(view, &[Some(metric)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds, secs};

    fn v1() -> WvaV1Scaler {
        let knobs = WvaV1Knobs::default();
        WvaV1Scaler {
            knobs,
            engines: EngineHistory::new(secs(60)),
            wish: None,
            actuator: Actuator::new(&bounds(1, 20), knobs.hpa),
        }
    }

    #[test]
    fn v1_steps_by_the_spare_of_replicas_that_are_not_saturated() {
        let step = |replicas: &[(f64, f64)]| v1().step(replicas);
        assert_eq!(step(&[(0.75, 0.0)]), Step::Up);
        assert_eq!(step(&[(0.3, 3.0)]), Step::Up);
        assert_eq!(step(&[(0.9, 9.0)]), Step::Up);
        assert_eq!(step(&[(0.3, 0.0)]), Step::None);
        // 0.4 × 3 ÷ 2 = 0.6: 0.2 to spare.
        assert_eq!(step(&[(0.4, 0.0); 3]), Step::Down);
        // 0.5 × 3 ÷ 2 = 0.75: 0.05 to spare is not enough.
        assert_eq!(step(&[(0.5, 0.0); 3]), Step::None);
    }

    #[test]
    fn v1_grows_one_replica_per_cold_start() {
        let mut scaler = v1();
        let busy = |fleet: Fleet, count| fleet.ready(count, |m| m.kv_utilization = 0.9);
        assert_eq!(scaler.tick(&busy(Fleet::new(15), 2).view()), 3);
        for tick in 2..10 {
            assert_eq!(scaler.tick(&busy(Fleet::new(tick * 15), 2).starting(1).view()), 3);
        }
        assert_eq!(scaler.tick(&busy(Fleet::new(150), 3).view()), 4);
    }

    #[test]
    fn v1_without_metrics_keeps_its_wish() {
        assert_eq!(v1().tick(&Fleet::new(15).blind(6).view()), 6);
    }

    fn v2(fleet: &Fleet) -> Option<u32> {
        let mut scaler = WvaV2Scaler {
            knobs: WvaV2Knobs::default(),
            engines: EngineHistory::new(secs(60)),
            proxy: ProxyHistory::new(secs(300)),
            observed: BTreeMap::new(),
            actuator: Actuator::new(&bounds(1, 20), HpaKnobs::default()),
        };
        scaler.proxy.record(Fleet::new(0).proxy);
        scaler.proxy.record(
            Fleet::new(60)
                .proxy(|p| {
                    (p.arrivals_total, p.arrived_prompt_tokens_total) = (10, 10_000);
                    (p.completions_total, p.completed_generation_tokens_total) = (10, 2_000);
                })
                .proxy,
        );
        scaler.engines.record(&fleet.view());
        scaler.wish(&fleet.view())
    }

    #[test]
    fn v2_takes_capacity_from_the_engine_and_counts_what_starts() {
        // I = 1,000 and O = 200: min(8,192 × 200 ÷ 1,200, 32) × 1,100 = 35,200 tokens a replica.
        // Demand 2 × 35,000; ÷ 0.85 = 82,353 − 70,400 = 11,953 → one more.
        let busy = || Fleet::new(60).ready(2, |m| m.kv_utilization = 0.35);
        assert_eq!(v2(&busy()), Some(3));
        assert_eq!(v2(&busy().starting(1)), Some(3));
        // 4 × 35,200 − 4 × 10,000 ÷ 0.7 = 83,657 → two fewer.
        assert_eq!(v2(&Fleet::new(60).ready(4, |m| m.kv_utilization = 0.1)), Some(2));
        assert_eq!(v2(&Fleet::new(60).blind(4)), None);
    }

    #[test]
    fn v2_observes_capacity_where_a_queue_stands() {
        // 30,000 in use with 10 waiting: capacity 30,000, demand 30,000 + 10 × 1,200 a replica;
        // 84,000 ÷ 0.85 − 60,000 = 38,824 → two more.
        let queued = Fleet::new(60).ready(2, |m| (m.kv_utilization, m.waiting) = (0.3, 10));
        assert_eq!(v2(&queued), Some(4));
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut []), None);
    }
}
