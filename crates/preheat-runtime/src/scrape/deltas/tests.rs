//! Timelines of scrapes, with worked numbers.

use proptest::prelude::*;

use super::*;

const INF: f64 = f64::INFINITY;

fn at(secs: u64) -> Instant {
    Instant::from_nanos(secs * 1_000_000_000)
}

fn histogram(buckets: &[(f64, u64)], sum: f64) -> Histogram {
    let buckets = buckets.iter().map(|&(le, count)| Bucket { le, count }).collect();
    Histogram::new(buckets, None, Some(sum)).unwrap()
}

fn scrape(secs: u64, totals: [u64; 4]) -> Sample<EngineScrape> {
    let [completions, prompt_tokens, generation_tokens, preemptions] = totals.map(Some);
    let counters = EngineCounters { completions, prompt_tokens, generation_tokens, preemptions };
    Sample::new(EngineScrape { counters, ..EngineScrape::default() }, at(secs))
}

#[track_caller]
fn check(
    earlier: &Sample<EngineScrape>,
    later: &Sample<EngineScrape>,
    expected: Option<(u64, [u64; 4])>,
) {
    let counters = counters_between(earlier, later).map(|counters| {
        let Counters { over, completions, prompt_tokens, generation_tokens, preemptions } =
            counters;
        let preemptions = preemptions.unwrap();
        (over.as_secs(), [completions, prompt_tokens, generation_tokens, preemptions])
    });
    assert_eq!(counters, expected);
}

#[test]
fn counters() {
    let earlier = scrape(10, [5, 100, 200, 1]);
    check(&earlier, &scrape(12, [7, 150, 260, 1]), Some((2, [2, 50, 60, 0])));
    // Completions fell: a restart, so that the prompt tokens, though more, are all new as well.
    check(&earlier, &scrape(12, [2, 150, 30, 0]), Some((2, [2, 150, 30, 0])));
    // No time passed, or it went backwards.
    check(&earlier, &scrape(10, [7, 150, 260, 1]), None);
    check(&earlier, &scrape(9, [7, 150, 260, 1]), None);
    // A total that is absent on either side.
    let mut absent = scrape(12, [7, 150, 260, 1]);
    absent.value.counters.completions = None;
    check(&earlier, &absent, None);
    check(&absent, &scrape(14, [7, 150, 260, 1]), None);
    // Of preemptions many engines tell nothing, and nothing is decided by them.
    let mut without = scrape(12, [7, 150, 260, 1]);
    without.value.counters.preemptions = None;
    let counters = counters_between(&earlier, &without).unwrap();
    assert_eq!((counters.completions, counters.preemptions), (2, None));
}

#[test]
fn a_restart_seen_by_a_histogram_alone_counts_for_the_counters() {
    let mut earlier = scrape(10, [5, 100, 200, 1]);
    earlier.value.ttft = Some(histogram(&[(1.0, 5), (INF, 5)], 2.0));
    let mut later = scrape(12, [6, 101, 201, 1]);
    later.value.ttft = Some(histogram(&[(1.0, 4), (INF, 6)], 2.0));
    check(&earlier, &later, Some((2, [6, 101, 201, 1])));
}

/// `(second, gaps, their sum)`, with so many completions.
#[track_caller]
fn check_itl(
    earlier: (u64, u64, f64),
    later: (u64, u64, f64),
    completions: u64,
    expected: Option<(u64, u64)>,
) {
    let state = |(secs, count, sum): (u64, u64, f64), completions| {
        let mut scrape = scrape(secs, [completions, 100, 200, 0]);
        scrape.value.itl = Some(histogram(&[(0.1, count), (INF, count)], sum));
        scrape
    };
    let itl = itl_between(&state(earlier, 5), &state(later, completions));
    assert_eq!(itl.map(|itl| (itl.count, itl.mean.as_millis() as u64)), expected);
}

