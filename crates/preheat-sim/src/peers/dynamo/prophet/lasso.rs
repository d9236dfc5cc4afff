//! Least squares whose coefficients are drawn to zero, some by their square and some by their size.
//!
//! Source: feature-sign search (Lee, Battle, Raina and Ng 2007): among those that are not zero the
//! signs are guessed, which leaves a linear system; the guess is mended until it holds.
//!
//! **Invariant:** each step lowers the objective, so that it ends.

/// Share of a weight by which a slope may exceed it.
const SLACK: f64 = 1e-9;
/// Guesses per coefficient and solution.
const GUESSES_MAX: usize = 8;

/// Minimises `Σ (y − X b)² ÷ 2σ² + Σ (square · b² ÷ 2 + size · |b|)`.
pub(super) struct Lasso<'a> {
    /// `X′ X`.
    squares: &'a [Vec<f64>],
    /// `X′ y`.
    right: &'a [f64],
    /// Weights of squares and sizes.
    weights: &'a [(f64, f64)],
    /// Guessed signs; zero where the coefficient is.
    signs: Vec<f64>,
    pub(super) solution: Vec<f64>,
}

impl<'a> Lasso<'a> {
    pub(super) fn new(
        squares: &'a [Vec<f64>],
        right: &'a [f64],
        weights: &'a [(f64, f64)],
    ) -> Self {
        let zeros = vec![0.0; right.len()];
        Self { squares, right, weights, signs: zeros.clone(), solution: zeros }
    }

    /// For noise of this variance, from the solution before.
    pub(super) fn solve(&mut self, variance: f64) {
        for _ in 0..GUESSES_MAX * self.right.len() {
            self.settle_signs(variance);
            let Some((index, sign)) = self.worst(variance) else { return };
            self.signs[index] = sign;
        }
    }

    /// Of the coefficients at zero the one that would gain most from leaving it, and whereto.
    fn worst(&self, variance: f64) -> Option<(usize, f64)> {
        let slope = |index: usize| {
            let row = self.squares[index].iter().zip(&self.solution);
            (row.map(|(a, b)| a * b).sum::<f64>() - self.right[index]) / variance
        };
        let zero = (0..self.right.len()).filter(|index| self.is_zero(*index));
        let excess = zero.map(|index| {
            let slope = slope(index);
            (index, slope, slope.abs() - self.weights[index].1 * (1.0 + SLACK))
        });
        let worst = excess.filter(|found| found.2 > 0.0).max_by(|a, b| a.2.total_cmp(&b.2));
        worst.map(|(index, slope, _)| (index, -slope.signum()))
    }

    fn is_zero(&self, index: usize) -> bool {
        self.weights[index].1 > 0.0 && self.signs[index] == 0.0
    }

    /// Moves to the least point under the guessed signs; where a coefficient would cross zero, it
    /// stays there, and the rest is solved anew.
    fn settle_signs(&mut self, variance: f64) {
        for _ in 0..=self.right.len() {
            let active: Vec<usize> =
                (0..self.right.len()).filter(|index| !self.is_zero(*index)).collect();
            let wish = self.under_signs(&active, variance);
            let crossing = |(index, wish): (&usize, &f64)| {
                let now = self.solution[*index];
                let is_kept = self.signs[*index] == 0.0 || wish * self.signs[*index] > 0.0;
                (!is_kept).then(|| (*index, if now == *wish { 0.0 } else { now / (now - wish) }))
            };
            let first = active.iter().zip(&wish).filter_map(crossing);
            let first = first.min_by(|a, b| a.1.total_cmp(&b.1));
            let share = first.map_or(1.0, |(_, share)| share);
            for (index, wish) in active.iter().zip(&wish) {
                self.solution[*index] += share * (wish - self.solution[*index]);
            }
            let Some((index, _)) = first else { return };
            (self.solution[index], self.signs[index]) = (0.0, 0.0);
        }
    }

    /// Coefficients that solve the linear system of the guessed signs.
    fn under_signs(&self, active: &[usize], variance: f64) -> Vec<f64> {
        let row = |index: &usize| {
            let (square, size) = self.weights[*index];
            let cell = |other: &usize| {
                let own = if other == index { square * variance } else { 0.0 };
                self.squares[*index][*other] + own
            };
            let right = self.right[*index] - size * self.signs[*index] * variance;
            active.iter().map(cell).chain([right]).collect()
        };
        let mut rows: Vec<Vec<f64>> = active.iter().map(row).collect();
        for pivot in 0..rows.len() {
            let pivot_row = rows[pivot].clone();
            for row in &mut rows[pivot + 1..] {
                let factor = row[pivot] / pivot_row[pivot];
                row.iter_mut().zip(&pivot_row).for_each(|(cell, p)| *cell -= factor * p);
            }
        }
        let mut result = vec![0.0; rows.len()];
        for (index, row) in rows.iter().enumerate().rev() {
            let known = row[index + 1..rows.len()].iter().zip(&result[index + 1..]);
            let known: f64 = known.map(|(a, b)| a * b).sum();
            result[index] = (row[rows.len()] - known) / row[index];
        }
        result
    }
}
