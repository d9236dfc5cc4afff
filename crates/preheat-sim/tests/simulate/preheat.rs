//! preheat in the simulated world.

use std::sync::{Arc, Mutex};

use preheat_core::{
    ColdStartPrior, Explanation, Observation, Part, Policy, PolicySpec, Probability, ReplicaCount,
    ScheduledDemand, Standby,
};
use preheat_sim::cold_start::GpuSupply;
use preheat_sim::faults::{Crash, Faults, Rollout, Window};
use preheat_sim::peers;
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_traffic::TraceRequest;
use proptest::prelude::*;

use crate::common::{at, config, poisson, secs};

fn preheat(change: impl FnOnce(&mut PolicySpec)) -> Preheat {
    let mut spec = PolicySpec { replicas_max: ReplicaCount(20), ..PolicySpec::default() };
    change(&mut spec);
    Preheat::new(Policy::try_from(spec).unwrap())
}

/// A rung at a tenth of the price; so many on it, or as many as pay.
fn standby(replicas: Option<u32>) -> Standby {
    let price = Probability::saturating(0.1);
    Standby { price, wake_prior: secs(5), replicas: replicas.map(ReplicaCount) }
}

fn run(config: SimulationConfig, trace: &[TraceRequest], mut preheat: Preheat) -> RunReport {
    let config = SimulationConfig { series: true, ..config };
    let simulation = Simulation::new(config).unwrap();
    simulation.run_preheat(trace.iter().copied(), &mut preheat).unwrap()
}

/// Low, high, low again.
fn step() -> Vec<TraceRequest> {
    poisson(6, &[(600, 4.0), (1800, 30.0), (3600, 4.0)])
}

#[test]
fn a_step_of_load_brings_replicas_and_its_end_takes_them() {
    let report = run(config(), &step(), preheat(|_| ()));
    let ready = |minute: usize| report.series[minute].ready;
    assert!(ready(9) <= 3, "{} before the step", ready(9));
    assert!(ready(14) >= 6, "{} five minutes into it", ready(14));
    assert!(ready(58) <= 3, "{} after it", ready(58));
    assert_eq!((report.streams_cut, report.failed), (0, 0));
    assert_eq!(report.completed, report.requests);
    assert!(report.attainment > 0.9, "{}", report.attainment);
    assert!(report.direction_changes >= 1);
}

#[test]
fn what_is_announced_is_ready_when_it_begins_and_given_up_after_it() {
    let quiet = poisson(6, &[(3600, 2.0)]);
    let announced = |from: u64, until: u64| {
        let scheduled =
            vec![ScheduledDemand { from: at(from), until: at(until), replicas: ReplicaCount(9) }];
        SimulationConfig { scheduled, ..config() }
    };
    let minute = ColdStartPrior { p50: secs(60), p90: secs(60) };
    let report = run(announced(1200, 2400), &quiet, preheat(|spec| spec.cold_start_prior = minute));
    let ready = |minute: usize| report.series[minute].ready;
    assert!(ready(18) < 9 && ready(55) < 9, "{:?}", report.series);
    assert!((19..40).all(|minute| ready(minute) == 9), "{:?}", report.series);
    // More than a day ahead nobody is told.
    let far = run(announced(90_000, 90_600), &quiet, preheat(|_| ()));
    assert_eq!(far.series, run(config(), &quiet, preheat(|_| ())).series);
    let empty = Simulation::new(announced(60, 60)).unwrap_err();
    assert!(empty.to_string().starts_with("`scheduled` is until"), "{empty}");
}

#[test]
fn standby_replicas_are_woken_first() {
    let surges = (1..=8).flat_map(|n| [(n * 1800 - 1200, 20.0), (n * 1800, 3.0)]);
    let trace = poisson(6, &surges.collect::<Vec<_>>());
    let mut priced = SimulationConfig { standby_price: 0.1, ..config() };
    priced.replicas_initial = ReplicasInitial::Count(8);
    let with = run(priced, &trace, preheat(|spec| spec.standby = Some(standby(None))));
    assert!(with.series.iter().any(|minute| minute.standby > 0));
    let initial = ReplicasInitial::Count(8);
    let without_config = SimulationConfig { replicas_initial: initial, ..config() };
    let without = run(without_config, &trace, preheat(|_| ()));
    let (kept, lost) = (with.attainment, without.attainment);
    assert!(kept > lost - 0.005, "{kept} {lost}");
    assert!(with.gpu_hours < without.gpu_hours, "{} {}", with.gpu_hours, without.gpu_hours);
    assert_eq!(with.failed + without.failed, 0);
}