#[test]
fn itl_between_two_scrapes() {
    check_itl((10, 200, 5.0), (12, 300, 9.0), 7, Some((100, 40)));
    // Completions fell: a restart, so that all gaps are new.
    check_itl((10, 200, 5.0), (12, 300, 9.0), 2, Some((300, 30)));
    // No token, no time, no sum.
    check_itl((10, 200, 5.0), (12, 200, 5.0), 7, None);
    check_itl((10, 200, 5.0), (10, 300, 9.0), 7, None);
    check_itl((10, 200, f64::NAN), (12, 300, 9.0), 7, None);
}

#[test]
fn quantiles_as_promql_estimates_them() {
    let two = histogram(&[(0.1, 10), (0.5, 20), (INF, 20)], 4.0);
    assert_eq!(quantile(&two, 0.5), Some(0.1));
    assert_eq!(quantile(&two, 0.25), Some(0.05));
    assert!((quantile(&two, 0.9).unwrap() - 0.42).abs() < 1e-12);
    assert_eq!(quantile(&two, 1.0), Some(0.5));
    // 2 of 20 are beyond the last finite bound.
    let beyond = histogram(&[(0.1, 10), (0.5, 18), (INF, 20)], 40.0);
    assert_eq!(quantile(&beyond, 0.99), Some(0.5));
    // Nothing measured, nothing to measure with, no such level.
    assert_eq!(quantile(&histogram(&[(0.1, 0), (INF, 0)], 0.0), 0.5), None);
    assert_eq!(quantile(&histogram(&[(INF, 3)], 1.0), 0.5), None);
    assert_eq!(quantile(&two, 1.5), None);
    assert_eq!(quantile(&two, f64::NAN), None);
}

#[test]
fn the_captured_engine_under_load() {
    let read = |body: &[u8]| {
        let scrape = crate::dialect::Dialects::known().read(body, crate::exposition::Format::Text);
        scrape.unwrap().ttft.unwrap()
    };
    let idle = read(include_bytes!("../../../fixtures/vllm-0.32.0/idle.prom"));
    let loaded = read(include_bytes!("../../../fixtures/vllm-0.32.0/loaded.prom"));
    let after = read(include_bytes!("../../../fixtures/vllm-0.32.0/after.prom"));
    // 17 first tokens: 7 up to 0.1 s, 9 up to 0.25 s (and up to 1 s), all up to 2.5 s.
    // Rank 8.5 is 1.5 of 2 into (0.1, 0.25]: 0.2125 s. Rank 15.3 is 6.3 of 8 into (1, 2.5]: 2.18125 s.
    let window = latency_window(&histogram_between(&idle, &loaded).unwrap()).unwrap();
    assert_eq!(window.count, 17);
    assert_eq!(window.p50, Duration::from_micros(212_500));
    assert_eq!(window.p90, Duration::from_micros(2_181_250));
    assert_eq!(window.mean.as_millis(), 680);
    let rest = latency_window(&histogram_between(&loaded, &after).unwrap()).unwrap();
    assert_eq!(rest.count, 16);
    assert_eq!(histogram_between(&after, &loaded), None);
}

/// One `check` row: pushes at these seconds, of these totals, all below 1 s but the last `slow`.
fn pushed(rows: &[(u64, u64)]) -> LatencyHistory {
    let mut history = LatencyHistory::new(Duration::from_secs(60));
    let mut last = 0;
    for &(secs, total) in rows {
        let state = histogram(&[(1.0, total), (2.0, total), (INF, total)], total as f64 / 2.0);
        history.push(at(secs), &state, total < last);
        last = total;
    }
    history
}

#[track_caller]
fn check_window(rows: &[(u64, u64)], expected: Option<(u64, u64)>) {
    let window = pushed(rows).window();
    let seen =
        window.map(|window| (window.observed_at.as_nanos() / 1_000_000_000, window.value.count));
    assert_eq!(seen, expected, "{rows:?}");
}

