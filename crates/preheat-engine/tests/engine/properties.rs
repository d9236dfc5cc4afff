//! What holds for every workload.

use std::collections::BTreeMap;

use preheat_core::Instant;
use preheat_engine::{Engine, EngineConfig, EngineEvent, EventDetail, RequestId, Stepping};
use proptest::prelude::*;

use crate::common::{Action, act, advance_all, config, run, workload};

/// Requests that `actions` submit, by id: tokens to generate.
fn outputs(actions: &[(Instant, Action)]) -> BTreeMap<RequestId, u32> {
    let output = |action: &Action| match action {
        Action::Submit(request) => Some((request.id, request.output_tokens)),
        Action::Cancel(_) | Action::Nothing => None,
    };
    actions.iter().filter_map(|(_, action)| output(action)).collect()
}

/// Events without those of steps, and the number of steps and of tokens computed in them.
fn split_steps(events: Vec<EngineEvent>) -> (Vec<EngineEvent>, u64, u64) {
    let (mut steps_sum, mut tokens_sum) = (0, 0);
    let mut others = Vec::new();
    for event in events {
        if let EngineEvent::Step { steps, tokens, .. } = event {
            steps_sum += u64::from(steps);
            tokens_sum += u64::from(steps) * u64::from(tokens);
        } else {
            others.push(event);
        }
    }
    (others, steps_sum, tokens_sum)
}

/// Limits that no step may break, and what must add up at any time.
fn check_limits(engine: &Engine, config: &EngineConfig) -> Result<(), TestCaseError> {
    let s = engine.stats();
    prop_assert!(s.kv_blocks_used <= s.kv_blocks_total);
    prop_assert!(s.running <= config.max_num_seqs.get());
    prop_assert!(s.step_tokens <= config.max_num_batched_tokens);
    prop_assert!(s.running == 0 || s.kv_blocks_used > 0);
    let inside = u64::from(s.running + s.waiting);
    let gone = s.finished_total + s.cancelled_total;
    // One in the batch whose client hung up counts as both until its step ends.
    prop_assert!(s.submitted_total >= gone && s.submitted_total <= gone + inside);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// At every call: the same events, tokens included, and the same metrics.
    #[test]
    fn jumping_equals_stepping(config in config(), actions in workload(60)) {
        let mut engines = [Stepping::Jump, Stepping::EachStep]
            .map(|stepping| Engine::new(config).with_stepping(stepping));
        let end = [(advance_all(), Action::Nothing)];
        for (at, action) in actions.iter().chain(&end) {
            let [jumped, stepped] = engines.each_mut().map(|engine| {
                let mut events = Vec::new();
                engine.advance(*at, &mut events);
                act(engine, *at, *action);
                (split_steps(events), engine.stats(), engine.next_event_at())
            });
            prop_assert_eq!(jumped, stepped);
        }
    }

    /// It does not matter how often `advance` is called.
    #[test]
    fn calls_in_between_change_nothing(
        config in config(),
        actions in workload(40),
        idle in prop::collection::vec(0_u64..40_000_000_000, 0..60),
    ) {
        let mut more = actions.clone();
        more.extend(idle.iter().map(|at| (Instant::from_nanos(*at), Action::Nothing)));
        more.sort_by_key(|(at, _)| *at);
        let engine = Engine::new(config).with_detail(EventDetail::Requests);
        let (seldom, expected) = run(engine.clone(), &actions);
        let (often, events) = run(engine, &more);
        prop_assert_eq!(events, expected);
        prop_assert_eq!(often.stats(), seldom.stats());
    }

    /// A simulator may submit arrivals ahead of time.
    #[test]
    fn submitting_ahead_changes_nothing(config in config(), actions in workload(60)) {
        let mut arrivals = actions;
        arrivals.retain(|(_, action)| matches!(action, Action::Submit(_)));
        arrivals.dedup_by_key(|(at, _)| *at);
        for stepping in [Stepping::Jump, Stepping::EachStep] {
            let engine = Engine::new(config)
                .with_detail(EventDetail::Requests)
                .with_stepping(stepping);
            let (_, expected) = run(engine.clone(), &arrivals);
            let (mut ahead, mut events) = (engine, Vec::new());
            for (at, action) in &arrivals {
                act(&mut ahead, *at, *action);
            }
            ahead.advance(advance_all(), &mut events);
            prop_assert_eq!(events, expected, "{:?}", stepping);
        }
    }

    /// Step by step: no limit is broken, nobody is lost, and the engine is never idle while
    /// somebody is inside.
    #[test]
    fn limits_hold_in_every_step(config in config(), actions in workload(60)) {
        let mut engine = Engine::new(config);
        let mut events = Vec::new();
        for (at, action) in actions.iter().chain(&[(advance_all(), Action::Nothing)]) {
            while let Some(next) = engine.next_event_at().filter(|next| next <= at) {
                engine.advance(next, &mut events);
                check_limits(&engine, &config)?;
                let s = engine.stats();
                prop_assert_eq!(s.step_tokens > 0, s.running + s.waiting > 0, "work conserved");
            }
            engine.advance(*at, &mut events);
            act(&mut engine, *at, *action);
        }
        let s = engine.stats();
        prop_assert_eq!(s.finished_total + s.cancelled_total, s.submitted_total);
        prop_assert_eq!((s.kv_blocks_used, s.running, s.waiting), (0, 0, 0));
    }

    /// Each request that finishes was scheduled, got its first token, then the others.
    #[test]
    fn each_request_has_a_whole_life(config in config(), actions in workload(60)) {
        let (engine, events) = run(Engine::new(config), &actions);
        let outputs = outputs(&actions);
        let mut tokens: BTreeMap<RequestId, u32> = BTreeMap::new();
        let (mut finished, mut latest) = (0, Instant::ORIGIN);
        for event in events {
            // Tokens come last in a call, each with the time of the latest step.
            prop_assert!(event.at() >= latest);
            latest = event.at();
            if let EngineEvent::FirstToken { id, .. } = event {
                prop_assert_eq!(tokens.insert(id, 1), None);
            } else if let EngineEvent::Tokens { id, count, .. } = event {
                *tokens.get_mut(&id).unwrap() += count;
            } else if let EngineEvent::Finished { id, tokens: reported, .. } = event {
                prop_assert_eq!(tokens.get(&id), Some(&reported));
                prop_assert_eq!(outputs.get(&id), Some(&reported));
                finished += 1;
            }
        }
        prop_assert_eq!(finished, engine.stats().finished_total);
    }

    /// Without preemption the queue is served in order of arrival.
    #[test]
    fn first_come_first_served(config in config(), actions in workload(60)) {
        let (_, events) = run(Engine::new(config), &actions);
        let mut scheduled = Vec::new();
        for event in events {
            if let EngineEvent::Scheduled { id, .. } = event {
                scheduled.push(id);
            }
        }
        prop_assert!(scheduled.is_sorted(), "ids ascend with arrival: {:?}", scheduled);
    }
}
