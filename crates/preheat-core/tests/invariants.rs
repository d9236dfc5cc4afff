//! The invariants hold on any sequence of observations, sensible or not.

use std::time::Duration;

use preheat_core::{
    Allowance, Concurrency, Controls, Counters, DemandObservation, GatewayObservation, Instant,
    MachineState, Memory, Observation, PolicySpec, Probability, ReplicaCount, ReplicaId,
    ReplicaObservation, ReplicaPhase, Rung, Sample, ScaleRateLimit, ScheduledDemand, Standby,
    TickId, Utilization, decide, invariants,
};
use proptest::prelude::*;

fn phase() -> impl Strategy<Value = ReplicaPhase> {
    prop_oneof![
        1 => Just(ReplicaPhase::Pending),
        1 => Just(ReplicaPhase::Pulling),
        1 => Just(ReplicaPhase::Loading),
        1 => Just(ReplicaPhase::Warming),
        6 => Just(ReplicaPhase::Ready),
        2 => Just(ReplicaPhase::Draining),
        1 => Just(ReplicaPhase::Standby(Rung::Sleeping)),
        1 => Just(ReplicaPhase::Waking(Rung::Sleeping)),
        1 => Just(ReplicaPhase::Stopped),
    ]
}

/// A sample up to 30 s old: fresh and stale ones.
fn sample<T: Clone + std::fmt::Debug>(
    now: Instant,
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<Sample<T>>> {
    proptest::option::of((value, 0_u64..30)).prop_map(move |sample| {
        sample.map(|(value, age)| Sample::new(value, now.saturating_sub(Duration::from_secs(age))))
    })
}

fn counters() -> impl Strategy<Value = Counters> {
    (0_u64..60, 0_u64..200, any::<u32>()).prop_map(|(over, completions, tokens)| Counters {
        over: Duration::from_secs(over),
        completions,
        prompt_tokens: u64::from(tokens),
        generation_tokens: u64::from(tokens / 7),
        preemptions: Some(0),
    })
}

fn replica(now: Instant) -> impl Strategy<Value = ReplicaObservation> {
    let ages = (0_u64..2000, 0_u64..2000, 0_u32..3);
    let gauges = (
        sample(now, 0_u32..300),
        sample(now, 0_u32..5000),
        sample(now, 0_u32..300),
        sample(now, counters()),
    );
    let caps = (proptest::option::of(1_u32..256), proptest::option::of(1_u64..1_000_000));
    (0_u64..40, phase(), ages, gauges, caps).prop_map(move |(id, phase, ages, gauges, caps)| {
        let (since, ordered, restarts) = ages;
        let (in_flight, queue_depth, outstanding, counters) = gauges;
        ReplicaObservation {
            start_ordered_at: now.saturating_sub(Duration::from_secs(since + ordered)),
            restarts,
            in_flight,
            queue_depth,
            kv_utilization: in_flight.map(|s| Sample::new(Utilization::ZERO, s.observed_at)),
            max_num_seqs: caps.0.and_then(Concurrency::new),
            kv_capacity_tokens: caps.1,
            counters,
            outstanding,
            machine: MachineState {
                image: Some(id % 2 == 0),
                weights: (id % 3 > 0).then_some(id % 3 == 1),
            },
            ..ReplicaObservation::untold(
                ReplicaId(id),
                phase,
                now.saturating_sub(Duration::from_secs(since)),
            )
        }
    })
}

fn gateway(now: Instant) -> impl Strategy<Value = Option<GatewayObservation>> {
    let counts = (0_u64..500, 0_u64..500, 0_u32..200, 0_u64..40, 0_u64..30);
    proptest::option::of(counts).prop_map(move |seen| {
        seen.map(|(arrivals, completions, held, over, age)| GatewayObservation {
            observed_at: now.saturating_sub(Duration::from_secs(age)),
            over: Duration::from_secs(over),
            arrivals,
            completions,
            failures: 0,
            rejections: 0,
            held,
            held_oldest: None,
            ttft: None,
            first_tokens: None,
            itl: None,
            engine_time: None,
        })
    })
}

fn observation(tick: u64, at: u64) -> impl Strategy<Value = Observation> {
    let now = Instant::ORIGIN.saturating_add(Duration::from_secs(5000 + at));
    let replicas = proptest::collection::vec(replica(now), 0..12);
    let quota = (proptest::option::of(0_u32..8), proptest::option::of(0_u32..12));
    let scheduled = proptest::collection::vec((0_u64..12_000, 0_u64..3_600, 0_u32..20), 0..3);
    let pinned = proptest::option::weighted(0.2, (0_u32..12).prop_map(ReplicaCount));
    let controls = (proptest::bool::weighted(0.1), pinned)
        .prop_map(|(paused, pinned)| Controls { paused, pinned });
    let demand = (sample(now, 0_u32..3), sample(now, 0_u64..3));
    let demand = demand.prop_map(|(held, arrivals)| DemandObservation { held, arrivals });
    let front = (gateway(now), proptest::option::of(demand));
    (replicas, front, quota, scheduled, controls).prop_map(
        move |(mut replicas, front, (replicas_placeable, allowed), scheduled, controls)| {
            replicas.sort_by_key(|r| r.id);
            replicas.dedup_by_key(|r| r.id);
            let scheduled = scheduled.into_iter().map(|(from, lasts, replicas)| ScheduledDemand {
                from: Instant::ORIGIN.saturating_add(Duration::from_secs(from)),
                until: Instant::ORIGIN.saturating_add(Duration::from_secs(from + lasts)),
                replicas: ReplicaCount(replicas),
            });
            Observation {
                gateway: front.0,
                demand: front.1,
                replicas_placeable,
                placeable_on: if tick.is_multiple_of(3) {
                    vec![MachineState::BARE]
                } else {
                    Vec::new()
                },
                replicas_allowed: allowed
                    .map(|most| Allowance { replicas: ReplicaCount(most), ..Allowance::default() }),
                scheduled: scheduled.collect(),
                controls,
                ..Observation::of(TickId(tick), now, replicas)
            }
        },
    )
}

fn observations() -> impl Strategy<Value = Vec<Observation>> {
    proptest::collection::vec(1_u64..400, 1..24).prop_flat_map(|steps| {
        let mut at = 0;
        let ticks = steps.into_iter().enumerate().map(|(tick, step)| {
            at += step;
            observation(tick as u64, at)
        });
        ticks.collect::<Vec<_>>()
    })
}

fn policy() -> impl Strategy<Value = PolicySpec> {
    let standby = proptest::option::of((0.0..1.0_f64, proptest::option::of(0_u32..3)));
    (0_u32..6, 0_u32..20, standby, 1_u32..5, 0.0..1.0_f64).prop_map(
        |(min, more, standby, shrink, share)| {
            let max = (min + more).max(1);
            PolicySpec {
                replicas_min: ReplicaCount(min),
                replicas_max: ReplicaCount(max),
                standby: standby.map(|(price, replicas)| Standby {
                    price: Probability::saturating(price),
                    wake_prior: Duration::from_secs(5),
                    replicas: replicas.map(|replicas| ReplicaCount(replicas.min(max))),
                }),
                scale_down_limit: ScaleRateLimit {
                    replicas: shrink,
                    share: Probability::saturating(share),
                    period: Duration::from_secs(30),
                },
                scale_down_window: Duration::from_secs(60),
                ..PolicySpec::default()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// D1 to D14, on every decision.
    #[test]
    fn hold_on_any_sequence(spec in policy(), sequence in observations()) {
        let policy = spec.validate().expect("the strategy makes valid policies");
        let mut memory = Memory::default();
        for observation in &sequence {
            let decision = decide(&policy, &memory, observation);
            if let Err(violation) = invariants::check(&policy, &memory, observation, &decision) {
                return Err(TestCaseError::fail(format!("{violation}\n{observation:#?}")));
            }
            prop_assert_eq!(&decision, &decide(&policy, &memory, observation));
            memory = decision.memory;
        }
    }

    /// More arrivals never make a smaller target.
    #[test]
    fn target_is_monotone_in_arrivals(base in 0_u64..300, more in 0_u64..300) {
        let target = |arrivals: u64| {
            let now = Instant::ORIGIN.saturating_add(Duration::from_secs(100));
            let gateway = GatewayObservation {
                observed_at: now,
                over: Duration::from_secs(20),
                arrivals,
                completions: 0,
                failures: 0,
                rejections: 0,
                held: 0,
                held_oldest: None,
                ttft: None,
                first_tokens: None,
                itl: None,
                engine_time: None,
            };
            let observation = Observation {
gateway: Some(gateway),
..Observation::of(TickId(0), now, Vec::new())
};
            let policy = PolicySpec::default().validate().expect("defaults are valid");
            decide(&policy, &Memory::default(), &observation).explanation.target
        };
        prop_assert!(target(base) <= target(base + more));
    }
}
