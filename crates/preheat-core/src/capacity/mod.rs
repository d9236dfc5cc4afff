//! Capacity: how many requests one replica can have in its batch.

mod itl;
mod neighbours;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use itl::ItlFit;
use itl::Line;
pub(crate) use neighbours::Capacities;
pub use neighbours::Pace;

use crate::decision::{CapacityBound, CapacityExplanation, ItlExplanation};
use crate::memory::{Memory, WorkTotals};
use crate::observation::{Observation, ReplicaObservation};
use crate::part::Part;
use crate::policy::PolicySpec;
use crate::units::Concurrency;

/// Slots assumed of an engine of which nothing is known: too few cost a replica too many, while too
/// many cost the SLO.
const SLOTS_UNKNOWN: Concurrency = slots(8);
/// Slots assumed of an engine that states its KV memory but not its `max-num-seqs`: vLLM's default
/// on all but the largest GPUs, where it is higher.
const SLOTS_VLLM: Concurrency = slots(256);
/// Request sizes are not believed before this many requests.
const REQUESTS_MIN: f64 = 10.0;
/// What one more sequence in the batch adds to a step, ÷ what the step takes anyway.
const SLOPE_OF_A_SEQUENCE: f64 = 0.01;
/// The same of a token of a prompt. A step reads P parameters at the memory's bandwidth, and a token
/// costs 2·P operations: 2 · bandwidth ÷ (bytes of a parameter · operations a second), the latter at
/// half of its peak. That is 0.0047 on an L40S and 0.0068 on an H100 with FP8; steps take longer than
/// reading alone. In a steady state p prompt tokens for each generated one are in each step p times
/// as many as sequences.
const SLOPE_OF_A_PROMPT_TOKEN: f64 = 0.004;
/// The cap by TPOT moves when it is off by more than this share of itself, and more than one slot.
const TPOT_CAP_TOLERANCE: f64 = 0.1;

/// What has been learned of a replica's capacity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CapacityMemory {
    /// ITL over requests in flight.
    pub itl: ItlFit,
    /// The cap that the objective on TPOT asks for.
    pub tpot_cap: Option<TpotCap>,
    /// What a request in flight is believed to add to a step, ÷ what the step takes anyway.
    pub slope: Option<f64>,
}

/// A cap that keeps an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TpotCap {
    /// The objective.
    pub threshold: Duration,
    /// Slots.
    pub slots: Concurrency,
}

/// Learns from what ready replicas measured since the tick before, and says what each replica counts
/// for. It must come before [`crate::demand`] uses the counters up.
pub(crate) fn remember(
    spec: &PolicySpec,
    memory: &mut Memory,
    observation: &Observation,
) -> Capacities {
    let capacities = neighbours::learn(memory, observation, spec.without);
    let capacity = &mut memory.capacity;
    capacity.tpot_cap = spec.slo_tpot.and_then(|threshold| capacity.tpot_cap(threshold));
    capacity.slope = slope(&memory.work).or(capacity.slope);
    capacities
}

/// What any engine is believed to add to a step for each request in flight, ÷ what the step takes
/// anyway, with the requests of now.
fn slope(work: &WorkTotals) -> Option<f64> {
    let known = work.requests >= REQUESTS_MIN && work.generation_tokens > 0.0;
    let prompt_share = work.prompt_tokens / work.generation_tokens;
    known.then_some(SLOPE_OF_A_SEQUENCE + SLOPE_OF_A_PROMPT_TOKEN * prompt_share)
}

/// What a slot in use is worth in each replica, in slots of a whole replica that is just full.
///
/// A slow replica gets less done in a slot. So does a fuller one, whose tokens come further apart:
/// with 20 ms + 0.5 ms each and 64 slots, 20 in use are (20 + 32) ÷ (20 + 10) = 1.73 times as much of
/// what the replica can do as 20 of 64. Where prompts are long that is most of the truth: an engine
/// whose batch never fills can be at its limit. And it is what keeps the measure still while the
/// fleet changes: after replicas come, as much traffic needs fewer slots.
pub(crate) fn slot_worths(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
    capacities: &Capacities,
) -> Vec<f64> {
    let line = memory.capacity.line().filter(|_| spec.without != Some(Part::Fullness));
    let Some(line) = line else { return capacities.each.clone() };
    let capacity = estimate(spec, memory, observation);
    let full_s = line.at(f64::from(capacity.concurrency_cap.get()));
    let worth = |(replica, each): (&ReplicaObservation, &f64)| {
        let in_flight = replica.in_flight.map_or(1, |sample| sample.value.max(1));
        each * full_s / line.at(f64::from(in_flight))
    };
    observation.replicas.iter().zip(&capacities.each).map(worth).collect()
}

