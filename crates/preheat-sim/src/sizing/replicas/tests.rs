//! Worked numbers, what is refused, and which way answers move.

use proptest::prelude::*;

use super::*;

fn load(qps: f64, service_s: f64, slots: u32) -> LoadSpec {
    LoadSpec {
        arrival_rate: RequestRate::new(qps).unwrap(),
        service_time: Duration::from_secs_f64(service_s),
        concurrency: Concurrency::new(slots).unwrap(),
    }
}

fn wait(wait_probability: f64, dispersion: f64) -> WaitSpec {
    WaitSpec { wait_probability, dispersion, wait_max: Duration::from_secs(2) }
}

#[test]
fn worked_numbers() {
    for (qps, service_s, slots, target, dispersion, expected) in [
        // 320 erlangs fill 5 replicas of 64; 351.1 slots are 6.
        (40.0, 8.0, 64, 0.05, 1.0, (5, 6)),
        // Four times as uneven: 382.2 slots are 6, but with those C(96, 80) = 0.0538 wait.
        (40.0, 8.0, 64, 0.05, 4.0, (5, 7)),
        // 400 erlangs over 8 slots are 50; 400 + 1.74 · 20 = 434.8 are 55.
        (50.0, 8.0, 8, 0.05, 1.0, (50, 55)),
        // 400 + 2.37 · 20 = 447.5 are 56, but with those C(448, 400) = 0.0110 wait.
        (50.0, 8.0, 8, 0.01, 1.0, (50, 57)),
        // 1 erlang, 1 slot: the square root asks for 2.74 and Erlang's formula at 3 is 1/11.
        (1.0, 1.0, 1, 0.05, 1.0, (1, 4)),
        (1.0, 1.0, 1, 0.10, 1.0, (1, 3)),
        // Next to nothing still needs a replica.
        (0.001, 1.0, 256, 0.05, 1.0, (1, 1)),
        // 0.1 · 3 is a little more than 0.3 in doubles; it is no further replica.
        (0.1, 30.0, 1, 0.9, 1.0, (3, 4)),
    ] {
        let sizing = size(&load(qps, service_s, slots), &wait(target, dispersion)).unwrap();
        let got = (sizing.without_headroom.replicas, sizing.with_headroom.replicas);
        assert_eq!(got, expected, "{qps} {service_s} {slots} {target} {dispersion}");
    }
}

#[test]
fn an_answer_says_how_it_came_about() {
    let sizing = size(&load(40.0, 8.0, 64), &wait(0.05, 1.0)).unwrap();
    assert_eq!((sizing.offered_load, sizing.arrival_rate_max), (320.0, 8.0));
    assert!((sizing.headroom_slots - 31.12).abs() < 0.01, "{sizing:?}");
    let (bare, enough) = (sizing.without_headroom, sizing.with_headroom);
    assert_eq!((bare.slots, bare.utilization, bare.wait_probability), (320, 1.0, 1.0));
    assert_eq!(bare.wait_probability_beyond, 1.0);
    assert_eq!((enough.slots, enough.utilization), (384, 320.0 / 384.0));
    assert!((enough.wait_probability - 0.000299).abs() < 0.000001, "{enough:?}");
    // 64 spare slots free up at 8 a second: 2 s are 16 mean gaps.
    let beyond = enough.wait_probability * libm::exp(-16.0);
    assert!((enough.wait_probability_beyond / beyond - 1.0).abs() < 1e-9, "{enough:?}");
}

#[test]
fn figures_out_of_range_are_refused() {
    let fine = load(40.0, 8.0, 64);
    for (load, wait, expected) in [
        (load(0.0, 8.0, 64), wait(0.05, 1.0), "the arrival rate is 0; it must be"),
        (load(40.0, 0.0, 64), wait(0.05, 1.0), "the service time is 0; it must be"),
        (fine, wait(0.0, 1.0), "the target for P(wait) is 0; it must be"),
        (fine, wait(1.0, 1.0), "the target for P(wait) is 1; it must be"),
        (fine, wait(f64::NAN, 1.0), "the target for P(wait) is NaN; it must be"),
        (fine, wait(0.05, 0.0), "the dispersion is 0; it must be"),
        (fine, wait(0.05, f64::INFINITY), "the dispersion is inf; it must be"),
        (load(1e9, 8.0, 64), wait(0.05, 1.0), "the load takes 8000000000 slots, more than 1000"),
    ] {
        let error = size(&load, &wait).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn the_largest_pool_is_sized() {
    let sizing = size(&load(9e5, 10.0, 1000), &wait(0.05, 1.0)).unwrap();
    assert_eq!(sizing.without_headroom.replicas, 9_000);
    assert_eq!(sizing.with_headroom.replicas, 9_006);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// The invariants of this module, and which way each figure moves the answer.
    #[test]
    fn answers_move_the_right_way(
        qps in 0.01_f64..500.0,
        service_s in 0.01_f64..60.0,
        slots in 1_u32..1024,
        target in 0.0001_f64..0.9,
        dispersion in 0.5_f64..8.0,
        more in 1.0_f64..3.0,
    ) {
        let of = |qps, service_s, slots, target, dispersion| {
            size(&load(qps, service_s, slots), &wait(target, dispersion)).unwrap()
        };
        let sizing = of(qps, service_s, slots, target, dispersion);
        let (bare, enough) = (sizing.without_headroom, sizing.with_headroom);
        prop_assert!(bare.replicas <= enough.replicas);
        prop_assert!(bare.utilization <= 1.0 + 1e-9 && enough.utilization < 1.0);
        prop_assert!(enough.wait_probability <= target);
        prop_assert!(enough.wait_probability <= bare.wait_probability);
        for staffing in [bare, enough] {
            let (all, long) = (staffing.wait_probability, staffing.wait_probability_beyond);
            prop_assert!((0.0..=1.0).contains(&all) && (0.0..=all).contains(&long));
        }
        // One replica fewer would be too few for the load.
        let fewer = f64::from(bare.slots) - f64::from(slots);
        prop_assert!(fewer < sizing.offered_load);
        for harder in [
            of(qps * more, service_s, slots, target, dispersion),
            of(qps, service_s * more, slots, target, dispersion),
            of(qps, service_s, slots, target / more, dispersion),
            of(qps, service_s, slots, target, dispersion * more),
        ] {
            prop_assert!(harder.without_headroom.replicas >= bare.replicas);
            prop_assert!(harder.with_headroom.replicas >= enough.replicas);
        }
        let larger = of(qps, service_s, slots.saturating_mul(2), target, dispersion);
        prop_assert!(larger.with_headroom.replicas <= enough.replicas);
    }

    /// P(wait) falls with slots and rises with load, by fractions too.
    #[test]
    fn waiting_falls_with_slots_and_rises_with_load(
        load in 0.01_f64..5_000.0,
        spare in 0.01_f64..3.0,
        more in 0.0_f64..20.0,
        dispersion in 0.5_f64..8.0,
    ) {
        let slots = load + spare * libm::sqrt(load) + 0.1;
        let few = wait_probability(slots, load, dispersion);
        prop_assert!((0.0..=1.0).contains(&few));
        prop_assert!(wait_probability(slots + more, load, dispersion) <= few + 1e-12);
        prop_assert!(wait_probability(slots, load + more, dispersion) >= few - 1e-12);
    }
}