#[test]
fn from_zero_and_back() {
    let trace: Vec<TraceRequest> = [poisson(1, &[(60, 2.0)]), {
        let later = |r: TraceRequest| TraceRequest { arrival: r.arrival + secs(1500), ..r };
        poisson(2, &[(60, 2.0)]).into_iter().map(later).collect()
    }]
    .concat();
    let mut from_zero = config();
    from_zero.bounds.replicas_min = 0;
    from_zero.replicas_initial = ReplicasInitial::Count(0);
    let report = run(from_zero, &trace, preheat(|spec| spec.replicas_min = ReplicaCount(0)));
    assert!(report.starts >= 2 && report.failed == 0);
    assert_eq!(report.series[20].ready + report.series[20].starting, 0);
}

#[test]
fn with_everything_going_wrong_every_decision_is_sound() {
    let mut faulty = SimulationConfig { seed: 5, ..config() };
    let share = Probability::saturating;
    faulty.faults.scrape_loss = share(0.3);
    faulty.faults.metrics_outages = vec![Window { from: at(700), lasts: secs(120) }];
    faulty.faults.start_failure = share(0.2);
    faulty.faults.start_stuck = share(0.1);
    faulty.faults.slow = share(0.3);
    faulty.faults.slow_factor = Some(1.4);
    faulty.faults.controller_outages = vec![Window { from: at(900), lasts: secs(60) }];
    faulty.faults.crashes =
        (0..10).map(|n| Crash { at: at(300 * n + 50), index: n as u32 }).collect();
    let report = run(faulty, &step(), preheat(|_| ()));
    assert_eq!(report.requests, report.completed + report.failed);
    assert_eq!(report.failed, report.streams_cut);
    assert!(report.attainment > 0.5, "{}", report.attainment);
}

#[test]
fn an_outage_of_metrics_gives_nothing_up() {
    let mut blind = config();
    blind.faults.metrics_outages = vec![Window { from: at(1900), lasts: secs(3600) }];
    let report = run(blind, &step(), preheat(|_| ()));
    // The gateway still counts what is inside each replica, so the fleet may shrink, and does so
    // without cutting anything.
    assert_eq!((report.streams_cut, report.failed), (0, 0));
}

/// What every tick said, beside the report.
fn watched(
    config: SimulationConfig,
    trace: &[TraceRequest],
    preheat: Preheat,
) -> (RunReport, Vec<(Observation, Explanation)>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let preheat = preheat.with_watcher(Box::new(move |observation, decision| {
        sink.lock().unwrap().push((observation.clone(), decision.explanation.clone()));
    }));
    let report = run(config, trace, preheat);
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    (report, seen)
}

/// Which replicas are slow is drawn; preheat finds them by what their engines measure, and needs
/// fewer than without.
#[test]
fn slow_replicas_are_found_and_go_first() {
    let mut noisy = SimulationConfig { seed: 3, ..config() };
    noisy.faults.slow = Probability::saturating(0.3);
    noisy.faults.slow_factor = Some(2.0);
    let trace = poisson(6, &[(7200, 25.0)]);
    let (with, seen) = watched(noisy.clone(), &trace, preheat(|_| ()));
    let slow = seen.iter().flat_map(|(_, explanation)| &explanation.supply.slow);
    let capacities: Vec<f64> = slow.map(|slow| slow.capacity.get()).collect();
    assert!(!capacities.is_empty());
    assert!(capacities.iter().all(|capacity| (0.4..0.65).contains(capacity)), "{capacities:?}");
    assert!(with.attainment > 0.95, "{}", with.attainment);
    // Which ones are slow is chance, and so is what one run costs.
    let [mut with, mut without] = [0.0, 0.0];
    for seed in 1..=6 {
        let noisy = SimulationConfig { seed, ..noisy.clone() };
        with += run(noisy.clone(), &trace, preheat(|_| ())).gpu_hours;
        let ignorant = preheat(|spec| spec.without = Some(Part::Neighbours));
        without += run(noisy, &trace, ignorant).gpu_hours;
    }
    assert!(with < without, "{with} {without}");
    // Where nobody is slow, nobody is found.
    let (_, seen) = watched(config(), &trace, preheat(|_| ()));
    assert!(seen.iter().all(|(_, explanation)| explanation.supply.slow.is_empty()));
}

