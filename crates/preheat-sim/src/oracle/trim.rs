//! What is left of the allowance, spent at the edges: replicas that come a little later or go a
//! little earlier. A splice exchanges whole stretches, and the last may be too large to fit.
//!
//! **Invariant:** each step takes one replica-slot off and adds no start, so it saves at least a
//! replica-slot's price. Gaps only grow.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::plan::Plan;
use super::problem::Oracle;

/// Edges still to try, fewest misses first: misses (bits of a number that is not negative order as
/// it does), slot, and the count at which this was so.
type Edges = BinaryHeap<Reverse<(u64, usize, u32)>>;

/// Takes replicas away at the edges of `plan` while that misses no more than `allowance` more
/// requests. Plans that sleep are left alone.
pub(super) fn trim(oracle: &Oracle, plan: &mut Plan, mut allowance: f64) {
    if plan.sleeps() {
        return;
    }
    let mut edges = Edges::new();
    for slot in 0..plan.ready.len() {
        offer(oracle, &plan.ready, slot, &mut edges);
    }
    while let Some(Reverse((misses, slot, count))) = edges.pop() {
        let misses = f64::from_bits(misses);
        if misses > allowance {
            return;
        }
        if plan.ready[slot] != count {
            continue;
        }
        plan.ready[slot] -= 1;
        allowance -= misses;
        for slot in slot.saturating_sub(1)..(slot + 2).min(plan.ready.len()) {
            offer(oracle, &plan.ready, slot, &mut edges);
        }
    }
}

/// Adds `slot` if there are fewer replicas before or after it.
fn offer(oracle: &Oracle, ready: &[u32], slot: usize, edges: &mut Edges) {
    let count = ready[slot];
    let before = slot.checked_sub(1).map_or(oracle.opening_ready(), |before| ready[before]);
    let after = ready.get(slot + 1).copied().unwrap_or(0);
    if count > before.min(after) {
        let misses = oracle.spec.demand[slot].misses_of(count);
        edges.push(Reverse((misses.to_bits(), slot, count)));
    }
}
