//! Every kind of fault does what it says, and nothing is lost over it.

use std::cell::RefCell;
use std::rc::Rc;

use preheat_core::{Instant, Probability};
use preheat_sim::faults::{Crash, Faults, Window};
use preheat_sim::report::RunReport;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_sim::view::{FleetView, ReplicaState, ReplicaView};

use crate::common::{Script, at, config, fixed, poisson, secs};

type Seen = Vec<(Instant, Vec<ReplicaView>)>;

fn run(faults: Faults, mut script: Script) -> (RunReport, Seen) {
    let trace = poisson(9, &[(300, 8.0)]);
    let initial = ReplicasInitial::Count(3);
    let config = SimulationConfig { faults, replicas_initial: initial, ..config() };
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    script.look = Box::new(move |view: &FleetView<'_>| {
        sink.borrow_mut().push((view.now, view.replicas.to_vec()));
    });
    let report = Simulation::new(config).unwrap().run(trace, &mut script).unwrap();
    assert_eq!(report.requests, report.completed + report.failed);
    (report, seen.take())
}

/// Ages of all metrics seen, in seconds.
fn ages(seen: &Seen) -> Vec<f64> {
    let of = |(now, replicas): &(Instant, Vec<ReplicaView>)| {
        let metrics = replicas.iter().filter_map(|r| r.metrics);
        metrics.map(|m| now.since(m.at).as_secs_f64()).collect::<Vec<f64>>()
    };
    seen.iter().flat_map(of).collect()
}

fn share(share: f64) -> Probability {
    Probability::saturating(share)
}

#[test]
fn lost_scrapes_leave_what_was_seen_before() {
    let mean = |ages: Vec<f64>| ages.iter().sum::<f64>() / ages.len() as f64;
    let (_, seen) = run(Faults::default(), fixed(3));
    let sound = mean(ages(&seen));
    let (report, seen) = run(Faults { scrape_loss: share(0.5), ..Faults::default() }, fixed(3));
    let lossy = mean(ages(&seen));
    assert!(sound < 8.0 && lossy > 1.5 * sound, "{sound} {lossy}");
    assert_eq!(report.failed, 0);
}

#[test]
fn an_outage_of_metrics_makes_them_old() {
    let window = Window { from: at(60), lasts: secs(100) };
    let (_, seen) = run(Faults { metrics_outages: vec![window], ..Faults::default() }, fixed(3));
    for (now, replicas) in &seen {
        let during = *now >= at(60) && *now < at(160);
        let metrics = replicas.iter().filter_map(|r| r.metrics);
        assert!(metrics.into_iter().all(|m| !during || m.at < at(60)));
    }
    assert!(ages(&seen).into_iter().fold(0.0, f64::max) > 99.0);
}

#[test]
fn failed_starts_are_tried_again() {
    let grow = || Script::of(&[(0, 3), (10, 12)]);
    let ready = |seen: &Seen, time| {
        let (_, replicas) = seen.iter().find(|(now, _)| *now == at(time)).unwrap();
        replicas.iter().filter(|r| r.state == ReplicaState::Ready).count()
    };
    let (_, seen) = run(Faults::default(), grow());
    assert_eq!((ready(&seen, 69), ready(&seen, 70)), (3, 12));
    let (report, seen) = run(Faults { start_failure: share(1.0), ..Faults::default() }, grow());
    assert_eq!(ready(&seen, 299), 3);
    assert_eq!(report.starts, 9);
    let (_, seen) = run(Faults { start_failure: share(0.5), ..Faults::default() }, grow());
    assert!(ready(&seen, 70) < 12 && ready(&seen, 299) > ready(&seen, 70));
}

#[test]
fn stuck_starts_never_serve_and_cost() {
    let grow = || Script::of(&[(0, 3), (10, 6)]);
    let (sound, _) = run(Faults::default(), grow());
    let (report, seen) = run(Faults { start_stuck: share(1.0), ..Faults::default() }, grow());
    let ready = |(_, replicas): &(Instant, Vec<ReplicaView>)| {
        replicas.iter().filter(|r| r.state == ReplicaState::Ready).count()
    };
    assert_eq!(seen.iter().map(ready).max(), Some(3));
    assert!((report.gpu_hours / sound.gpu_hours - 1.0).abs() < 0.05);
}

#[test]
fn a_crash_cuts_streams_and_the_rest_goes_elsewhere() {
    let crashes = vec![Crash { at: at(100), index: 1 }];
    let (report, seen) = run(Faults { crashes, ..Faults::default() }, fixed(3));
    assert!(report.streams_cut > 0 && report.streams_cut <= 8);
    assert_eq!(report.failed, report.streams_cut);
    let state = |time| {
        let (_, replicas) = seen.iter().find(|(now, _)| *now == at(time)).unwrap();
        replicas.iter().map(|r| r.state).collect::<Vec<_>>()
    };
    use ReplicaState::{Ready, Starting};
    assert_eq!(state(99), [Ready, Ready, Ready]);
    assert_eq!(state(101), [Ready, Starting, Ready]);
    // Ten seconds of back-off, then a start.
    assert_eq!(state(169), [Ready, Starting, Ready]);
    assert_eq!(state(170), [Ready, Ready, Ready]);
}

#[test]
fn a_whole_fleet_that_crashes_loses_only_what_had_begun() {
    let crash = |index| Crash { at: at(100), index };
    // Each time the oldest of those that are left.
    let crashes = vec![crash(0), crash(0), crash(0)];
    let (report, _) = run(Faults { crashes, ..Faults::default() }, fixed(3));
    assert!(report.streams_cut > 0 && report.failed == report.streams_cut);
    assert!(report.ttft_s.p99.unwrap() > 30.0, "held while nobody serves");
}

#[test]
fn noisy_neighbours_slow_tokens_down() {
    let (sound, _) = run(Faults::default(), fixed(3));
    let faults = Faults { slow: share(1.0), slow_factor: Some(1.4), ..Faults::default() };
    let (report, _) = run(faults, fixed(3));
    let ratio = report.tpot_s.p50.unwrap() / sound.tpot_s.p50.unwrap();
    assert!((1.38..1.5).contains(&ratio), "{ratio}");
}

#[test]
fn a_controller_that_is_away_is_not_asked() {
    let window = Window { from: at(50), lasts: secs(100) };
    let faults = Faults { controller_outages: vec![window], ..Faults::default() };
    let (_, seen) = run(faults, fixed(3));
    assert!(seen.iter().all(|(now, _)| !window.contains(*now)));
    assert!(seen.iter().any(|(now, _)| *now >= at(150)));
}
