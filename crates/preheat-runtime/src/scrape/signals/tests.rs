//! What an observation shows after good and failed scrapes.

use preheat_core::{Instant, ReplicaPhase};
use proptest::prelude::*;

use super::*;
use crate::dialect::Dialects;
use crate::exposition::Format;
use crate::scrape::ScrapeError;

const LOADED: &[u8] = include_bytes!("../../../fixtures/vllm-0.32.0/loaded.prom");
const AFTER: &[u8] = include_bytes!("../../../fixtures/vllm-0.32.0/after.prom");
const ID: ReplicaId = ReplicaId(7);

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

fn good(secs: u64, body: &[u8]) -> ScrapeResult {
    Ok(Sample::new(Dialects::known().read(body, Format::Text).unwrap(), at(secs)))
}

fn observation(store: &SignalStore) -> ReplicaObservation {
    let mut observation = ReplicaObservation::untold(ID, ReplicaPhase::Ready, at(0));
    store.fill(&mut observation);
    observation
}

#[test]
fn two_good_scrapes_fill_every_signal() {
    let mut store = SignalStore::default();
    store.record(ID, good(10, LOADED));
    let first = observation(&store);
    assert_eq!(first.in_flight, Some(Sample::new(8, at(10))));
    assert_eq!(first.queue_depth, Some(Sample::new(16, at(10))));
    assert_eq!(first.kv_capacity_tokens, Some(2_097_152));
    assert_eq!((first.counters, first.ttft, first.itl), (None, None, None));

    store.record(ID, good(12, AFTER));
    let second = observation(&store);
    assert_eq!(second.in_flight, Some(Sample::new(0, at(12))));
    let counters = second.counters.unwrap();
    assert_eq!(counters.observed_at, at(12));
    assert_eq!((counters.value.completions, counters.value.generation_tokens), (24, 3860));
    assert_eq!(second.ttft.unwrap().value.count, 16);
    assert_eq!(second.itl.unwrap().value.count, 3844);
}

#[test]
fn after_a_failure_signals_age_and_keep_their_value() {
    let mut store = SignalStore::default();
    store.record_all([(ID, good(10, LOADED)), (ID, good(12, AFTER))]);
    let before = observation(&store);
    store.record(ID, Err(ScrapeError::Status(500)));
    store.record(ID, Err(ScrapeError::Status(500)));
    assert_eq!(observation(&store), before);
    assert_eq!(store.get(ID).unwrap().failures_in_a_row(), 2);
    assert_eq!(before.in_flight.unwrap().staleness(at(20)), Duration::from_secs(8));

    // The next good one covers the whole time since.
    store.record(ID, good(22, AFTER));
    let counters = observation(&store).counters.unwrap();
    assert_eq!((counters.value.over, counters.value.completions), (Duration::from_secs(10), 0));
    assert_eq!(store.get(ID).unwrap().failures_in_a_row(), 0);
}

#[test]
fn what_was_never_seen_is_absent() {
    let mut store = SignalStore::default();
    let blank = observation(&store);
    assert_eq!(blank.in_flight, None);
    store.record(ID, Err(ScrapeError::Status(503)));
    assert_eq!(observation(&store), blank);
    store.record(ID, good(10, LOADED));
    store.forget(ID);
    assert_eq!(observation(&store), blank);
    store.record(ID, good(10, LOADED));
    store.retain(|id| id != ID);
    assert!(store.get(ID).is_none());
}

#[test]
fn a_late_scrape_changes_nothing() {
    let mut store = SignalStore::default();
    store.record_all([(ID, good(10, LOADED)), (ID, good(12, AFTER))]);
    let before = observation(&store);
    store.record(ID, good(11, LOADED));
    assert_eq!(observation(&store), before);
}

#[test]
fn a_restarted_engine_counts_from_zero_again() {
    let mut store = SignalStore::default();
    store.record_all([(ID, good(10, LOADED)), (ID, good(12, AFTER)), (ID, good(14, LOADED))]);
    let observation = observation(&store);
    assert_eq!(observation.counters.unwrap().value.completions, 9);
    // 16 between the first two, 17 since the restart.
    assert_eq!(observation.ttft.unwrap().value.count, 33);
}

proptest! {
    #[test]
    fn spoilt_bodies_never_make_it_panic_or_count_more_than_they_hold(
        rounds in proptest::collection::vec(
            (any::<bool>(), proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"0123456789.eN+-\"\n"[..])), 0..60)),
            1..6,
        ),
    ) {
        let mut store = SignalStore::default();
        for (secs, (loaded, edits)) in (10_u64..).step_by(2).zip(rounds) {
            let mut body = if loaded { LOADED.to_vec() } else { AFTER.to_vec() };
            for (at, byte) in edits {
                *at.get_mut(body.as_mut_slice()) = byte;
            }
            let Ok(scrape) = Dialects::known().read(&body, Format::Text) else { continue };
            let totals = scrape.counters;
            store.record(ID, Ok(Sample::new(scrape, at(secs))));
            let observation = observation(&store);
            if let Some(counters) = observation.counters.filter(|c| c.observed_at == at(secs)) {
                prop_assert!(Some(counters.value.completions) <= totals.completions);
                prop_assert!(Some(counters.value.prompt_tokens) <= totals.prompt_tokens);
            }
            if let Some(window) = observation.ttft {
                prop_assert!(window.value.p50 <= window.value.p99);
            }
            prop_assert!(observation.itl.is_none_or(|itl| itl.value.count > 0));
        }
    }
}

#[test]
fn a_metric_that_is_renamed_is_told_once_and_never_read_as_idle() {
    let renamed = String::from_utf8_lossy(LOADED)
        .replace("vllm:num_requests_running", "vllm:requests_running");
    let id = ReplicaId(1);
    let mut store = SignalStore::default();
    store.record(id, good(1, LOADED));
    assert_eq!(store.new_troubles(), []);
    store.record(id, good(3, renamed.as_bytes()));
    let troubles = store.new_troubles();
    assert!(
        troubles[0].1.contains("requests running (`vllm:num_requests_running`)"),
        "{troubles:?}"
    );
    assert!(troubles[0].1.contains("`vllm:requests_running`"), "{troubles:?}");
    store.record(id, good(5, renamed.as_bytes()));
    assert_eq!(store.new_troubles(), []);
    assert_eq!(store.get(id).unwrap().last().unwrap().value.running, None);
    // An engine of another kind beside it, in the same pool.
    let llama: &[u8] = include_bytes!("../../../fixtures/llama.cpp-loaded.prom");
    store.record(ReplicaId(2), good(5, llama));
    let other = store.get(ReplicaId(2)).unwrap().last().unwrap();
    assert_eq!((other.value.running, other.value.waiting), (Some(4), Some(12)));
}
