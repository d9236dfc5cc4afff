//! Demand from what is inside.

use std::time::Duration;

use super::*;
use crate::memory::LastTick;
use crate::observation::TickId;

fn at(secs: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
}

/// `(second, slots in use, requests inside)`, with requests that hold a slot for 5 s.
#[track_caller]
fn check(samples: &[(u64, u32, u32)], expected: Option<f64>) {
    let loads = samples.iter().map(|&(secs, in_flight, inside)| LoadSample {
        at: at(secs),
        in_flight: f64::from(in_flight),
        inside,
    });
    let memory = Memory { loads: loads.collect(), ..Memory::default() };
    let got = in_use(&PolicySpec::default(), &memory, Duration::from_secs(5));
    assert_eq!(got.map(Erlangs::get), expected);
}

#[test]
fn the_offered_load_is_what_is_in_use_and_what_comes_on_top() {
    // Steady.
    check(&[(0, 40, 40), (30, 40, 40)], Some(40.0));
    // 30 requests more than half a minute ago, each 5 s: 5 slots more would be in use.
    check(&[(0, 40, 40), (15, 40, 55), (30, 40, 70)], Some(45.0));
    // A queue that shrinks is no demand: 40 slots work, and 60 fewer are inside.
    check(&[(0, 40, 100), (30, 40, 40)], Some(30.0));
    check(&[(0, 1, 100), (30, 1, 1)], Some(0.0));
    // Too short a look, or none.
    check(&[(0, 40, 40), (10, 40, 40)], None);
    check(&[(30, 40, 40)], None);
    check(&[], None);
}

#[test]
fn arrivals_are_counted_once() {
    let bin = |end, arrivals| ArrivalBin { end: at(end), over: Duration::from_secs(2), arrivals };
    let mut memory = Memory {
        arrivals: [bin(2, 5), bin(4, 7)].into(),
        last: Some(LastTick { tick: TickId(1), at: at(2) }),
        ..Memory::default()
    };
    let counted = |memory: &Memory, source| arrivals_since_last(memory, source);
    assert_eq!(counted(&memory, ArrivalSource::Gateway), Some(7));
    assert_eq!(counted(&memory, ArrivalSource::Unknown), None);
    // A tick that comes late and finds nothing new does not count the last bin again.
    memory.last = Some(LastTick { tick: TickId(2), at: at(4) });
    assert_eq!(counted(&memory, ArrivalSource::Gateway), Some(0));
    memory.last = None;
    assert_eq!(counted(&memory, ArrivalSource::Gateway), None);
}

/// A third of a window's looks at requests of 5 s are independent; of requests of a minute, all.
#[test]
fn what_chance_alone_may_make_of_a_load_is_not_sure() {
    let spec = PolicySpec::default();
    let of = |load: f64, secs| {
        let demand = DemandExplanation {
            source: ArrivalSource::Engines,
            arrival_rate: RequestRate::ZERO,
            service_time: Duration::from_secs(secs),
            service_time_measured: true,
            requests_inside: None,
            offered_load: Erlangs::saturating(load),
        };
        sure(&spec, &demand)
    };
    for (load, secs, expected) in
        [(36.0, 5, 29.07), (36.0, 60, 24.0), (3600.0, 60, 3480.0), (1.0, 60, 0.0), (0.0, 5, 0.0)]
    {
        assert!((of(load, secs) - expected).abs() < 0.01, "{load}: {}", of(load, secs));
    }
}
