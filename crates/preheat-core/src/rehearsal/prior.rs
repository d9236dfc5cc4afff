//! What is believed of a rule before it has a record.
//!
//! Both figures are products of powers, fitted by least squares on logarithms to what the rules came
//! to on public traces of bursty traffic (Azure's code service and days 0 and 1 of ServeGen's m-large,
//! at a cold start of 180 s). They only have to be of the right order: a few lead times of the pool's
//! own traffic outweigh them.

use std::sync::LazyLock;
use std::time::Duration;

use super::rule::{RULES, Rule, rule};

/// Of each rule. No part of it depends on how long a start takes.
pub(crate) static PRIORS: LazyLock<[Prior; RULES]> =
    LazyLock::new(|| std::array::from_fn(|index| Prior::of(&rule(index, Duration::ZERO))));

/// Requests missed and capacity held, as shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prior {
    /// Missed ÷ all requests.
    pub(crate) misses: f64,
    /// Slots paid for ÷ slots in use.
    pub(crate) cost: f64,
}

/// Lead times of the window that the fit counts in: a minute, where a start took three.
const HOLD_UNIT: f64 = 1.0 / 3.0;

/// What tells the longer windows from the shorter.
const LONG: Duration = Duration::from_secs(3600);

impl Prior {
    fn of(rule: &Rule) -> Self {
        let hold = rule.hold_lead_times / HOLD_UNIT;
        let (misses_tail, cost_tail) = match rule.tail {
            None => (1.0, 1.0),
            Some(tail) if tail.window < LONG => (0.72, 1.06),
            // 0.27 and 1.44 at the share of 0.6 that was fitted.
            Some(tail) => (libm::exp(-2.2 * tail.share), libm::exp(0.6 * tail.share)),
        };
        // Seeing a jump later misses more of it; overlooking short peaks is cheaper.
        let (misses_smoothed, cost_smoothed) = if rule.smoothed { (1.4, 0.97) } else { (1.0, 1.0) };
        let misses = 1.15 * libm::pow(rule.factor, -3.85) * libm::exp(-0.32 * rule.beta);
        let cost = 2.23 * libm::pow(rule.factor, 0.87) * libm::exp(0.062 * rule.beta);
        Self {
            misses: (misses * libm::pow(hold, -0.75) * misses_tail * misses_smoothed).min(1.0),
            cost: cost * libm::pow(hold, 0.12) * cost_tail * cost_smoothed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_dearer_and_misses_less() {
        let priors: Vec<(Rule, Prior)> = {
            let rules = (0..RULES).map(|index| rule(index, Duration::from_secs(180)));
            rules.map(|rule| (rule, Prior::of(&rule))).collect()
        };
        for (rule, prior) in &priors {
            assert!((0.0..=1.0).contains(&prior.misses) && prior.cost >= 1.0, "{rule:?}");
            for (other, more) in &priors {
                let alike = other.beta == rule.beta
                    && other.tail == rule.tail
                    && other.smoothed == rule.smoothed;
                if alike && other.factor > rule.factor && other.hold >= rule.hold {
                    assert!(more.misses <= prior.misses && more.cost > prior.cost, "{other:?}");
                }
            }
        }
    }
}
