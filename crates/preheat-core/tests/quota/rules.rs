//! What holds of every allotment, whatever was claimed and remembered.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{Allotment, Claim, GpuWorth, Instant, QuotaMemory, ReplicaCount, allot};
use proptest::prelude::*;

pub(crate) type Claims = BTreeMap<String, Claim>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn at(after: u64) -> Instant {
    Instant::ORIGIN.saturating_add(secs(1000 + after))
}

/// A pool of one-GPU replicas that starts in 100 s and drains in 20 s.
pub(crate) fn claim(priority: i32, worth: f64, min: u32, wanted: u32, held: u32) -> Claim {
    Claim {
        gpus_per_replica: 1,
        priority,
        worth: GpuWorth::saturating(worth),
        replicas_min: ReplicaCount(min),
        replicas_max: ReplicaCount(100),
        wanted: ReplicaCount(wanted),
        needed_now: ReplicaCount(wanted),
        announced: ReplicaCount(0),
        standby_wanted: ReplicaCount(0),
        held: ReplicaCount(held),
        start_time: Duration::from_secs(100),
        drain_time: Duration::from_secs(20),
    }
}

pub(crate) fn claims<const N: usize>(of: [(&str, Claim); N]) -> Claims {
    of.into_iter().map(|(pool, claim)| (pool.to_owned(), claim)).collect()
}

pub(crate) fn replicas(allotment: &Allotment, pool: &str) -> u32 {
    allotment.allowances[pool].replicas.0
}

/// As if what is wanted had been wanted for ever.
fn long_wanted(gpus: u32, claims: &Claims) -> Allotment {
    let memory = allot(gpus, claims, &QuotaMemory::default(), at(0)).memory;
    allot(gpus, claims, &memory, at(100_000))
}

#[track_caller]
fn check(gpus: u32, claims: &Claims, expected: &[(&str, u32)]) {
    let got = long_wanted(gpus, claims);
    for (pool, replicas) in expected {
        assert_eq!(got.allowances[*pool].replicas.0, *replicas, "{pool} in {got:#?}");
    }
}

#[test]
fn priority_comes_before_worth_and_minimums_before_both() {
    let wanted = claims([
        ("vip", claim(2, 1.0, 0, 4, 0)),
        ("chat", claim(1, 5.0, 1, 4, 0)),
        ("batch", claim(1, 1.0, 1, 4, 0)),
        ("idle", claim(-1, 9.0, 2, 0, 0)),
    ]);
    check(4, &wanted, &[("vip", 0), ("chat", 1), ("batch", 1), ("idle", 2)]);
    check(6, &wanted, &[("vip", 2), ("chat", 1), ("batch", 1), ("idle", 2)]);
    check(10, &wanted, &[("vip", 4), ("chat", 3), ("batch", 1), ("idle", 2)]);
    check(13, &wanted, &[("vip", 4), ("chat", 4), ("batch", 3), ("idle", 2)]);
    // Too few for the minimums: they are granted all the same, as no pool goes below its own.
    check(3, &wanted, &[("vip", 0), ("chat", 1), ("batch", 1), ("idle", 2)]);
}

#[test]
fn equals_share_what_is_free_and_keep_what_they_hold() {
    let holder = claims([("a", claim(0, 1.0, 0, 9, 4)), ("b", claim(0, 1.0, 0, 9, 0))]);
    check(4, &holder, &[("a", 4), ("b", 0)]);
    check(6, &holder, &[("a", 4), ("b", 2)]);
    check(9, &holder, &[("a", 5), ("b", 4)]);
    // Two GPUs each against one: the GPUs are shared, not the replicas.
    let mut large = claims([("a", claim(0, 1.0, 0, 9, 0)), ("b", claim(0, 1.0, 0, 9, 0))]);
    large.entry("a".to_owned()).and_modify(|claim| claim.gpus_per_replica = 2);
    check(8, &large, &[("a", 2), ("b", 4)]);
    // What is too small for one is not left lying.
    check(5, &large, &[("a", 1), ("b", 3)]);
}

