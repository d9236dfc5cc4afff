//! What the policy does, told as timelines in a toy world.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod toy;

use std::time::Duration;

use preheat_core::{
    Action, Allowance, ArrivalSource, Instant, Policy, PolicySpec, Probability, Reason,
    ReplicaCount, ScheduledDemand, Standby,
};
use toy::{Row, Setup, TICK, Toy};

const MINUTE: Duration = Duration::from_secs(60);

fn setup(change: impl FnOnce(&mut PolicySpec)) -> Setup {
    let mut setup = Setup::default();
    setup.policy.replicas_max = ReplicaCount(40);
    change(&mut setup.policy);
    setup
}

/// A rung at a quarter of the price; so many on it, or as many as pay.
fn standby(replicas: Option<u32>) -> Standby {
    let wake_prior = Duration::from_secs(5);
    let price = Probability::saturating(0.25);
    Standby { price, wake_prior, replicas: replicas.map(ReplicaCount) }
}

fn starts(rows: &[Row]) -> u32 {
    let actions = rows.iter().flat_map(|row| &row.decision.plan.actions);
    actions.map(|a| if let Action::Start { count } = a { *count } else { 0 }).sum()
}

fn last(rows: &[Row]) -> &Row {
    rows.last().expect("the run has rows")
}

/// 3 requests/s × 10 s = 30 erlangs: 4 replicas of 8 slots are nearly full. Here nothing comes by chance,
/// so that they do, and a rule that holds more takes up to three on top.
#[test]
fn constant_traffic_settles_on_littles_law_and_stays() {
    let mut toy = Toy::new(setup(|_| {}), 1);
    toy.run(90 * MINUTE, 3.0);
    let settled = last(&toy.rows).ready;
    assert!((4..=7).contains(&settled), "{settled} replicas");
    let steady = toy.run(30 * MINUTE, 3.0);
    for row in steady {
        assert_eq!((row.ready, row.starting, row.draining), (settled, 0, 0), "at {:?}", row.at);
        let reason = row.decision.explanation.reason;
        assert!(matches!(reason, Reason::Steady | Reason::ScaleDownStabilized), "{reason:?}");
    }
}

/// What is announced is ready when it begins, and is given up after it has ended.
#[test]
fn what_is_scheduled_is_started_a_lead_time_ahead() {
    let mut toy = Toy::new(setup(|_| {}), 1);
    let from = Instant::ORIGIN.saturating_add(Duration::from_secs(1000) + 30 * MINUTE);
    let until = from.saturating_add(20 * MINUTE);
    toy.scheduled = vec![ScheduledDemand { from, until, replicas: ReplicaCount(12) }];
    let before = toy.run(26 * MINUTE, 0.2).to_vec();
    assert!(before.iter().all(|row| row.ready + row.starting <= 2), "nothing is started too soon");
    let ahead = toy.run(4 * MINUTE, 0.2).to_vec();
    assert_eq!(last(&ahead).ready, 12);
    assert!(ahead.iter().any(|row| row.decision.explanation.reason == Reason::Scheduled));
    let during = toy.run(20 * MINUTE - TICK, 0.2).to_vec();
    assert!(during.iter().all(|row| row.ready == 12));
    let after = toy.run(30 * MINUTE, 0.2).to_vec();
    assert!(last(&after).ready <= 2, "{}", last(&after).ready);
}

/// An operator's count stands whatever comes, and the policy goes on from there.
#[test]
fn a_pinned_count_stands_until_it_is_let_go() {
    let mut toy = Toy::new(setup(|spec| spec.replicas_min = ReplicaCount(2)), 4);
    toy.run(10 * MINUTE, 2.0);
    toy.controls.pinned = Some(ReplicaCount(8));
    let up = toy.run(10 * MINUTE, 2.0).to_vec();
    assert!(up.iter().any(|row| row.decision.explanation.reason == Reason::Pinned));
    assert_eq!((last(&up).ready, last(&up).starting), (8, 0));
    // Below the pool's minimum it is the minimum, whatever is queued.
    toy.controls.pinned = Some(ReplicaCount(1));
    let down = toy.run(10 * MINUTE, 6.0).to_vec();
    assert_eq!((last(&down).ready, last(&down).starting, toy.cut), (2, 0, 0));
    toy.controls.pinned = None;
    let free = toy.run(10 * MINUTE, 6.0).to_vec();
    assert!(last(&free).ready > 6, "{}", last(&free).ready);
}

