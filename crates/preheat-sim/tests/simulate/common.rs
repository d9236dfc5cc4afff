//! Traces, fleets and scalers that the tests share.

use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{EngineConfig, EngineProfile};
use preheat_sim::cold_start::ColdStartConfig;
use preheat_sim::run::SimulationConfig;
use preheat_sim::scaler::Scaler;
use preheat_sim::view::{FleetView, MetricsPipeline, PoolBounds};
use preheat_traffic::TraceRequest;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(secs(seconds))
}

/// An 8B model with few slots, so that few requests fill it.
pub(crate) fn engine(max_num_seqs: u32) -> EngineConfig {
    let profile = EngineProfile::find("llama3.1-8b-bf16-h100").unwrap();
    let max_num_seqs = Concurrency::new(max_num_seqs).unwrap();
    EngineConfig { max_num_seqs, ..EngineConfig::for_profile(profile) }
}

pub(crate) fn bounds(replicas_max: u32) -> PoolBounds {
    PoolBounds {
        replicas_min: 1,
        replicas_max,
        ttft_slo: secs(2),
        attainment_slo: 0.99,
        tpot_slo: None,
    }
}

/// Eight slots a replica, a cold start of a minute, up to 20 replicas.
pub(crate) fn config() -> SimulationConfig {
    let startup = ColdStartConfig::Fixed(secs(60));
    SimulationConfig::new(engine(8), bounds(20), startup)
}

/// Poisson arrivals: (until this second, at this rate) one after the other. Prompts 64–448 and
/// outputs 32–224 tokens, uniform.
pub(crate) fn poisson(seed: u64, stretches: &[(u64, f64)]) -> Vec<TraceRequest> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    let mut trace = Vec::new();
    let mut now = 0.0;
    for &(until, rate) in stretches {
        loop {
            now -= libm::log(unit()) / rate;
            if now >= until as f64 {
                now = until as f64;
                break;
            }
            trace.push(TraceRequest {
                arrival: Duration::from_secs_f64(now),
                input_tokens: 64 + (unit() * 385.0) as u32,
                output_tokens: 32 + (unit() * 193.0) as u32,
            });
        }
    }
    trace
}

/// Says at each tick what it was told to, and notes what it saw.
pub(crate) struct Script {
    /// From this second on, so many.
    pub(crate) steps: Vec<(u64, u32)>,
    pub(crate) period: Duration,
    pub(crate) pipeline: MetricsPipeline,
    pub(crate) look: Box<dyn FnMut(&FleetView<'_>)>,
}

impl Script {
    pub(crate) fn of(steps: &[(u64, u32)]) -> Self {
        let pipeline = MetricsPipeline { scrape_interval: secs(15), delay: Duration::ZERO };
        Self { steps: steps.to_vec(), period: secs(1), pipeline, look: Box::new(|_| ()) }
    }
}

impl Scaler for Script {
    fn name(&self) -> &str {
        "script"
    }

    fn period(&self) -> Duration {
        self.period
    }

    fn pipeline(&self) -> MetricsPipeline {
        self.pipeline
    }

    fn tick(&mut self, view: &FleetView<'_>) -> u32 {
        (self.look)(view);
        let due = self.steps.iter().rev().find(|(from, _)| at(*from) <= view.now);
        due.map_or(view.desired, |(_, replicas)| *replicas)
    }
}

/// So many, always.
pub(crate) fn fixed(replicas: u32) -> Script {
    Script::of(&[(0, replicas)])
}
