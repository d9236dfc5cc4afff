//! The scheduler's rules, as timelines. Every step takes 10 ms here, whatever is in it.

use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_engine::{
    ConfigError, Engine, EngineConfig, EngineEvent, EngineRequest, EventDetail, KNOT_TOKENS,
    RequestId, StepLoad, StepProfile, Stepping, SubmitError,
};

use crate::common::{advance_all, millis, profile, small_config};

/// Four slots, 64 tokens a step, 32 blocks of 16, 10 ms a step, no async scheduling.
fn config() -> EngineConfig {
    let ten_millis = StepProfile::from_table_ms([10.0; KNOT_TOKENS.len()], 0.0, 0.0, 0.0);
    EngineConfig { profile: ten_millis, ..small_config() }
}

/// (arrival in ms, id, prompt tokens, output tokens)
type Arrival = (u64, u64, u32, u32);

fn request(id: u64, prompt_tokens: u32, output_tokens: u32) -> EngineRequest {
    EngineRequest { id: RequestId(id), prompt_tokens, output_tokens }
}

/// Runs `arrivals` until `end`. Those of one time are submitted together.
fn run(config: EngineConfig, arrivals: &[Arrival], end: Instant) -> (Engine, Vec<EngineEvent>) {
    let mut engine = Engine::new(config).with_detail(EventDetail::Steps);
    let (mut events, mut now) = (Vec::new(), Instant::ORIGIN);
    for (at, id, prompt, output) in arrivals {
        if millis(*at) > now {
            now = millis(*at);
            engine.advance(now, &mut events);
        }
        assert_eq!(engine.submit(now, request(*id, *prompt, *output)), Ok(()));
    }
    engine.advance(end, &mut events);
    (engine, events)
}

/// Runs `arrivals` and compares what happens to requests with `expected`: one line per time in ms.
#[track_caller]
fn check(config: EngineConfig, arrivals: &[Arrival], expected: &[&str]) {
    let (_, events) = run(config, arrivals, advance_all());
    assert_eq!(timeline(&events), expected);
}

fn timeline(events: &[EngineEvent]) -> Vec<String> {
    let mut lines: Vec<(Instant, String)> = Vec::new();
    for event in events {
        let text = match event {
            EngineEvent::Scheduled { id, .. } => format!(" in:{}", id.0),
            EngineEvent::Resumed { id, .. } => format!(" again:{}", id.0),
            EngineEvent::FirstToken { id, .. } => format!(" first:{}", id.0),
            EngineEvent::Finished { id, .. } => format!(" end:{}", id.0),
            EngineEvent::Preempted { id, .. } => format!(" out:{}", id.0),
            EngineEvent::Aborted { .. }
            | EngineEvent::Tokens { .. }
            | EngineEvent::Step { .. }
            | EngineEvent::Slept { .. }
            | EngineEvent::Woke { .. } => continue,
        };
        match lines.last_mut() {
            Some((at, line)) if *at == event.at() => line.push_str(&text),
            _ => lines.push((event.at(), text)),
        }
    }
    let at_millis = |at: Instant| at.as_nanos() as f64 / 1e6;
    lines.into_iter().map(|(at, text)| format!("{}{text}", at_millis(at))).collect()
}

/// Tokens of each step, run lengths written out.
#[track_caller]
fn check_step_tokens(config: EngineConfig, arrivals: &[Arrival], expected: &[u32]) {
    let (_, events) = run(config, arrivals, advance_all());
    let mut got = Vec::new();
    for event in events {
        if let EngineEvent::Step { steps, tokens, .. } = event {
            got.extend((0..steps).map(|_| tokens));
        }
    }
    assert_eq!(got, expected);
}

#[test]
fn a_prompt_longer_than_the_budget_is_chunked() {
    let arrivals = [(0, 1, 150, 2)];
    check(config(), &arrivals, &["0 in:1", "30 first:1", "40 end:1"]);
    check_step_tokens(config(), &arrivals, &[64, 64, 22, 1]);
}

