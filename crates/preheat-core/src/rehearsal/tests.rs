//! Which rule is followed, for traffic that one can think through.

use super::*;

const TICK: Duration = Duration::from_secs(2);
const SERVICE: Duration = Duration::from_secs(5);

fn at(secs: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
}

fn traffic(secs: u64, load: f64, quantile: f64) -> Traffic {
    Traffic {
        now: at(secs),
        since: if secs == 0 { Duration::ZERO } else { TICK },
        arrivals: Some(load / SERVICE.as_secs_f64() * TICK.as_secs_f64()),
        load,
        service_time: SERVICE,
        slots: 8.0,
        ttft_aim: Duration::from_secs(2),
        lead_time: Duration::from_secs(180),
        drain_time: Duration::from_secs(30),
        replicas_min: 1,
        replicas_max: 100,
        prices: Prices::of(1.0),
        supply: 10,
        allowance: 1.0 - quantile,
        without: None,
    }
}

/// Three hours of traffic; what is followed at its end.
fn followed(load: impl Fn(u64) -> f64, quantile: f64) -> RehearsalExplanation {
    let mut rehearsal = Rehearsal::default();
    let step = |secs: u64| rehearsal.step(&traffic(secs, load(secs), quantile));
    (0..3 * 3_600).step_by(2).map(step).last().unwrap()
}

/// 80 slots, and for ten minutes of every forty 240.
fn surges(secs: u64) -> f64 {
    if secs % 2_400 < 600 { 240.0 } else { 80.0 }
}

#[test]
fn steady_traffic_needs_little_on_top() {
    let rule = followed(|_| 80.0, 0.99);
    assert!(rule.attainment_expected.get() > 0.99, "{rule:?}");
    assert!(rule.slots_held < 1.25 * 80.0, "{rule:?}");
}

/// The last surge was over half an hour ago. With few allowed to miss it is cheaper to hold for the
/// next one than to miss its first three minutes.
#[test]
fn surges_that_come_again_are_held_for_where_few_may_miss() {
    let strict = followed(surges, 0.999);
    assert!(strict.slots_held >= 240.0, "{strict:?}");
    let lenient = followed(surges, 0.5);
    assert!(lenient.slots_held < 160.0, "{lenient:?}");
    assert!(lenient.cost_expected < strict.cost_expected);
    assert!(lenient.attainment_expected < strict.attainment_expected);
}

#[test]
fn a_stricter_slo_never_expects_less() {
    let expected = [0.5, 0.9, 0.95, 0.99, 0.999].map(|quantile| followed(surges, quantile));
    for pair in expected.windows(2) {
        assert!(pair[0].attainment_expected <= pair[1].attainment_expected, "{pair:?}");
        assert!(pair[0].cost_expected <= pair[1].cost_expected, "{pair:?}");
    }
}

#[test]
fn what_was_held_is_let_go_when_traffic_ends() {
    let mut rehearsal = Rehearsal::default();
    for secs in (0..3_600).step_by(2) {
        rehearsal.step(&traffic(secs, 80.0, 0.99));
    }
    let quiet = (3_600..4 * 3_600)
        .step_by(2)
        .map(|secs| rehearsal.step(&traffic(secs, 0.0, 0.99)).slots_held);
    assert_eq!(quiet.last(), Some(0.0));
}

#[test]
fn a_pause_and_arrivals_that_nobody_counted_are_no_evidence() {
    let mut rehearsal = Rehearsal::default();
    for secs in (0..3_600).step_by(2) {
        rehearsal.step(&traffic(secs, 80.0, 0.99));
    }
    let before = (rehearsal.seconds, rehearsal.arrivals, rehearsal.fleets.clone());
    rehearsal.step(&Traffic { arrivals: None, ..traffic(3_600, 80.0, 0.99) });
    let pause = Duration::from_secs(300);
    rehearsal.step(&Traffic { since: pause, ..traffic(3_900, 80.0, 0.99) });
    assert_eq!((rehearsal.seconds, rehearsal.arrivals, rehearsal.fleets), before);
}

/// A pool that begins with a tenth of its need misses requests by the hundred; its steady traffic asks
/// for no more headroom for that.
#[test]
fn how_short_a_pool_was_found_is_no_property_of_its_traffic() {
    let settled = |supply| {
        let mut rehearsal = Rehearsal::default();
        let steady = |secs| Traffic { supply, ..traffic(secs, 80.0, 0.99) };
        let followed = (0..1_800).step_by(2).map(|secs| rehearsal.step(&steady(secs)));
        followed.last().unwrap()
    };
    let (short, enough) = (settled(1), settled(20));
    assert_eq!(short.headroom_factor, enough.headroom_factor, "{short:?}");
    assert!(short.slots_held <= enough.slots_held, "{short:?}");
}

/// A fleet of which nothing is remembered is held for as long as the rule holds its peak.
#[test]
fn what_is_found_is_taken_to_have_been_needed() {
    let mut rehearsal = Rehearsal::default();
    let first = rehearsal.step(&traffic(0, 0.0, 0.99));
    assert_eq!(first.slots_held, 80.0, "ten replicas of eight slots, and no more");
    let hold = first.hold_window.as_secs();
    let later = (2..=hold + 2).step_by(2).map(|secs| rehearsal.step(&traffic(secs, 0.0, 0.99)));
    assert!(later.last().unwrap().slots_held < 80.0);
}