#[test]
fn a_gpu_that_is_held_is_taken_only_by_a_higher_rank_and_only_after_a_while() {
    let mut wanted = claims([("chat", claim(1, 1.0, 1, 3, 1)), ("batch", claim(0, 1.0, 0, 3, 2))]);
    let first = allot(3, &wanted, &QuotaMemory::default(), at(0));
    assert_eq!((replicas(&first, "chat"), replicas(&first, "batch")), (1, 2));
    let told = &first.allowances["chat"];
    assert_eq!((told.taken_by.len(), told.settles_in), (0, Some(secs(120))), "start and drain");
    let before = allot(3, &wanted, &first.memory, at(119));
    assert_eq!((replicas(&before, "chat"), replicas(&before, "batch")), (1, 2));
    // A burst of which only the peak is still held when its time has come moves nothing.
    wanted.entry("chat".to_owned()).and_modify(|claim| claim.needed_now = ReplicaCount(1));
    let over = allot(3, &wanted, &before.memory, at(120));
    assert_eq!((replicas(&over, "chat"), replicas(&over, "batch")), (1, 2));
    wanted.entry("chat".to_owned()).and_modify(|claim| claim.needed_now = ReplicaCount(3));
    let taken = allot(3, &wanted, &over.memory, at(122));
    assert_eq!((replicas(&taken, "chat"), replicas(&taken, "batch")), (3, 0));
    assert_eq!(taken.allowances["batch"].taken_by, ["chat"]);
    assert_eq!(taken.allowances["chat"].settles_in, None);
    // While the GPUs are still on their way, a lull shorter than a drain changes nothing.
    wanted.entry("chat".to_owned()).and_modify(|claim| claim.wanted = ReplicaCount(1));
    let lull = allot(3, &wanted, &taken.memory, at(124));
    assert_eq!((replicas(&lull, "chat"), replicas(&lull, "batch")), (3, 0));
    let gone = allot(3, &wanted, &lull.memory, at(144));
    assert_eq!((replicas(&gone, "chat"), replicas(&gone, "batch")), (1, 2));
}

/// Worth four times as much, it waits for a quarter of the time; worth less but with the higher
/// priority, for all of it.
#[test]
fn the_more_a_gpu_is_worth_the_sooner_it_is_taken() {
    for (priority, worth, after) in [(0, 4.0, 30), (0, 120.0, 1), (1, 4.0, 30), (1, 0.5, 120)] {
        let wanted =
            claims([("chat", claim(priority, worth, 0, 1, 0)), ("batch", claim(0, 1.0, 0, 1, 1))]);
        let first = allot(1, &wanted, &QuotaMemory::default(), at(0));
        assert_eq!(first.allowances["chat"].settles_in, Some(secs(after)));
        let before = allot(1, &wanted, &first.memory, at(after - 1));
        assert_eq!((replicas(&before, "chat"), replicas(&before, "batch")), (0, 1));
        let then = allot(1, &wanted, &before.memory, at(after));
        assert_eq!((replicas(&then, "chat"), replicas(&then, "batch")), (1, 0));
    }
}

/// What is announced is known to last, so nobody waits to see whether it does.
#[test]
fn what_is_announced_is_taken_at_once() {
    let mut wanted = claims([("chat", claim(1, 1.0, 1, 3, 1)), ("batch", claim(0, 1.0, 0, 3, 2))]);
    wanted.entry("chat".to_owned()).and_modify(|claim| claim.announced = ReplicaCount(2));
    let got = allot(3, &wanted, &QuotaMemory::default(), at(0));
    assert_eq!((replicas(&got, "chat"), replicas(&got, "batch")), (2, 1));
    assert_eq!(got.allowances["chat"].settles_in, Some(secs(120)), "the third must wait");
}

/// Sleeping replicas are kept of what nobody needs awake, before pools get room to grow.
#[test]
fn standby_comes_after_every_need() {
    let mut wanted = claims([("chat", claim(1, 1.0, 1, 2, 2)), ("batch", claim(0, 1.0, 0, 2, 2))]);
    wanted.entry("batch".to_owned()).and_modify(|claim| claim.standby_wanted = ReplicaCount(2));
    check(4, &wanted, &[("chat", 2), ("batch", 2)]);
    check(6, &wanted, &[("chat", 2), ("batch", 4)]);
    check(7, &wanted, &[("chat", 3), ("batch", 4)]);
}

