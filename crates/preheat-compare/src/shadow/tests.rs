//! Comparisons made by hand, tick by tick.

use std::time::Duration;

use preheat_core::{
    Action, FirstTokens, GatewayObservation, Instant, Memory, Observation, Plan, Policy,
    PolicySpec, ReplicaCount, ReplicaId, ReplicaObservation, ReplicaPhase, Sample, TickId, decide,
};

use super::*;

/// What there is at a tick, and what preheat thinks of it.
#[derive(Clone, Copy)]
struct Tick {
    at: u64,
    ready: u32,
    starting: u32,
    /// Needed now.
    target: u32,
    /// The most that was needed within the stabilization window.
    remembered: u32,
}

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
}

fn policy() -> Policy {
    let spec = PolicySpec { replicas_min: ReplicaCount(1), ..PolicySpec::default() };
    spec.validate().unwrap()
}

fn observation(tick: Tick) -> Observation {
    let replica = |id: u32| ReplicaObservation {
        in_flight: Some(Sample::new(1, at(tick.at))),
        queue_depth: Some(Sample::new(0, at(tick.at))),
        ..ReplicaObservation::untold(
            ReplicaId(u64::from(id)),
            if id < tick.ready { ReplicaPhase::Ready } else { ReplicaPhase::Loading },
            at(0),
        )
    };
    Observation {
        gateway: Some(GatewayObservation {
            observed_at: at(tick.at),
            over: Duration::from_secs(10),
            arrivals: 10,
            completions: 10,
            failures: 0,
            rejections: 0,
            held: 0,
            held_oldest: None,
            ttft: None,
            first_tokens: Some(FirstTokens::default()),
            itl: None,
            engine_time: None,
        }),
        ..Observation::of(
            TickId(0),
            at(tick.at),
            (0..tick.ready + tick.starting).map(replica).collect(),
        )
    }
}

fn take(shadow: &mut Shadow, tick: Tick, change: impl FnOnce(&mut Observation)) {
    let mut observation = observation(tick);
    change(&mut observation);
    let decision = decide(&policy(), &Memory::default(), &observation);
    let mut told = decision.explanation;
    told.target = ReplicaCount(tick.target);
    told.target_stabilized = ReplicaCount(tick.remembered);
    told.cold_start.lead_time = Duration::from_secs(60);
    let actions =
        if tick.target > tick.ready { vec![Action::Start { count: 1 }] } else { Vec::new() };
    let plan = Plan { actions, ..decision.plan };
    shadow.tick(&observation, &plan, Some(&told));
}

/// Ticks every 10 s: `(from, ready, starting, target, remembered)` holds until the next of them.
fn compared(until: u64, changes: &[(u64, u32, u32, u32, u32)]) -> ShadowReport {
    let mut shadow = Shadow::new("chat", &policy());
    for now in (0..=until).step_by(10) {
        let (_, ready, starting, target, remembered) =
            *changes.iter().rev().find(|change| change.0 <= now).unwrap();
        take(&mut shadow, Tick { at: now, ready, starting, target, remembered }, |_| {});
    }
    shadow.report().unwrap()
}

#[test]
fn each_side_has_its_replica_hours_and_where_they_differ() {
    // The other has two for an hour, then four. Preheat wants three after half an hour, and one, which
    // it remembers, at the end.
    let report = compared(
        7200,
        &[(0, 2, 0, 2, 2), (1800, 2, 0, 3, 3), (3600, 4, 0, 3, 3), (5400, 4, 0, 1, 1)],
    );
    let (there, wanted) = (&report.there, &report.wanted);
    assert_eq!((there.replica_hours, there.replicas_peak, there.starts), (6.0, 4, 2));
    assert_eq!((wanted.replicas_min, wanted.replicas_peak, wanted.starts), (1, 3, 1));
    // 2 and 3 for half an hour each, 3 for another, and one after that; 30 s pass between two removals.
    assert!((wanted.replica_hours - (1.0 + 1.5 + 1.5 + 0.5)).abs() < 0.02, "{wanted:?}");
    assert_eq!((report.more.times, report.more.s, report.more.replicas_peak), (1, 1800.0, 1));
    assert_eq!(report.more.replica_hours, 0.5);
    assert_eq!((report.fewer.times, report.fewer.s, report.fewer.replicas_peak), (1, 3600.0, 3));
    assert_eq!(report.watched_s, 7200.0);
}