#[test]
fn the_window_slides() {
    check_window(&[], None);
    check_window(&[(0, 100)], None); // a total alone says nothing about any window
    check_window(&[(0, 100), (2, 103)], Some((2, 3)));
    check_window(&[(0, 100), (2, 103), (4, 103)], Some((4, 3)));
    check_window(&[(0, 100), (2, 103), (62, 104)], Some((62, 1))); // from 2 on
    check_window(&[(0, 100), (2, 103), (63, 104)], Some((63, 1))); // 2 is too old, but the last before
    check_window(&[(0, 100), (2, 103), (64, 103)], None); // nothing measured
    check_window(&[(0, 100), (2, 103), (4, 2)], Some((4, 5))); // a restart: 3 before, 2 after
    check_window(&[(0, 100), (2, 103), (4, 2), (6, 9)], Some((6, 12)));
    check_window(&[(0, 100), (5, 103), (5, 200), (4, 300)], Some((5, 3))); // not later: ignored
}

#[test]
fn other_bounds_start_the_history_again() {
    let mut history = pushed(&[(0, 100), (2, 103)]);
    let other = |total: u64| histogram(&[(3.0, total), (INF, total)], total as f64);
    history.push(at(4), &other(110), false);
    assert_eq!(history.window(), None);
    history.push(at(6), &other(111), false);
    assert_eq!(history.window().unwrap().value.count, 1);
}

#[test]
fn an_unknown_sum_is_not_for_ever() {
    let mut history = pushed(&[(0, 100), (2, 103)]);
    history.push(at(4), &histogram(&[(1.0, 105), (2.0, 105), (INF, 105)], f64::NAN), false);
    assert_eq!(history.window(), None);
    for secs in [6, 8] {
        let total = 100 + secs;
        history.push(
            at(secs),
            &histogram(&[(1.0, total), (2.0, total), (INF, total)], 60.0),
            false,
        );
    }
    assert_eq!(history.window().unwrap().value.count, 2);
}

proptest! {
    #[test]
    fn a_history_is_bounded_and_its_window_never_exceeds_what_was_measured(
        gaps_ms in proptest::collection::vec((1_u64..4_000, 0_u64..5), 2..400),
    ) {
        let mut history = LatencyHistory::new(Duration::from_secs(60));
        let (mut now_ms, mut total) = (0, 0);
        let mut measured = Vec::new();
        for (gap_ms, new) in gaps_ms {
            now_ms += gap_ms;
            total += new;
            measured.push((now_ms, new));
            let state = histogram(&[(1.0, total), (INF, total)], total as f64 / 2.0);
            history.push(Instant::from_nanos(now_ms * 1_000_000), &state, false);
            prop_assert!(history.marks.len() <= MARKS_MAX);
        }
        let count_since = |start_ms: u64| -> u64 {
            measured.iter().skip(1).filter(|(at, _)| *at > start_ms).map(|(_, new)| new).sum()
        };
        let count = history.window().map_or(0, |window| window.value.count);
        // The window starts at a mark: at most one step and one gap later than 60 s ago.
        prop_assert!(count <= count_since(now_ms.saturating_sub(60_000)));
        prop_assert!(count >= count_since(now_ms.saturating_sub(60_000 - 2_000 - 4_000)));
    }

    #[test]
    fn quantiles_are_ordered_and_within_the_bounds(counts in proptest::collection::vec(0_u64..50, 4)) {
        let mut total = 0;
        let buckets: Vec<(f64, u64)> = [0.1, 0.5, 2.0, INF]
            .into_iter()
            .zip(counts)
            .map(|(le, count)| {
                total += count;
                (le, total)
            })
            .collect();
        if let Some(window) = latency_window(&histogram(&buckets, total as f64)) {
            prop_assert!(window.p50 <= window.p90 && window.p90 <= window.p99);
            prop_assert!(window.p99 <= Duration::from_secs(2));
        } else {
            prop_assert_eq!(total, 0);
        }
    }
}
