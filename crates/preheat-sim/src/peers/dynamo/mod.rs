//! `dynamo-throughput`, `dynamo-load` and `dynamo-hybrid`: NVIDIA Dynamo's planner over engines
//! that do prefill and decode both.
//!
//! Source: Dynamo 2a6da14 (2026-08-21), `components/planner`.
//!
//! **Invariant:** the load planner does nothing while the number of ready replicas is not the one
//! asked for.

mod arima;
mod load;
mod model;
mod predictor;
mod prophet;

use std::time::Duration;

use preheat_core::Instant;

pub use load::DynamoLoadMode;
pub use predictor::PredictorKind;

use model::{Sla, StepModel, StepSample, Workload};
use predictor::Predictor;

use super::knobs::{Spec, Tunable, count_up, secs};
use super::signals::{EngineHistory, ProxyHistory};
use crate::scaler::Scaler;
use crate::view::{FleetView, MetricsPipeline, PoolBounds};

/// Looks are kept for two of them to be at hand.
const ENGINE_HISTORY: Duration = Duration::from_secs(60);
/// Default target for ITL.
const ITL_DEFAULT: Duration = Duration::from_millis(50);

/// Settings of all three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamoKnobs {
    /// Time between two throughput plans, and what a prediction spans; `None` turns them off.
    pub throughput_interval: Option<Duration>,
    /// Model of the number of requests and their sizes.
    pub predictor: PredictorKind,
    /// The most that one throughput plan may change.
    pub throughput_step_max: u32,
    /// Time between two load plans.
    pub load_interval: Duration,
    /// What load plans go by; `None` turns them off.
    pub load: Option<DynamoLoadMode>,
    /// Share of the SLA that has to stay free after a scale-down (`sensitivity`).
    pub sensitivity: f64,
    /// The engine's `max-num-batched-tokens`.
    pub max_num_batched_tokens: f64,
}

impl DynamoKnobs {
    /// Throughput planning alone, every 180 s.
    pub fn throughput() -> Self {
        Self { load: None, ..Self::hybrid() }
    }

    /// Load planning alone, every 5 s, in the default "easy" mode.
    pub fn load() -> Self {
        let load = Some(DynamoLoadMode::EasyThroughput);
        Self { throughput_interval: None, load, ..Self::hybrid() }
    }

    /// Load planning against the SLA, with the throughput plan as its floor.
    pub fn hybrid() -> Self {
        Self {
            throughput_interval: Some(Duration::from_secs(180)),
            predictor: PredictorKind::Arima,
            throughput_step_max: 8,
            load_interval: Duration::from_secs(5),
            load: Some(DynamoLoadMode::Sla),
            sensitivity: 0.8,
            max_num_batched_tokens: 8192.0,
        }
    }
}

const INTERVAL: Tunable<DynamoKnobs> = Tunable {
    name: "throughput_interval_s",
    values: &[30.0, 60.0, 180.0],
    set: |knobs, value| knobs.throughput_interval = Some(secs(value)),
};
const PREDICTOR: Tunable<DynamoKnobs> = Tunable {
    name: "predictor",
    values: &[0.0, 1.0, 2.0, 3.0],
    set: |knobs, value| {
        knobs.predictor = if value == 0.0 {
            PredictorKind::Constant
        } else if value == 1.0 {
            PredictorKind::Arima
        } else if value == 2.0 {
            PredictorKind::Kalman
        } else {
            PredictorKind::Prophet
        };
    },
};
const LOAD_INTERVAL: Tunable<DynamoKnobs> = Tunable {
    name: "load_interval_s",
    values: &[5.0, 10.0, 30.0],
    set: |knobs, value| knobs.load_interval = secs(value),
};
const SENSITIVITY: Tunable<DynamoKnobs> = Tunable {
    name: "sensitivity",
    values: &[0.3, 0.5, 0.8],
    set: |knobs, value| knobs.sensitivity = value,
};
const MODE: Tunable<DynamoKnobs> = Tunable {
    name: "mode",
    values: &[0.0, 1.0, 2.0],
    set: |knobs, value| {
        knobs.load = Some(if value == 0.0 {
            DynamoLoadMode::EasyThroughput
        } else if value == 1.0 {
            DynamoLoadMode::EasyLatency
        } else {
            DynamoLoadMode::Sla
        });
    },
};

