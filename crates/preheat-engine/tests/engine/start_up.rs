//! Starts: priors, quantiles and draws.

use std::time::Duration;

use preheat_core::{Probability, ReplicaPhase};
use preheat_engine::{
    CompileCache, ImageSource, ShiftedLogNormal, StartupInputs, StartupOutcome, StartupProfile,
    WeightsSource,
};

const PHASES: [ReplicaPhase; 3] =
    [ReplicaPhase::Pulling, ReplicaPhase::Loading, ReplicaPhase::Warming];

const CACHED: StartupInputs = StartupInputs {
    image: ImageSource::Cached,
    weights_bytes: 32_000_000_000,
    weights: WeightsSource::RemoteStore,
    compile_cache: CompileCache::Miss,
};

fn level(level: f64) -> Probability {
    Probability::new(level).unwrap()
}

fn median_secs(inputs: StartupInputs, phase: ReplicaPhase) -> f64 {
    let profile = StartupProfile::from_inputs(&inputs);
    profile.quantile(phase, level(0.5)).unwrap().as_secs_f64()
}

#[test]
fn priors_are_bytes_over_bandwidth() {
    use ReplicaPhase::{Loading, Pulling, Warming};
    let pulled = ImageSource::Registry { bytes: 10_000_000_000, bytes_per_sec: 200_000_000 };
    let cases = [
        (CACHED, Pulling, 0.2),
        (CACHED, Loading, 74.0),
        (CACHED, Warming, 65.0),
        (StartupInputs { image: pulled, ..CACHED }, Pulling, 50.2),
        (StartupInputs { weights: WeightsSource::LocalNvme, ..CACHED }, Loading, 22.8),
        (StartupInputs { weights: WeightsSource::PageCache, ..CACHED }, Loading, 16.4),
        (StartupInputs { compile_cache: CompileCache::Hit, ..CACHED }, Warming, 28.0),
    ];
    for (inputs, phase, secs) in cases {
        let got = median_secs(inputs, phase);
        assert!((got - secs).abs() < 1e-6, "{inputs:?} {phase:?}: {got} s, expected {secs} s");
    }
}

#[test]
fn a_source_without_bandwidth_takes_for_ever() {
    let weights = WeightsSource::Other { bytes_per_sec: 0 };
    let profile = StartupProfile::from_inputs(&StartupInputs { weights, ..CACHED });
    assert_eq!(profile.quantile(ReplicaPhase::Loading, level(0.5)), Some(Duration::MAX));
    assert!(profile.draw(1).ready_after().is_none_or(|after| after == Duration::MAX));
}

#[test]
fn quantiles_are_ordered_and_draws_follow_them() {
    let profile = StartupProfile::from_inputs(&CACHED);
    for (i, phase) in PHASES.into_iter().enumerate() {
        let quantiles: Vec<_> =
            (1..100).map(|p| profile.quantile(phase, level(f64::from(p) / 100.0))).collect();
        assert!(quantiles.is_sorted_by(|a, b| a < b), "{phase:?}");
        let p90 = profile.quantile(phase, level(0.9)).unwrap();
        let draws: Vec<_> = (0..2_000).map(|seed| profile.draw(seed)).collect();
        let reached: Vec<_> = draws.iter().filter_map(|d| d.phases.get(i)).collect();
        let below = reached.iter().filter(|(_, duration)| *duration < p90).count();
        let share = below as f64 / reached.len() as f64;
        assert!((share - 0.9).abs() < 0.02, "{phase:?}: {share} of draws below p90");
    }
    assert_eq!(profile.quantile(ReplicaPhase::Ready, level(0.5)), None);
}

#[test]
fn equal_seeds_give_equal_plans_and_phases_are_independent() {
    let profile = StartupProfile::from_inputs(&CACHED);
    assert_eq!(profile.draw(7), profile.draw(7));
    assert_ne!(profile.draw(7), profile.draw(8));
    let warm = StartupInputs { compile_cache: CompileCache::Hit, ..CACHED };
    let (a, b) = (profile.draw(7), StartupProfile::from_inputs(&warm).draw(7));
    assert_eq!(a.phases[..2], b.phases[..2]);
    assert!(a.phases[2].1 > b.phases[2].1);
}

#[test]
fn some_starts_never_end() {
    let never = StartupProfile { never: level(0.5), ..StartupProfile::from_inputs(&CACHED) };
    let mut stuck = [0; 3];
    for seed in 0..1_000 {
        let plan = never.draw(seed);
        if let StartupOutcome::Never { stuck_in } = plan.outcome {
            assert_eq!((plan.ready_after(), plan.phase_at(Duration::MAX)), (None, stuck_in));
            let index = PHASES.iter().position(|phase| *phase == stuck_in).unwrap();
            assert_eq!(plan.phases.len(), index);
            stuck[index] += 1;
        }
    }
    assert!(stuck.iter().all(|count| (120..220).contains(count)), "{stuck:?}");
    let always = StartupProfile { never: Probability::ZERO, ..never };
    assert!((0..1_000).all(|seed| always.draw(seed).ready_after().is_some()));
}

#[test]
fn a_fixed_start_takes_what_it_was_told() {
    let plan = StartupProfile::fixed(Duration::from_nanos(90_000_000_001)).draw(3);
    assert_eq!(plan.ready_after(), Some(Duration::from_nanos(90_000_000_001)));
    let secs = Duration::from_secs;
    let plan = StartupProfile::fixed_phases(secs(5), secs(20), secs(10)).draw(3);
    let expected = [
        (0, ReplicaPhase::Pulling),
        (5, ReplicaPhase::Loading),
        (24, ReplicaPhase::Loading),
        (25, ReplicaPhase::Warming),
        (35, ReplicaPhase::Ready),
    ];
    for (elapsed, phase) in expected {
        assert_eq!(plan.phase_at(secs(elapsed)), phase, "after {elapsed} s");
    }
    let fixed = ShiftedLogNormal::fixed(secs(5));
    assert_eq!(fixed.quantile(level(0.01)), fixed.quantile(level(0.99)));
}

#[test]
fn a_start_has_the_quantiles_asked_for() {
    let (p50, p90) = (Duration::from_secs(140), Duration::from_secs(180));
    let profile = StartupProfile::with_quantiles(p50, p90).unwrap();
    for (share, expected) in [(0.5, p50), (0.9, p90)] {
        let total: Duration =
            PHASES.iter().filter_map(|p| profile.quantile(*p, level(share))).sum();
        assert!(total.abs_diff(expected) < Duration::from_millis(50), "{total:?}");
    }
    assert_eq!(StartupProfile::with_quantiles(p50, p50), Some(StartupProfile::fixed(p50)));
    assert_eq!(StartupProfile::with_quantiles(p90, p50), None);
}