fn any_claim() -> impl Strategy<Value = Claim> {
    let rank = (-1_i32..2, 0_u32..3);
    let counts = (0_u32..3, 0_u32..8, 0_u32..10, 0_u32..10, 0_u32..8);
    let times = (0_u64..300, 0_u64..100);
    (0_u32..5, rank, counts, times).prop_map(|(gpus, rank, counts, times)| {
        let (min, more, wanted, needed_now, held) = counts;
        Claim {
            gpus_per_replica: gpus,
            priority: rank.0,
            worth: GpuWorth::saturating(f64::from(rank.1) / 2.0),
            replicas_min: ReplicaCount(min),
            replicas_max: ReplicaCount(min + more),
            wanted: ReplicaCount(wanted),
            needed_now: ReplicaCount(needed_now),
            announced: ReplicaCount(0),
            standby_wanted: ReplicaCount(held % 2),
            held: ReplicaCount(held),
            start_time: Duration::from_secs(times.0),
            drain_time: Duration::from_secs(times.1),
        }
    })
}

fn any_claims() -> impl Strategy<Value = Claims> {
    proptest::collection::vec(any_claim(), 1..9).prop_map(|claims| {
        claims.into_iter().enumerate().map(|(n, claim)| (format!("pool{n}"), claim)).collect()
    })
}

fn gpus(claim: &Claim, replicas: u32) -> u64 {
    u64::from(claim.gpus_per_replica) * u64::from(replicas)
}

/// A claim's counts within its bounds.
struct Counts {
    min: u32,
    kept: u32,
    wanted: u32,
    settled: u32,
    allowed: u32,
}

fn counts(claims: &Claims, allotment: &Allotment, pool: &str) -> Counts {
    let claim = &claims[pool];
    let (min, max) = (claim.replicas_min.0, claim.replicas_max.0);
    Counts {
        min,
        kept: claim.held.0.clamp(min, max),
        wanted: claim.wanted.0.clamp(min, max),
        settled: allotment.memory.pools[pool].settled.clamp(min, max),
        allowed: allotment.allowances[pool].replicas.0,
    }
}

