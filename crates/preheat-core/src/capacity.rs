//! Capacity: how many requests one replica can have in its batch.

use crate::decision::{CapacityBound, CapacityExplanation};
use crate::memory::Memory;
use crate::observation::Observation;
use crate::policy::PolicySpec;
use crate::units::Concurrency;

/// Slots assumed of an engine of which nothing is known: vLLM's small-GPU recipes use 8 and up, and
/// too few slots cost a replica too many, while too many cost the SLO.
const SLOTS_DEFAULT: u32 = 8;
/// Request sizes are not believed before this many requests.
const REQUESTS_MIN: f64 = 10.0;

/// The smallest of `max-num-seqs`, what KV memory holds, and the configured cap.
pub(crate) fn estimate(
    spec: &PolicySpec,
    memory: &Memory,
    observation: &Observation,
) -> CapacityExplanation {
    let max_num_seqs = observation.replicas.iter().filter_map(|r| r.max_num_seqs).min();
    let kv_tokens = observation.replicas.iter().filter_map(|r| r.kv_capacity_tokens).min();
    let kv_bound = kv_tokens.and_then(|tokens| kv_bound(memory, tokens));
    let bounds = [
        (max_num_seqs, CapacityBound::MaxNumSeqs),
        (spec.concurrency_cap, CapacityBound::Configured),
        (kv_bound, CapacityBound::KvMemory),
    ];
    let binding = bounds
        .into_iter()
        .filter_map(|(slots, bound)| slots.map(|slots| (slots, bound)))
        .min_by_key(|&(slots, _)| slots);
    // KV memory alone says how many could fit, not how many the engine will run.
    let only_kv = max_num_seqs.is_none() && spec.concurrency_cap.is_none();
    let fallback = (SLOTS_MIN.max(slots_default()), CapacityBound::Default);
    let (concurrency_cap, bound_by) = match binding {
        Some(found) if !only_kv || found.0 < fallback.0 => found,
        _ => fallback,
    };
    CapacityExplanation { concurrency_cap, bound_by, max_num_seqs, kv_bound }
}

/// One slot: the least a replica can have.
const SLOTS_MIN: Concurrency = match Concurrency::new(1) {
    Some(slots) => slots,
    None => unreachable!(),
};

fn slots_default() -> Concurrency {
    Concurrency::new(SLOTS_DEFAULT).unwrap_or(SLOTS_MIN)
}

/// Requests whose whole context fits the KV cache at once: 148,398 tokens ÷ (1,155 + 211) = 108.
fn kv_bound(memory: &Memory, kv_tokens: u64) -> Option<Concurrency> {
    let work = &memory.work;
    if work.requests < REQUESTS_MIN {
        return None;
    }
    let tokens_per_request = (work.prompt_tokens + work.generation_tokens) / work.requests;
    let slots = kv_tokens as f64 / tokens_per_request.max(1.0);
    Some(Concurrency::new(slots as u32).unwrap_or(SLOTS_MIN))
}
