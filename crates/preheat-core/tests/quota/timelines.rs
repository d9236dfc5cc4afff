//! Pools with traffic on one quota.

use std::time::Duration;

use preheat_core::{Probability, Reason, ReplicaCount, Standby};

use crate::pools::{Moves, Pools};
use crate::toy::Row;

const MINUTE: Duration = Duration::from_secs(60);
/// Priorities, with a GPU worth the same to all.
const CHEAP: (i32, f64) = (0, 1.0);
const IMPORTANT: (i32, f64) = (1, 1.0);
const MOST_IMPORTANT: (i32, f64) = (2, 1.0);

/// From one rate to another within half an hour, the other pools' rates staying as they are.
fn ramp(pools: &mut Pools, from: f64, to: f64, others: &[f64]) {
    for minute in 0..30 {
        let rate = from + (to - from) * f64::from(minute) / 30.0;
        pools.run(MINUTE, &[&[rate], others].concat());
    }
}

fn names(row: &Row) -> Vec<String> {
    let allowance = row.decision.explanation.allowance.as_ref();
    allowance.map_or_else(Vec::new, |allowance| allowance.taken_by.clone())
}

fn reasons(rows: &[Row], reason: Reason) -> usize {
    rows.iter().filter(|row| row.decision.explanation.reason == reason).count()
}

/// 8 erlangs against 20 on six GPUs, then 26 against 20, then as before.
#[test]
fn the_cheap_pool_gives_way_and_gets_its_gpus_back() {
    let mut pools =
        Pools::new(6).with("chat", IMPORTANT, |_| {}, 2).with("batch", CHEAP, |_| {}, 4);
    pools.run(20 * MINUTE, &[0.8, 2.0]);
    let begun = pools.toy("batch").rows.len();
    ramp(&mut pools, 0.8, 2.6, &[2.0]);
    pools.run(30 * MINUTE, &[2.6, 2.0]);
    assert_eq!((pools.last("chat").ready, pools.last("batch").ready), (4, 2));
    assert_eq!(pools.last("chat").queued, 0, "the important pool has what it needs");
    assert_eq!(names(pools.last("batch")), ["chat"]);
    assert_eq!(pools.last("batch").decision.explanation.reason, Reason::Capped);
    ramp(&mut pools, 2.6, 0.8, &[2.0]);
    pools.run(70 * MINUTE, &[0.8, 2.0]);
    assert_eq!((pools.last("chat").ready, pools.last("batch").ready), (2, 3));
    assert_eq!((pools.last("batch").queued, names(pools.last("batch")).len()), (0, 0));
    assert_eq!((pools.toy("chat").cut, pools.toy("batch").cut), (0, 0), "nothing is cut");
    let batch = Moves::of(&pools.toy("batch").rows[begun..]);
    assert_eq!(batch, Moves { taken: 1, turns: 2 }, "down, up until its queue is gone, down");
    let chat = Moves::of(&pools.toy("chat").rows[begun..]);
    // Up and down, and thrice another rule than a moment before while it still learns its traffic.
    assert!(chat.taken == 0 && chat.turns <= 7, "{chat:?}");
}

/// A burst that is over before a GPU could have moved, many times.
#[test]
fn short_bursts_move_nothing() {
    let mut pools =
        Pools::new(6).with("chat", IMPORTANT, |_| {}, 2).with("batch", CHEAP, |_| {}, 4);
    pools.run(20 * MINUTE, &[0.8, 2.0]);
    let begun = pools.toy("batch").rows.len();
    for _ in 0..4 {
        pools.run(MINUTE, &[1.3, 2.0]);
        pools.run(15 * MINUTE, &[0.8, 2.0]);
    }
    let wanted = |row: &Row| row.decision.explanation.target;
    let most = pools.toy("chat").rows[begun..].iter().map(wanted).max();
    assert!(most > Some(ReplicaCount(2)), "it would have liked to have more: {most:?}");
    assert_eq!(Moves::of(&pools.toy("batch").rows[begun..]), Moves::default());
}

