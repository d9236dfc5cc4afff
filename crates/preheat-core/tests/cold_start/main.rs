//! What is learned of cold starts, phase by phase, and what follows for those under way.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod machines;

use std::time::Duration;

use preheat_core::{
    ColdStartExplanation, ColdStartPrior, ColdStartSample, EndedStart, Explanation, Instant,
    MachineState, Memory, Observation, PhaseTimes, PolicySpec, ReplicaId, ReplicaObservation,
    ReplicaPhase, Rung, StartFollower, TickId, decide, invariants,
};
use proptest::prelude::*;

use ReplicaPhase::{Draining, Loading, Pending, Pulling, Ready, Stopped, Warming};

const WAKING: ReplicaPhase = ReplicaPhase::Waking(Rung::Sleeping);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(secs(1000 + seconds))
}

/// A replica in `phase` since `since`, ordered at `ordered`.
fn replica(id: u64, phase: ReplicaPhase, since: u64, ordered: u64) -> ReplicaObservation {
    ReplicaObservation {
        start_ordered_at: at(ordered),
        ..ReplicaObservation::untold(ReplicaId(id), phase, at(since))
    }
}

fn observed(now: u64, replicas: Vec<ReplicaObservation>) -> Observation {
    let tick = TickId(now);
    Observation::of(tick, at(now), replicas)
}

/// One tick: now, the phase or none where the replica is gone, since when, restarts.
type Tick = (u64, Option<ReplicaPhase>, u64, u32);
/// An ended start: how long it took, seconds in each phase, where it was given up.
type Ended = (u64, [Option<u64>; 5], Option<ReplicaPhase>);

/// A start of which nobody knows where it was.
fn sample(took: u64, phases: PhaseTimes, given_up_in: Option<ReplicaPhase>) -> ColdStartSample {
    ColdStartSample { took: secs(took), phases, given_up_in, machine: MachineState::default() }
}

/// Follows one replica, ordered at 0, through some ticks.
#[track_caller]
fn check(ticks: &[Tick], expected: &[Ended]) {
    let mut follower = StartFollower::default();
    let mut ended = Vec::new();
    for (now, phase, since, restarts) in ticks {
        let seen = phase.map(|phase| {
            let mut replica = replica(1, phase, *since, 0);
            replica.restarts = *restarts;
            replica
        });
        ended.extend(follower.observe(&observed(*now, seen.into_iter().collect())));
    }
    let samples = expected.iter().map(|(took, phases, given_up_in)| {
        let phases = phases.map(|took| took.map(secs));
        EndedStart::ColdStart(sample(*took, phases, *given_up_in))
    });
    assert_eq!(ended, samples.collect::<Vec<_>>());
}

/// A wake may be quicker than a tick: nobody sees it under way.
#[test]
fn a_wake_between_two_ticks_is_seen_by_where_it_began() {
    let asleep = ReplicaPhase::Standby(Rung::Sleeping);
    // Each tick: now, the phase, since when, and when it was ordered to start or to wake.
    let check = |ticks: &[(u64, ReplicaPhase, u64, u64)], expected: Option<u64>| {
        let mut follower = StartFollower::default();
        let observe = |&(now, phase, since, ordered): &(u64, ReplicaPhase, u64, u64)| {
            follower.observe(&observed(now, vec![replica(1, phase, since, ordered)]))
        };
        let ended: Vec<EndedStart> = ticks.iter().flat_map(observe).collect();
        let wake = expected.map(|took| EndedStart::Wake(secs(took)));
        assert_eq!(ended, wake.into_iter().collect::<Vec<_>>(), "{ticks:?}");
    };
    check(&[(10, asleep, 5, 0), (12, WAKING, 10, 10), (14, Ready, 13, 10)], Some(3));
    check(&[(10, asleep, 5, 0), (14, Ready, 13, 11), (15, Ready, 13, 11)], Some(2));
    // A world that does not say when: at the first of the two ticks.
    check(&[(10, asleep, 5, 0), (14, Ready, 13, 0)], Some(3));
    check(&[(10, asleep, 5, 0), (14, Stopped, 13, 0)], None);
    check(&[(10, Draining, 5, 0), (14, Ready, 13, 0)], None);
    check(&[(14, Ready, 13, 0)], None);
}