/// Defines one of the three by its defaults and what is tuned.
macro_rules! planner {
    ($spec:ident, $name:literal, $defaults:path, [$($tunable:ident),+]) => {
        pub(crate) struct $spec;

        impl Spec for $spec {
            const NAME: &'static str = $name;
            type Knobs = DynamoKnobs;
            const TUNABLES: &'static [Tunable<DynamoKnobs>] = &[$($tunable),+];

            fn defaults() -> DynamoKnobs {
                $defaults()
            }

            fn build(bounds: &PoolBounds, knobs: DynamoKnobs) -> Box<dyn Scaler> {
                Box::new(DynamoScaler::new($name, bounds, knobs))
            }
        }
    };
}

planner!(DynamoThroughput, "dynamo-throughput", DynamoKnobs::throughput, [INTERVAL, PREDICTOR]);
planner!(DynamoLoad, "dynamo-load", DynamoKnobs::load, [MODE, LOAD_INTERVAL, SENSITIVITY]);
planner!(
    DynamoHybrid,
    "dynamo-hybrid",
    DynamoKnobs::hybrid,
    [INTERVAL, PREDICTOR, LOAD_INTERVAL, SENSITIVITY]
);

struct DynamoScaler {
    name: &'static str,
    knobs: DynamoKnobs,
    bounds: PoolBounds,
    sla: Sla,
    engines: EngineHistory,
    model: StepModel,
    proxy: ProxyHistory,
    requests: Predictor,
    input: Predictor,
    output: Predictor,
    /// The throughput plan, as a floor for load plans.
    floor: u32,
    looked_at: Instant,
    planned_at: Option<Instant>,
}

impl DynamoScaler {
    fn new(name: &'static str, bounds: &PoolBounds, knobs: DynamoKnobs) -> Self {
        let itl = bounds.tpot_slo.unwrap_or(ITL_DEFAULT);
        let sla = Sla { ttft_secs: bounds.ttft_slo.as_secs_f64(), itl_secs: itl.as_secs_f64() };
        let span = knobs.throughput_interval.unwrap_or(Duration::from_secs(180));
        let predictor = || Predictor::new(knobs.predictor, span);
        Self {
            name,
            knobs,
            bounds: *bounds,
            sla,
            engines: EngineHistory::new(ENGINE_HISTORY),
            model: StepModel::default(),
            proxy: ProxyHistory::new(span),
            requests: predictor(),
            input: predictor(),
            output: predictor(),
            floor: bounds.replicas_min,
            looked_at: Instant::ORIGIN,
            planned_at: None,
        }
    }

    /// Takes in what engines did since the last look.
    fn look(&mut self, view: &FleetView<'_>) {
        self.proxy.record(view.proxy);
        self.engines.record(view);
        let capacity = view.kv_capacity_tokens as f64;
        let since = self.looked_at.saturating_add(Duration::from_nanos(1));
        for (before, after) in self.engines.steps(since) {
            if let Some(sample) = StepSample::between(before, after, capacity) {
                self.model.add(sample);
            }
        }
        self.looked_at = view.now;
    }

    fn workload(&self, view: &FleetView<'_>, input: f64, output: f64) -> Workload {
        Workload {
            input: input.max(1.0),
            output: output.max(1.0),
            max_num_seqs: view.max_num_seqs.get(),
            max_num_batched_tokens: self.knobs.max_num_batched_tokens,
            kv_capacity_tokens: view.kv_capacity_tokens as f64,
        }
    }

    /// Replicas for the next interval; `None` holds.
    fn plan(&mut self, view: &FleetView<'_>, interval: Duration) -> Option<u32> {
        let requests = self.proxy.arrivals(interval);
        self.requests.add(requests);
        // An interval without traffic has no sizes, and a plan without sizes is skipped.
        let (input, output) =
            self.proxy.prompt_tokens_mean().zip(self.proxy.generation_tokens_mean())?;
        self.input.add(input);
        self.output.add(output);
        let demand = self.requests.predict()? / interval.as_secs_f64();
        let (input, output) = (self.input.predict()?, self.output.predict()?);
        let workload = self.workload(view, input, output);
        let rate = self.model.fit()?.requests_per_sec(&workload, &self.sla)?;
        let step = self.knobs.throughput_step_max;
        let wish = count_up(demand / rate);
        let near = (view.desired.saturating_sub(step), view.desired.saturating_add(step));
        Some(self.bounded(wish.clamp(near.0, near.1)))
    }

