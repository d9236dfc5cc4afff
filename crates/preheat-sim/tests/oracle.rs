//! The oracle against brute force, against arbitrary plans, and against numbers by hand.

use std::time::Duration;

use preheat_core::{Concurrency, Instant};
use preheat_sim::oracle::{
    Costs, DemandSpec, Opening, Oracle, OracleError, OraclePlan, OracleSpec, Plan, ServiceModel,
    SleepTier, SlotDemand, Tally, TokenCost, demand,
};
use preheat_sim::scaler::Scaler;
use preheat_traffic::{Trace, TraceRequest};
use proptest::prelude::*;

const CLOSE: f64 = 1e-9;

fn spec(loads: &[f64], lead_slots: u32) -> OracleSpec {
    OracleSpec {
        slot: Duration::from_secs(1),
        demand: loads.iter().map(|&load| SlotDemand { load, requests: 10.0 * load }).collect(),
        lead_slots,
        costs: Costs { replica_slot: 1.0, start: 0.5 },
        sleep: None,
        opening: Opening::Ordered,
    }
}

fn oracle(spec: &OracleSpec) -> Oracle {
    Oracle::new(spec.clone()).unwrap_or_else(|error| unreachable!("{error}"))
}

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= CLOSE * (1.0 + left.abs().max(right.abs()))
}

fn no_more(left: f64, right: f64) -> bool {
    left <= right + CLOSE * (1.0 + right.abs())
}

#[test]
fn worked_numbers() {
    let loads = [2.0, 2.0, 0.0, 0.0, 2.0];
    let light = SleepTier { price_fraction: 0.1, wake_slots: 1, wake: 0.0 };
    let dear = SleepTier { wake: 5.0, ..light };
    // Two levels, each needed in 3 slots around a gap of 2.
    let cases = [
        // β = 3 + 0.5; bridging costs 2: 3.5 + 3 + 2 a level.
        ("bridges a gap shorter than the lead time", 3, None, 17.0, 2, 0),
        // β = 1 + 0.5; starting again is cheaper than 2: 1.5 + 3 + 1.5 a level.
        ("starts again after a long gap", 1, None, 12.0, 4, 0),
        // Asleep for 1 of the gap's 2 slots, then woken at full price: 0.1 + 1 = 2·0.1 + 0.9.
        ("sleeps through a gap", 3, Some(light), 15.2, 2, 2),
        ("does not use a tier that is dearer than a start", 3, Some(dear), 17.0, 2, 0),
    ];
    for (name, lead_slots, sleep, cost, starts, wakes) in cases {
        let oracle = oracle(&OracleSpec { sleep, ..spec(&loads, lead_slots) });
        let Tally { cost: got, misses, starts: started, wakes: woken, .. } =
            oracle.at_price(f64::INFINITY).unwrap().tally;
        assert!(close(got, cost), "{name}: {got} is not {cost}");
        assert_eq!((misses, started, woken), (0.0, starts, wakes), "{name}");
    }
}

#[test]
fn a_missed_request_has_a_price() {
    // One slot of one replica and 10 requests costs β + 1 = 4.5 with L = 3: served from 0.45 on.
    let oracle = oracle(&spec(&[0.0, 1.0, 0.0], 3));
    assert_eq!(oracle.at_price(0.44).unwrap().tally.misses, 10.0);
    assert_eq!(oracle.at_price(0.46).unwrap().tally.misses, 0.0);
    // Half may miss: the only plan that keeps to it serves all, while the bound mixes.
    let half = oracle.at_most(0.5).unwrap();
    assert!(close(half.bound, 2.25) && close(half.price, 0.45), "{half:?}");
    assert_eq!((half.tally.cost, half.tally.misses), (4.5, 0.0));
}