#[test]
fn what_is_remembered_is_kept_and_little_is_given_up_at_a_time() {
    let count =
        |changes: &[(u64, u32, u32, u32, u32)], until| compared(until, changes).wanted.replicas_min;
    // Two are needed, and six within the window.
    assert_eq!(count(&[(0, 6, 0, 2, 6)], 600), 6);
    // Half of six within 30 s, at most.
    assert_eq!(count(&[(0, 6, 0, 2, 6), (100, 6, 0, 2, 2)], 110), 3);
    assert_eq!(count(&[(0, 6, 0, 2, 6), (100, 6, 0, 2, 2)], 200), 2);
}

#[test]
fn bounds_hold_for_what_is_wanted() {
    let report = compared(600, &[(0, 3, 0, 50, 50)]);
    assert_eq!(report.wanted.replicas_peak, PolicySpec::default().replicas_max.0);
    assert_eq!(report.at_most_s, 600.0);
    assert!(report.notes.iter().any(|note| note.contains("as many as it may have")));
}

#[track_caller]
fn check_lead(changes: &[(u64, u32, u32, u32, u32)], expected: &[(Option<f64>, bool)]) {
    let report = compared(1200, changes);
    let found: Vec<_> =
        report.scale_ups.all.iter().map(|up| (up.lead_s, up.lead_is_at_least)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_lead_is_from_when_as_many_were_wanted() {
    // Earlier, at once, later, and never; an order counts, whether ready or not.
    check_lead(&[(0, 2, 0, 2, 2), (100, 2, 0, 3, 3), (400, 2, 1, 3, 3)], &[(Some(300.0), false)]);
    check_lead(&[(0, 2, 0, 2, 2), (400, 3, 0, 3, 3)], &[(Some(0.0), false)]);
    check_lead(&[(0, 2, 0, 2, 2), (400, 3, 0, 2, 2), (450, 3, 0, 3, 3)], &[(Some(-50.0), false)]);
    check_lead(&[(0, 2, 0, 2, 2), (400, 3, 0, 2, 2)], &[(None, false)]);
    // Later than the other gave it up again is never.
    let after = [(0, 2, 0, 2, 2), (400, 3, 0, 2, 2), (500, 2, 0, 2, 2), (600, 2, 0, 3, 3)];
    check_lead(&after, &[(None, false)]);
    // From the begin, nobody knows since when.
    check_lead(&[(0, 2, 0, 4, 4), (400, 4, 0, 4, 4)], &[(Some(400.0), true)]);
    // While the other had as many, nobody was ahead.
    let again = [(0, 2, 0, 3, 3), (100, 3, 0, 3, 3), (300, 2, 0, 3, 3), (400, 3, 0, 3, 3)];
    check_lead(&again, &[(Some(100.0), true), (Some(100.0), false)]);
}

#[test]
fn scale_ups_are_summed() {
    let changes = [
        (0, 1, 0, 1, 1),
        (100, 1, 0, 2, 2),
        (200, 2, 0, 2, 2),
        (300, 3, 0, 3, 3),
        (400, 4, 0, 3, 3),
    ];
    let ups = compared(600, &changes).scale_ups;
    assert_eq!((ups.earlier, ups.at_once, ups.later, ups.never), (1, 1, 0, 1));
    assert_eq!((ups.lead_p50_s, ups.all.len()), (Some(0.0), 3));
    let first = &ups.all[0];
    assert_eq!((first.at_s, first.before, first.after), (200.0, 1, 2));
}

#[test]
fn trouble_is_held_against_what_was_wanted_a_lead_time_before() {
    let mut shadow = Shadow::new("chat", &policy());
    for now in (0..=900).step_by(10) {
        // Three are wanted from 300 on, and from 600 on two again.
        let target = if (300..600).contains(&now) { 3 } else { 2 };
        let tick = Tick { at: now, ready: 2, starting: 0, target, remembered: target };
        take(&mut shadow, tick, |seen| {
            // Nobody counts first tokens, but at the end.
            let first =
                (now == 880).then_some(FirstTokens { count: 10, late: 4, late_after_start: 0 });
            seen.gateway.as_mut().unwrap().first_tokens = first;
            // What is back within a minute is the same trouble.
            if (330..=350).contains(&now) || [500, 550].contains(&now) {
                seen.replicas[0].queue_depth = Some(Sample::new(5, seen.now));
            }
        });
    }
    let report = shadow.report().unwrap();
    let told: Vec<_> = report
        .troubles
        .all
        .iter()
        .map(|it| (it.at_s, it.s, it.queued_peak, it.late, it.wanted, it.wanted_lead_time_before))
        .collect();
    assert_eq!(
        told,
        [
            (330.0, 20.0, 5, None, 3, Some(2)),
            (500.0, 50.0, 5, None, 3, Some(3)),
            (880.0, 0.0, 0, Some(4), 2, Some(2)),
        ]
    );
    let troubles = &report.troubles;
    assert_eq!((troubles.with_more, troubles.without_more), (1, 2));
    assert_eq!((troubles.first_tokens, troubles.late, troubles.clipped_s), (10, 4, 50.0));
    assert!(report.notes.iter().any(|note| note.starts_with("clipped: in 5.6 %")));
}

#[test]
fn a_queue_behind_which_nothing_is_late_is_no_trouble() {
    let mut shadow = Shadow::new("chat", &policy());
    for now in [0, 10] {
        let tick = Tick { at: now, ready: 2, starting: 0, target: 2, remembered: 2 };
        take(&mut shadow, tick, |seen| {
            seen.replicas[0].queue_depth = Some(Sample::new(5, seen.now));
        });
    }
    let report = shadow.report().unwrap();
    assert!(report.troubles.all.is_empty());
    assert_eq!(report.troubles.clipped_s, 10.0);
}

/// Without a gateway, the engines' own quantiles tell; one that the SLO says nothing of does not.
#[test]
fn engines_that_are_late_are_trouble() {
    let ms = Duration::from_millis;
    for (p99, trouble) in [(ms(1900), 0), (ms(2100), 1)] {
        let mut shadow = Shadow::new("chat", &policy());
        for now in [0, 10] {
            let tick = Tick { at: now, ready: 2, starting: 0, target: 2, remembered: 2 };
            take(&mut shadow, tick, |seen| {
                seen.gateway = None;
                let window = preheat_core::LatencyWindow {
                    count: 100,
                    mean: ms(300),
                    p50: ms(100),
                    p90: ms(500),
                    p99,
                };
                seen.replicas[0].ttft = Some(Sample::new(window, seen.now));
            });
        }
        let report = shadow.report().unwrap();
        assert_eq!(report.troubles.all.len(), trouble);
        assert!(report.troubles.all.iter().all(|it| it.late.is_none()));
    }
}

#[test]
fn a_pause_counts_for_neither_and_both_begin_anew() {
    let mut shadow = Shadow::new("chat", &policy());
    for now in (0..=100).step_by(10).chain((10_000..=10_100).step_by(10)) {
        let (ready, target) = if now < 1000 { (2, 4) } else { (6, 5) };
        let tick = Tick { at: now, ready, starting: 0, target, remembered: 6 };
        take(&mut shadow, tick, |_| {});
    }
    let report = shadow.report().unwrap();
    assert_eq!(report.watched_s, 200.0);
    assert!(report.scale_ups.all.is_empty(), "what happened in the pause is not known");
    assert_eq!((report.more.times, report.fewer.times), (1, 0));
    assert!(report.notes.iter().any(|note| note.starts_with("a pause in which nobody looked")));
}

#[test]
fn ignorance_gives_nothing_up() {
    let mut shadow = Shadow::new("chat", &policy());
    for now in (0..=100).step_by(10) {
        let tick = Tick { at: now, ready: 4, starting: 0, target: 1, remembered: 1 };
        take(&mut shadow, tick, |seen| {
            for replica in &mut seen.replicas {
                (replica.in_flight, replica.queue_depth) = (None, None);
            }
        });
    }
    let report = shadow.report().unwrap();
    assert_eq!((report.wanted.replicas_min, report.blind_s), (4, 100.0));
}

#[test]
fn it_says_so_where_preheat_itself_scaled() {
    let shows = |changes: &[_]| {
        let report = compared(100, changes);
        (report.orders, report.notes.iter().any(|note| note.contains("with itself")))
    };
    assert_eq!(shows(&[(0, 1, 0, 2, 2), (10, 2, 0, 2, 2)]), (1, true));
    // Ten ticks of asking for what nobody brings.
    assert_eq!(shows(&[(0, 1, 0, 2, 2)]), (10, false));
}

#[test]
fn one_tick_is_no_comparison() {
    let mut shadow = Shadow::new("chat", &policy());
    let tick = Tick { at: 0, ready: 1, starting: 0, target: 1, remembered: 1 };
    take(&mut shadow, tick, |_| {});
    assert!(shadow.report().is_none());
}