/// A pause starts and gives up nothing; a drain that has begun comes to its end.
#[test]
fn a_paused_pool_stays_as_it_is() {
    let mut toy = Toy::new(setup(|_| {}), 6);
    toy.run(10 * MINUTE, 4.0);
    let before = last(&toy.rows).ready;
    toy.controls.paused = true;
    for rate in [0.2, 9.0] {
        let paused = toy.run(20 * MINUTE, rate).to_vec();
        assert_eq!((last(&paused).ready, last(&paused).starting), (before, 0));
        assert_eq!(last(&paused).decision.explanation.reason, Reason::Paused);
        assert_eq!(starts(&paused), 0);
    }
    toy.controls.paused = false;
    let free = toy.run(10 * MINUTE, 9.0).to_vec();
    assert!(last(&free).ready > before);
}

/// Another pool takes the GPUs: drained, not cut, and never below the minimum.
#[test]
fn what_another_pool_needs_more_is_drained_and_comes_back() {
    let mut toy = Toy::new(setup(|spec| spec.replicas_min = ReplicaCount(2)), 6);
    toy.run(10 * MINUTE, 3.0);
    toy.replicas_allowed = Some(Allowance { replicas: ReplicaCount(1), ..Allowance::default() });
    let taken = toy.run(10 * MINUTE, 3.0).to_vec();
    assert_eq!((last(&taken).ready, last(&taken).starting, toy.cut), (2, 0, 0));
    assert!(taken.iter().any(|row| row.decision.explanation.reason == Reason::QuotaTaken));
    assert_eq!(last(&taken).decision.explanation.reason, Reason::Capped);
    toy.replicas_allowed = None;
    let back = toy.run(10 * MINUTE, 3.0).to_vec();
    assert!(last(&back).ready >= 4, "{}", last(&back).ready);
}

/// During a cold start of two minutes a queue builds up. A rule on queue length would order more at
/// each tick; here what is on its way is credited.
#[test]
fn a_long_start_does_not_wind_up() {
    let mut toy = Toy::new(setup(|_| {}), 2);
    toy.run(10 * MINUTE, 1.0);
    let before = last(&toy.rows).ready;
    let burst = toy.run(10 * MINUTE, 6.0);
    let target = |row: &Row| row.decision.explanation.target.0 as usize;
    let most = burst.iter().map(target).max();
    assert!(Some(before + starts(burst) as usize) <= most, "nothing is ordered twice");
    for row in burst {
        let explanation = &row.decision.explanation;
        assert!(explanation.needed_for_backlog <= explanation.needed_for_load, "{explanation:?}");
    }
    assert_eq!(last(burst).queued, 0);
}

/// Load that is now above what is ready, now below: what was ordered for a moment's queue is not given
/// up in the next moment, and ordered again in the one after that.
#[test]
fn a_start_is_given_up_only_when_nothing_has_needed_it_for_half_a_cold_start() {
    let mut setup = setup(|spec| spec.cold_start_prior.p90 = 10 * MINUTE);
    setup.policy.cold_start_prior.p50 = 10 * MINUTE;
    setup.cold_start = 10 * MINUTE;
    let mut toy = Toy::new(setup, 4);
    toy.run(20 * MINUTE, 2.0);
    for _ in 0..20 {
        toy.run(MINUTE, 5.0);
        toy.run(2 * MINUTE, 1.0);
    }
    toy.run(30 * MINUTE, 1.0);
    let soonest = toy.cancelled.iter().min();
    assert!(soonest.is_some_and(|age| *age >= 5 * MINUTE), "{:?}", toy.cancelled);
}

/// Ten times too long a prior, and a fleet of which nothing is remembered.
#[test]
fn a_start_without_memory_neither_overshoots_nor_cuts_down() {
    let mut setup = setup(|s| s.service_time_prior = Duration::from_secs(100));
    setup.service_time = Duration::from_secs(10);
    let mut toy = Toy::new(setup, 5);
    let first = toy.run(10 * MINUTE, 3.0);
    for row in first {
        // 30 erlangs with the headroom of a pool of which nothing is known yet; 300 would be 40.
        assert!(row.ready + row.starting <= 10, "{:?}: {:?}", row.at, row.decision.explanation);
    }
    let mut toy = Toy::new(self::setup(|_| {}), 5);
    let idle = toy.run(4 * MINUTE, 0.2);
    assert!(idle.iter().all(|row| row.ready == 5), "nobody knows yet that they are not needed");
}

