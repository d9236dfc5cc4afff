//! Which limit binds, and what is learned of ready replicas.

use super::*;
use crate::memory::{LastTick, ReplicaMemory};
use crate::observation::{
    Counters, LatencyMean, ReplicaId, ReplicaObservation, ReplicaPhase, Sample, TickId,
};
use crate::units::Instant;

const TICK: Duration = Duration::from_secs(2);
const TPOT: Duration = Duration::from_millis(30);

fn at(secs: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
}

fn replica(id: u64) -> ReplicaObservation {
    ReplicaObservation {
        machine: crate::MachineState::default(),
        ..ReplicaObservation::untold(ReplicaId(id), ReplicaPhase::Ready, Instant::ORIGIN)
    }
}

fn observation(tick: u64, replicas: Vec<ReplicaObservation>) -> Observation {
    Observation::of(TickId(tick), at(2 * tick), replicas)
}

/// 1,000 requests of 1,155 + 211 tokens were seen.
#[track_caller]
fn check(
    max_num_seqs: Option<u32>,
    kv_tokens: Option<u64>,
    configured: Option<u32>,
    tpot: Option<u32>,
    expected: (u32, CapacityBound),
) {
    let slots = |slots: Option<u32>| slots.and_then(Concurrency::new);
    let (max_num_seqs, kv_capacity_tokens) = (slots(max_num_seqs), kv_tokens);
    let replica = ReplicaObservation { max_num_seqs, kv_capacity_tokens, ..replica(0) };
    let work = WorkTotals {
        slot_seconds: 0.0,
        requests: 1000.0,
        prompt_tokens: 1_155_000.0,
        generation_tokens: 211_000.0,
    };
    let tpot_cap = slots(tpot).map(|slots| TpotCap { threshold: TPOT, slots });
    let capacity = CapacityMemory { tpot_cap, ..CapacityMemory::default() };
    let memory = Memory { work, capacity, ..Memory::default() };
    let spec = PolicySpec { concurrency_cap: slots(configured), ..PolicySpec::default() };
    let got = estimate(&spec, &memory, &observation(0, vec![replica]));
    assert_eq!((got.concurrency_cap.get(), got.bound_by), expected);
}

#[test]
fn the_smallest_known_limit_binds() {
    use CapacityBound::{Configured, Default, KvMemory, MaxNumSeqs, Tpot};
    check(Some(64), Some(148_398), None, None, (64, MaxNumSeqs));
    check(Some(256), Some(148_398), None, None, (108, KvMemory));
    check(Some(64), Some(148_398), Some(32), None, (32, Configured));
    check(None, Some(148_398), None, None, (108, KvMemory));
    check(None, Some(1_000_000), None, None, (256, Default));
    check(None, None, Some(16), None, (16, Configured));
    check(None, None, None, None, (8, Default));
    check(Some(64), Some(148_398), None, Some(20), (20, Tpot));
    check(Some(64), Some(148_398), None, Some(90), (64, MaxNumSeqs));
    // What nothing else bounds is not believed to hold more than a cautious default.
    check(None, None, None, Some(90), (8, Default));
}

/// A pool whose replicas have so many in flight, and at so many an ITL of `itl_s`.
struct Pool {
    spec: PolicySpec,
    memory: Memory,
    tick: u64,
    /// When its replicas became ready.
    ready_since: Instant,
    /// Requests that wait in each replica.
    queue_depth: u32,
    capacities: Capacities,
}

impl Pool {
    fn new(slo_tpot: Option<Duration>) -> Self {
        let spec = PolicySpec { slo_tpot, ..PolicySpec::default() };
        let capacities = Capacities { each: Vec::new(), unseen: 1.0 };
        let (memory, ready_since) = (Memory::default(), Instant::ORIGIN);
        Self { spec, memory, tick: 0, ready_since, queue_depth: 0, capacities }
    }