#[test]
fn what_cannot_be_ready_in_the_first_lead_time_is_charged_to_all() {
    let spec = OracleSpec { opening: Opening::Fleet(1), ..spec(&[3.0, 3.0, 3.0, 3.0], 2) };
    let oracle = oracle(&spec);
    assert_eq!(oracle.misses_unavoidable(), 40.0);
    let none = oracle.at_most(0.0).unwrap();
    assert_eq!(none.plan.ready, [1, 1, 3, 3]);
    assert_eq!((none.misses_allowed, none.tally.misses), (40.0, 40.0));
    // 8 replica-slots, two starts of 2 + 0.5, and the opening's one is free.
    assert_eq!((none.tally.cost, none.bound), (13.0, 13.0));
}

/// Cheapest way from one slot's counts to the next's, by trying all of them.
fn transition(spec: &OracleSpec, (x, y): (u32, u32), (to_x, to_y): (u32, u32)) -> f64 {
    let cold = f64::from(spec.lead_slots) * spec.costs.replica_slot + spec.costs.start;
    let wake = spec.sleep.map_or(f64::INFINITY, |tier| {
        let full = f64::from(tier.wake_slots) * spec.costs.replica_slot;
        (1.0 - tier.price_fraction) * full + tier.wake
    });
    let mut least = f64::INFINITY;
    for woken in 0..=y {
        for to_sleep in 0..=x {
            // Starts make up what is missing; what is too much is stopped.
            let started = to_x.saturating_sub(x - to_sleep + woken)
                + to_y.saturating_sub(y - woken + to_sleep);
            let woken = if woken == 0 { 0.0 } else { wake * f64::from(woken) };
            least = least.min(woken + cold * f64::from(started));
        }
    }
    least
}

/// (cost, misses) of every plan with up to `most` replicas.
fn all_plans(spec: &OracleSpec, most: u32) -> Vec<(f64, f64)> {
    let asleep_max = if spec.sleep.is_some() { most } else { 0 };
    let states: Vec<(u32, u32)> =
        (0..=most).flat_map(|x| (0..=asleep_max.min(most - x)).map(move |y| (x, y))).collect();
    let (opening, lead) = match spec.opening {
        Opening::Fleet(ready) => (ready, spec.lead_slots as usize),
        Opening::Ordered => (0, 0),
    };
    let fraction = spec.sleep.map_or(0.0, |tier| tier.price_fraction);
    let mut plans = vec![((opening, 0), 0.0, 0.0)];
    for (slot, asked) in spec.demand.iter().enumerate() {
        let mut next = Vec::new();
        for &(from, cost, misses) in &plans {
            for &to in &states {
                if slot < lead && to.0 + to.1 > from.0 + from.1 {
                    continue;
                }
                let held = f64::from(to.0) + fraction * f64::from(to.1);
                let short = (asked.load - f64::from(to.0)).max(0.0);
                let missed = if short > 0.0 { asked.requests * short / asked.load } else { 0.0 };
                let cost = cost + transition(spec, from, to) + held * spec.costs.replica_slot;
                next.push((to, cost, misses + missed));
            }
        }
        plans = next;
    }
    plans.into_iter().map(|(_, cost, misses)| (cost, misses)).collect()
}

/// The least of cost + price · misses over plans with up to `most` replicas, by a programme over
/// the counts of all replicas together.
fn joint_least(spec: &OracleSpec, most: u32, price: f64) -> f64 {
    let states: Vec<(u32, u32)> =
        (0..=most).flat_map(|x| (0..=most - x).map(move |y| (x, y))).collect();
    let (opening, lead) = match spec.opening {
        Opening::Fleet(ready) => (ready, spec.lead_slots as usize),
        Opening::Ordered => (0, 0),
    };
    let fraction = spec.sleep.map_or(f64::INFINITY, |tier| tier.price_fraction);
    let mut values = vec![((opening, 0), 0.0)];
    for (slot, asked) in spec.demand.iter().enumerate() {
        let value = |to: (u32, u32)| {
            let ways = values.iter().filter_map(|&(from, value)| {
                let grows = to.0 + to.1 > from.0 + from.1;
                (slot >= lead || !grows).then(|| value + transition(spec, from, to))
            });
            let asleep = if to.1 == 0 { 0.0 } else { fraction * f64::from(to.1) };
            let short = (asked.load - f64::from(to.0)).max(0.0);
            let missed = if short > 0.0 { asked.requests * short / asked.load } else { 0.0 };
            let held = (f64::from(to.0) + asleep) * spec.costs.replica_slot;
            ways.fold(f64::INFINITY, f64::min) + held + price * missed
        };
        values = states.iter().map(|&to| (to, value(to))).collect();
    }
    values.into_iter().map(|(_, value)| value).fold(f64::INFINITY, f64::min)
}

