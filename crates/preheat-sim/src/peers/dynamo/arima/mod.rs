//! ARIMA whose orders are searched, and whose parameters follow the series from there.
//!
//! Source: pmdarima 2.1 `auto_arima` with its defaults and without seasons, as Dynamo calls it, and
//! `ARIMA.update`; after Hyndman and Khandakar (2008), but by AIC. The number of differences is the
//! smallest whose result passes the KPSS test for a level at 5 %.
//!
//! **Invariant:** orders are searched once, in [`Arima::search`]; [`Arima::update`] keeps them.

mod fit;
mod lbfgs;
mod polynomial;
mod start;
mod state_space;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use polynomial::ORDER_MAX;
use state_space::StateSpace;

/// Iterations of a first fit (`maxiter`).
const ITERATIONS: u32 = 50;
/// Iterations after each new value, from the parameters before.
const ITERATIONS_UPDATE: u32 = 5;
/// Models that one search tries at most.
const TRIED_MAX: usize = 100;
/// An inverse root beyond this is too close to the unit circle.
const ROOT_MAX: f64 = 0.99;
/// Differences at most.
const D_MAX: usize = 2;
/// The KPSS statistic of a level at 5 %.
const KPSS_LEVEL_5_PERCENT: f64 = 0.463;

/// Which lags a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Order {
    pub(super) p: usize,
    pub(super) d: usize,
    pub(super) q: usize,
    pub(super) has_intercept: bool,
}

impl Order {
    /// Free parameters, the variance among them.
    fn parameters(self) -> usize {
        self.p + self.q + usize::from(self.has_intercept) + 1
    }

    /// No more than differences and an intercept.
    pub(super) const fn is_trivial(self) -> bool {
        self.p == 0 && self.q == 0
    }
}

/// A model with its parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arima {
    order: Order,
    model: StateSpace,
}

impl Arima {
    /// The model of least AIC on a stepwise way through the orders. `None` if none can be fitted.
    pub(super) fn search(series: &[f64]) -> Option<Self> {
        let d = differences(series);
        let differenced = difference(series, d);
        if is_constant(&differenced) {
            let order = Order { p: 0, d, q: 0, has_intercept: true };
            return Self::fit(series, order).map(|(found, _)| found);
        }
        Stepwise { series, tried: BTreeSet::new(), best: None }.run(d)
    }

    /// Takes in that the series has grown.
    pub(super) fn update(&mut self, series: &[f64]) {
        if let Some(model) = fit::fit(series, self.order, &self.model, ITERATIONS_UPDATE) {
            self.model = model;
        }
    }

    /// The value after the series.
    pub(super) fn next(&self, series: &[f64]) -> Option<f64> {
        self.model.filter(series).map(|filtered| filtered.next)
    }

    pub(super) const fn order(&self) -> Order {
        self.order
    }

    /// A fitted model and its AIC.
    fn fit(series: &[f64], order: Order) -> Option<(Self, f64)> {
        let start = start::start(&difference(series, order.d), order);
        let model = fit::fit(series, order, &start, ITERATIONS)?;
        let likelihood = model.filter(series)?.log_likelihood;
        let aic = 2.0 * order.parameters() as f64 - 2.0 * likelihood;
        Some((Self { order, model }, aic))
    }

    /// Roots too near the unit circle. As in the original, those of the AR part count only where
    /// there is no MA part.
    fn is_degenerate(&self) -> bool {
        if self.order.q > 0 {
            !self.model.ma.map(|value| -value).is_within(ROOT_MAX)
        } else {
            !self.model.ar.is_within(ROOT_MAX)
        }
    }
}

/// A walk through the orders.
struct Stepwise<'a> {
    series: &'a [f64],
    tried: BTreeSet<Order>,
    best: Option<(Arima, f64)>,
}

impl Stepwise<'_> {
    fn run(mut self, d: usize) -> Option<Arima> {
        let count = self.series.len();
        let most = ORDER_MAX.min(count / 3);
        let first = if count < 10 { 1 } else { 2 }.min(most);
        let mut at = Order { p: first, d, q: first, has_intercept: d < 2 };
        self.is_better(at);
        let null = Order { p: 0, q: 0, ..at };
        let mut begins = vec![null];
        if most > 0 {
            begins.extend([Order { p: 1, ..null }, Order { q: 1, ..null }]);
        }
        if null.has_intercept {
            begins.push(Order { has_intercept: false, ..null });
        }
        for begin in begins {
            if self.is_better(begin) {
                // The model without an intercept tells where to go on, not whether to have one.
                at = Order { has_intercept: at.has_intercept, ..begin };
            }
        }
        while let Some(next) = self.neighbour(at, most) {
            at = next;
        }
        self.best.map(|(found, _)| found)
    }

    /// The first neighbour that is better than all so far.
    fn neighbour(&mut self, at: Order, most: usize) -> Option<Order> {
        const WAYS: [(isize, isize); 8] =
            [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)];
        let moved = |from: usize, by: isize| from.checked_add_signed(by).filter(|to| *to <= most);
        let ways = WAYS
            .iter()
            .filter_map(|(p, q)| Some(Order { p: moved(at.p, *p)?, q: moved(at.q, *q)?, ..at }));
        let other = Order { has_intercept: !at.has_intercept, ..at };
        ways.chain([other]).find(|order| self.tried.len() < TRIED_MAX && self.is_better(*order))
    }

    /// Whether this order is new, and better than all so far.
    fn is_better(&mut self, order: Order) -> bool {
        if !self.tried.insert(order) {
            return false;
        }
        let Some((found, aic)) = Arima::fit(self.series, order) else { return false };
        let is_better = !found.is_degenerate() && self.best.is_none_or(|(_, best)| aic < best);
        if is_better {
            self.best = Some((found, aic));
        }
        is_better
    }
}

fn difference(series: &[f64], d: usize) -> Vec<f64> {
    let mut result = series.to_vec();
    for _ in 0..d {
        result = result.windows(2).map(|pair| pair[1] - pair[0]).collect();
    }
    result
}

fn is_constant(series: &[f64]) -> bool {
    series.windows(2).all(|pair| pair[0] == pair[1])
}

/// How often to difference until it is stationary.
fn differences(series: &[f64]) -> usize {
    (0..D_MAX)
        .find(|d| {
            let differenced = difference(series, *d);
            is_constant(&differenced) || kpss(&differenced) <= KPSS_LEVEL_5_PERCENT
        })
        .unwrap_or(D_MAX)
}

/// The statistic of Kwiatkowski, Phillips, Schmidt and Shin (1992) for a level, with a Bartlett
/// window of ⌊4 (n ÷ 100)^¼⌋ lags.
fn kpss(series: &[f64]) -> f64 {
    let n = series.len() as f64;
    let level = series.iter().sum::<f64>() / n;
    let rest: Vec<f64> = series.iter().map(|value| value - level).collect();
    let sums = rest.iter().scan(0.0, |sum, value| {
        *sum += value;
        Some(*sum * *sum)
    });
    let eta = sums.sum::<f64>() / (n * n);
    let lags = libm::floor(4.0 * libm::pow(n / 100.0, 0.25)) as usize;
    let covariance =
        |lag: usize| rest.iter().skip(lag).zip(&rest).map(|(a, b)| a * b).sum::<f64>() / n;
    let weighted =
        (1..=lags).map(|lag| 2.0 * (1.0 - lag as f64 / (lags as f64 + 1.0)) * covariance(lag));
    eta / (covariance(0) + weighted.sum::<f64>())
}