    /// One tick; each replica by its requests in flight.
    fn step(&mut self, in_flight: &[u32], itl_s: impl Fn(usize, f64) -> f64) {
        self.tick += 1;
        let now = at(2 * self.tick);
        let queue_depth = self.queue_depth;
        let replicas = (0..).zip(in_flight).map(|(index, &in_flight)| {
            let mean = Duration::from_secs_f64(itl_s(index, f64::from(in_flight)));
            let counters = Counters { over: TICK, ..Counters::default() };
            ReplicaObservation {
                phase_since: self.ready_since,
                in_flight: Some(Sample::new(in_flight, now)),
                queue_depth: Some(Sample::new(queue_depth, now)),
                counters: Some(Sample::new(counters, now)),
                itl: Some(Sample::new(LatencyMean { over: TICK, count: 500, mean }, now)),
                ..replica(index as u64)
            }
        });
        let observation = observation(self.tick, replicas.collect());
        for replica in &observation.replicas {
            self.memory.replicas.entry(replica.id).or_default();
        }
        self.capacities = remember(&self.spec, &mut self.memory, &observation);
        for replica in &observation.replicas {
            let entry: &mut ReplicaMemory = self.memory.replicas.entry(replica.id).or_default();
            entry.in_flight = replica.in_flight.map(|sample| sample.value);
            entry.counters_at = replica.counters.map(|sample| sample.observed_at);
        }
        self.memory.last = Some(LastTick { tick: observation.tick, at: observation.now });
    }

    /// Loads between 4 and 24 for so long.
    fn run(&mut self, secs: u64, itl_s: impl Fn(usize, f64) -> f64) {
        for tick in 0..secs / 2 {
            let in_flight = 4 + (tick / 10 % 11 * 2) as u32;
            self.step(&[in_flight, in_flight], &itl_s);
        }
    }

    fn cap(&self) -> Option<u32> {
        self.memory.capacity.tpot_cap.map(|cap| cap.slots.get())
    }
}

/// 19.8 ms + 0.5 ms each: 29.8 ms with 20.
fn line(_: usize, in_flight: f64) -> f64 {
    0.0198 + 0.0005 * in_flight
}

#[test]
fn the_cap_keeps_the_objective() {
    let mut pool = Pool::new(Some(TPOT));
    pool.run(60, line);
    assert_eq!(pool.cap(), None, "nothing is believed of a replica's first minute");
    pool.run(600, line);
    assert_eq!(pool.cap(), Some(20));
    let mut without = Pool::new(None);
    without.run(60, line);
    without.run(600, line);
    assert_eq!(without.cap(), None);
    assert_eq!(without.memory.capacity.itl, pool.memory.capacity.itl);
}

#[test]
fn one_load_alone_gives_no_cap_and_a_quiet_hour_takes_none_away() {
    let mut pool = Pool::new(Some(TPOT));
    (0..1_000).for_each(|_| pool.step(&[8, 8], line));
    assert_eq!(pool.cap(), None);
    pool.run(600, line);
    let learned = pool.cap();
    assert_eq!(learned, Some(20));
    (0..1_800).for_each(|_| pool.step(&[0, 0], |_, _| 0.020));
    assert_eq!(pool.cap(), learned);
    // Another objective is another cap.
    pool.spec.slo_tpot = Some(Duration::from_millis(25));
    pool.run(1_200, line);
    assert_eq!(pool.cap(), Some(10));
}

#[test]
fn the_cap_does_not_flap_and_never_ends_below_one() {
    let mut pool = Pool::new(Some(TPOT));
    pool.run(1_200, line);
    let mut caps = Vec::new();
    for round in 0..20 {
        // A mix that comes and goes: 30 ms are reached with 19 or with 21.
        let each = if round % 2 == 0 { 0.010 / 19.0 } else { 0.010 / 21.0 };
        pool.run(600, |_, in_flight| 0.020 + each * in_flight);
        caps.push(pool.cap());
    }
    assert!(caps.iter().all(|cap| *cap == Some(20)), "{caps:?}");
    // The mix turns heavy for good: no request alone is that fast.
    pool.run(7_200, |_, in_flight| 0.040 + 0.001 * in_flight);
    assert_eq!(pool.cap(), Some(1));
}

/// What each replica counts for after so long, with so many in flight in each.
fn capacities(in_flight: &[u32], secs: u64, itl_s: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut pool = Pool::new(None);
    (0..secs / 2).for_each(|_| pool.step(in_flight, &itl_s));
    pool.capacities.each
}

