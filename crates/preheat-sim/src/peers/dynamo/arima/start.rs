//! Where the search for an ARMA model's parameters begins: least squares on lagged values and on
//! the residuals of a longer autoregression.
//!
//! Source: Hannan and Rissanen (1982), as in statsmodels 0.15 `SARIMAX.start_params`. Where values
//! are fewer than parameters, it is the solution of least norm.
//!
//! **Invariant:** what it returns is stationary and invertible.

use super::Order;
use super::polynomial::{Coefficients, ORDER_MAX};
use super::state_space::StateSpace;

/// Regressors at most: an intercept, p and q lags; or the 2q lags of the long autoregression.
const REGRESSORS_MAX: usize = 2 * ORDER_MAX + 1;
/// Added to the diagonal of a normal matrix, as a share of it.
const RIDGE: f64 = 1e-12;
/// Least variance to begin with.
const VARIANCE_MIN: f64 = 1e-10;

/// Parameters to begin with, for a series that has been differenced already.
pub(super) fn start(differenced: &[f64], order: Order) -> StateSpace {
    let Order { p, d, q, has_intercept } = order;
    let (coefficients, residuals) =
        estimate(differenced, order).unwrap_or_else(|| too_few(differenced, q));
    let first = usize::from(has_intercept);
    let valid = |values: &[f64], sign: f64| {
        let found = Coefficients::new(values);
        let is_valid = found.map(|value| sign * value).is_within(1.0);
        if is_valid { found } else { found.map(|_| 0.0) }
    };
    let variance = if order.parameters() == 1 {
        mean(differenced.iter().map(|value| value * value))
    } else if residuals.len() > q.max(1) {
        mean(residuals.iter().skip(q).map(|value| value * value))
    } else {
        let level = mean(differenced.iter().copied());
        mean(differenced.iter().map(|value| (value - level) * (value - level)))
    };
    StateSpace {
        intercept: if has_intercept { coefficients[0] } else { 0.0 },
        ar: valid(&coefficients[first..first + p], 1.0),
        d,
        ma: valid(&coefficients[first + p..first + p + q], -1.0),
        variance: variance.max(VARIANCE_MIN),
    }
}

/// All zero, and the series itself as residuals.
fn too_few(differenced: &[f64], q: usize) -> ([f64; REGRESSORS_MAX], Vec<f64>) {
    let level = mean(differenced.iter().copied());
    let rest = differenced.iter().map(|value| value - level);
    ([0.0; REGRESSORS_MAX], std::iter::repeat_n(0.0, 2 * q).chain(rest).collect())
}

/// Coefficients, the intercept first, and residuals; `None` if there are fewer values than lags.
fn estimate(series: &[f64], order: Order) -> Option<([f64; REGRESSORS_MAX], Vec<f64>)> {
    let Order { p, q, has_intercept, .. } = order;
    let long = 2 * q;
    let skipped = (long + q).max(p);
    if skipped > series.len() {
        return None;
    }
    let lags = |time: usize, count: usize| (1..=count).map(move |lag| series[time - lag]);
    let shocks = regress(series, long, long, |time, row| {
        row.iter_mut().zip(lags(time, long)).for_each(|(to, from)| *to = from);
    });
    let count = usize::from(has_intercept) + p + q;
    let fitted = regress(series, skipped, count, |time, row| {
        let intercept = has_intercept.then_some(1.0).into_iter();
        let past = (1..=q).map(|lag| shocks.1[time - long - lag]);
        let values = intercept.chain(lags(time, p)).chain(past);
        row.iter_mut().zip(values).for_each(|(to, from)| *to = from);
    });
    Some(fitted)
}

/// Least squares of the series from `begin` on, and what it leaves.
fn regress(
    series: &[f64],
    begin: usize,
    count: usize,
    fill: impl Fn(usize, &mut [f64; REGRESSORS_MAX]),
) -> ([f64; REGRESSORS_MAX], Vec<f64>) {
    let rows: Vec<[f64; REGRESSORS_MAX]> = (begin..series.len())
        .map(|time| {
            let mut row = [0.0; REGRESSORS_MAX];
            fill(time, &mut row);
            row
        })
        .collect();
    let values = &series[begin.min(series.len())..];
    let result =
        if rows.len() < count { least_norm(&rows, values) } else { least(&rows, values, count) };
    let left = rows.iter().zip(values).map(|(row, value)| value - dot(row, &result));
    (result, left.collect())
}

/// Least squares, with columns scaled to one.
fn least(rows: &[[f64; REGRESSORS_MAX]], values: &[f64], count: usize) -> [f64; REGRESSORS_MAX] {
    let mut scale = [0.0_f64; REGRESSORS_MAX];
    for row in rows {
        scale.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
    }
    scale.iter_mut().for_each(|sum| *sum = if *sum > 0.0 { libm::sqrt(*sum) } else { 1.0 });
    let mut normal = vec![[0.0; REGRESSORS_MAX + 1]; count];
    for (row, value) in rows.iter().zip(values) {
        for (i, equation) in normal.iter_mut().enumerate() {
            for j in 0..count {
                equation[j] += row[i] / scale[i] * row[j] / scale[j];
            }
            equation[count] += row[i] / scale[i] * value;
        }
    }
    (0..count).for_each(|index| normal[index][index] += RIDGE);
    let mut result = [0.0; REGRESSORS_MAX];
    let solution = solve(normal);
    result.iter_mut().zip(solution).zip(scale).for_each(|((to, from), scale)| *to = from / scale);
    result
}

/// Of all that fit exactly, those of least norm: `X′ (X X′)⁻¹ y`.
fn least_norm(rows: &[[f64; REGRESSORS_MAX]], values: &[f64]) -> [f64; REGRESSORS_MAX] {
    let mut gram = vec![[0.0; REGRESSORS_MAX + 1]; rows.len()];
    for (equation, (row, value)) in gram.iter_mut().zip(rows.iter().zip(values)) {
        equation.iter_mut().zip(rows).for_each(|(cell, other)| *cell = dot(row, other));
        equation[rows.len()] = *value;
    }
    let largest = gram.iter().enumerate().map(|(i, row)| row[i]).fold(0.0, f64::max);
    gram.iter_mut().enumerate().for_each(|(i, row)| row[i] += largest * RIDGE);
    let mut result = [0.0; REGRESSORS_MAX];
    if largest > 0.0 {
        for (weight, row) in solve(gram).into_iter().zip(rows) {
            result.iter_mut().zip(row).for_each(|(to, x)| *to += weight * x);
        }
    }
    result
}

/// Gaussian elimination of a symmetric system whose right side is the column after its last.
fn solve(mut rows: Vec<[f64; REGRESSORS_MAX + 1]>) -> Vec<f64> {
    let count = rows.len();
    for pivot in 0..count {
        let pivot_row = rows[pivot];
        for (index, row) in rows.iter_mut().enumerate() {
            if index != pivot {
                let factor = row[pivot] / pivot_row[pivot];
                row.iter_mut().zip(pivot_row).for_each(|(cell, p)| *cell -= factor * p);
            }
        }
    }
    rows.iter().enumerate().map(|(index, row)| row[count] / row[index]).collect()
}

fn dot(a: &[f64; REGRESSORS_MAX], b: &[f64; REGRESSORS_MAX]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
