//! Cold starts: how long they take here, and how long those under way still will.

use std::collections::VecDeque;
use std::time::Duration;

use crate::decision::ColdStartExplanation;
use crate::memory::{Memory, ReplicaMemory, START_SAMPLES_MAX, push_bounded};
use crate::observation::{Observation, ReplicaId, ReplicaPhase};
use crate::policy::PolicySpec;
use crate::units::Instant;

/// The prior counts as two observed starts, its median and its 90th percentile, until this many
/// real ones are known.
const PRIOR_UNTIL_SAMPLES: usize = 8;
/// A start that takes this many times the 90th percentile is overdue: it may never end.
const OVERDUE_FACTOR: f64 = 1.5;
/// Wake time assumed until one was seen: between vLLM's 0.3 s (8B) and 6 s (large models).
const WAKE_PRIOR: Duration = Duration::from_secs(5);

/// Follows every replica's way to ready, and learns from those that arrived.
pub(crate) fn remember(memory: &mut Memory, observation: &Observation) {
    let exists = |id: &ReplicaId| observation.replicas.binary_search_by_key(id, |r| r.id).is_ok();
    memory.replicas.retain(|id, _| exists(id));
    for replica in &observation.replicas {
        let fresh = ReplicaMemory {
            starting_since: None,
            is_wake: false,
            counters_at: None,
            inside: None,
            in_flight: None,
        };
        let is_new = !memory.replicas.contains_key(&replica.id);
        let entry = memory.replicas.entry(replica.id).or_insert(fresh);
        if replica.phase.is_starting() {
            if entry.starting_since.is_none() {
                // A crashed replica starts again from its crash, not from its first order.
                let crashed = !is_new || replica.restarts > 0;
                let since = if crashed { replica.phase_since } else { replica.start_ordered_at };
                entry.starting_since = Some(since);
                entry.inside = None;
                entry.in_flight = None;
            }
            entry.is_wake = matches!(replica.phase, ReplicaPhase::Waking(_));
        } else if let Some(since) = entry.starting_since.take()
            && replica.phase == ReplicaPhase::Ready
        {
            let took = replica.phase_since.since(since);
            let samples = if entry.is_wake { &mut memory.wakes } else { &mut memory.cold_starts };
            push_bounded(samples, took, START_SAMPLES_MAX);
        }
    }
}

/// The distribution of cold starts as known now.
pub(crate) fn estimate(spec: &PolicySpec, memory: &Memory) -> ColdStartExplanation {
    let prior = [spec.cold_start_prior.p50, spec.cold_start_prior.p90];
    let samples = with_prior(&memory.cold_starts, &prior);
    let (p50, p90) = (quantile(&samples, 0.5), quantile(&samples, 0.9));
    ColdStartExplanation {
        samples: u32::try_from(memory.cold_starts.len()).unwrap_or(u32::MAX),
        p50,
        p90,
        lead_time: spec.tick_interval + p90,
    }
}

/// Time until a start under way should be ready, or `None` when it is overdue: a start this old
/// gets no credit.
pub(crate) fn residual(
    spec: &PolicySpec,
    memory: &Memory,
    replica: ReplicaId,
    now: Instant,
) -> Option<Duration> {
    let entry = memory.replicas.get(&replica)?;
    let age = entry.starting_since.map_or(Duration::ZERO, |since| now.since(since));
    let samples = if entry.is_wake {
        with_prior(&memory.wakes, &[WAKE_PRIOR, WAKE_PRIOR])
    } else {
        with_prior(&memory.cold_starts, &[spec.cold_start_prior.p50, spec.cold_start_prior.p90])
    };
    if age > quantile(&samples, 0.9).mul_f64(OVERDUE_FACTOR) {
        return None;
    }
    // The median of those that took longer than this one already has.
    let longer: Vec<Duration> = samples.iter().copied().filter(|&took| took > age).collect();
    let expected = if longer.is_empty() { age } else { quantile(&longer, 0.5) };
    Some(expected.saturating_sub(age))
}

/// Sorted samples, with the prior among them while they are few.
fn with_prior(samples: &VecDeque<Duration>, prior: &[Duration]) -> Vec<Duration> {
    let mut all: Vec<Duration> = samples.iter().copied().collect();
    if all.len() < PRIOR_UNTIL_SAMPLES {
        all.extend_from_slice(prior);
    }
    all.sort_unstable();
    all
}

/// Nearest-rank quantile of sorted, non-empty samples.
fn quantile(sorted: &[Duration], q: f64) -> Duration {
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}
