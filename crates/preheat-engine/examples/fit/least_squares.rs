//! Non-negative least squares, reweighted so that a few odd points count little. It knows nothing
//! of steps.

/// What a sum of `terms`, each times its coefficient, should come to.
#[derive(Clone, Debug)]
pub(crate) struct Equation {
    pub(crate) terms: Vec<f64>,
    pub(crate) target: f64,
}

/// Rounds of reweighting.
const ROUNDS: usize = 30;
/// Residuals below this weigh as if they were this.
const RESIDUAL_MIN: f64 = 0.005;

/// The coefficients, none below zero, that bring the equations near their targets.
pub(crate) fn solve(equations: &[Equation]) -> Vec<f64> {
    let count = equations.first().map_or(0, |equation| equation.terms.len());
    let scales: Vec<f64> = (0..count)
        .map(|i| equations.iter().map(|equation| equation.terms[i].abs()).fold(1e-300, f64::max))
        .collect();
    let scaled: Vec<Equation> = equations
        .iter()
        .map(|Equation { terms, target }| Equation {
            terms: terms.iter().zip(&scales).map(|(term, scale)| term / scale).collect(),
            target: *target,
        })
        .collect();
    let mut weights = vec![1.0; scaled.len()];
    let mut solution = vec![0.0; count];
    for _ in 0..ROUNDS {
        solution = non_negative(&scaled, &weights);
        for (weight, equation) in weights.iter_mut().zip(&scaled) {
            *weight = 1.0 / equation.residual(&solution).abs().max(RESIDUAL_MIN);
        }
    }
    solution.iter().zip(&scales).map(|(value, scale)| value / scale).collect()
}

impl Equation {
    fn residual(&self, solution: &[f64]) -> f64 {
        self.terms.iter().zip(solution).map(|(term, value)| term * value).sum::<f64>() - self.target
    }
}

/// Leaves out the most negative coefficient until none is.
fn non_negative(equations: &[Equation], weights: &[f64]) -> Vec<f64> {
    let count = equations.first().map_or(0, |equation| equation.terms.len());
    let mut kept: Vec<usize> = (0..count).collect();
    loop {
        let values = eliminate(normal(equations, weights, &kept));
        let lowest = (0..kept.len()).min_by(|a, b| values[*a].total_cmp(&values[*b]));
        match lowest {
            Some(lowest) if values[lowest] < 0.0 => {
                kept.remove(lowest);
            }
            _ => {
                let mut solution = vec![0.0; count];
                for (index, value) in kept.into_iter().zip(values) {
                    solution[index] = value;
                }
                return solution;
            }
        }
    }
}

/// The normal equations of the `kept` columns, each row with its right side at the end.
fn normal(equations: &[Equation], weights: &[f64], kept: &[usize]) -> Vec<Vec<f64>> {
    let mut rows = vec![vec![0.0; kept.len() + 1]; kept.len()];
    for (Equation { terms, target }, weight) in equations.iter().zip(weights) {
        for (row, i) in rows.iter_mut().zip(kept) {
            let weighted = weight * terms[*i];
            if weighted == 0.0 {
                continue;
            }
            for (cell, j) in row.iter_mut().zip(kept) {
                *cell += weighted * terms[*j];
            }
            row[kept.len()] += weighted * target;
        }
    }
    rows
}

/// Gauss's elimination of a symmetric, positive matrix, which needs no pivoting. An unknown that
/// no equation tells is zero.
fn eliminate(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let count = rows.len();
    for pivot in 0..count {
        let row = rows[pivot].clone();
        for below in &mut rows[pivot + 1..] {
            let factor = if row[pivot] > 0.0 { below[pivot] / row[pivot] } else { 0.0 };
            for (cell, above) in below.iter_mut().zip(&row).skip(pivot) {
                *cell -= factor * above;
            }
        }
    }
    let mut values = vec![0.0; count];
    for i in (0..count).rev() {
        let known: f64 = (i + 1..count).map(|j| rows[i][j] * values[j]).sum();
        values[i] = if rows[i][i] > 0.0 { (rows[i][count] - known) / rows[i][i] } else { 0.0 };
    }
    values
}