#[test]
fn scale_up_is_ordered_within_the_burst_window() {
    let mut toy = Toy::new(setup(|_| {}), 3);
    toy.run(10 * MINUTE, 1.0);
    let burst = toy.run(Duration::from_secs(20), 6.0);
    assert!(starts(burst) >= 2, "{} started", starts(burst));
}

#[test]
fn scale_down_waits_for_the_window_and_drains() {
    let mut toy = Toy::new(setup(|_| {}), 5);
    toy.run(10 * MINUTE, 3.0);
    let held = toy.run(4 * MINUTE, 0.5);
    assert!(held.iter().all(|row| row.ready >= 5), "nothing is given up within the window");
    let shrunk = toy.run(20 * MINUTE, 0.5);
    assert!(shrunk.iter().any(|row| row.draining > 0));
    assert_eq!(last(shrunk).ready, 1);
    assert_eq!(toy.cut, 0, "no request was inside a replica that was stopped");
}

/// What is decided and not carried out uses up no part of the rate limit, and what is carried out does.
#[test]
fn the_rate_limit_counts_what_has_gone() {
    let one_an_hour = |spec: &mut PolicySpec| {
        spec.scale_down_limit.replicas = 1;
        spec.scale_down_limit.share = Probability::saturating(0.0);
        spec.scale_down_limit.period = 60 * MINUTE;
    };
    let limited = |row: &Row| row.decision.explanation.reason == Reason::ScaleDownRateLimited;
    let mut toy = Toy::new(setup(one_an_hour), 5);
    toy.only_observed = true;
    let observed = toy.run(40 * MINUTE, 0.2).to_vec();
    assert!(!observed.iter().any(limited));
    assert!(
        last(&observed).decision.plan.actions.len() == 1,
        "{:?}",
        last(&observed).decision.plan
    );
    toy.only_observed = false;
    let acting = toy.run(2 * MINUTE, 0.2).to_vec();
    assert_eq!(last(&acting).ready, 4);
    assert!(limited(last(&acting)));
}

#[test]
fn a_draining_replica_is_resumed_before_a_new_one_is_started() {
    let mut setup = setup(|s| s.scale_down_limit.replicas = 4);
    setup.service_time = MINUTE;
    let mut toy = Toy::new(setup, 5);
    toy.run(10 * MINUTE, 0.5);
    while toy.rows.last().is_none_or(|row| row.draining == 0) {
        toy.run(Duration::from_secs(2), 0.3);
        assert!(toy.rows.len() < 2000, "the pool never shrank");
    }
    let back = toy.run(Duration::from_secs(30), 2.0);
    let grows = |action: &&Action| matches!(action, Action::Resume { .. } | Action::Start { .. });
    let first = back.iter().flat_map(|row| &row.decision.plan.actions).find(grows);
    assert!(matches!(first, Some(Action::Resume { .. })), "{first:?}");
}

#[test]
fn blindness_never_shrinks_and_still_grows() {
    let mut toy = Toy::new(setup(|_| {}), 5);
    toy.run(10 * MINUTE, 3.0);
    (toy.engines_visible, toy.gateway_visible) = (false, false);
    let before = last(&toy.rows).ready;
    let blind = toy.run(30 * MINUTE, 0.1);
    for row in blind {
        assert_eq!(row.ready, before, "{:?}: {:?}", row.at, row.decision.explanation);
    }
    assert_eq!(last(blind).decision.explanation.reason, Reason::SignalsMissing);

    // The gateway is back, the engines are not: arrivals are enough to grow on.
    toy.gateway_visible = true;
    let seen = toy.run(5 * MINUTE, 6.0);
    assert!(last(seen).ready + last(seen).starting > before);
}

#[test]
fn without_a_gateway_arrivals_come_from_the_engines() {
    let mut toy = Toy::new(setup(|_| {}), 5);
    toy.gateway_visible = false;
    let rows = toy.run(20 * MINUTE, 3.0);
    let demand = &last(rows).decision.explanation.demand;
    assert!((demand.arrival_rate.get() - 3.0).abs() < 0.3, "{}", demand.arrival_rate);
    assert!((demand.service_time.as_secs_f64() - 10.0).abs() < 1.0, "{:?}", demand.service_time);
    assert!((5..=7).contains(&last(rows).ready), "{}", last(rows).ready);
}