fn rank(claim: &Claim) -> (i32, GpuWorth) {
    (claim.priority, claim.worth)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Within the GPUs as far as minimums are, within every pool's bounds, and the same whatever the
    /// order in which pools claim.
    #[test]
    fn what_is_granted_is_there(of in any_claims(), earlier in any_claims(), total in 0_u32..60) {
        let memory = allot(total, &earlier, &QuotaMemory::default(), at(0)).memory;
        let got = allot(total, &of, &memory, at(150));
        let sum = |count: &dyn Fn(&str) -> u32| -> u64 {
            of.iter().map(|(pool, claim)| gpus(claim, count(pool))).sum()
        };
        let minimums = sum(&|pool| of[pool].replicas_min.0);
        prop_assert!(sum(&|pool| replicas(&got, pool)) <= minimums.max(u64::from(total)));
        for (pool, claim) in &of {
            let allowed = got.allowances[pool].replicas;
            prop_assert!((claim.replicas_min..=claim.replicas_max).contains(&allowed), "{}", pool);
        }
        let reversed: Claims = of.clone().into_iter().rev().collect();
        prop_assert_eq!(got, allot(total, &reversed, &memory, at(150)));
    }

    /// A settled need that is not met leaves lower ranks no more than what is too little for a replica.
    #[test]
    fn a_settled_need_of_a_higher_rank_is_served_first(
        of in any_claims(), earlier in any_claims(), total in 0_u32..60
    ) {
        let memory = allot(total, &earlier, &QuotaMemory::default(), at(0)).memory;
        let got = allot(total, &of, &memory, at(150));
        for (pool, claim) in &of {
            let mine = counts(&of, &got, pool);
            let lower = of.iter().filter(|(_, other)| rank(other) < rank(claim));
            let beyond: u64 = lower.map(|(other, claim)| {
                let theirs = counts(&of, &got, other);
                gpus(claim, theirs.allowed - theirs.min)
            }).sum();
            let served = mine.allowed >= mine.settled.max(mine.kept);
            prop_assert!(served || beyond < gpus(claim, 1), "{} in {:#?}", pool, got);
        }
    }

    /// As long as a want is not met, lower ranks gain nothing but what they may take by settled needs
    /// of their own. (With replicas of different sizes a GPU may be left that is of no use above.)
    #[test]
    fn a_gpu_that_nobody_holds_goes_to_the_highest_rank_first(
        of in any_claims(), earlier in any_claims(), total in 0_u32..60
    ) {
        let of: Claims = of.into_iter().map(|(pool, claim)| {
            (pool, Claim { gpus_per_replica: 1, ..claim })
        }).collect();
        let memory = allot(total, &earlier, &QuotaMemory::default(), at(0)).memory;
        let got = allot(total, &of, &memory, at(150));
        for (pool, claim) in &of {
            let mine = counts(&of, &got, pool);
            if mine.allowed >= mine.wanted {
                continue;
            }
            for (other, _) in of.iter().filter(|(_, other)| rank(other) < rank(claim)) {
                let theirs = counts(&of, &got, other);
                let gains = theirs.allowed > theirs.kept.max(theirs.settled);
                prop_assert!(!gains, "{} before {} in {:#?}", other, pool, got);
            }
        }
    }

    /// What a pool keeps of what it holds does not depend on what equals and lower ranks ask for.
    #[test]
    fn nothing_is_lost_to_an_equal(of in any_claims(), total in 0_u32..60, greed in 0_u32..20) {
        let kept = |claims: &Claims, pool: &str| {
            let got = long_wanted(total, claims);
            got.allowances[pool].replicas.0.min(counts(claims, &got, pool).kept)
        };
        for (pool, claim) in &of {
            let mut greedy = of.clone();
            for (other, theirs) in &mut greedy {
                if other != pool && rank(theirs) <= rank(claim) {
                    theirs.wanted = ReplicaCount(greed);
                    theirs.needed_now = ReplicaCount(greed);
                }
            }
            prop_assert_eq!(kept(&of, pool), kept(&greedy, pool), "{}", pool);
        }
    }

    /// Among equals that hold nothing, one that lacks something has at most a replica less than any
    /// other, its own or the other's.
    #[test]
    fn equals_share_fairly(wants in proptest::collection::vec((0_u32..12, 1_u32..5), 2..9), total in 0_u32..60) {
        let of = |(n, (wanted, gpus)): (usize, &(u32, u32))| {
            let claim = Claim { gpus_per_replica: *gpus, ..claim(0, 1.0, 0, *wanted, 0) };
            (format!("pool{n}"), Claim { replicas_max: ReplicaCount(*wanted), ..claim })
        };
        let claims: Claims = wants.iter().enumerate().map(of).collect();
        let got = allot(total, &claims, &QuotaMemory::default(), at(0));
        let has = |pool: &str| gpus(&claims[pool], got.allowances[pool].replicas.0);
        let left = u64::from(total) - claims.keys().map(|pool| has(pool)).sum::<u64>();
        for (poor, claim) in &claims {
            let each = gpus(claim, 1);
            if got.allowances[poor].replicas >= claim.wanted {
                continue;
            }
            prop_assert!(left < each, "{} could have one more: {:#?}", poor, got);
            for (rich, theirs) in &claims {
                let close = has(rich) < has(poor) + gpus(theirs, 1) + each;
                prop_assert!(close, "{} starves beside {}: {:#?}", poor, rich, got);
            }
        }
    }
}

#[test]
fn ten_thousand_pools_are_served_and_nothing_is_left() {
    let of: Claims = (0..10_000_u32)
        .map(|n| {
            (
                format!("pool{n:05}"),
                claim((n % 7) as i32, f64::from(n % 3), n % 2, 1 + n % 9, n % 4),
            )
        })
        .collect();
    let got = long_wanted(30_000, &of);
    let sum: u32 = got.allowances.values().map(|allowance| allowance.replicas.0).sum();
    assert_eq!(sum, 30_000);
}