#[test]
fn phases_are_followed_until_a_start_ends() {
    let whole = [Some(2), Some(0), Some(20), Some(60), Some(38)];
    check(
        &[
            (0, Some(Pending), 0, 0),
            (4, Some(Pulling), 2, 0),
            (24, Some(Loading), 22, 0),
            (84, Some(Warming), 82, 0),
            (120, Some(Ready), 120, 0),
            (122, Some(Ready), 120, 0),
        ],
        &[(120, whole, None)],
    );
    // A world that can't tell phases.
    check(
        &[(0, Some(Loading), 0, 0), (120, Some(Ready), 120, 0)],
        &[(120, [None, None, None, Some(120), Some(0)], None)],
    );
    // An engine that pulls after it was started: both stays in a phase count.
    check(
        &[
            (0, Some(Loading), 0, 0),
            (10, Some(Pulling), 10, 0),
            (30, Some(Loading), 30, 0),
            (80, Some(Warming), 80, 0),
            (90, Some(Ready), 90, 0),
        ],
        &[(90, [None, None, Some(20), Some(60), Some(10)], None)],
    );
    // First seen in its last phase: of those before nobody knows how long they took.
    check(
        &[(100, Some(Warming), 90, 0), (120, Some(Ready), 115, 0)],
        &[(115, [None, None, None, None, Some(25)], None)],
    );
    // Never seen starting, nothing is learned; nor is a wake a cold start.
    check(&[(0, Some(Ready), 0, 0), (9, Some(Draining), 9, 0)], &[]);
}

#[test]
fn what_the_world_tells_of_phases_goes_before_what_ticks_saw() {
    let told = |phase, since, passed: [Option<u64>; 5]| {
        let passed = passed.map(|took| took.map(secs));
        ReplicaObservation { passed, ..replica(1, phase, since, 0) }
    };
    let mut follower = StartFollower::default();
    let mut see = |now, replica| follower.observe(&observed(now, vec![replica]));
    assert_eq!(see(0, replica(1, Pending, 0, 0)), []);
    // No tick saw the machine being made, nor its image pulled.
    let before = [Some(1), Some(9), Some(20), None, None];
    assert_eq!(see(40, told(Loading, 30, before)), []);
    assert_eq!(see(62, told(Warming, 60, before)), []);
    let phases = [Some(1), Some(9), Some(20), Some(30), Some(10)].map(|took| took.map(secs));
    let whole = sample(70, phases, None);
    assert_eq!(see(72, told(Ready, 70, before)), [EndedStart::ColdStart(whole)]);
    // Met on its way by who has seen nothing of it: only the phase it is in is followed.
    let mut late = StartFollower::default();
    assert_eq!(late.observe(&observed(62, vec![told(Warming, 60, before)])), []);
    let phases = [Some(1), Some(9), Some(20), None, Some(10)].map(|took| took.map(secs));
    let ended = late.observe(&observed(72, vec![told(Ready, 70, before)]));
    assert_eq!(ended, [EndedStart::ColdStart(sample(70, phases, None))]);
}

#[test]
fn what_was_given_up_was_longer_than_it_was_seen() {
    let loading = |took| [Some(2), Some(0), Some(0), Some(took), None];
    // Stopped, and seen to be.
    check(
        &[(0, Some(Pending), 0, 0), (4, Some(Loading), 2, 0), (50, Some(Stopped), 42, 0)],
        &[(42, loading(40), Some(Loading))],
    );
    // Gone: at least until it was seen last.
    check(
        &[
            (0, Some(Pending), 0, 0),
            (4, Some(Loading), 2, 0),
            (48, Some(Loading), 2, 0),
            (50, None, 0, 0),
        ],
        &[(48, loading(46), Some(Loading))],
    );
    // Crashed, and started anew: two starts, of which one became ready.
    check(
        &[
            (0, Some(Pending), 0, 0),
            (4, Some(Loading), 2, 0),
            (50, Some(Pending), 42, 1),
            (54, Some(Loading), 52, 1),
            (92, Some(Warming), 92, 1),
            (99, Some(Ready), 99, 1),
        ],
        &[
            (42, loading(40), Some(Loading)),
            (57, [Some(10), Some(0), Some(0), Some(40), Some(7)], None),
        ],
    );
}

/// A pool and what it remembers.
struct Pool {
    spec: PolicySpec,
    memory: Memory,
    now: u64,
    next_id: u64,
    /// What the machine of the replicas to come holds.
    machine: MachineState,
    placeable_on: Vec<MachineState>,
}

impl Pool {
    fn new() -> Self {
        let (machine, placeable_on) = (MachineState::default(), Vec::new());
        let spec = PolicySpec::default();
        Self { spec, memory: Memory::default(), now: 0, next_id: 0, machine, placeable_on }
    }

    fn tick(&mut self, after: u64, replicas: Vec<ReplicaObservation>) -> Explanation {
        self.now += after;
        let policy = self.spec.clone().validate().expect("the test's policy is valid");
        let mut observation = observed(self.now, replicas);
        observation.placeable_on.clone_from(&self.placeable_on);
        let decision = decide(&policy, &self.memory, &observation);
        invariants::check(&policy, &self.memory, &observation, &decision).expect("they hold");
        self.memory = decision.memory;
        decision.explanation
    }