/// Of engines that tell what is inside and nothing of what has ended, as after a rename of that: as
/// much leaves them as arrives, and they are not idle.
#[test]
fn without_a_gateway_and_completions_nobody_knows_what_arrives() {
    for known_before in [Duration::ZERO, 20 * MINUTE] {
        let mut toy = Toy::new(setup(|_| {}), 5);
        toy.gateway_visible = false;
        toy.run(known_before, 3.0);
        toy.completions_visible = false;
        let before = toy.held() as usize;
        let rows = toy.run(60 * MINUTE, 3.0);
        assert!(rows.iter().all(|row| row.ready + row.starting >= before && row.draining == 0));
        let explanation = &last(rows).decision.explanation;
        assert_eq!(explanation.demand.source, ArrivalSource::Unknown);
        assert_eq!(explanation.reason, Reason::SignalsMissing, "{explanation:?}");
    }
}

/// What is in use is known without them, once it is known how long a request takes.
#[test]
fn without_completions_it_still_grows() {
    let mut toy = Toy::new(setup(|_| {}), 5);
    toy.gateway_visible = false;
    toy.run(20 * MINUTE, 3.0);
    toy.completions_visible = false;
    let before = last(&toy.rows).ready;
    let rows = toy.run(20 * MINUTE, 6.0);
    assert!(last(rows).ready >= 8 && before < 8, "{before}, {:?}", last(rows));
}

#[test]
fn to_zero_and_back() {
    let mut toy = Toy::new(setup(|s| s.replicas_min = ReplicaCount(0)), 1);
    toy.run(5 * MINUTE, 0.2);
    let idle = toy.run(15 * MINUTE, 0.0);
    assert_eq!(last(idle).ready, 0);
    assert!(idle.iter().any(|row| row.decision.explanation.reason == Reason::ToZero));
    let back = toy.run(Duration::from_secs(10), 0.5);
    assert_eq!(
        back.iter().find(|r| r.starting > 0).map(|r| r.decision.explanation.reason),
        Some(Reason::Activate)
    );
    let served = toy.run(5 * MINUTE, 0.5);
    assert_eq!(last(served).queued, 0);
}

/// What waits for no replica is seen by somebody else's gateway, by what it holds or by what arrives.
#[test]
fn to_zero_and_back_without_a_gateway_of_its_own() {
    for demand_visible in [(true, false), (false, true), (true, true)] {
        let mut toy = Toy::new(setup(|s| s.replicas_min = ReplicaCount(0)), 1);
        (toy.gateway_visible, toy.demand_visible) = (false, demand_visible);
        toy.run(5 * MINUTE, 0.2);
        let idle = toy.run(15 * MINUTE, 0.0);
        assert_eq!(last(idle).ready, 0);
        assert!(idle.iter().any(|row| row.decision.explanation.reason == Reason::ToZero));
        let back = toy.run(Duration::from_secs(10), 0.5);
        assert_eq!(
            back.iter().find(|r| r.starting > 0).map(|r| r.decision.explanation.reason),
            Some(Reason::Activate)
        );
        let served = toy.run(5 * MINUTE, 0.5);
        assert_eq!(last(served).queued, 0);
    }
}

#[test]
fn the_last_one_stays_while_nobody_would_see_demand() {
    let mut toy = Toy::new(setup(|s| s.replicas_min = ReplicaCount(0)), 3);
    toy.gateway_visible = false;
    toy.run(10 * MINUTE, 0.2);
    let idle = toy.run(30 * MINUTE, 0.0);
    assert!(idle.iter().all(|row| row.ready >= 1));
    assert_eq!(last(idle).ready, 1);
    assert_eq!(last(idle).decision.explanation.reason, Reason::DemandUnseen);
    // Seen again, and nothing there: it goes. Not seen again at none: nothing is done about it.
    toy.demand_visible = (true, false);
    assert_eq!(last(toy.run(15 * MINUTE, 0.0)).ready, 0);
    toy.demand_visible = (false, false);
    let blind = toy.run(5 * MINUTE, 0.0);
    assert!(blind.iter().all(|row| row.decision.plan.actions.is_empty()));
}

/// 8 requests/s × 10 s are ten full replicas. What is held at none is in no slot, and that does not
/// mean that it takes no time.
#[test]
fn what_is_held_at_none_is_taken_to_last_as_long_as_what_came_before() {
    let mut toy = Toy::new(setup(|s| s.replicas_min = ReplicaCount(0)), 1);
    toy.run(5 * MINUTE, 0.2);
    assert_eq!(last(toy.run(30 * MINUTE, 0.0)).ready, 0);
    let burst = toy.run(MINUTE, 8.0);
    let demand = &last(burst).decision.explanation.demand;
    assert!(demand.service_time >= Duration::from_secs(8), "{demand:?}");
    assert!(last(burst).starting >= 10, "{:?}", last(burst).decision.explanation);
}

