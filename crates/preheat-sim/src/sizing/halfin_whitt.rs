//! How many slots beyond the load keep P(wait) at a target, in the limit of many slots.
//!
//! Source: S. Halfin and W. Whitt, "Heavy-traffic limits for queues with many exponential servers",
//! Operations Research 29 (1981): with `slots = a + β·√a`, P(wait) goes to
//! `α(β) = 1 / (1 + β·Φ(β) / φ(β))`, Φ and φ being the standard normal distribution and density.

use std::f64::consts::{PI, SQRT_2};

/// α is below 1e-300 from here on.
const BETA_MAX: f64 = 38.0;
/// Halvings until the bracket is as narrow as a double can tell.
const HALVINGS: u32 = 64;

/// P(wait) with `beta · √load` slots beyond the load: α(β). At β = 0 everyone waits.
pub fn wait_probability_at(beta: f64) -> f64 {
    let density = libm::exp(-0.5 * beta * beta) / libm::sqrt(2.0 * PI);
    let distribution = 0.5 * libm::erfc(-beta / SQRT_2);
    density / (density + beta * distribution)
}

/// The β at which P(wait) is `wait_probability`, from 0 to 1, by halving a bracket: α falls.
///
/// Worked: 0.5, 0.2, 0.1, 0.05, 0.01 give 0.506, 1.062, 1.420, 1.740, 2.375.
pub fn beta(wait_probability: f64) -> f64 {
    let (mut low, mut high) = (0.0, BETA_MAX);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if wait_probability_at(middle) > wait_probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_numbers() {
        let worked = [(0.5, 0.506), (0.2, 1.062), (0.1, 1.420), (0.05, 1.740), (0.01, 2.375)];
        for (target, expected) in worked {
            let got = beta(target);
            assert!((got - expected).abs() < 0.0006, "P(wait) = {target}: {got}, not {expected}");
        }
    }

    #[test]
    fn it_solves_what_it_says() {
        for target in [0.999, 0.7, 0.3, 0.05, 1e-3, 1e-6, 1e-12] {
            let got = wait_probability_at(beta(target));
            assert!((got / target - 1.0).abs() < 1e-9, "{target}: {got}");
        }
        assert_eq!(wait_probability_at(0.0), 1.0);
        assert!(beta(1.0) < 1e-12);
    }
}