    /// Lives through one start that spends so long in each of these phases.
    fn start(&mut self, phases: &[(ReplicaPhase, u64)]) -> ColdStartExplanation {
        let (id, ordered) = (self.next_id, self.now);
        self.next_id += 1;
        let mut since = ordered;
        let machine = self.machine;
        for (phase, took) in phases {
            self.tick(
                0,
                vec![ReplicaObservation { machine, ..replica(id, *phase, since, ordered) }],
            );
            since += took;
            self.now = since;
        }
        self.tick(0, vec![replica(id, Ready, since, ordered)]).cold_start
    }

    /// What is known of one more replica, in `phase` for `age`, ordered `age` + `before` ago: its
    /// time to ready, or `None` where it is overdue.
    fn residual(&self, phase: ReplicaPhase, age: u64, before: u64) -> Option<u64> {
        let (spec, memory) = (self.spec.clone(), self.memory.clone());
        let mut pool = Self { spec, memory, placeable_on: Vec::new(), ..*self };
        let (now, id) = (pool.now + 5000, pool.next_id);
        let seen = replica(id, phase, now - age, now - age - before);
        let seen = ReplicaObservation { machine: self.machine, ..seen };
        let explanation = pool.tick(5000, vec![seen]);
        assert_eq!(explanation.replicas_overdue.len() + explanation.supply.residuals.len(), 1);
        explanation.supply.residuals.first().map(Duration::as_secs)
    }
}

const PHASES: [(ReplicaPhase, u64); 3] = [(Pulling, 20), (Loading, 60), (Warming, 40)];

#[test]
fn a_start_under_way_is_measured_by_its_phase() {
    let mut pool = Pool::new();
    for _ in 0..10 {
        pool.start(&PHASES);
    }
    for (phase, age, before, expected) in [
        (Pulling, 0, 0, Some(120)),
        (Pulling, 15, 0, Some(105)),
        // Late in its phase, the next ones are still to come.
        (Pulling, 30, 0, Some(100)),
        (Loading, 0, 20, Some(100)),
        (Loading, 45, 20, Some(55)),
        (Warming, 10, 80, Some(30)),
        // A long way to here says nothing of the way from here.
        (Warming, 10, 900, Some(30)),
        // Half a start beyond the phase's own 90th percentile.
        (Pulling, 80, 0, Some(100)),
        (Pulling, 81, 0, None),
        (Warming, 100, 80, Some(0)),
        (Warming, 101, 80, None),
        // A phase that none was seen in: by the whole start.
        (Pending, 90, 0, Some(30)),
        (Pending, 181, 0, None),
        (WAKING, 1, 0, Some(4)),
        (WAKING, 8, 0, None),
    ] {
        assert_eq!(pool.residual(phase, age, before), expected, "{phase:?} for {age} s");
    }
}

#[test]
fn until_starts_are_known_the_prior_is_divided_as_they_are() {
    let mut pool = Pool::new();
    // Of the prior alone: 120 s, 180 s at p90.
    assert_eq!(pool.residual(Warming, 10, 80), Some(30));
    assert!(pool.start(&PHASES).samples == 1 && pool.residual(Warming, 0, 80) == Some(40));
    // Twice as long as believed: of 20, 40 and 60 s for pulling the median is 40, and so on.
    let mut slow = Pool::new();
    slow.start(&PHASES.map(|(phase, took)| (phase, 2 * took)));
    assert_eq!(slow.residual(Pulling, 0, 0), Some(30 + 90 + 60));
}

#[test]
fn phases_are_told_where_they_are_told_apart() {
    let mut pool = Pool::new();
    for more in 0..10 {
        pool.start(&[(Pulling, 20), (Loading, 60 + more), (Warming, 40)]);
    }
    // The image was there: pulling was skipped.
    let told = pool.start(&[(Pending, 2), (Loading, 60), (Warming, 40)]);
    let rows: Vec<_> = told
        .phases
        .iter()
        .map(|row| (row.phase, row.samples, row.censored, row.p50.as_secs(), row.p90.as_secs()))
        .collect();
    assert_eq!(
        rows,
        [
            (Pending, 1, 0, 2, 2),
            (Pulling, 10, 0, 20, 20),
            (Loading, 11, 0, 64, 68),
            (Warming, 11, 0, 40, 40)
        ]
    );
    let mut whole = Pool::new();
    let told = whole.start(&[(Loading, 120)]);
    assert_eq!((told.samples, told.phases), (1, Vec::new()));
}