#[test]
fn the_batch_goes_before_the_queue() {
    // 2 gets what 1's decode leaves of the budget; 3 gets what 2's last chunk leaves.
    let arrivals = [(0, 1, 10, 6), (5, 2, 100, 1), (5, 3, 50, 1)];
    check_step_tokens(config(), &arrivals, &[10, 64, 64, 25, 1, 1]);
    let lines = [
        "0 in:1",
        "10 first:1 in:2",
        "20 in:3",
        "30 first:2 end:2",
        "40 first:3 end:3",
        "60 end:1",
    ];
    check(config(), &arrivals, &lines);
}

#[test]
fn slots_are_limited() {
    let config = EngineConfig { max_num_seqs: Concurrency::new(2).unwrap(), ..config() };
    let arrivals = [(0, 1, 8, 3), (0, 2, 8, 5), (0, 3, 8, 1)];
    let lines =
        ["0 in:1 in:2", "10 first:1 first:2", "30 end:1 in:3", "40 first:3 end:3", "50 end:2"];
    check(config, &arrivals, &lines);
}

#[test]
fn the_first_that_does_not_fit_blocks_those_behind_it() {
    // 8 blocks. 1 holds 4 for its whole life; 2 needs 5 for its prompt; 3 needs 1.
    let config = EngineConfig { kv_capacity_tokens: 128, ..config() };
    let arrivals = [(0, 1, 60, 4), (5, 2, 70, 1), (5, 3, 4, 1)];
    let lines =
        ["0 in:1", "10 first:1", "40 end:1 in:2", "50 in:3", "60 first:2 end:2 first:3 end:3"];
    check(config, &arrivals, &lines);
}

#[test]
fn the_last_admitted_is_preempted_and_recomputed() {
    // 5 blocks; each request begins with 2 and needs its third to compute its 33rd token.
    let config = EngineConfig { kv_capacity_tokens: 80, max_num_batched_tokens: 70, ..config() };
    let arrivals = [(0, 1, 30, 6), (0, 2, 30, 6)];
    // t=30: 1 takes the last block, 2 is thrown out with 3 tokens generated. It comes back when 1
    // has ended, recomputes 33 and makes its fourth token.
    let lines = ["0 in:1 in:2", "10 first:1 first:2", "30 out:2", "60 end:1 again:2", "90 end:2"];
    check(config, &arrivals, &lines);
    check_step_tokens(config, &arrivals, &[60, 2, 2, 1, 1, 1, 33, 1, 1]);
}

#[test]
fn the_preempted_go_to_the_front_in_their_order() {
    // 6 blocks, 2 each; at t=30 all need a third. 1 takes one that 3 gives up, 2 the other one;
    // 4 arrived meanwhile and stays behind 3.
    let config = EngineConfig { kv_capacity_tokens: 96, max_num_batched_tokens: 100, ..config() };
    let arrivals = [(0, 1, 30, 4), (0, 2, 30, 5), (0, 3, 30, 5), (25, 4, 30, 1)];
    let lines = [
        "0 in:1 in:2 in:3",
        "10 first:1 first:2 first:3",
        "30 out:3",
        "40 end:1 again:3",
        "50 end:2 in:4",
        "60 end:3 first:4 end:4",
    ];
    check(config, &arrivals, &lines);
}

#[test]
fn nobody_is_admitted_in_a_step_that_preempted() {
    // 9 blocks: 1 has 2, 2 has 6. At t=30 both 1 and 2 need one, 1 gets it and 2 is thrown out;
    // 6 blocks are free, yet 3, which needs one, is not looked at before t=40. Then 2 is ahead.
    let config = EngineConfig { kv_capacity_tokens: 144, max_num_batched_tokens: 130, ..config() };
    let arrivals = [(0, 1, 30, 20), (0, 2, 94, 5), (25, 3, 3, 1)];
    let lines = [
        "0 in:1 in:2",
        "10 first:1 first:2",
        "30 in:3",
        "40 first:3 end:3",
        "50 end:2",
        "200 end:1",
    ];
    let roomy = EngineConfig { kv_capacity_tokens: 176, ..config };
    check(roomy, &arrivals, &lines);
    let (engine, tight) = run(config, &arrivals, millis(30));
    assert_eq!(timeline(&tight)[2..], ["30 out:2"]);
    assert_eq!(engine.stats().waiting, 2);
}