#[test]
fn a_slow_replica_counts_for_what_it_does() {
    let slow = |slow: &'static [usize], factor: f64| {
        move |replica, in_flight| {
            line(replica, in_flight) * if slow.contains(&replica) { factor } else { 1.0 }
        }
    };
    #[track_caller]
    fn check(got: &[f64], expected: &[f64]) {
        let near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(near && got.len() == expected.len(), "{got:?}");
    }
    check(&capacities(&[8; 5], 1_200, slow(&[3], 2.0)), &[1.0, 1.0, 1.0, 0.5, 1.0]);
    // One of two, and more than half.
    check(&capacities(&[8; 2], 1_200, slow(&[0], 1.5)), &[0.667, 1.0]);
    check(&capacities(&[8; 5], 1_200, slow(&[0, 2, 4], 1.5)), &[0.667, 1.0, 0.667, 1.0, 0.667]);
    // A tenth is nothing, and nobody is slower than himself.
    check(&capacities(&[8; 5], 1_200, slow(&[3], 1.1)), &[1.0; 5]);
    check(&capacities(&[8; 1], 1_200, slow(&[0], 3.0)), &[1.0]);
    // A broken one still counts for something.
    check(&capacities(&[8; 5], 1_200, slow(&[3], 50.0)), &[1.0, 1.0, 1.0, 0.1, 1.0]);
    // Nothing is said after a minute of settling in and one of looking.
    check(&capacities(&[8; 5], 120, slow(&[3], 2.0)), &[1.0; 5]);
}

/// A router that goes round and round fills the slow one up: more in flight is slower by itself.
#[test]
fn slowness_is_told_at_equal_requests_in_flight() {
    let mut pool = Pool::new(None);
    for tick in 0..1_800 {
        let low = 2 + (tick / 30 % 10) as u32;
        pool.step(&[low, low, low, 3 * low], |_, in_flight| 0.010 + 0.002 * in_flight);
    }
    assert_eq!(pool.capacities.each, [1.0; 4]);
}

#[test]
fn what_was_slow_is_whole_again_when_its_neighbour_has_gone() {
    let mut pool = Pool::new(None);
    let step = |pool: &mut Pool, factor: f64| {
        pool.step(&[8; 4], |replica, _| if replica == 2 { 0.020 * factor } else { 0.020 });
    };
    (0..300).for_each(|_| step(&mut pool, 1.5));
    assert!(pool.capacities.each[2] < 0.7);
    assert!((pool.capacities.unseen - 0.917).abs() < 0.01, "{}", pool.capacities.unseen);
    (0..1_200).for_each(|_| step(&mut pool, 1.0));
    assert_eq!(pool.capacities, Capacities { each: vec![1.0; 4], unseen: 1.0 });
}

/// 19.8 ms + 0.5 ms each: among 256 a slot gets done (19.8 + 30) ÷ (19.8 + 128) of what it does among
/// 60. At most 30 ms are a cap of 20 slots.
#[test]
fn a_slot_is_worth_less_in_a_fuller_replica() {
    let worths = |slo_tpot, slope| {
        let mut pool = Pool::new(slo_tpot);
        pool.run(600, line);
        pool.memory.capacity.slope = slope;
        let full = |id, in_flight| ReplicaObservation {
            max_num_seqs: Concurrency::new(256),
            in_flight: Some(Sample::new(in_flight, at(600))),
            ..replica(id)
        };
        let observation = observation(300, vec![full(0, 60), full(1, 0)]);
        slot_worths(&pool.spec, &pool.memory, &observation, &pool.capacities)
    };
    for (slo_tpot, full_ms) in [(None, 147.8), (Some(TPOT), 29.8)] {
        let worths = worths(slo_tpot, Some(0.5 / 19.8));
        let expected = [49.8, 20.3].map(|itl_ms| full_ms / itl_ms);
        let near = worths.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 2e-3);
        assert!(near && worths.len() == 2, "{worths:?} {expected:?}");
    }
    assert_eq!(worths(None, None), [1.0; 2], "nothing is known of the requests");
}

/// Prompts fill every step then, whatever else is in the batch.
#[test]
fn nothing_is_learned_of_a_replica_in_which_requests_wait() {
    let mut pool = Pool::new(Some(TPOT));
    pool.queue_depth = 1;
    pool.run(3_600, |_, _| 0.5);
    assert_eq!((pool.cap(), pool.memory.capacity.itl.seconds), (None, 0.0));
    pool.queue_depth = 0;
    pool.run(600, line);
    assert!(pool.cap().is_some_and(|cap| (18..=22).contains(&cap)), "{:?}", pool.cap());
}

#[test]
fn long_prompts_fill_a_batch_and_short_ones_do_not() {
    let slope = |requests, prompt_tokens| {
        let generation_tokens = 200.0 * requests;
        slope(&WorkTotals { slot_seconds: 0.0, requests, prompt_tokens, generation_tokens })
    };
    assert_eq!(slope(100.0, 0.0), Some(0.01));
    // 4,000 of a prompt for 200 generated: 20 for each.
    assert!((slope(100.0, 400_000.0).unwrap() - 0.09).abs() < 1e-9);
    assert_eq!(slope(9.0, 36_000.0), None, "too few were seen");
    assert_eq!(slope(0.0, 0.0), None);
}
