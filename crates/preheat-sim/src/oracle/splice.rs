//! From two optima to a plan that uses the allowance up.
//!
//! `dear` is optimal at some price per miss, and `cheap` at a lower one (at the best price, if the
//! search for it ended, both are). Where both have a level in the same state, one may be left for
//! the other, so each stretch between two such slots can be exchanged alone. Both are optimal on the
//! stretch too: at its own price neither gains by the exchange. Those two inequalities say that no
//! stretch of `cheap` misses less or costs more than the one of `dear` that it replaces.
//!
//! **Invariant:** the result misses at most `allowance` more requests than `dear`, and costs no
//! more.
//! **Invariant:** at the best price the result is optimal as well. So no gap in it is shorter than
//! the lead time (bridging it would be cheaper), and a start in flight never meets a stop.

use super::level::{LevelPath, State};
use super::plan::Plan;
use super::problem::Oracle;

/// A stretch of a level in which `cheap` and `dear` differ.
struct Stretch {
    level: u32,
    from: usize,
    until: usize,
    misses: f64,
}

/// `dear`, with those stretches of `cheap` that fit the allowance, the largest first.
pub(super) fn splice(
    oracle: &Oracle,
    cheap: &[LevelPath],
    dear: &[LevelPath],
    allowance: f64,
) -> Plan {
    let slots = oracle.spec.demand.len();
    let (mut of_dear, mut of_cheap) = (vec![State::Off; slots], vec![State::Off; slots]);
    let mut misses = Vec::new();
    let mut stretches = Vec::new();
    for ((level, dear), cheap) in (1_u32..).zip(dear).zip(cheap) {
        oracle.level_misses(level, &mut misses);
        dear.write(&mut of_dear);
        cheap.write(&mut of_cheap);
        differences(level, &of_dear, &of_cheap, &misses, &mut stretches);
    }
    let mut taken = that_fit(stretches, allowance).into_iter().peekable();
    let mut plan = Plan::awake(vec![0; slots]);
    for ((level, dear), cheap) in (1_u32..).zip(dear).zip(cheap) {
        if taken.peek().is_none_or(|stretch| stretch.level != level) {
            dear.count(&mut plan);
            continue;
        }
        dear.write(&mut of_dear);
        cheap.write(&mut of_cheap);
        while let Some(Stretch { from, until, .. }) = taken.next_if(|next| next.level == level) {
            of_dear[from..until].copy_from_slice(&of_cheap[from..until]);
        }
        for (slot, state) in of_dear.iter().enumerate() {
            plan.ready[slot] += u32::from(*state == State::Ready);
            plan.asleep[slot] += u32::from(*state == State::Asleep);
        }
    }
    plan
}

/// Finds the stretches of one level, and what `cheap` misses more in each.
fn differences(
    level: u32,
    dear: &[State],
    cheap: &[State],
    misses: &[f64],
    into: &mut Vec<Stretch>,
) {
    let mut open: Option<Stretch> = None;
    for (slot, (dear, cheap)) in dear.iter().zip(cheap).enumerate() {
        if dear == cheap {
            into.extend(open.take());
            continue;
        }
        let stretch = open.get_or_insert(Stretch { level, from: slot, until: slot, misses: 0.0 });
        stretch.until = slot + 1;
        let missed = |state: &State| if *state == State::Ready { 0.0 } else { misses[slot] };
        stretch.misses += missed(cheap) - missed(dear);
    }
    into.extend(open);
}

/// Those to take, by level. At the best price all save the same per miss.
fn that_fit(mut stretches: Vec<Stretch>, allowance: f64) -> Vec<Stretch> {
    // Equal ones keep their order.
    stretches.sort_by(|a, b| b.misses.total_cmp(&a.misses));
    let mut left = allowance;
    stretches.retain(|stretch| {
        let fits = stretch.misses <= left;
        if fits {
            left -= stretch.misses;
        }
        fits
    });
    stretches.sort_by_key(|stretch| (stretch.level, stretch.from));
    stretches
}