#[test]
fn async_scheduling_sees_ends_and_arrivals_one_step_late() {
    let config = EngineConfig { max_num_seqs: Concurrency::new(2).unwrap(), ..config() };
    let arrivals = [(0, 1, 8, 3), (0, 2, 8, 6), (0, 3, 8, 1)];
    let lines =
        ["0 in:1 in:2", "10 first:1 first:2", "30 end:1 in:3", "40 first:3 end:3", "60 end:2"];
    check(config, &arrivals, &lines);
    let late = EngineConfig { async_scheduling: true, ..config };
    let lines = [
        "0 in:1 in:2",
        "10 first:1 first:2",
        "30 end:1",
        "40 in:3",
        "50 first:3 end:3",
        "60 end:2",
    ];
    check(late, &arrivals, &lines);

    let arrivals = [(0, 1, 8, 6), (15, 2, 8, 1)];
    check(config, &arrivals, &["0 in:1", "10 first:1", "20 in:2", "30 first:2 end:2", "60 end:1"]);
    check(late, &arrivals, &["0 in:1", "10 first:1", "30 in:2", "40 first:2 end:2", "60 end:1"]);
    // With nobody else in the batch the engine waits for the end, and plans with all in view.
    let arrivals = [(0, 1, 8, 2), (15, 2, 8, 1)];
    check(late, &arrivals, &["0 in:1", "10 first:1", "20 end:1 in:2", "30 first:2 end:2"]);
}

#[test]
fn an_arrival_at_the_end_of_a_step_is_seen_by_the_next() {
    for stepping in [Stepping::Jump, Stepping::EachStep] {
        let mut engine =
            Engine::new(config()).with_detail(EventDetail::Requests).with_stepping(stepping);
        assert_eq!(engine.submit(millis(0), request(1, 8, 7)), Ok(()));
        assert_eq!(engine.submit(millis(50), request(2, 8, 1)), Ok(()));
        let mut events = Vec::new();
        engine.advance(advance_all(), &mut events);
        let lines = ["0 in:1", "10 first:1", "50 in:2", "60 first:2 end:2", "70 end:1"];
        assert_eq!(timeline(&events), lines);
    }
}

#[test]
fn ttft_of_a_lone_request_is_its_prefill_time() {
    for (name, prompt_tokens) in
        [("qwen3-32b-fp8-h100", 1_000), ("llama3.1-8b-bf16-l40s", 5_000), ("qwen-27b-fp8-h100", 1)]
    {
        let config = EngineConfig::for_profile(profile(name));
        let mut engine = Engine::new(config);
        assert_eq!(engine.submit(millis(7), request(1, prompt_tokens, 10)), Ok(()));
        let mut events = Vec::new();
        engine.advance(advance_all(), &mut events);
        let (mut computed, mut femtos) = (0, 0);
        while computed < prompt_tokens {
            let chunk = (prompt_tokens - computed).min(config.max_num_batched_tokens);
            femtos +=
                config.profile.step_femtos(&StepLoad::default().with_prefill(computed, chunk));
            computed += chunk;
        }
        let at = millis(7).saturating_add(Duration::from_nanos(femtos.div_ceil(1_000_000)));
        assert!(events.contains(&EngineEvent::FirstToken { id: RequestId(1), at }), "{name}");
    }
}