    fn bounded(&self, wish: u32) -> u32 {
        wish.clamp(self.bounds.replicas_min, self.bounds.replicas_max)
    }
}

impl Scaler for DynamoScaler {
    fn name(&self) -> &str {
        self.name
    }

    fn period(&self) -> Duration {
        self.knobs.load_interval
    }

    fn pipeline(&self) -> MetricsPipeline {
        // Engines publish each forward pass; a look finds the newest.
        MetricsPipeline { scrape_interval: self.knobs.load_interval, delay: Duration::ZERO }
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        self.look(view);
        let mut desired = view.desired;
        if let Some(interval) = self.knobs.throughput_interval {
            let planned_at = *self.planned_at.get_or_insert(view.now);
            if view.now.since(planned_at) >= interval {
                self.planned_at = Some(view.now);
                if let Some(plan) = self.plan(view, interval) {
                    self.floor = plan;
                    let alone = self.knobs.load.is_none();
                    desired = if alone { plan } else { desired.max(plan) };
                }
            }
        }
        if let Some(mode) = self.knobs.load
            && desired == view.desired
        {
            desired = self.plan_load(view, mode).max(self.floor);
        }
        self.bounded(desired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::fixture::{Fleet, bounds};

    /// Engines whose step takes 50 ms, at 10 requests/s of 1,000 + 200 tokens from `arrivals`.
    fn fleet(now: u64, ready: u32, rate: u64) -> Fleet {
        let fleet = Fleet::new(now).ready(ready, move |m| {
            m.itl_count = now * 100;
            m.itl_seconds_sum = now as f64 * 5.0;
            m.running = 10;
            m.kv_utilization = 0.1;
        });
        fleet.proxy(|p| {
            (p.arrivals_total, p.completions_total) = (now * rate, now * rate);
            p.arrived_prompt_tokens_total = now * rate * 1000;
            p.completed_generation_tokens_total = now * rate * 200;
        })
    }

    #[test]
    fn throughput_plans_once_an_interval_and_by_eight_at_most() {
        let knobs = DynamoKnobs::throughput();
        let mut scaler = DynamoThroughput::build(&bounds(1, 100), knobs);
        let mut desired = 4;
        let mut seen = Vec::new();
        for tick in 1..=73 {
            desired = scaler.tick(&fleet(tick * 5, desired, 40).view());
            seen.push(desired);
        }
        // A step of 50 ms whatever is in it: 32 slots ÷ (200 × 0.05) = 3.2/s, 40 ÷ 3.2 = 12.5.
        assert_eq!((seen[35], seen[36], seen[71], seen[72]), (4, 12, 12, 13));
    }

    #[test]
    fn each_value_of_the_knob_is_a_predictor() {
        let chosen = PREDICTOR.values.iter().map(|value| {
            let mut knobs = DynamoKnobs::throughput();
            (PREDICTOR.set)(&mut knobs, *value);
            knobs.predictor
        });
        use PredictorKind::{Arima, Constant, Kalman, Prophet};
        assert_eq!(chosen.collect::<Vec<_>>(), [Constant, Arima, Kalman, Prophet]);
        assert_eq!(DynamoKnobs::throughput().predictor, Arima);
        assert_eq!(DynamoKnobs::hybrid().predictor, Arima);
    }

    #[test]
    fn no_traffic_skips_the_plan() {
        let mut scaler = DynamoThroughput::build(&bounds(1, 100), DynamoKnobs::throughput());
        for tick in 1..=100 {
            let idle = Fleet::new(tick * 5).ready(6, |_| {});
            assert_eq!(scaler.tick(&idle.view()), 6);
        }
    }

    #[test]
    fn hybrid_takes_the_throughput_plan_as_its_floor() {
        let mut scaler = DynamoHybrid::build(&bounds(1, 100), DynamoKnobs::hybrid());
        let mut desired = 14;
        let mut lowest = desired;
        for tick in 1..=200 {
            desired = scaler.tick(&fleet(tick * 5, desired, 40).view());
            lowest = if tick == 74 { desired } else { lowest.min(desired) };
        }
        // 100 ms are allowed, 50 are taken: load plans alone go down to one, and did until there
        // were two throughput plans (1 + 8, then 13).
        assert_eq!((lowest, desired), (13, 13));
    }
}
