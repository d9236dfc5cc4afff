//! Starts by what their machine held, and what follows for the next one.

use preheat_core::MachineExplanation;

use super::*;

const WARM: MachineState = MachineState { image: Some(true), weights: Some(true) };
const COLD: MachineState = MachineState::BARE;

impl Pool {
    /// Starts on such machines, `count` of them, each as long.
    fn starts_on(&mut self, machine: MachineState, count: usize, pulling: u64, loading: u64) {
        self.machine = machine;
        for _ in 0..count {
            self.start(&[(Pulling, pulling), (Loading, loading)]);
        }
    }

    /// Seconds that a start may take which may come to such machines, and the slowest of them.
    fn lead(&mut self, placeable_on: &[MachineState]) -> (u64, Option<MachineState>) {
        self.placeable_on = placeable_on.to_vec();
        let told = self.tick(1, Vec::new()).cold_start;
        ((told.lead_time - self.spec.tick_interval).as_secs(), told.slowest)
    }
}

#[test]
fn a_lead_time_is_that_of_the_slowest_machine_a_start_may_come_to() {
    let mut pool = Pool::new();
    pool.starts_on(COLD, 10, 100, 200);
    pool.starts_on(WARM, 20, 1, 39);
    assert_eq!(pool.lead(&[WARM]), (40, Some(WARM)));
    assert_eq!(pool.lead(&[WARM, COLD]), (300, Some(COLD)));
    // Nobody knows where it will come to: as all starts are.
    assert_eq!(pool.lead(&[]), (300, None));
    assert_eq!(pool.lead(&[MachineState::default()]), (300, None));
    // The cold ones are forgotten among all, but not among their kind.
    pool.starts_on(WARM, 32, 1, 39);
    assert_eq!(pool.lead(&[]), (40, None));
    assert_eq!(pool.lead(&[COLD]), (300, Some(COLD)));
}

#[test]
fn few_starts_of_a_kind_only_make_a_lead_time_longer() {
    let mut pool = Pool::new();
    pool.starts_on(WARM, 20, 1, 39);
    // None of the kind was seen: as all are.
    assert_eq!(pool.lead(&[COLD]), (40, Some(COLD)));
    pool.starts_on(COLD, 2, 100, 200);
    assert_eq!(pool.lead(&[COLD]), (300, Some(COLD)));
    // Two quick ones do not make it short.
    let mut pool = Pool::new();
    pool.starts_on(COLD, 20, 100, 200);
    pool.starts_on(WARM, 2, 1, 39);
    assert_eq!(pool.lead(&[WARM]), (300, Some(WARM)));
    pool.starts_on(WARM, 6, 1, 39);
    assert_eq!(pool.lead(&[WARM]), (40, Some(WARM)));
}

#[test]
fn a_start_under_way_is_measured_by_its_kind() {
    let mut pool = Pool::new();
    pool.starts_on(COLD, 10, 100, 200);
    pool.starts_on(WARM, 30, 1, 39);
    assert_eq!(pool.residual(Pulling, 10, 0), Some(39));
    pool.machine = COLD;
    assert_eq!(pool.residual(Pulling, 10, 0), Some(290));
    // Of this kind none is known: two of all the newest took longer to pull.
    pool.machine = MachineState { image: Some(true), weights: Some(false) };
    assert_eq!(pool.residual(Pulling, 10, 0), Some(90 + 39));
}

#[test]
fn a_start_is_of_the_kind_that_it_was_first_told_to_be() {
    let on = |now, phase, since, machine| {
        observed(now, vec![ReplicaObservation { machine, ..replica(1, phase, since, 0) }])
    };
    let half = |weights| MachineState { image: None, weights: Some(weights) };
    let mut follower = StartFollower::default();
    assert_eq!(follower.observe(&on(0, Pending, 0, MachineState::default())), []);
    assert_eq!(follower.observe(&on(5, Pulling, 5, half(false))), []);
    assert_eq!(follower.observe(&on(50, Loading, 50, WARM)), []);
    let ended = follower.observe(&on(90, Ready, 90, WARM));
    let machine = MachineState { image: Some(true), weights: Some(false) };
    let phases = [Some(5), Some(0), Some(45), Some(40), Some(0)].map(|took| took.map(secs));
    let start = ColdStartSample { machine, ..sample(90, phases, None) };
    assert_eq!(ended, [EndedStart::ColdStart(start)]);
}

#[test]
fn kinds_are_told_apart_and_bounded() {
    let mut pool = Pool::new();
    pool.starts_on(COLD, 40, 100, 200);
    pool.starts_on(WARM, 3, 1, 39);
    let told = pool.tick(1, Vec::new()).cold_start;
    let row = |machine, samples, took| MachineExplanation {
        machine,
        samples,
        censored: 0,
        p50: secs(took),
        p90: secs(took),
    };
    assert_eq!(told.by_machine, [row(COLD, 32, 300), row(WARM, 3, 40)]);
    assert_eq!((told.samples, pool.memory.cold_starts.len()), (32, 35));
}