#[test]
fn what_can_never_be_served_is_refused() {
    let config = EngineConfig { kv_capacity_tokens: 250, max_model_len: 300, ..config() };
    let mut engine = Engine::new(config);
    let kv_capacity_tokens = 240;
    let cases = [
        (request(1, 0, 5), Err(SubmitError::Empty)),
        (request(1, 5, 0), Err(SubmitError::Empty)),
        (
            request(1, 200, 101),
            Err(SubmitError::ContextTooLong { tokens: 301, max_model_len: 300 }),
        ),
        (request(1, 200, 41), Err(SubmitError::KvTooSmall { tokens: 241, kv_capacity_tokens })),
        (request(1, 200, 40), Ok(())),
        (request(1, 1, 1), Err(SubmitError::DuplicateId(RequestId(1)))),
    ];
    for (request, expected) in cases {
        assert_eq!(engine.submit(millis(0), request), expected, "{request:?}");
    }
    assert_eq!(engine.stats().submitted_total, 1);
    assert_eq!(
        SubmitError::DuplicateId(RequestId(1)).to_string(),
        "request 1 is inside the engine already"
    );
}

#[test]
fn settings_that_cannot_be_are_named() {
    let wrong = |change: fn(&mut EngineConfig)| {
        let mut config = config();
        change(&mut config);
        config.check().map_err(|error| error.to_string())
    };
    assert_eq!(
        wrong(|c| c.max_num_batched_tokens = 3),
        Err("max_num_batched_tokens is 3, below max_num_seqs (4)".to_owned())
    );
    assert_eq!(
        wrong(|c| c.block_size = 0),
        Err("block_size is 0; it must be from 1 to 1024".to_owned())
    );
    assert!(wrong(|c| c.kv_capacity_tokens = 15).is_err());
    assert_eq!(wrong(|c| c.max_model_len = 1), Err(ConfigError::ModelLen(1).to_string()));
    assert_eq!(wrong(|_| ()), Ok(()));
}

#[test]
fn a_client_that_hangs_up_frees_its_place() {
    let config = EngineConfig { max_num_seqs: Concurrency::new(1).unwrap(), ..config() };
    let mut engine = Engine::new(config).with_detail(EventDetail::Requests);
    let mut events = Vec::new();
    for id in 1..=3 {
        assert_eq!(engine.submit(millis(0), request(id, 8, 50)), Ok(()));
    }
    engine.advance(millis(25), &mut events);
    assert!(engine.cancel(millis(25), RequestId(2)), "one that waits");
    assert!(engine.cancel(millis(25), RequestId(1)), "one in the batch");
    assert!(!engine.cancel(millis(25), RequestId(1)), "only once");
    assert!(!engine.cancel(millis(25), RequestId(9)), "nobody knows it");
    assert_eq!(engine.submit(millis(25), request(2, 8, 1)), Ok(()), "its id is free again");
    engine.advance(advance_all(), &mut events);
    let lines =
        ["0 in:1", "10 first:1", "30 in:3", "40 first:3", "530 end:3 in:2", "540 first:2 end:2"];
    assert_eq!(timeline(&events), lines);
    let stats = engine.stats();
    assert_eq!((stats.finished_total, stats.cancelled_total, stats.kv_blocks_used), (2, 2, 0));
}

#[test]
fn tokens_are_reported_as_of_each_call() {
    let mut engine = Engine::new(config());
    assert_eq!(engine.submit(millis(0), request(1, 8, 100)), Ok(()));
    let mut log = String::new();
    for at in [5, 10, 15, 20, 95, 2_000] {
        let mut events = Vec::new();
        engine.advance(millis(at), &mut events);
        for event in events {
            if let EngineEvent::FirstToken { .. } = event {
                log.push_str("first ");
            } else if let EngineEvent::Tokens { count, .. } = event {
                log.push_str(&format!("+{count} "));
            } else if let EngineEvent::Finished { tokens, .. } = event {
                log.push_str(&format!("end:{tokens} "));
            }
        }
        log.push_str("| ");
    }
    assert_eq!(log, "| first | | +1 | +7 | +91 end:100 | ");
}
