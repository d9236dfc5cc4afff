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

/// A body in which names are others.
fn renamed(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::from_utf8_lossy(LOADED).into_owned();
    for (old, new) in pairs {
        assert!(body.contains(old), "{old}");
        body = body.replace(old, new);
    }
    body.into_bytes()
}

#[test]
fn a_metric_that_is_renamed_is_told_once_and_never_read_as_idle() {
    let new = renamed(&[("vllm:num_requests_running", "vllm:requests_running")]);
    let id = ReplicaId(1);
    let mut store = SignalStore::default();
    store.record(id, good(1, LOADED));
    assert_eq!(store.new_troubles(), []);
    store.record(id, good(3, &new));
    let expected = "its vllm metrics do not tell requests running any more, which \
                    `vllm:num_requests_running` told before, but have `vllm:requests_running`; if \
                    one of these is a new name, set `engine.metrics`; until then what is inside is \
                    not known, and it is held";
    assert_eq!(store.new_troubles(), [(id, expected.to_owned())]);
    store.record(id, good(5, &new));
    assert_eq!(store.new_troubles(), []);
    assert_eq!(store.get(id).unwrap().last().unwrap().value.running, None);
    // The next replica of the upgrade, which never had the old name: it is shown, and not told again.
    store.record(ReplicaId(2), good(7, &new));
    assert_eq!(store.new_troubles(), []);
    assert_eq!(store.get(ReplicaId(2)).unwrap().trouble(), Some(expected));
    // An engine of another kind beside them, in the same pool.
    let llama: &[u8] = include_bytes!("../../../fixtures/llama.cpp-loaded.prom");
    store.record(ReplicaId(3), good(7, llama));
    let other = store.get(ReplicaId(3)).unwrap();
    let seen = &other.last().unwrap().value;
    assert_eq!((seen.running, seen.waiting, other.trouble()), (Some(4), Some(12), None));
    // It is back under its old name, as after a rollback, and gone again.
    store.record(id, good(9, LOADED));
    assert_eq!(store.get(id).unwrap().trouble(), None);
}

/// One replica after the other gets names of another generation that is known.
#[test]
fn a_rolling_upgrade_to_known_names_is_no_trouble() {
    let old: &[u8] = include_bytes!("../../../fixtures/vllm-0.6.0.prom");
    let mut store = SignalStore::default();
    let replicas = [ReplicaId(1), ReplicaId(2), ReplicaId(3)];
    for upgraded in 0..=replicas.len() {
        let secs = 10 * (1 + upgraded as u64);
        for (index, id) in replicas.into_iter().enumerate() {
            let (body, running) = if index < upgraded { (LOADED, 8) } else { (old, 3) };
            store.record(id, good(secs, body));
            let mut seen = ReplicaObservation::untold(id, ReplicaPhase::Ready, at(0));
            store.fill(&mut seen);
            assert_eq!(seen.in_flight, Some(Sample::new(running, at(secs))));
            assert!(seen.kv_utilization.is_some());
            assert_eq!(seen.counters.is_some(), upgraded > 0);
        }
        assert_eq!(store.new_troubles(), [], "{upgraded}");
    }
}

#[test]
fn what_is_not_essential_is_told_where_it_told_before() {
    let new = renamed(&[
        ("vllm:request_success_total", "vllm:requests_success_total"),
        ("vllm:time_to_first_token_seconds", "vllm:ttft"),
    ]);
    let mut store = SignalStore::default();
    store.record_all([(ID, good(1, LOADED)), (ID, good(3, &new))]);
    let trouble = store.get(ID).unwrap().trouble().unwrap().to_owned();
    for part in [
        "completions any more, which `vllm:request_success_total` told before, but have \
         `vllm:requests_success_total`",
        "nor TTFT any more, which `vllm:time_to_first_token_seconds` told before",
        "what arrives is known only where preheat's own gateway counts it",
    ] {
        assert!(trouble.contains(part), "{trouble}");
    }
    let seen = observation(&store);
    assert_eq!((seen.counters, seen.in_flight), (None, Some(Sample::new(8, at(3)))));
    // A replica that never told TTFT, with nothing that looks like it, may be of another version.
    store.record(ReplicaId(8), good(3, &new));
    let other = store.get(ReplicaId(8)).unwrap().trouble().unwrap();
    assert!(other.contains("completions") && !other.contains("TTFT"), "{other}");
}

#[test]
fn a_body_under_another_prefix_is_told_by_what_told_before() {
    let new = renamed(&[("vllm:", "vllm_engine_")]);
    let error = Dialects::known().read(&new, Format::Text).unwrap_err();
    let mut store = SignalStore::default();
    store.record_all([(ID, good(1, LOADED)), (ID, Err(ScrapeError::Malformed(error)))]);
    let trouble = store.get(ID).unwrap().trouble().unwrap();
    for part in [
        "vllm_engine_num_requests_running",
        "told before were requests running by `vllm:num_requests_running` and requests waiting by",
    ] {
        assert!(trouble.contains(part), "{trouble}");
    }
    assert_eq!(observation(&store).in_flight, Some(Sample::new(8, at(1))), "it grows old");
}