/// Requests that wait for a start come late from replicas that have just begun.
#[test]
fn late_first_tokens_after_a_start_are_told_apart() {
    let mut from_zero = config();
    from_zero.bounds.replicas_min = 0;
    from_zero.replicas_initial = ReplicasInitial::Count(0);
    let trace = poisson(1, &[(300, 2.0)]);
    let policy = preheat(|spec| spec.replicas_min = ReplicaCount(0));
    let (report, seen) = watched(from_zero, &trace, policy);
    let tokens =
        seen.iter().filter_map(|(observation, _)| observation.gateway.as_ref()?.first_tokens);
    let (mut count, mut late, mut after_start) = (0, 0, 0);
    for tokens in tokens {
        count += tokens.count;
        late += tokens.late;
        after_start += tokens.late_after_start;
    }
    assert_eq!(count, report.completed);
    assert_eq!(late, report.requests - (report.attainment * report.requests as f64).round() as u64);
    assert!(late > 50 && after_start == late, "{after_start} of {late} of {count}");
}

/// Successors on their way in a rollout, at most.
const SURGE_MAX: u32 = 3;

fn faults() -> impl Strategy<Value = Faults> {
    let share = |max| (0.0..max).prop_map(Probability::saturating);
    let window = || {
        (0_u64..500, 0_u64..200)
            .prop_map(|(from, secs_long)| Window { from: at(from), lasts: secs(secs_long) })
    };
    let windows = move || proptest::collection::vec(window(), 0..3);
    let crash = (0_u64..600, 0_u32..9).prop_map(|(when, index)| Crash { at: at(when), index });
    let crashes = proptest::collection::vec(crash, 0..8);
    let rollout =
        (0_u64..600, 0..=SURGE_MAX).prop_map(|(when, surge)| Rollout { at: at(when), surge });
    let rollouts = proptest::collection::vec(rollout, 0..3);
    let shares = (share(0.6), share(0.4), share(0.2), share(0.5));
    let all = (shares, windows(), windows(), crashes, rollouts);
    all.prop_map(|(shares, outages, away, crashes, rollouts)| Faults {
        scrape_loss: shares.0,
        metrics_outages: outages,
        start_failure: shares.1,
        start_stuck: shares.2,
        crashes,
        slow: shares.3,
        slow_factor: Some(1.4),
        controller_outages: away,
        rollouts,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Requests are conserved, decisions are sound and time goes on, whatever goes wrong; the run
    /// checks all that itself.
    #[test]
    fn whatever_goes_wrong_a_run_ends_sound(
        faults in faults(),
        seed in any::<u64>(),
        rates in proptest::collection::vec(0.2_f64..40.0, 1..5),
        standby in proptest::option::of(proptest::option::of(0_u32..3)),
        replicas_min in 0_u32..2,
        nodes in 1_u32..6,
        gpus_each in 1_u32..4,
    ) {
        let stretches: Vec<(u64, f64)> = (1..).map(|n| n * 150).zip(rates).collect();
        let mut config = SimulationConfig {
            faults,
            seed,
            gpus: GpuSupply::Nodes { nodes, gpus_each },
            start_timeout: secs(120),
            ..config()
        };
        config.bounds.replicas_min = replicas_min;
        let preheat = preheat(|spec| {
            spec.standby = standby.map(self::standby);
            spec.replicas_min = ReplicaCount(replicas_min);
            spec.drain_timeout = secs(10);
            spec.scale_down_window = secs(30);
        });
        let report = run(config, &poisson(seed, &stretches), preheat);
        prop_assert_eq!(report.requests, report.completed + report.failed);
        prop_assert!(report.replicas_peak <= nodes * gpus_each + SURGE_MAX);
    }
}

#[test]
fn a_preheat_that_only_watches_changes_nothing() {
    let trace = step();
    let mut config = config();
    config.faults.crashes = vec![Crash { at: at(700), index: 0 }];
    let simulation = Simulation::new(SimulationConfig { series: true, ..config }).unwrap();
    let scaler = || peers::tuned("hpa-gpu", &simulation.config().bounds, &[]).unwrap();
    let alone = simulation.run(trace.iter().copied(), scaler().as_mut()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&seen);
    let mut watcher = preheat(|_| ()).with_watcher(Box::new(move |observation, decision| {
        let live = observation.replicas.len();
        kept.lock().unwrap().push((observation.now, live, decision.plan.desired.0));
    }));
    let shadowed =
        simulation.run_shadowed(trace.iter().copied(), scaler().as_mut(), &mut watcher).unwrap();
    assert_eq!(shadowed, alone);
    let seen = seen.lock().unwrap();
    assert!(seen.windows(2).all(|pair| pair[1].0.since(pair[0].0) == secs(2)));
    // It wanted more at the step than there were, and saw what the other brought.
    assert!(seen.iter().any(|(_, live, desired)| *desired as usize > *live));
    assert!(seen.iter().any(|(_, live, _)| *live > seen[0].1));
}