impl CapacityMemory {
    /// ITL over requests in flight, as it most likely is. `None` where engines do not tell their ITL
    /// or their tokens.
    fn line(&self) -> Option<Line> {
        self.itl.likely(self.slope?)
    }

    /// Slots at which the ITL still is within `threshold`. What was once believed is kept while
    /// nothing else is: a quiet hour says nothing of a full batch.
    fn tpot_cap(&self, threshold: Duration) -> Option<TpotCap> {
        let held = self.tpot_cap.filter(|cap| cap.threshold == threshold);
        let Some(line) = self.itl.line().map(|seen| self.line().unwrap_or(seen)) else {
            return held;
        };
        let found = Concurrency::new(line.in_flight_at(threshold) as u32).unwrap_or(slots(1));
        let is_near = |cap: &TpotCap| {
            let (held, found) = (f64::from(cap.slots.get()), f64::from(found.get()));
            (found - held).abs() <= (TPOT_CAP_TOLERANCE * held).max(1.0)
        };
        held.filter(is_near).or(Some(TpotCap { threshold, slots: found }))
    }
}

/// The smallest of `max-num-seqs`, what KV memory holds, what keeps the objective on TPOT, and the
/// configured cap.
pub(crate) fn estimate(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
) -> CapacityExplanation {
    let max_num_seqs = observation.replicas.iter().filter_map(|r| r.max_num_seqs).min();
    let kv_tokens = observation.replicas.iter().filter_map(|r| r.kv_capacity_tokens).min();
    let kv_bound = kv_tokens.and_then(|tokens| kv_bound(memory, tokens));
    let tpot_bound = memory.capacity.tpot_cap.map(|cap| cap.slots);
    let bounds = [
        (max_num_seqs, CapacityBound::MaxNumSeqs),
        (spec.concurrency_cap, CapacityBound::Configured),
        (kv_bound, CapacityBound::KvMemory),
        (tpot_bound, CapacityBound::Tpot),
    ];
    let binding = bounds
        .into_iter()
        .filter_map(|(slots, bound)| slots.map(|slots| (slots, bound)))
        .min_by_key(|&(slots, _)| slots);
    let stated = max_num_seqs.is_some() || spec.concurrency_cap.is_some();
    let fallback = if kv_tokens.is_some() { SLOTS_VLLM } else { SLOTS_UNKNOWN };
    let (concurrency_cap, bound_by) = match binding {
        Some(found) if stated || found.0 < fallback => found,
        _ => (fallback, CapacityBound::Default),
    };
    let itl = memory.capacity.itl.line().map(|line| ItlExplanation {
        base: secs(line.base_s),
        per_request: secs(line.per_request_s),
    });
    CapacityExplanation { concurrency_cap, bound_by, max_num_seqs, kv_bound, tpot_bound, itl }
}

/// Of a number that is never negative; what no duration can hold becomes the longest.
fn secs(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}

/// For constants above zero.
const fn slots(slots: u32) -> Concurrency {
    match Concurrency::new(slots) {
        Some(slots) => slots,
        None => unreachable!(),
    }
}

/// Requests whose whole context fits the KV cache at once: 148,398 tokens ÷ (1,155 + 211) = 108.
fn kv_bound(memory: &Memory, kv_tokens: u64) -> Option<Concurrency> {
    let work = &memory.work;
    if work.requests < REQUESTS_MIN {
        return None;
    }
    let tokens_per_request = (work.prompt_tokens + work.generation_tokens) / work.requests;
    let fit = kv_tokens as f64 / tokens_per_request.max(1.0);
    Some(Concurrency::new(fit as u32).unwrap_or(slots(1)))
}

#[cfg(test)]
mod tests;
