//! Erlang's delay formula: who waits, and for how long, where requests find slots and one queue.
//!
//! Source: A. K. Erlang (1917), as in any text on queueing; the recurrence is the usual one. It
//! assumes random (Poisson) arrivals, exponential service times, one queue for all slots, and that
//! nobody gives up. The last three are harsher or kinder than an engine; `docs/sizing.md` says how.
//!
//! **Invariant:** no factorials and no powers of the load, so nothing overflows: ten million slots
//! are as exact as ten.

/// P(wait) by Erlang's formula C for `slots` slots and `load` erlangs; 1 where the load is at or
/// above the slots, for then the queue grows without bound.
///
/// `C = B / (1 − ρ·(1 − B))` with `ρ = load / slots` and Erlang's loss formula B. Worked: 1 slot at
/// 0.8 erlangs gives 0.8, 2 at 1 give 1/3, 10 at 8 give 0.409.
///
/// Traffic that is `dispersion` times as uneven as random is taken as Poisson traffic of
/// `1 / dispersion` as many, larger requests: `C(slots / z, load / z)`, Hayward's approximation (A.
/// A. Fredericks, "Congestion in blocking systems – a simple approximation technique", BSTJ 59,
/// 1980), used for delay. In the limit of many slots it is the Halfin–Whitt formula with β / √z.
pub fn wait_probability(slots: f64, load: f64, dispersion: f64) -> f64 {
    let (slots, load) = (slots / dispersion, load / dispersion);
    if slots <= load {
        return 1.0;
    }
    let blocked = loss_probability(slots, load);
    blocked / (1.0 - load / slots * (1.0 - blocked))
}

/// P(wait > t), where `services` is t in mean service times: those who wait do so for an
/// exponential time, `P(wait) · e^(−(slots − load)/z · services)`. With `z` as in
/// [`wait_probability`].
///
/// Worked: 10 slots at 8 erlangs, for more than a mean service time: 0.409 · e⁻² = 0.055.
pub fn wait_probability_beyond(slots: f64, load: f64, dispersion: f64, services: f64) -> f64 {
    if slots <= load {
        return 1.0;
    }
    let spare = (slots - load) / dispersion;
    wait_probability(slots, load, dispersion) * libm::exp(-spare * services)
}

/// Erlang's loss formula B by `B(n) = a·B(n−1) / (n + a·B(n−1))`, from `B(x) = (a / (1 + a))^x` for
/// the fraction x of a slot that is left over: exact for whole slots, where x is 0, and within a few
/// per cent between them.
fn loss_probability(slots: f64, load: f64) -> f64 {
    let whole = libm::floor(slots);
    let fraction = slots - whole;
    let mut blocked = libm::pow(load / (1.0 + load), fraction);
    for slot in 1..=whole as u64 {
        let carried = load * blocked;
        blocked = carried / (fraction + slot as f64 + carried);
        // What is below the smallest number stays there.
        if blocked == 0.0 {
            break;
        }
    }
    blocked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(slots: f64, load: f64, expected: f64) {
        let got = wait_probability(slots, load, 1.0);
        assert!((got / expected - 1.0).abs() < 1e-9, "{slots} {load}: {got}, not {expected}");
    }

    /// The formula as textbooks have it, for few slots.
    fn by_sum(slots: u32, load: f64) -> f64 {
        let mut term = 1.0;
        let mut sum = 0.0;
        for n in 0..slots {
            sum += term;
            term *= load / f64::from(n + 1);
        }
        let last = term * f64::from(slots) / (f64::from(slots) - load);
        last / (sum + last)
    }

    /// B for a fraction of slots: `1/B = ∫₀^∞ e⁻ᵘ (1 + u/a)^slots du`, by the trapezium rule.
    fn by_integral(slots: f64, load: f64) -> f64 {
        const STEPS: u32 = 400_000;
        let at = |u: f64| libm::exp(slots * libm::log1p(u / load) - u);
        let width = 200.0 / f64::from(STEPS);
        let inner: f64 = (1..STEPS).map(|step| at(f64::from(step) * width)).sum();
        1.0 / (width * (inner + 0.5 * at(0.0)))
    }

    #[test]
    fn textbook_values() {
        check(1.0, 0.8, 0.8);
        check(2.0, 1.0, 1.0 / 3.0);
        check(3.0, 1.0, 1.0 / 11.0);
        check(5.0, 4.0, 0.554_112_554_112_554);
        check(8.0, 8.0, 1.0);
        check(8.0, 9.0, 1.0);
    }

    #[test]
    fn the_recurrence_is_the_sum() {
        for slots in [1, 2, 7, 10, 64, 100] {
            for utilization in [0.1, 0.5, 0.8, 0.95, 0.999] {
                let load = utilization * f64::from(slots);
                check(f64::from(slots), load, by_sum(slots, load));
            }
        }
    }

    #[test]
    fn many_slots_neither_overflow_nor_vanish() {
        // With β fixed the formula goes to the Halfin–Whitt limit, slower than 1/√slots.
        for load in [1e4, 1e6] {
            let got = wait_probability(load + libm::sqrt(load), load, 1.0);
            let limit = crate::sizing::wait_probability_at(1.0);
            assert!((got - limit).abs() < 1.0 / libm::sqrt(load), "{load}: {got}, not {limit}");
        }
        assert_eq!(wait_probability(1e6, 10.0, 1.0), 0.0);
    }

    #[test]
    fn between_whole_slots_it_is_near_the_integral() {
        for (slots, load) in [(2.5, 2.0), (10.3, 8.0), (40.75, 36.0), (5.5, 20.0), (1.5, 0.5)] {
            let (got, exact) = (loss_probability(slots, load), by_integral(slots, load));
            assert!((got / exact - 1.0).abs() < 0.05, "{slots} {load}: {got}, not {exact}");
        }
    }

    #[test]
    fn those_who_wait_do_so_for_an_exponential_time() {
        let got = wait_probability_beyond(10.0, 8.0, 1.0, 1.0);
        assert!((got - by_sum(10, 8.0) * libm::exp(-2.0)).abs() < 1e-12, "{got}");
        assert_eq!(wait_probability_beyond(8.0, 8.0, 1.0, 1e9), 1.0);
        assert_eq!(wait_probability_beyond(10.0, 8.0, 1.0, 0.0), wait_probability(10.0, 8.0, 1.0));
    }
}
