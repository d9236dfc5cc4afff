//! What holds over time, whatever pools come to want.

use std::time::Duration;

use preheat_core::{QuotaMemory, ReplicaCount, allot};
use proptest::prelude::*;

use crate::rules::{Claims, at, claim, claims, replicas};

/// Between two looks: seconds, and what each pool wants then.
fn steps(pools: usize) -> impl Strategy<Value = Vec<(u64, Vec<u32>)>> {
    let wants = proptest::collection::vec(0_u32..8, pools);
    proptest::collection::vec((1_u64..90, wants), 1..60)
}

/// Each pool does at once what it may: gives up what it must, and starts what it wants. What it wants
/// no longer it gives up at every second look.
fn obey(claims: &mut Claims, allowed: impl Fn(&str) -> u32, gives_up: bool) {
    for (pool, claim) in claims {
        let (wanted, allowed) = (claim.wanted.0, allowed(pool));
        let held = claim.held.0.min(allowed);
        let held = if gives_up { held.min(wanted) } else { held };
        claim.held = ReplicaCount(held.max(wanted.min(allowed)));
    }
}

fn want(claims: &mut Claims, wants: &[u32]) {
    for (claim, wanted) in claims.values_mut().zip(wants) {
        claim.wanted = ReplicaCount(*wanted);
        claim.needed_now = claim.wanted;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn equals_never_swap(steps in steps(3), gpus in 0_u32..12) {
        let mut pools = claims(["a", "b", "c"].map(|pool| (pool, claim(0, 1.0, 0, 0, 0))));
        let (mut memory, mut now) = (QuotaMemory::default(), 0);
        for (look, (secs, wants)) in steps.iter().enumerate() {
            now += secs;
            want(&mut pools, wants);
            let got = allot(gpus, &pools, &memory, at(now));
            for (pool, claim) in &pools {
                prop_assert!(replicas(&got, pool) >= claim.held.0, "{} loses in {:#?}", pool, got);
            }
            obey(&mut pools, |pool| replicas(&got, pool), look % 2 == 1);
            let held: u32 = pools.values().map(|claim| claim.held.0).sum();
            prop_assert!(held <= gpus);
            memory = got.memory;
        }
    }

    /// What the lower rank is given it keeps for at least as long as a move takes, and it loses only
    /// what the higher one has wanted for as long.
    #[test]
    fn a_gpu_moves_at_most_once_in_the_time_of_a_move(steps in steps(2), gpus in 1_u32..10) {
        let move_time = Duration::from_secs(120);
        let mut pools =
            claims([("batch", claim(0, 1.0, 0, 0, 0)), ("chat", claim(1, 1.0, 0, 0, 0))]);
        let (mut memory, mut now) = (QuotaMemory::default(), 0);
        let mut wanted = Vec::new();
        let mut given_at = None;
        for (look, (secs, wants)) in steps.iter().enumerate() {
            now += secs;
            want(&mut pools, wants);
            wanted.push((at(now), wants[1]));
            let got = allot(gpus, &pools, &memory, at(now));
            let (allowed, held) = (replicas(&got, "batch"), pools["batch"].held.0);
            if allowed < held {
                if let Some(given_at) = given_at {
                    prop_assert!(at(now).since(given_at) >= move_time, "given and taken: {:#?}", got);
                }
                // What was wanted at the look before the span holds until the next.
                let begin = at(now).saturating_sub(move_time);
                let within = wanted.iter().rposition(|(at, _)| *at <= begin).unwrap_or(0);
                let least = wanted[within..].iter().map(|(_, wanted)| *wanted).min();
                prop_assert!(least > Some(pools["chat"].held.0), "a short need takes: {:#?}", got);
            }
            obey(&mut pools, |pool| replicas(&got, pool), look % 2 == 1);
            if pools["batch"].held.0 > held {
                given_at = Some(at(now));
            }
            memory = got.memory;
        }
    }

    /// Memory is plain data, and does not grow with time.
    #[test]
    fn memory_is_bounded_and_survives_its_journal_form(steps in steps(2)) {
        let mut pools =
            claims([("batch", claim(0, 1.0, 0, 0, 0)), ("chat", claim(1, 1.0, 0, 0, 0))]);
        let (mut memory, mut now) = (QuotaMemory::default(), 0);
        for (secs, wants) in &steps {
            now += secs;
            want(&mut pools, wants);
            memory = allot(4, &pools, &memory, at(now)).memory;
            let text = serde_json::to_string(&memory).expect("memory is plain data");
            prop_assert_eq!(&serde_json::from_str::<QuotaMemory>(&text).expect("and back"), &memory);
            for need in memory.pools.values() {
                prop_assert!(need.at_least.len() <= 9 && need.at_most.len() <= 9, "{:?}", need);
            }
        }
    }
}
