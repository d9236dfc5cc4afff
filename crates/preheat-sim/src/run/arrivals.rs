//! The trace as it is read: one request ahead, and its first minute where a fleet is sized for it.
//!
//! **Invariant:** no more of the trace is in memory than its first minute.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::Instant;
use preheat_engine::EngineConfig;
use preheat_traffic::TraceRequest;

use super::config::{ReplicasInitial, SimulationConfig};
use super::error::SimulationError;
use crate::replica::capacity;
use crate::replica::serving::NEVER;

/// What a fleet is sized for.
const FIRST: Duration = Duration::from_secs(60);

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
            ReplicasInitial::ForFirstMinute => self.replicas_for_first_minute(&config.engine),
        };
        wanted.clamp(config.bounds.replicas_min, config.bounds.replicas_max)
    }

    /// Replicas that the first minute needs, reading it ahead. A request on its own says nothing
    /// of a rate, so a shorter trace counts as a minute.
    fn replicas_for_first_minute(&mut self, engine: &EngineConfig) -> u32 {
        let Some(begin) = self.next else { return 0 };
        let (mut count, mut prompt, mut output) = (0.0, 0.0, 0.0);
        let mut add = |request: &TraceRequest| {
            count += 1.0;
            prompt += f64::from(request.input_tokens);
            output += f64::from(request.output_tokens);
        };
        add(&begin);
        for request in self.rest.by_ref() {
            self.first.push_back(request);
            if request.arrival >= begin.arrival + FIRST {
                break;
            }
            add(&request);
        }
        let rate = count / FIRST.as_secs_f64();
        let per_replica = capacity::requests_per_sec(engine, prompt / count, output / count);
        (rate / per_replica).ceil() as u32
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