fn specs(slots: std::ops::Range<usize>, load_max: f64) -> impl Strategy<Value = OracleSpec> {
    let asked =
        (0.0..load_max, any::<bool>(), 0.0..20.0_f64).prop_map(|(load, whole, requests)| {
            SlotDemand { load: if whole { load.round() } else { load }, requests }
        });
    let costs = (0.2..3.0_f64, 0.0..4.0_f64);
    let tier =
        (0.0..=1.0_f64, 0_u32..4, 0.0..2.0_f64).prop_map(|(price_fraction, wake_slots, wake)| {
            SleepTier { price_fraction, wake_slots, wake }
        });
    let opening = prop_oneof![Just(Opening::Ordered), (0_u32..3).prop_map(Opening::Fleet)];
    (proptest::collection::vec(asked, slots), 0_u32..6, costs, proptest::option::of(tier), opening)
        .prop_map(|(demand, lead_slots, (replica_slot, start), sleep, opening)| OracleSpec {
            slot: Duration::from_secs(1),
            demand,
            lead_slots,
            costs: Costs { replica_slot, start },
            sleep,
            opening,
        })
}

fn least(plans: &[(f64, f64)], of: impl Fn(f64, f64) -> Option<f64>) -> f64 {
    plans.iter().filter_map(|&(cost, misses)| of(cost, misses)).fold(f64::INFINITY, f64::min)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn equals_brute_force(
        spec in specs(1..6, 2.0), price in 0.0..3.0_f64, epsilon in 0.0..0.6_f64,
    ) {
        // A third replica, where the opening has one, is never worth its cost.
        let plans = all_plans(&spec, 2);
        let oracle = oracle(&spec);
        let Tally { cost, misses, .. } = oracle.at_price(price).unwrap().tally;
        let best = least(&plans, |cost, misses| Some(cost + price * misses));
        prop_assert!(close(cost + price * misses, best), "{cost} + {price}·{misses}, not {best}");

        for epsilon in [0.0, epsilon] {
            let reference = oracle.at_most(epsilon).unwrap();
            let allowed = reference.misses_allowed;
            let best = least(&plans, |cost, misses| no_more(misses, allowed).then_some(cost));
            prop_assert!(no_more(reference.bound, best), "bound {} over {best}", reference.bound);
            prop_assert!(no_more(best, reference.tally.cost));
            prop_assert!(no_more(reference.tally.misses, allowed));
            if epsilon == 0.0 {
                prop_assert!(close(reference.tally.cost, best) && close(reference.bound, best));
            }
        }
    }

    #[test]
    fn equals_a_joint_programme(
        spec in specs(5..30, 3.0), price in 0.0..6.0_f64,
        quiet in proptest::collection::vec(any::<bool>(), 30),
        tier in (0.0..0.6_f64, 0_u32..3, 0.0..0.5_f64),
    ) {
        let (price_fraction, wake_slots, wake) = tier;
        let sleep = spec.sleep.and(Some(SleepTier { price_fraction, wake_slots, wake }));
        let mut spec = OracleSpec { sleep, ..spec };
        for (asked, _) in spec.demand.iter_mut().zip(quiet).filter(|(_, quiet)| *quiet) {
            *asked = SlotDemand::default();
        }
        let Tally { cost, misses, .. } = oracle(&spec).at_price(price).unwrap().tally;
        let best = joint_least(&spec, 3, price);
        prop_assert!(close(cost + price * misses, best), "{cost} + {price}·{misses}, not {best}");
    }

    /// RESEARCH §B4: `c·Σd + Σ_levels [β + Σ_gaps min(c·g, β)]`.
    #[test]
    fn covering_all_has_a_closed_form(
        needs in proptest::collection::vec(0_u32..7, 1..80), lead in 0_u32..9,
    ) {
        let loads: Vec<f64> = needs.iter().map(|&need| f64::from(need)).collect();
        let cold = f64::from(lead) + 0.5;
        let mut expected = loads.iter().sum::<f64>();
        for level in 1..=6 {
            let at: Vec<usize> = (0..needs.len()).filter(|&slot| needs[slot] >= level).collect();
            expected += if at.is_empty() { 0.0 } else { cold };
            let gaps = at.windows(2).map(|pair| (pair[1] - pair[0] - 1) as f64);
            expected += gaps.map(|gap| gap.min(cold)).sum::<f64>();
        }
        let got = oracle(&spec(&loads, lead)).at_price(f64::INFINITY).unwrap().tally.cost;
        prop_assert!(close(got, expected), "{got}, not {expected}");
    }

    #[test]
    fn no_plan_is_cheaper(
        spec in specs(20..60, 6.0), price in 0.0..3.0_f64, epsilon in 0.0..0.3_f64,
        counts in proptest::collection::vec((0_u32..7, 0_u32..3, 1_usize..9), 60),
    ) {
        let oracle = oracle(&spec);
        let plan = random_plan(&spec, &counts);
        let any = oracle.tally(&plan).unwrap();
        let best = oracle.at_price(price).unwrap().tally;
        prop_assert!(no_more(best.cost + price * best.misses, any.cost + price * any.misses));

        let at_epsilon = oracle.at_most(epsilon).unwrap();
        prop_assert!(no_more(at_epsilon.bound, at_epsilon.tally.cost));
        prop_assert!(no_more(at_epsilon.tally.misses, at_epsilon.misses_allowed));
        // Also at the random plan's own share of misses, of which it is a feasible plan.
        let own = (any.misses / oracle.requests().max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
        prop_assert!(no_more(oracle.at_most(own).unwrap().bound, any.cost));
    }

    #[test]
    fn all_of_it_rises_with_prices(
        spec in specs(10..40, 5.0), price in 0.0..2.0_f64, more in 1.0..3.0_f64,
    ) {
        let value = |spec: &OracleSpec, price: f64| {
            let Tally { cost, misses, .. } = oracle(spec).at_price(price).unwrap().tally;
            (cost + price * misses, misses)
        };
        let (base, misses) = value(&spec, price);
        let (dearer_miss, fewer) = value(&spec, price * more);
        prop_assert!(no_more(base, dearer_miss) && no_more(fewer, misses));
        let Costs { replica_slot, start } = spec.costs;
        for dearer in [
            OracleSpec {
                costs: Costs { replica_slot: replica_slot * more, start }, ..spec.clone()
            },
            OracleSpec { costs: Costs { replica_slot, start: start * more }, ..spec.clone() },
            OracleSpec { lead_slots: spec.lead_slots + 1, ..spec.clone() },
            OracleSpec { sleep: None, ..spec.clone() },
        ] {
            prop_assert!(no_more(base, value(&dearer, price).0), "{:?}", dearer);
        }

        let bound = |epsilon| oracle(&spec).at_most(epsilon).unwrap().bound;
        let bounds = [0.0, 0.01, 0.1, 0.5, 1.0].map(bound);
        prop_assert!(bounds.windows(2).all(|pair| no_more(pair[1], pair[0])), "{bounds:?}");
        prop_assert!(close(bounds[4], 0.0));
    }

    #[test]
    fn nothing_may_miss_means_all_is_served(spec in specs(1..60, 6.0)) {
        let oracle = oracle(&spec);
        let reference = oracle.at_most(0.0).unwrap();
        prop_assert!(close(reference.tally.misses, oracle.misses_unavoidable()));
        let lead = if spec.opening == Opening::Ordered { 0 } else { spec.lead_slots as usize };
        for (slot, asked) in spec.demand.iter().enumerate().skip(lead) {
            prop_assert!(asked.requests == 0.0 || reference.plan.ready[slot] >= asked.need());
        }
    }

    /// The replay's head count is what the plan pays for, and no stop falls into a start: an
    /// orchestrator would cancel the start.
    #[test]
    fn a_replay_pays_what_the_plan_says(
        spec in specs(1..60, 6.0), fleet in 0_u32..7, epsilon in 0.0..0.3_f64,
    ) {
        let opening = Opening::Fleet(fleet);
        let oracle = oracle(&OracleSpec { sleep: None, opening, ..spec });
        let lead = oracle.spec().lead_slots as usize;
        let reference = oracle.at_most(epsilon).unwrap();
        let replay = OraclePlan::new(&oracle, &reference.plan).unwrap();
        let held: u64 = replay.desired().iter().map(|&desired| u64::from(desired)).sum();
        let late = replay.starts().iter().filter(|start| start.ready_slot < lead).count();
        prop_assert_eq!(late, 0, "a start before one could be ready");
        // At lead 0 a rise in slot 0 is a start that happens at once.
        prop_assert!(close(held as f64, reference.tally.replica_slots));
        for start in replay.starts() {
            prop_assert_eq!(start.order_slot + lead, start.ready_slot);
            let booting = &replay.desired()[start.order_slot..=start.ready_slot];
            prop_assert!(booting.windows(2).all(|pair| pair[0] <= pair[1]), "{booting:?}");
        }
    }
}

/// A plan that holds each pair of counts for some slots, within what the opening allows.
fn random_plan(spec: &OracleSpec, counts: &[(u32, u32, usize)]) -> Plan {
    let held = counts
        .iter()
        .flat_map(|&(ready, asleep, slots)| std::iter::repeat_n((ready, asleep), slots));
    let mut plan = Plan::default();
    let mut exist = match spec.opening {
        Opening::Fleet(ready) => ready,
        Opening::Ordered => u32::MAX,
    };
    for (slot, (mut ready, mut asleep)) in held.take(spec.demand.len()).enumerate() {
        asleep = if spec.sleep.is_some() { asleep } else { 0 };
        if slot < spec.lead_slots as usize {
            ready = ready.min(exist);
            asleep = asleep.min(exist - ready);
            exist = if exist == u32::MAX { exist } else { ready + asleep };
        }
        plan.ready.push(ready);
        plan.asleep.push(asleep);
    }
    plan
}

#[test]
fn a_plan_is_ordered_one_lead_time_ahead() {
    let spec = OracleSpec {
        slot: Duration::from_secs(10),
        opening: Opening::Fleet(1),
        ..spec(&[1.0, 1.0, 1.0, 1.0, 3.0, 1.0, 1.0], 2)
    };
    let oracle = oracle(&spec);
    let best = oracle.at_most(0.0).unwrap();
    assert_eq!(best.plan.ready, [1, 1, 1, 1, 3, 1, 1]);
    let mut replay = OraclePlan::new(&oracle, &best.plan).unwrap();
    assert_eq!(replay.desired(), [1, 1, 3, 3, 3, 1, 1]);
    assert_eq!((replay.opening(), replay.starts().len()), (1, 1));
    assert_eq!((replay.name().to_owned(), replay.period()), ("oracle".into(), spec.slot));
    let at = |second: u64| replay.desired_at(Instant::from_nanos(second * 1_000_000_000));
    assert_eq!([at(0), at(19), at(20), at(49), at(50), at(7_000)], [1, 1, 3, 3, 1, 1]);
    let view = preheat_sim::view::FleetView {
        now: Instant::from_nanos(20_000_000_000),
        desired: 1,
        replicas: &[],
        proxy: preheat_sim::view::ProxyView::default(),
        max_num_seqs: Concurrency::new(8).unwrap(),
        kv_capacity_tokens: 1,
        gpus_per_replica: 1,
    };
    assert_eq!(replay.tick(&view), 3);
}

fn request(arrival_ms: u64, input_tokens: u32, output_tokens: u32) -> TraceRequest {
    TraceRequest { arrival: Duration::from_millis(arrival_ms), input_tokens, output_tokens }
}

#[test]
fn demand_counts_busy_slots() {
    // 0.5 s + 10 ms a generated token: 100 tokens hold a slot for 1.5 s.
    let seconds = TokenCost { per_request: 0.5, per_input_token: 0.0, per_output_token: 0.01 };
    let concurrency = Concurrency::new(2).unwrap();
    let service = ServiceModel::Slots { concurrency, seconds };
    let slot = Duration::from_secs(1);
    let trace = Trace::new(vec![request(0, 5, 100), request(500, 5, 100), request(3_000, 5, 50)]);
    let spec = DemandSpec { slot, service, margin: 0.0 };
    let got = demand(&trace, &spec).unwrap();
    // Busy: 1 + 0.5, 0.5 + 1, 0, 1 seconds, two at once on a replica.
    let loads: Vec<f64> = got.iter().map(|slot| slot.load).collect();
    assert_eq!(loads, [0.75, 0.75, 0.0, 0.5]);
    assert!(close(got.iter().map(|slot| slot.requests).sum(), 3.0));
    assert!(close(got[0].requests, 1.0 / 1.5 + 0.5 / 1.5));
    let padded = demand(&trace, &DemandSpec { margin: 0.5, ..spec }).unwrap();
    assert_eq!((padded[0].load, padded[0].need()), (1.125, 2));

    // 64 requests of exactly one slot's time on two slots a replica need 32, not 33.
    let whole = Trace::new(vec![request(0, 1, 50); 64]);
    assert_eq!(demand(&whole, &spec).unwrap()[0].need(), 32);

    let work = TokenCost { per_request: 0.0, per_input_token: 1.0, per_output_token: 3.0 };
    let service = ServiceModel::Work { per_second: 100.0, work };
    let got = demand(&trace, &DemandSpec { service, ..spec }).unwrap();
    assert!(close(got[0].load, 2.0 * 305.0 / 100.0) && got[0].requests == 2.0);
}

#[test]
fn nonsense_is_named() {
    let base = spec(&[1.0], 1);
    let name = |spec: OracleSpec| Oracle::new(spec).unwrap_err().to_string();
    assert_eq!(Oracle::new(OracleSpec { demand: vec![], ..base.clone() }), Err(OracleError::Empty));
    assert!(name(spec(&[f64::NAN], 1)).starts_with("load is NaN"));
    assert!(name(spec(&[1e12], 1)).contains("use longer slots"));
    let costs = Costs { replica_slot: 0.0, start: 1.0 };
    assert!(name(OracleSpec { costs, ..base.clone() }).starts_with("replica_slot is 0"));
    let sleep = Some(SleepTier { price_fraction: 1.5, wake_slots: 1, wake: 0.0 });
    assert!(name(OracleSpec { sleep, ..base.clone() }).starts_with("price_fraction is 1.5"));
    let oracle = oracle(&base);
    assert!(oracle.at_most(1.01).is_err() && oracle.at_most(f64::NAN).is_err());
    assert!(oracle.at_price(-1.0).is_err());
    assert_eq!(
        oracle.tally(&Plan::awake(vec![1, 1])),
        Err(OracleError::Length { plan: 2, demand: 1 })
    );
    let asleep = Plan { ready: vec![0], asleep: vec![1] };
    assert_eq!(OraclePlan::new(&oracle, &asleep), Err(OracleError::Sleeps));
}
