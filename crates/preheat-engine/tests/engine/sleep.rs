//! Sleep and wake: what becomes of requests, and what the metrics say meanwhile.

use std::time::Duration;

use preheat_engine::{
    Engine, EngineEvent, EngineRequest, EventDetail, RequestId, SleepLevel, SleepState,
};

use crate::common::{advance_all, millis, small_config};

const LEVEL: SleepLevel = SleepLevel::WeightsOffloaded;

fn request(id: u64) -> EngineRequest {
    EngineRequest { id: RequestId(id), prompt_tokens: 40, output_tokens: 10 }
}

/// Falls asleep in 2 s, wakes in 1 s.
fn engine() -> Engine {
    Engine::new(small_config()).with_detail(EventDetail::Requests)
}

#[test]
fn a_sleeping_engine_hangs_requests_and_reports_none() {
    let (mut engine, mut events) = (engine(), Vec::new());
    assert_eq!(engine.sleep(millis(0), LEVEL), Duration::from_secs(2));
    assert_eq!(engine.sleep_state(), SleepState::FallingAsleep(LEVEL));
    engine.advance(millis(2_000), &mut events);
    assert_eq!(events, [EngineEvent::Slept { at: millis(2_000) }]);

    for id in 1..=2 {
        assert_eq!(engine.submit(millis(5_000), request(id)), Ok(()));
    }
    events.clear();
    engine.advance(millis(60_000), &mut events);
    let stats = engine.stats();
    assert_eq!((stats.running, stats.waiting, stats.hanging), (0, 0, 2));
    assert_eq!((stats.is_asleep(), events.is_empty(), engine.next_event_at()), (true, true, None));

    assert_eq!(engine.wake(millis(60_000)), Duration::from_secs(1));
    assert_eq!(engine.wake(millis(60_400)), Duration::from_millis(600), "already under way");
    engine.advance(millis(60_999), &mut events);
    assert_eq!((engine.stats().is_asleep(), engine.stats().waiting), (true, 0));
    engine.advance(advance_all(), &mut events);
    assert_eq!(events[0], EngineEvent::Woke { at: millis(61_000) });
    let (id, at) = (RequestId(1), millis(61_000));
    assert_eq!(events[1], EngineEvent::Scheduled { id, at });
    let stats = engine.stats();
    assert_eq!((stats.finished_total, stats.hanging, stats.is_asleep()), (2, 0, false));
}

#[test]
fn falling_asleep_aborts_what_is_inside() {
    let (mut engine, mut events) = (engine(), Vec::new());
    for id in 1..=6 {
        assert_eq!(engine.submit(millis(0), request(id)), Ok(()));
    }
    engine.advance(millis(20), &mut events);
    assert!(engine.stats().running > 0 && engine.stats().waiting > 0);
    assert!(engine.cancel(millis(20), RequestId(1)), "its client does not hear of the abort");
    engine.sleep(millis(20), LEVEL);
    events.clear();
    assert_eq!(engine.next_event_at(), Some(millis(20)), "there is something to tell");
    engine.advance(millis(20), &mut events);
    let aborted = |id| EngineEvent::Aborted { id: RequestId(id), at: millis(20) };
    assert_eq!(events, [2, 3, 4, 5, 6].map(aborted));
    let stats = engine.stats();
    assert_eq!((stats.running, stats.hanging, stats.kv_blocks_used), (0, 0, 0));
    assert_eq!((stats.aborted_total, stats.cancelled_total), (5, 1));
    assert!(!engine.cancel(millis(20), RequestId(2)), "it is gone");
}

#[test]
fn a_wake_waits_for_the_end_of_falling_asleep() {
    let mut engine = engine();
    engine.sleep(millis(0), LEVEL);
    assert_eq!(engine.sleep(millis(1_500), LEVEL), Duration::from_millis(500));
    assert_eq!(engine.wake(millis(1_500)), Duration::from_millis(1_500));
    assert_eq!(engine.next_event_at(), Some(millis(3_000)));
    let mut events = Vec::new();
    engine.advance(millis(3_000), &mut events);
    assert_eq!(events, [EngineEvent::Woke { at: millis(3_000) }]);
    assert_eq!(engine.wake(millis(3_000)), Duration::ZERO, "it is awake");
}

#[test]
fn hanging_clients_may_hang_up() {
    let (mut engine, mut events) = (engine(), Vec::new());
    engine.sleep(millis(0), LEVEL);
    engine.advance(millis(2_000), &mut events);
    for id in 0..1_000 {
        assert_eq!(engine.submit(millis(3_000), request(id)), Ok(()));
        assert!(id == 0 || engine.cancel(millis(3_000), RequestId(id)));
    }
    assert_eq!(engine.stats().hanging, 1);
    engine.wake(millis(3_000));
    engine.advance(advance_all(), &mut events);
    assert_eq!(engine.stats().finished_total, 1);
}
