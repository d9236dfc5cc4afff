//! Random engines and workloads, and how to run one against the other.

use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{
    Engine, EngineConfig, EngineEvent, EngineProfile, EngineRequest, RequestId, SleepProfile,
};
use proptest::prelude::*;

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action {
    Submit(EngineRequest),
    Cancel(RequestId),
    /// Only time passes.
    Nothing,
}

/// Prompt and output together at most in [`workload`].
pub(crate) const TOKENS_MAX: u32 = 260;

pub(crate) fn millis(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

/// Later than anything ends in these tests.
pub(crate) fn advance_all() -> Instant {
    millis(1_000_000_000)
}

pub(crate) fn profile(name: &str) -> &'static EngineProfile {
    EngineProfile::find(name).unwrap()
}

/// A small engine: little KV cache, few slots, small budget.
pub(crate) fn small_config() -> EngineConfig {
    EngineConfig {
        max_num_seqs: Concurrency::new(4).unwrap(),
        max_num_batched_tokens: 64,
        kv_capacity_tokens: 512,
        max_model_len: 512,
        async_scheduling: false,
        sleep: SleepProfile::fixed(Duration::from_secs(2), Duration::from_secs(1)),
        ..EngineConfig::for_profile(profile("llama3.1-8b-bf16-h100"))
    }
}

/// Engines small enough that every limit binds at times.
pub(crate) fn config() -> impl Strategy<Value = EngineConfig> {
    let profiles = prop::sample::select(vec![
        "llama3.1-8b-bf16-h100",
        "llama3.1-8b-bf16-a100",
        "llama3.1-8b-fp8-h200",
        // With host time per sequence.
        "llama3.1-70b-fp8-h100-tp4",
    ]);
    (profiles, 1_u32..12, 0_u32..80, 0_u64..600, 1_u32..24, any::<bool>()).prop_map(
        |(name, seqs, budget_more, kv_more, block_size, async_scheduling)| EngineConfig {
            profile: EngineConfig::for_profile(profile(name)).profile,
            max_num_seqs: Concurrency::new(seqs).unwrap(),
            max_num_batched_tokens: seqs + budget_more,
            kv_capacity_tokens: u64::from(TOKENS_MAX + block_size) + kv_more,
            block_size,
            async_scheduling,
            ..small_config()
        },
    )
}

/// Up to `len` actions, in order of time.
pub(crate) fn workload(len: usize) -> impl Strategy<Value = Vec<(Instant, Action)>> {
    // Gaps in ns: none, shorter than a step, longer than many.
    let gap = prop_oneof![Just(0_u64), 1_u64..20_000_000, 1_u64..2_000_000_000];
    let action = (gap, 0_u32..10, 1_u32..130, 1_u32..130, any::<prop::sample::Index>());
    prop::collection::vec(action, 1..len).prop_map(|drawn| {
        let (mut now, mut actions) = (0, Vec::new());
        for (i, (gap, kind, prompt_tokens, output_tokens, index)) in drawn.into_iter().enumerate() {
            now += gap;
            let action = match kind {
                0 => Action::Nothing,
                1 => Action::Cancel(RequestId(index.index(i + 1) as u64)),
                _ => {
                    let id = RequestId(i as u64);
                    Action::Submit(EngineRequest { id, prompt_tokens, output_tokens })
                }
            };
            actions.push((Instant::from_nanos(now), action));
        }
        actions
    })
}

/// Runs `actions` to the end of all requests; what is left of the engine, and what it reported.
pub(crate) fn run(mut engine: Engine, actions: &[(Instant, Action)]) -> (Engine, Vec<EngineEvent>) {
    let mut events = Vec::new();
    for (at, action) in actions {
        engine.advance(*at, &mut events);
        act(&mut engine, *at, *action);
    }
    engine.advance(advance_all(), &mut events);
    (engine, events)
}

pub(crate) fn act(engine: &mut Engine, at: Instant, action: Action) {
    match action {
        Action::Submit(request) => engine.submit(at, request).unwrap(),
        Action::Cancel(id) => {
            engine.cancel(at, id);
        }
        Action::Nothing => {}
    }
}
