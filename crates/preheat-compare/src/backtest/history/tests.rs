//! Counters with resets and gaps, gauges of pods that come and go, and the traffic they make.

use super::*;

const STEP: Duration = Duration::from_secs(30);

fn counter(steps: usize, series: &[&[(f64, f64)]]) -> Cumulative {
    let series: Vec<Vec<(f64, f64)>> = series.iter().map(|points| points.to_vec()).collect();
    Cumulative::of(0.0, STEP, steps, &series)
}

#[test]
fn a_counter_is_counted_from_zero_after_a_reset() {
    let one = counter(3, &[&[(0.0, 100.0), (30.0, 110.0), (60.0, 4.0), (90.0, 5.0)]]);
    assert_eq!((one.counts, one.resets), (vec![10.0, 4.0, 1.0], 1));
}

#[test]
fn what_was_there_before_the_history_does_not_count_and_a_new_pod_counts_whole() {
    let two = counter(
        4,
        &[
            &[
                (0.0, 1e6),
                (30.0, 1e6 + 3.0),
                (60.0, 1e6 + 3.0),
                (90.0, 1e6 + 3.0),
                (120.0, 1e6 + 3.0),
            ],
            &[(90.0, 6.0), (120.0, 8.0)],
        ],
    );
    assert_eq!(two.counts, [3.0, 0.0, 6.0, 2.0]);
}

#[test]
fn what_was_counted_over_a_gap_is_spread_over_it_and_told_as_unknown() {
    let gap = counter(6, &[&[(0.0, 0.0), (30.0, 5.0), (150.0, 45.0), (180.0, 50.0)]]);
    assert_eq!(gap.counts, [5.0, 10.0, 10.0, 10.0, 10.0, 5.0]);
    assert_eq!(gap.known, [true, false, false, false, false, true]);
    // NaN and negatives are nothing.
    let nan = counter(2, &[&[(0.0, 1.0), (30.0, f64::NAN), (60.0, 3.0)]]);
    assert_eq!(nan.counts, [1.0, 1.0]);
}

#[test]
fn what_a_pod_counted_that_came_in_a_gap_is_spread_over_the_gap() {
    let old = [(0.0, 10.0), (30.0, 10.0), (180.0, 10.0), (210.0, 10.0)];
    let new = [(180.0, 100.0), (210.0, 101.0)];
    let found = counter(7, &[&old, &new]);
    assert_eq!(found.counts, [0.0, 20.0, 20.0, 20.0, 20.0, 20.0, 1.0]);
    assert_eq!(found.known, [true, false, false, false, false, false, true]);
}

#[test]
fn who_is_seen_again_soon_was_there_meanwhile() {
    let there = |points: &[f64]| {
        let mut gauge = Gauge::new(40);
        gauge.add(0.0, STEP, points.iter().map(|at| (*at, 1.0)));
        gauge.there(STEP).into_iter().filter(|there| *there).count()
    };
    assert_eq!(there(&[30.0, 60.0, 300.0, 330.0]), 11);
    // Half an hour later it is another that has its name, or it was gone.
    assert_eq!(there(&[30.0, 60.0, 1140.0]), 3);
}

#[test]
fn arrivals_are_what_ended_and_what_is_inside_more_than_before() {
    let ended = counter(4, &[&[(0.0, 0.0), (30.0, 2.0), (60.0, 4.0), (90.0, 10.0), (120.0, 10.0)]]);
    let mut inside = Gauge::new(4);
    inside.add(0.0, STEP, [(0.0, 0.0), (30.0, 1.0), (60.0, 7.0), (90.0, 0.0), (120.0, 3.0)]);
    assert_eq!(inside.values, [Some(1.0), Some(7.0), Some(0.0), Some(3.0)]);
    // At the third step, ten that ended were seen with seven that left: one is owed.
    let arrivals = History::arrivals(&ended, &inside);
    assert_eq!(arrivals, [Some(3.0), Some(8.0), Some(0.0), Some(2.0)]);
}

#[test]
fn what_is_in_an_engine_that_goes_has_come_before_and_what_is_in_a_new_one_came() {
    let mut inside = Gauge::new(4);
    inside.add(0.0, STEP, [(0.0, 5.0), (30.0, 5.0), (60.0, 5.0)]);
    inside.add(0.0, STEP, [(90.0, 3.0), (120.0, 4.0)]);
    assert_eq!(inside.values, [Some(5.0), Some(5.0), Some(3.0), Some(4.0)]);
    assert_eq!(inside.grew, [0.0, 0.0, 3.0, 1.0]);
    // One that was not scraped for a while has what it has.
    let mut missed = Gauge::new(4);
    missed.add(0.0, STEP, [(0.0, 5.0), (30.0, 5.0), (120.0, 6.0)]);
    assert_eq!(missed.grew, [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn a_history_makes_its_traffic_again() {
    let step = |arrivals: Option<f64>, ready: f64, waiting: f64| Step {
        arrivals,
        completions: arrivals,
        prompt_tokens: arrivals.map(|count| count * 500.0),
        generation_tokens: arrivals.map(|count| count * 100.0),
        ready: Some(ready),
        running: None,
        waiting: Some(waiting),
        first_tokens: arrivals,
        in_time: arrivals.map(|count| count * 0.9),
        existing: None,
    };
    let history = History {
        step: STEP,
        steps: vec![
            step(Some(30.0), 1.0, 0.0),
            step(None, 1.0, 0.0),
            step(Some(90.0), 2.0, 4.0),
            step(Some(60.0), 2.0, 0.0),
        ],
        cold_starts: Vec::new(),
        resets: 0,
        arrivals_from: "a test".to_owned(),
    };
    let (trace, trust) = history.trace(1).unwrap();
    // The gap is taken as half-way between what is known around it.
    let counts = trace.counts(STEP).unwrap();
    assert_eq!(counts, [30, 60, 90, 60]);
    assert!(trace.requests.iter().all(|r| (r.input_tokens, r.output_tokens) == (500, 100)));
    assert_eq!((trust.gap_share, trust.clipped_share), (0.25, 0.25));
    assert_eq!(trust.notes.len(), 6, "{:?}", trust.notes);
    // Replica 2 was ready from the third step on, and starting for one step before.
    let happened = history.happened(2, STEP).unwrap();
    assert_eq!((happened.attainment, happened.replicas_peak), (Some(0.9), 2));
    assert!((happened.gpu_hours - 7.0 * 2.0 * 30.0 / 3600.0).abs() < 1e-9);
}

#[test]
fn an_empty_history_says_so() {
    let steps = vec![Step::default(); 3];
    let arrivals_from = String::new();
    let history = History { step: STEP, steps, cold_starts: Vec::new(), resets: 0, arrivals_from };
    let error = history.trace(1).unwrap_err().to_string();
    assert_eq!(
        error,
        "no request is in the history: 0 of 3 steps tell of arrivals, which make 0.0"
    );
}
