//! The trace as it is read: one request ahead, and its first minutes where a fleet is sized for
//! them.
//!
//! **Invariant:** no more of the trace is in memory than those first minutes.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::Instant;
use preheat_engine::EngineConfig;
use preheat_traffic::TraceRequest;

use super::config::{ReplicasInitial, SimulationConfig};
use super::error::SimulationError;
use crate::replica::capacity;
use crate::replica::serving::NEVER;

/// What a rate is taken over.
const MINUTE: Duration = Duration::from_secs(60);
/// Headroom, in square roots of the slots in use: with Poisson arrivals 2.3 % of them would wait.
const HEADROOM_BETA: f64 = 2.0;

/// A trace being read.
pub(crate) struct Arrivals<I> {
    first: VecDeque<TraceRequest>,
    rest: I,
    next: Option<TraceRequest>,
}

impl<I: Iterator<Item = TraceRequest>> Arrivals<I> {
    pub(crate) fn new(rest: I) -> Self {
        let mut arrivals = Self { first: VecDeque::new(), rest, next: None };
        arrivals.next = arrivals.rest.next();
        arrivals
    }

    /// Replicas that are ready at the start.
    pub(crate) fn replicas_initial(&mut self, config: &SimulationConfig) -> u32 {
        let wanted = match config.replicas_initial {
            ReplicasInitial::Count(count) => count,
            ReplicasInitial::ForFirst(span) => self.replicas_for_first(span, &config.engine),
        };
        wanted.clamp(config.bounds.replicas_min, config.bounds.replicas_max)
    }

    /// Replicas that the busiest of the first minutes needs, reading them ahead. A request on its
    /// own says nothing of a rate, so a shorter trace counts as a minute.
    fn replicas_for_first(&mut self, span: Duration, engine: &EngineConfig) -> u32 {
        let Some(begin) = self.next else { return 0 };
        let mut minutes: Vec<MinuteTotals> = vec![MinuteTotals::default()];
        let mut add = |request: &TraceRequest| {
            let minute = (request.arrival - begin.arrival).as_secs() / MINUTE.as_secs();
            minutes.resize(minutes.len().max(minute as usize + 1), MinuteTotals::default());
            if let Some(totals) = minutes.last_mut() {
                totals.add(request);
            }
        };
        add(&begin);
        for request in self.rest.by_ref() {
            self.first.push_back(request);
            // An unsorted trace is refused when it is taken.
            if request.arrival >= begin.arrival + span || request.arrival < begin.arrival {
                break;
            }
            add(&request);
        }
        minutes.iter().map(|totals| totals.replicas(engine)).max().unwrap_or(0)
    }

    /// When the next one arrives.
    pub(crate) fn next_at(&self) -> Instant {
        self.next.as_ref().map_or(NEVER, |next| Instant::ORIGIN.saturating_add(next.arrival))
    }

    /// Takes it, and looks at the one after it.
    pub(crate) fn take(&mut self) -> Result<Option<TraceRequest>, SimulationError> {
        let Some(request) = self.next else { return Ok(None) };
        self.next = self.first.pop_front().or_else(|| self.rest.next());
        match &self.next {
            Some(next) if next.arrival < request.arrival => {
                let at = |arrival| Instant::ORIGIN.saturating_add(arrival);
                let (at, before) = (at(next.arrival), at(request.arrival));
                Err(SimulationError::TraceUnsorted { at, before })
            }
            Some(_) | None => Ok(Some(request)),
        }
    }
}

/// What came in within a minute.
#[derive(Clone, Copy, Debug, Default)]
struct MinuteTotals {
    requests: f64,
    prompt_tokens: f64,
    output_tokens: f64,
}

impl MinuteTotals {
    fn add(&mut self, request: &TraceRequest) {
        self.requests += 1.0;
        self.prompt_tokens += f64::from(request.input_tokens);
        self.output_tokens += f64::from(request.output_tokens);
    }

    fn replicas(&self, engine: &EngineConfig) -> u32 {
        if self.requests == 0.0 {
            return 0;
        }
        let (prompt, output) =
            (self.prompt_tokens / self.requests, self.output_tokens / self.requests);
        let rate = self.requests / MINUTE.as_secs_f64();
        let replicas = rate / capacity::requests_per_sec(engine, prompt, output);
        let slots_each = f64::from(engine.max_num_seqs.get());
        let headroom = HEADROOM_BETA * libm::sqrt(replicas * slots_each) / slots_each;
        libm::ceil(replicas + headroom) as u32
    }
}
