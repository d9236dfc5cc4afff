//! Which rule is followed, by what is expected of each.
//!
//! **Invariant:** it knows nothing of traffic or of what a rule is, but for the slots that it holds now.

/// By how much a miss may count for more than its share of the allowance: by as many steps, to four
/// times as much. Beyond, a surge that no rule could meet would make the dearest of them the best for
/// hours.
const PRICE_STEPS: u32 = 4;
const PRICE_STEP: f64 = std::f64::consts::SQRT_2;
/// An SLO that allows less than this is read as this.
const ALLOWANCE_MIN: f64 = 1e-5;
/// A rule comes close to the best one where this share more is paid for it, at most. The best of them
/// is that which was luckiest, and misses more than its record says.
pub(super) const CLOSE: f64 = 0.05;

/// What is expected of a rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    /// Share of requests missed.
    pub(super) misses: f64,
    /// Slots paid for, at their price, ÷ slots in use.
    pub(super) cost: f64,
}

impl Expected {
    /// What is paid, where a miss costs `price` times what serving a request costs at best. All that
    /// may be missed, `1 ÷ price` of the requests, then weigh as much as the whole load: where few
    /// may miss, each is dear. One price over all times spends the allowance where it saves most.
    pub(super) fn score(&self, price: f64) -> f64 {
        self.cost + price * self.misses
    }
}

/// What may be missed weighs as much as the whole load: where few may miss, each is dear.
pub(super) fn price_of_a_miss(allowance: f64) -> f64 {
    1.0 / allowance.max(ALLOWANCE_MIN)
}

/// Which rule is followed.
pub(super) struct Choice {
    /// Its number.
    pub(super) index: usize,
    /// What is expected of it.
    pub(super) expected: Expected,
    /// Rules that come close to the best one, with that.
    pub(super) close: u32,
}

impl Choice {
    /// Of these rules, of which there is one at least, by what each holds now. Where the best one is
    /// expected to miss more than the SLO allows, a miss counts for more, in up to [`PRICE_STEPS`]. Of
    /// those that come close to it, the one in the middle is followed.
    pub(super) fn of(
        rules: &[(usize, Expected)],
        allowance: f64,
        held: impl Fn(usize) -> f64,
    ) -> Self {
        let mut price = price_of_a_miss(allowance);
        let mut best = best_at(price, rules);
        for _ in 0..PRICE_STEPS {
            if best.1.misses <= allowance {
                break;
            }
            price *= PRICE_STEP;
            best = best_at(price, rules);
        }
        let limit = best.1.score(price) * (1.0 + CLOSE);
        let weight = |expected: &Expected| limit - expected.score(price);
        let close = rules.iter().filter(|(_, expected)| weight(expected) > 0.0);
        let mut close: Vec<Close> = close
            .map(|(index, expected)| Close {
                index: *index,
                expected: *expected,
                weight: weight(expected),
                held: held(*index),
            })
            .collect();
        // None comes close where nothing is paid for the best one, as nothing comes and none is held.
        let (index, expected) = middle(&mut close).map_or(best, |rule| (rule.index, rule.expected));
        Self { index, expected, close: u32::try_from(close.len()).unwrap_or(u32::MAX).max(1) }
    }
}

/// A rule that comes close to the best one.
struct Close {
    index: usize,
    expected: Expected,
    /// The more, the closer.
    weight: f64,
    held: f64,
}

/// The rule below and above which the others weigh the same, by what they hold.
fn middle(close: &mut [Close]) -> Option<&Close> {
    close.sort_unstable_by(|a, b| a.held.total_cmp(&b.held).then(a.index.cmp(&b.index)));
    let half = close.iter().map(|rule| rule.weight).sum::<f64>() / 2.0;
    let mut below = 0.0;
    let reached = |rule: &&Close| {
        below += rule.weight;
        below >= half
    };
    close.iter().find(reached)
}

/// The rule that is paid least for.
pub(super) fn best_at(price: f64, rules: &[(usize, Expected)]) -> (usize, Expected) {
    let mut best = rules[0];
    for other in &rules[1..] {
        if other.1.score(price) < best.1.score(price) {
            best = *other;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(expected: &[(f64, f64)]) -> Vec<(usize, Expected)> {
        expected
            .iter()
            .map(|(misses, cost)| Expected { misses: *misses, cost: *cost })
            .enumerate()
            .collect()
    }

    #[test]
    fn of_those_that_come_close_the_one_in_the_middle_is_followed() {
        // At 1 % a miss counts for 100, so these are paid 2.0, 2.02, 2.02 and 2.2 for.
        let rules = rules(&[(0.002, 1.8), (0.0, 2.02), (0.0001, 2.01), (0.005, 1.7)]);
        let choose = |held: [f64; 4]| Choice::of(&rules, 0.01, |index| held[index]);
        // The second and the third weigh more together than the first.
        let below = choose([10.0, 20.0, 30.0, 1_000.0]);
        assert_eq!((below.index, below.close), (1, 3));
        assert_eq!(below.expected, rules[1].1);
        assert_eq!(choose([25.0, 20.0, 30.0, 1_000.0]).index, 0);
        assert_eq!(choose([40.0, 20.0, 30.0, 1_000.0]).index, 2);
    }

    #[test]
    fn a_miss_counts_for_more_while_the_best_misses_too_much() {
        let rules = rules(&[(0.02, 1.0), (0.001, 5.0)]);
        let choose = |allowance| Choice::of(&rules, allowance, |_| 8.0);
        // 3.0 against 5.1 at 100 a miss; at 283 it is 6.7 against 5.3.
        assert_eq!(choose(0.01).index, 1);
        assert_eq!(choose(0.05).index, 0);
        assert_eq!(choose(0.01).expected, rules[1].1);
    }

    #[test]
    fn where_nothing_is_paid_the_best_one_is_followed() {
        let choice = Choice::of(&rules(&[(0.0, 0.0), (0.0, 1.0)]), 0.01, |index| index as f64);
        assert_eq!((choice.index, choice.close), (0, 1));
    }
}
