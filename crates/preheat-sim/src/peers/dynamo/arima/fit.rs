//! The parameters of one ARIMA model that make a series likeliest.
//!
//! Source: exact maximum likelihood as statsmodels 0.15 `SARIMAX.fit` does it: L-BFGS with its
//! default limits over the intercept, free numbers for the AR and MA parts, and the standard
//! deviation. It stops early where a series is short or its values large, and which order a search
//! ends with hangs on where it stopped; so the way there is theirs, too.
//!
//! **Invariant:** the model is stationary and invertible.

use super::Order;
use super::lbfgs::{FREE_MAX, Point, minimize};
use super::polynomial::Coefficients;
use super::state_space::StateSpace;

/// Where the search is.
struct Search<'a> {
    series: &'a [f64],
    order: Order,
}

/// The likeliest model that so many iterations from `start` find; `None` where nothing is likely.
pub(super) fn fit(
    series: &[f64],
    order: Order,
    start: &StateSpace,
    iterations: u32,
) -> Option<StateSpace> {
    let search = Search { series, order };
    let begin = search.free(start)?;
    let end = minimize(begin, order.parameters(), iterations, |point| search.objective(point))?;
    Some(search.model(&end))
}

impl Search<'_> {
    /// The numbers that are searched: intercept, AR, MA, standard deviation.
    fn free(&self, model: &StateSpace) -> Option<Point> {
        let ar = model.ar.to_free()?;
        let ma = model.ma.map(|value| -value).to_free()?;
        let intercept = self.order.has_intercept.then_some(model.intercept);
        let lags = ar.iter().chain(ma.iter()).map(|value| -value);
        let values = intercept.into_iter().chain(lags).chain([libm::sqrt(model.variance)]);
        let mut point = [0.0; FREE_MAX];
        point.iter_mut().zip(values).for_each(|(to, from)| *to = from);
        Some(point)
    }

    fn model(&self, point: &Point) -> StateSpace {
        let Order { p, d, q, has_intercept } = self.order;
        let first = usize::from(has_intercept);
        let deviation = point[first + p + q];
        let polynomial = |begin: usize, count: usize| {
            let free = Coefficients::new(&point[begin..begin + count]).map(|value| -value);
            Coefficients::from_free(&free)
        };
        StateSpace {
            intercept: if has_intercept { point[0] } else { 0.0 },
            ar: polynomial(first, p),
            d,
            ma: polynomial(first + p, q).map(|value| -value),
            variance: deviation * deviation,
        }
    }

    /// Negative log-likelihood per value.
    fn objective(&self, point: &Point) -> Option<f64> {
        let found = self.model(point).filter(self.series)?;
        Some(-found.log_likelihood / self.series.len() as f64)
    }
}
