//! The answers: the optimum at a price per missed request, and the least cost at which at most a
//! share of the requests misses.
//!
//! **Invariant:** `V(p) = min over plans of cost + p · misses` is solved exactly, so
//! `V(p) − p · allowed` is a lower bound whatever p is; only how tight it is depends on the search.

use super::error::{OracleError, check_figure};
use super::level::{LevelPath, cheapest};
use super::plan::{Plan, Tally};
use super::problem::Oracle;
use super::splice::splice;
use super::trim::trim;

/// Prices tried at most. Each moves a corner of a convex hull; a real day takes about a dozen.
const SWEEPS_MAX: usize = 100;

/// A price is the best one when the optimum there is within this share of what the hull says.
const HULL_TOLERANCE: f64 = 1e-12;

/// Share of the requests by which sums of misses may be off: adding up to 2·10⁸ of them in another
/// order changes the last few digits. Kept free when filling the allowance.
const MISSES_ROUNDING: f64 = 1e-9;

/// The optimum when each missed request costs `price`.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedOptimum {
    /// As asked.
    pub price: f64,
    /// The plan.
    pub plan: Plan,
    /// What it comes to.
    pub tally: Tally,
}

/// The two references for "at most ε of the requests miss".
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// No plan of the slot model that misses at most `misses_allowed` costs less.
    pub bound: f64,
    /// The price per missed request at which the bound holds; infinite when nothing avoidable may
    /// miss.
    pub price: f64,
    /// Requests that may miss: ε of all, or the unavoidable ones if those are more.
    pub misses_allowed: f64,
    /// The best plan found that keeps to it.
    pub plan: Plan,
    /// What that comes to.
    pub tally: Tally,
}

/// The optimum at one price, level by level.
struct Solution {
    paths: Vec<LevelPath>,
    cost: f64,
    misses: f64,
}

impl Oracle {
    /// The optimum when each missed request costs `price`. An infinite price serves whatever can be
    /// served.
    ///
    /// # Errors
    /// When the price is negative or NaN.
    pub fn at_price(&self, price: f64) -> Result<PricedOptimum, OracleError> {
        if price != f64::INFINITY {
            check_figure("price", price)?;
        }
        let plan = self.plan(&self.solve(price));
        let tally = self.tally_checked(&plan);
        Ok(PricedOptimum { price, plan, tally })
    }

    /// The least cost at which at most `epsilon` of the requests miss: a bound and a plan.
    ///
    /// # Errors
    /// When `epsilon` is not from 0 to 1.
    pub fn at_most(&self, epsilon: f64) -> Result<Reference, OracleError> {
        if !(0.0..=1.0).contains(&epsilon) {
            let must = "from 0 to 1";
            return Err(OracleError::Figure { name: "epsilon", value: epsilon, must });
        }
        let allowed = (epsilon * self.requests()).max(self.misses_unavoidable());
        let dear = self.solve(f64::INFINITY);
        if allowed <= dear.misses {
            return Ok(self.exact(f64::INFINITY, allowed, &dear));
        }
        let cheap = self.solve(0.0);
        if cheap.misses <= allowed {
            return Ok(self.exact(0.0, allowed, &cheap));
        }
        Ok(self.between(cheap, dear, allowed))
    }

    /// Walks the hull of (misses, cost) to the edge over `allowed`: solve at the price of the chord
    /// between the two corners, until that finds nothing under the chord.
    fn between(&self, mut cheap: Solution, mut dear: Solution, allowed: f64) -> Reference {
        let (mut bound, mut best_price) = (0.0, 0.0);
        for _ in 0..SWEEPS_MAX {
            let price = (dear.cost - cheap.cost) / (cheap.misses - dear.misses);
            let found = self.solve(price);
            let value = found.cost + price * found.misses;
            if value - price * allowed > bound {
                (bound, best_price) = (value - price * allowed, price);
            }
            let chord = dear.cost + price * dear.misses;
            if value >= chord * (1.0 - HULL_TOLERANCE) {
                break;
            }
            if found.misses <= allowed {
                dear = found;
            } else {
                cheap = found;
            }
        }
        let spendable = allowed - MISSES_ROUNDING * self.requests();
        let mut plan = splice(self, &cheap.paths, &dear.paths, spendable - dear.misses);
        let spliced = self.tally_checked(&plan);
        trim(self, &mut plan, spendable - spliced.misses);
        let tally = self.tally_checked(&plan);
        // Where the bound is tight, rounding must not lift it over the plan.
        let bound = f64::min(bound, tally.cost);
        Reference { bound, price: best_price, misses_allowed: allowed, plan, tally }
    }

    /// A solution that is the answer itself.
    fn exact(&self, price: f64, misses_allowed: f64, solution: &Solution) -> Reference {
        let plan = self.plan(solution);
        let tally = self.tally_checked(&plan);
        Reference { bound: tally.cost, price, misses_allowed, plan, tally }
    }

    fn plan(&self, solution: &Solution) -> Plan {
        let slots = self.spec.demand.len();
        let mut plan = Plan::awake(vec![0; slots]);
        for path in &solution.paths {
            path.count(&mut plan);
        }
        plan
    }

    fn solve(&self, price: f64) -> Solution {
        let mut solution =
            Solution { paths: Vec::new(), cost: 0.0, misses: self.misses_unavoidable() };
        let (mut misses, mut scratch) = (Vec::new(), Vec::new());
        for level in 1..=self.levels {
            self.level_misses(level, &mut misses);
            let path = cheapest(&self.level_costs(level), &misses, price, &mut scratch);
            solution.cost += path.cost;
            solution.misses += path.misses;
            solution.paths.push(path);
        }
        solution
    }
}