#[test]
fn starts_that_hang_are_not_left_out() {
    let mut pool = Pool::new();
    for _ in 0..30 {
        pool.start(&[(Loading, 100)]);
    }
    let hangs = |pool: &mut Pool| {
        let (id, ordered) = (pool.next_id, pool.now);
        pool.next_id += 1;
        pool.tick(0, vec![replica(id, Loading, ordered, ordered)]);
        pool.tick(600, vec![replica(id, Loading, ordered, ordered)]);
        pool.tick(2, vec![]).cold_start
    };
    let told = hangs(&mut pool);
    assert_eq!((told.samples, told.censored, told.p90.as_secs()), (30, 1, 100));
    // More than one in ten hangs: the 90th percentile is no longer that of the others.
    let told = (0..4).map(|_| hangs(&mut pool)).last().expect("four");
    assert_eq!((told.samples, told.censored, told.p50.as_secs()), (30, 5, 100));
    assert_eq!(told.p90.as_secs(), 600);
    // They still lose their credit when others would have been ready.
    assert_eq!((pool.residual(Loading, 99, 0), pool.residual(Loading, 151, 0)), (Some(1), None));
    // And they are forgotten with the starts of their time.
    let told = (0..33).map(|_| pool.start(&[(Loading, 100)])).last().expect("many");
    assert_eq!((told.samples, told.censored, told.p90.as_secs()), (32, 0, 100));
}

#[test]
fn memory_is_bounded_whatever_becomes_of_starts() {
    let mut pool = Pool::new();
    for round in 0..100 {
        pool.start(&PHASES);
        for _ in 0..round % 5 {
            let (id, ordered) = (pool.next_id, pool.now);
            pool.next_id += 1;
            pool.tick(1, vec![replica(id, Pulling, ordered, ordered)]);
            pool.tick(1, vec![]);
        }
        assert!(pool.memory.cold_starts.len() <= 64);
    }
    let ready = pool.memory.cold_starts.iter().filter(|start| start.given_up_in.is_none());
    assert_eq!(ready.count(), 32);
}

/// What was said of whole starts before phases were told apart: sorted times, nearest rank.
struct WholeStarts(Vec<u64>);

impl WholeStarts {
    fn of(times: &[u64], prior: [u64; 2]) -> Self {
        let mut times: Vec<u64> = times.iter().rev().take(32).copied().collect();
        if times.len() < 8 {
            times.extend(prior);
        }
        times.sort_unstable();
        Self(times)
    }

    fn quantile(times: &[u64], q: f64) -> u64 {
        let rank = (times.len() as f64 * q).ceil() as usize;
        times[rank.max(1) - 1]
    }

    fn residual(&self, age: u64) -> Option<u64> {
        if age as f64 > Self::quantile(&self.0, 0.9) as f64 * 1.5 {
            return None;
        }
        let longer: Vec<u64> = self.0.iter().copied().filter(|took| *took > age).collect();
        Some(if longer.is_empty() { 0 } else { Self::quantile(&longer, 0.5) - age })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Where starts are one phase, everything is as for whole starts.
    #[test]
    fn one_phase_is_the_whole_start(
        times in proptest::collection::vec(1_u64..400, 1..50),
        prior in (1_u64..300, 0_u64..200),
        age in 0_u64..700,
    ) {
        let mut pool = Pool::new();
        let (p50, p90) = (prior.0, prior.0 + prior.1);
        pool.spec.cold_start_prior = ColdStartPrior { p50: secs(p50), p90: secs(p90) };
        let told = times.iter().map(|took| pool.start(&[(Loading, *took)])).last().expect("one");
        let whole = WholeStarts::of(&times, [p50, p90]);
        prop_assert_eq!(told.p50.as_secs(), WholeStarts::quantile(&whole.0, 0.5));
        prop_assert_eq!(told.p90.as_secs(), WholeStarts::quantile(&whole.0, 0.9));
        prop_assert_eq!(pool.residual(Loading, age, 0), whole.residual(age));
    }

    /// Within a phase the time to ready falls second by second, but where an age is reached that
    /// some start did not outlast; and the moment of being ready never comes nearer.
    #[test]
    fn residual_falls_with_age(
        starts in proptest::collection::vec((1_u64..60, 1_u64..60, 1_u64..60), 8..20),
        index in 0_usize..3,
    ) {
        let mut pool = Pool::new();
        for (pulling, loading, warming) in &starts {
            pool.start(&[(Pulling, *pulling), (Loading, *loading), (Warming, *warming)]);
        }
        let took = |start: &(u64, u64, u64)| [start.0, start.1, start.2][index];
        let longest = starts.iter().map(took).max().expect("some");
        let residual = |age| pool.residual(PHASES[index].0, age, 0).expect("not overdue yet");
        let mut before = residual(0);
        for age in 1..longest {
            let now = residual(age);
            if starts.iter().any(|start| took(start) == age) {
                prop_assert!(now + 1 >= before, "{now} at {age}, {before} a second before");
            } else {
                prop_assert_eq!(now + 1, before, "at {}", age);
            }
            before = now;
        }
    }
}