/// The lowest rank pays first, and never below its minimum; then the next.
#[test]
fn of_three_pools_the_cheapest_pays_first() {
    let mut pools = Pools::new(8)
        .with("vip", MOST_IMPORTANT, |setup| setup.policy.replicas_max = ReplicaCount(6), 2)
        .with("chat", IMPORTANT, |_| {}, 3)
        .with("batch", CHEAP, |_| {}, 3);
    pools.run(20 * MINUTE, &[0.8, 1.4, 1.4]);
    let ready = |pools: &Pools| ["vip", "chat", "batch"].map(|pool| pools.last(pool).ready);
    assert_eq!(ready(&pools), [2, 3, 3]);
    ramp(&mut pools, 0.8, 2.6, &[1.4, 1.4]);
    pools.run(10 * MINUTE, &[2.6, 1.4, 1.4]);
    assert_eq!(ready(&pools), [4, 2, 2]);
    ramp(&mut pools, 2.6, 4.4, &[1.4, 1.4]);
    pools.run(10 * MINUTE, &[4.4, 1.4, 1.4]);
    assert_eq!(ready(&pools), [6, 1, 1]);
    assert_eq!(names(pools.last("chat")), ["vip"]);
    assert_eq!(names(pools.last("batch")), ["vip"], "chat has its minimum only");
    ramp(&mut pools, 4.4, 0.8, &[1.4, 1.4]);
    pools.run(70 * MINUTE, &[0.8, 1.4, 1.4]);
    assert_eq!(ready(&pools), [2, 2, 2]);
    for pool in ["vip", "chat", "batch"] {
        let toy = pools.toy(pool);
        assert_eq!(toy.cut, 0);
        // Down, up until its queue is gone, down, or the other way round; and thrice another rule than
        // a moment before while it still learns.
        assert!(Moves::of(&toy.rows).turns <= 5, "{pool}: {:?}", Moves::of(&toy.rows));
    }
}

/// Both want more than half. Who has it keeps it; what one gives up by itself, the other gets.
#[test]
fn equal_pools_do_not_swap() {
    let mut pools = Pools::new(6).with("a", CHEAP, |_| {}, 3).with("b", CHEAP, |_| {}, 3);
    pools.run(20 * MINUTE, &[1.4, 1.4]);
    for _ in 0..2 {
        pools.run(20 * MINUTE, &[3.0, 1.4]);
        pools.run(20 * MINUTE, &[1.4, 3.0]);
    }
    for pool in ["a", "b"] {
        let rows = &pools.toy(pool).rows;
        assert_eq!(reasons(rows, Reason::QuotaTaken), 0);
        assert!(Moves::of(rows).turns <= 2, "{pool}: {:?}", Moves::of(rows));
        assert!(
            rows.iter()
                .any(|row| names(row).is_empty()
                    && row.decision.explanation.reason == Reason::Capped)
        );
    }
}

/// A replica that sleeps has a GPU: it goes first, and what drains for another pool does not fall
/// asleep instead.
#[test]
fn standby_gives_way_before_anything_that_serves() {
    let standby = Standby {
        price: Probability::saturating(1.0),
        wake_prior: Duration::from_secs(5),
        replicas: Some(ReplicaCount(2)),
    };
    let mut pools = Pools::new(6).with("chat", IMPORTANT, |_| {}, 2).with(
        "batch",
        CHEAP,
        |setup| setup.policy.standby = Some(standby),
        4,
    );
    pools.run(60 * MINUTE, &[0.8, 1.0]);
    let standby = |pools: &Pools| pools.last("batch").decision.explanation.supply.standby.0;
    assert_eq!((pools.last("batch").ready, standby(&pools)), (2, 2));
    ramp(&mut pools, 0.8, 2.6, &[1.0]);
    pools.run(10 * MINUTE, &[2.6, 1.0]);
    assert_eq!(pools.last("chat").ready, 4);
    assert_eq!((pools.last("batch").ready, standby(&pools)), (2, 0));
    ramp(&mut pools, 2.6, 4.0, &[1.0]);
    pools.run(10 * MINUTE, &[4.0, 1.0]);
    assert_eq!((pools.last("chat").ready, pools.last("batch").ready, standby(&pools)), (5, 1, 0));
    assert_eq!(pools.toy("batch").cut, 0);
}

/// An engine that never gets ready keeps its GPU from nobody more important.
#[test]
fn a_start_that_hangs_gives_way() {
    let mut pools = Pools::new(4).with("chat", IMPORTANT, |_| {}, 1).with(
        "batch",
        CHEAP,
        |setup| {
            setup.cold_start = Duration::from_secs(1_000_000);
            setup.policy.replicas_min = ReplicaCount(0);
        },
        0,
    );
    pools.run(60 * MINUTE, &[0.3, 2.0]);
    let overdue = &pools.last("batch").decision.explanation.replicas_overdue;
    assert!(overdue.len() >= 2, "{overdue:?}");
    ramp(&mut pools, 0.3, 2.6, &[2.0]);
    pools.run(10 * MINUTE, &[2.6, 2.0]);
    assert_eq!(pools.last("chat").ready, 4);
    assert!(Moves::of(&pools.toy("batch").rows).taken >= 2);
}
