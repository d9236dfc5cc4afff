//! When the guard acts, told as timelines.

use super::*;

const TICK: Duration = Duration::from_secs(2);
const MINUTE: u64 = 60;

/// A pool in which nothing is short, at a P99.
struct Pool {
    guard: GuardMemory,
    now: Instant,
    watch: Watch,
}

impl Pool {
    fn new() -> Self {
        let watch = Watch {
            now: Instant::ORIGIN,
            since: TICK,
            first_tokens: None,
            load: 50.0,
            slots_ready: 80.0,
            queued: 0.0,
            can_grow: true,
            is_growing: false,
            drain_time: Duration::from_secs(30),
            allowance: 0.01,
            misses_expected: 0.001,
        };
        Self { guard: GuardMemory::default(), now: Instant::ORIGIN, watch }
    }

    /// So long with 20 first tokens a tick, of which in every hundred so many are late, by the
    /// factor that there is; the factors that came, each once.
    fn run(&mut self, secs: u64, late_in_100: impl Fn(f64) -> u64) -> Vec<f64> {
        let mut factors = vec![self.guard.boost];
        for tick in 0..secs / 2 {
            self.now = self.now.saturating_add(TICK);
            let late = if tick % 5 == 0 { late_in_100(self.guard.boost) } else { 0 };
            let first_tokens = Some(FirstTokens { count: 20, late, late_after_start: 0 });
            self.guard.step(&Watch { now: self.now, first_tokens, ..self.watch });
            if factors.last() != Some(&self.guard.boost) {
                factors.push(self.guard.boost);
            }
        }
        factors
    }
}

#[test]
fn it_keeps_still_while_few_are_late() {
    let mut pool = Pool::new();
    assert_eq!(pool.run(180 * MINUTE, |_| 0), [1.0]);
    // One in 1,000 late, at a P99.
    for group in 0..1_000_u64 {
        let rare = u64::from(group.is_multiple_of(10));
        assert_eq!(pool.run(10, |_| rare), [1.0]);
    }
}

#[test]
fn it_rises_while_that_helps_and_falls_by_itself() {
    let mut pool = Pool::new();
    // Half as many more and nobody waits.
    let rises = pool.run(60 * MINUTE, |boost| {
        if boost >= 1.5 {
            0
        } else if boost > 1.0 {
            2
        } else {
            4
        }
    });
    assert_eq!(rises[..3], [1.0, 1.25, 1.5]);
    let falls = pool.run(6 * 60 * MINUTE, |_| 0);
    assert_eq!(falls.last(), Some(&1.0));
}

#[test]
fn it_gives_up_where_replicas_do_not_help_and_tries_ever_more_rarely() {
    let mut pool = Pool::new();
    let mut raised = Vec::new();
    for hour in 0..48 {
        let before = pool.guard.boost;
        let factors = pool.run(60 * MINUTE, |_| 4);
        assert!(factors.iter().all(|factor| *factor <= 1.25), "hour {hour}: {factors:?}");
        let tries = factors.windows(2).filter(|pair| pair[1] > pair[0]).count();
        raised.extend(std::iter::repeat_n(hour, tries));
        assert!(before <= 1.25);
    }
    assert!((3..=12).contains(&raised.len()), "{raised:?}");
    assert!(raised.iter().filter(|hour| **hour >= 24).count() <= 3, "{raised:?}");
}

#[test]
fn what_a_shortage_or_a_start_makes_late_is_no_evidence() {
    let mut pool = Pool::new();
    pool.watch.load = 90.0;
    assert_eq!(pool.run(60 * MINUTE, |_| 50), [1.0]);
    // The queue that it left.
    pool.watch.load = 50.0;
    assert_eq!(pool.run(80, |_| 50), [1.0]);
    assert_eq!(pool.run(10 * MINUTE, |_| 0), [1.0]);
    for _ in 0..1_800 {
        pool.now = pool.now.saturating_add(TICK);
        let first_tokens = Some(FirstTokens { count: 20, late: 10, late_after_start: 10 });
        pool.guard.step(&Watch { now: pool.now, first_tokens, ..pool.watch });
    }
    assert_eq!(pool.guard.boost, 1.0);
}

#[test]
fn what_the_rule_expects_to_miss_is_no_surprise() {
    let mut pool = Pool::new();
    pool.watch.misses_expected = 0.02;
    assert_eq!(pool.run(60 * MINUTE, |_| 4), [1.0]);
}

/// Until the replicas of a step are there, nothing is said of it.
#[test]
fn a_step_is_judged_when_its_replicas_are_there() {
    let mut pool = Pool::new();
    assert_eq!(pool.run(17 * MINUTE, |_| 4), [1.0, 1.25]);
    pool.watch.is_growing = true;
    assert_eq!(pool.run(10 * MINUTE, |_| 4), [1.25]);
    pool.watch.is_growing = false;
    assert_eq!(pool.run(10 * MINUTE, |_| 0), [1.25]);
}