#[test]
fn standby_is_filled_on_the_way_down_and_woken_first() {
    let mut toy = Toy::new(setup(|s| s.standby = Some(standby(Some(1)))), 5);
    toy.run(10 * MINUTE, 3.0);
    let shrunk = toy.run(30 * MINUTE, 0.5);
    assert_eq!(last(shrunk).decision.explanation.supply.standby, ReplicaCount(1));
    let growing = toy.run(MINUTE, 4.0);
    let first = growing.iter().flat_map(|row| &row.decision.plan.actions).next();
    assert!(matches!(first, Some(Action::Wake { .. })), "{first:?}");
}

#[test]
fn a_fixed_standby_sleeps_beside_the_lower_bound() {
    let mut toy = Toy::new(setup(|s| s.standby = Some(standby(Some(1)))), 5);
    toy.run(10 * MINUTE, 3.0);
    let idle = toy.run(60 * MINUTE, 0.0);
    let supply = &last(idle).decision.explanation.supply;
    assert_eq!((supply.ready, supply.standby), (ReplicaCount(1), ReplicaCount(1)));
}

/// Ten minutes of every forty ask for 12 replicas, the rest for 2. Awake they would idle for half an
/// hour; asleep at a quarter of the price they wait for the next surge, and wake in seconds.
#[test]
fn what_a_surge_needed_sleeps_until_the_next() {
    let run = |price: f64| {
        let mut toy = Toy::new(
            setup(|spec| {
                spec.replicas_max = ReplicaCount(60);
                spec.standby =
                    Some(Standby { price: Probability::saturating(price), ..standby(None) });
            }),
            3,
        );
        for _ in 0..4 {
            toy.run(10 * MINUTE, 8.0);
            toy.run(30 * MINUTE, 1.0);
        }
        assert_eq!(toy.cut, 0);
        let from = toy.rows.len();
        toy.run(5 * MINUTE, 8.0);
        toy.rows.split_off(from)
    };
    let surge = run(0.25);
    assert!(surge[0].ready <= 6, "{} ready before the surge", surge[0].ready);
    let most = surge.iter().map(|row| row.queued).max();
    assert!(most < Some(200), "{most:?} queued at worst; a cold start of two minutes leaves 960");
    let explanation = &surge[0].decision.explanation;
    assert!(explanation.supply.standby.0 >= 6, "{explanation:?}");
    // What sleeps at the full price may as well be ready, or gone.
    let dear = run(1.0);
    assert_eq!(dear[0].decision.explanation.supply.standby, ReplicaCount(0));
}

#[test]
fn bounds_hold_and_are_named() {
    let mut toy = Toy::new(setup(|s| s.replicas_max = ReplicaCount(3)), 1);
    let rows = toy.run(20 * MINUTE, 6.0);
    assert!(rows.iter().all(|row| row.ready + row.starting <= 3));
    assert_eq!(last(rows).decision.explanation.reason, Reason::Capped);
}

#[test]
fn cold_starts_are_learned_from_what_was_seen() {
    let mut toy = Toy::new(setup(|_| {}), 0);
    toy.run(5 * MINUTE, 4.0);
    toy.run(10 * MINUTE, 8.0);
    let rows = toy.run(10 * MINUTE, 14.0);
    let cold_start = &last(rows).decision.explanation.cold_start;
    assert!(cold_start.samples >= 8, "{}", cold_start.samples);
    assert_eq!((cold_start.p50.as_secs(), cold_start.p90.as_secs()), (120, 120));
}

#[test]
fn a_start_that_never_ends_loses_its_credit() {
    let mut setup = setup(|spec| spec.starts_max = 16);
    setup.cold_start = Duration::from_secs(100_000);
    let mut toy = Toy::new(setup, 1);
    let rows = toy.run(20 * MINUTE, 2.0);
    let overdue = &last(rows).decision.explanation.replicas_overdue;
    assert!(!overdue.is_empty());
    assert!(rows.iter().all(|row| row.starting <= 16), "starts are bounded");
}

/// The first look after a gap sees two seconds of traffic. That is no reason to believe that the rest
/// has gone.
#[test]
fn a_gap_in_all_signals_costs_no_replica() {
    let mut toy = Toy::new(setup(|_| {}), 5);
    // Long enough to hold what this traffic needs, and no more.
    toy.run(120 * MINUTE, 3.0);
    let before = last(&toy.rows).ready;
    (toy.engines_visible, toy.gateway_visible) = (false, false);
    toy.run(20 * MINUTE, 3.0);
    (toy.engines_visible, toy.gateway_visible) = (true, true);
    let back = toy.run(10 * MINUTE, 3.0);
    for row in back {
        assert!(row.ready >= before, "{:?}: {:?}", row.at, row.decision.explanation);
    }
}

