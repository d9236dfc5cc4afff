//! Capacity: how many requests one replica can have in its batch.

use crate::decision::{CapacityBound, CapacityExplanation};
use crate::memory::Memory;
use crate::observation::Observation;
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
    let stated = max_num_seqs.is_some() || spec.concurrency_cap.is_some();
    let fallback = if kv_tokens.is_some() { SLOTS_VLLM } else { SLOTS_UNKNOWN };
    let (concurrency_cap, bound_by) = match binding {
        Some(found) if stated || found.0 < fallback => found,
        _ => (fallback, CapacityBound::Default),
    };
    CapacityExplanation { concurrency_cap, bound_by, max_num_seqs, kv_bound }
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
mod tests {
    use crate::memory::WorkTotals;
    use crate::observation::{ReplicaId, ReplicaObservation, ReplicaPhase, TickId};
    use crate::units::Instant;

    use super::*;

    /// 1,000 requests of 1,155 + 211 tokens were seen.
    #[track_caller]
    fn check(
        max_num_seqs: Option<u32>,
        kv_tokens: Option<u64>,
        configured: Option<u32>,
        expected: (u32, CapacityBound),
    ) {
        let replica = ReplicaObservation {
            id: ReplicaId(0),
            phase: ReplicaPhase::Ready,
            phase_since: Instant::ORIGIN,
            start_ordered_at: Instant::ORIGIN,
            restarts: 0,
            in_flight: None,
            queue_depth: None,
            kv_utilization: None,
            max_num_seqs: max_num_seqs.and_then(Concurrency::new),
            kv_capacity_tokens: kv_tokens,
            counters: None,
            ttft: None,
            itl: None,
            outstanding: None,
        };
        let observation = Observation {
            tick: TickId(0),
            now: Instant::ORIGIN,
            replicas: vec![replica],
            gateway: None,
            replicas_placeable: None,
            replicas_allowed: None,
            scheduled: Vec::new(),
        };
        let work = WorkTotals {
            slot_seconds: 0.0,
            requests: 1000.0,
            prompt_tokens: 1_155_000.0,
            generation_tokens: 211_000.0,
        };
        let memory = Memory { work, ..Memory::default() };
        let concurrency_cap = configured.and_then(Concurrency::new);
        let spec = PolicySpec { concurrency_cap, ..PolicySpec::default() };
        let got = estimate(&spec, &memory, &observation);
        assert_eq!((got.concurrency_cap.get(), got.bound_by), expected);
    }

    #[test]
    fn the_smallest_known_limit_binds() {
        use CapacityBound::{Configured, Default, KvMemory, MaxNumSeqs};
        check(Some(64), Some(148_398), None, (64, MaxNumSeqs));
        check(Some(256), Some(148_398), None, (108, KvMemory));
        check(Some(64), Some(148_398), Some(32), (32, Configured));
        check(None, Some(148_398), None, (108, KvMemory));
        check(None, Some(1_000_000), None, (256, Default));
        check(None, None, Some(16), (16, Configured));
        check(None, None, None, (8, Default));
    }
}