/// 20 replicas, of which half may go in any 30 s.
#[test]
fn a_large_fleet_shrinks_by_shares() {
    let mut toy = Toy::new(setup(|_| {}), 20);
    toy.run(4 * 60 * MINUTE, 0.2);
    let ready: Vec<usize> = toy.rows.iter().map(|row| row.ready).collect();
    assert!(ready.last() <= Some(&3), "it shrinks");
    for window in ready.windows(15) {
        assert!(window[14] * 2 >= window[0] || window[14] + 1 >= window[0], "{window:?}");
    }
    assert!(ready.windows(2).any(|pair| pair[1] + 1 < pair[0]), "by more than one at once");
    assert_eq!(toy.cut, 0);
}

/// 6 requests/s × 10 s = 60 erlangs of whole replicas. Two of ten end half as many: together they do
/// the work of nine, and what more slots this load takes with them is no more load.
#[test]
fn two_of_ten_at_half_speed_are_counted_as_one() {
    let ten = ReplicaCount(10);
    let pinned = setup(|spec| (spec.replicas_min, spec.replicas_max) = (ten, ten));
    let mut toy = Toy::new(Setup { slow: vec![0, 1], ..pinned }, 10);
    let rows = toy.run(60 * MINUTE, 6.0);
    let explanation = &last(rows).decision.explanation;
    let slow: Vec<(u64, f64)> =
        explanation.supply.slow.iter().map(|slow| (slow.replica.0, slow.capacity.get())).collect();
    let half = 0.48..0.52;
    let are_told = matches!(&slow[..], [(0, a), (1, b)] if half.contains(a) && half.contains(b));
    assert!(are_told, "{slow:?}");
    assert!((explanation.supply.capacity - 9.0).abs() < 0.05, "{}", explanation.supply.capacity);
    let load = explanation.demand.offered_load.get();
    assert!((57.0..63.0).contains(&load), "{load} erlangs");
    assert!((explanation.demand.service_time.as_secs_f64() - 10.0).abs() < 0.5);
    assert_eq!(last(rows).queued, 0);
}

/// The same, where the pool is free to change: it holds what the load needs, and less of it slow.
#[test]
fn what_is_slow_is_given_up_before_what_is_whole() {
    let mut toy = Toy::new(Setup { slow: vec![0, 1], ..setup(|_| {}) }, 10);
    let rows = toy.run(60 * MINUTE, 6.0).to_vec();
    for row in &rows[300..] {
        let explanation = &row.decision.explanation;
        assert!(explanation.supply.capacity * 8.0 >= 60.0, "{:?}: {explanation:?}", row.at);
        assert_eq!(row.queued, 0, "{:?}", row.at);
    }
    assert!(last(&rows).decision.explanation.supply.slow.is_empty());
    assert_eq!(toy.cut, 0);
}

/// It can't be told from whole ones by its pool's mean, and must not make the pool flap.
#[test]
fn one_slow_replica_in_a_small_pool_changes_little_and_only_once() {
    for rate in [0.5, 0.9, 1.3, 1.7, 2.1] {
        let mut toy = Toy::new(Setup { slow: vec![0], ..setup(|_| {}) }, 3);
        toy.run(60 * MINUTE, rate);
        let steady = toy.run(90 * MINUTE, rate).to_vec();
        let ready: Vec<usize> = steady.iter().map(|row| row.ready).collect();
        let changes = ready.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes <= 2, "{changes} changes at {rate} requests/s: {ready:?}");
        assert_eq!(last(&steady).queued, 0);
    }
}

/// Equal inputs give equal outputs, and memory survives its journal form bit for bit.
#[test]
fn memory_round_trips_through_json() {
    let mut toy = Toy::new(setup(|_| {}), 2);
    toy.run(10 * MINUTE, 2.37);
    let text = serde_json::to_string(&toy.memory).expect("memory is plain data");
    let back: preheat_core::Memory = serde_json::from_str(&text).expect("and back");
    assert_eq!(back, toy.memory);
    let policy: Policy = setup(|_| {}).policy.validate().expect("valid");
    let text = serde_json::to_string(&policy).expect("a policy is plain data");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("and back"), policy);
}
