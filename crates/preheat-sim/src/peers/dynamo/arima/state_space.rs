//! An ARIMA(p, d, q) with an intercept in its state-space form, and what its Kalman filter says of a
//! series: how likely it is, and what comes next.
//!
//! Source: Harvey's representation as in statsmodels 0.15 `SARIMAX`, with its defaults: the
//! differences are part of the state and begin with a variance of a million, the ARMA part begins
//! in its stationary distribution, and the first d values don't count.
//!
//! **Invariant:** this only evaluates; nothing here chooses a parameter.

use super::polynomial::Coefficients;

/// States at most: two differences, and max(p, q + 1).
const STATES_MAX: usize = 8;
/// Variance of a state that nothing is known about (`approximate_diffuse_variance`).
const DIFFUSE_VARIANCE: f64 = 1e6;
/// ln 2π.
const LN_TWO_PI: f64 = 1.837_877_066_409_345_3;
/// Doublings of the sum of the stationary covariance: enough for roots up to 1 − 10⁻⁷.
const DOUBLINGS_MAX: u32 = 30;
/// Relative change of the covariance under which the filter is taken to have settled.
const SETTLED: f64 = 1e-10;

type Vector = [f64; STATES_MAX];
type Matrix = [Vector; STATES_MAX];

/// `Δᵈ y = c + Σ φ Δᵈ y₋ᵢ + ε + Σ θ ε₋ⱼ`, with ε of this variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct StateSpace {
    pub(super) intercept: f64,
    pub(super) ar: Coefficients,
    pub(super) d: usize,
    pub(super) ma: Coefficients,
    pub(super) variance: f64,
}

/// What the filter found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Filtered {
    pub(super) log_likelihood: f64,
    /// The value after the last one.
    pub(super) next: f64,
}

impl StateSpace {
    fn order(&self) -> usize {
        self.ar.len().max(self.ma.len() + 1)
    }

    fn states(&self) -> usize {
        self.d + self.order()
    }

    /// Effect of a shock on each state.
    fn shock(&self) -> Vector {
        let mut shock = [0.0; STATES_MAX];
        shock[self.d] = 1.0;
        shock[self.d + 1..].iter_mut().zip(self.ma.iter()).for_each(|(s, theta)| *s = *theta);
        shock
    }

    /// `T a + c`: what the state is expected to be next.
    fn advance(&self, state: &Vector) -> Vector {
        let (d, n) = (self.d, self.states());
        let mut next = [0.0; STATES_MAX];
        for level in 0..d {
            next[level] = state[level..=d].iter().sum();
        }
        for index in d..n {
            let phi = self.ar.get(index - d).copied().unwrap_or(0.0);
            let shifted = if index + 1 < n { state[index + 1] } else { 0.0 };
            next[index] = phi * state[d] + shifted;
        }
        next[d] += self.intercept;
        next
    }

    /// `T A`, column by column; the intercept plays no part.
    fn advance_columns(&self, matrix: &Matrix) -> Matrix {
        let plain = Self { intercept: 0.0, ..*self };
        let n = self.states();
        let mut result = [[0.0; STATES_MAX]; STATES_MAX];
        for column in 0..n {
            let mut vector = [0.0; STATES_MAX];
            (0..n).for_each(|row| vector[row] = matrix[row][column]);
            let next = plain.advance(&vector);
            (0..n).for_each(|row| result[row][column] = next[row]);
        }
        result
    }

    /// Mean of the stationary part: `(I − T)⁻¹ c`.
    fn stationary_mean(&self) -> Vector {
        let mut state = [0.0; STATES_MAX];
        let mean = self.intercept / (1.0 - self.ar.iter().sum::<f64>());
        state[self.d] = mean;
        for lag in 1..self.order() {
            state[self.d + lag] = self.ar.iter().skip(lag).sum::<f64>() * mean;
        }
        state
    }

    /// Covariance of the stationary part, `Σ Tᵏ R R′ σ² T′ᵏ`, by doubling the number of terms.
    fn stationary_covariance(&self) -> Matrix {
        let stationary = Self { d: 0, intercept: 0.0, ..*self };
        let n = stationary.order();
        let shock = stationary.shock();
        let mut sum = [[0.0; STATES_MAX]; STATES_MAX];
        let mut power = [[0.0; STATES_MAX]; STATES_MAX];
        for row in 0..n {
            power[row][row] = 1.0;
            (0..n).for_each(|column| sum[row][column] = shock[row] * shock[column] * self.variance);
        }
        power = stationary.advance_columns(&power);
        for _ in 0..DOUBLINGS_MAX {
            let more = product(&product(&power, &sum, n), &transposed(&power, n), n);
            let mut is_done = true;
            for row in 0..n {
                for column in 0..n {
                    sum[row][column] += more[row][column];
                }
                is_done &= more[row][row] <= sum[row][row] * SETTLED;
            }
            if is_done {
                break;
            }
            power = product(&power, &power, n);
        }
        let mut result = [[0.0; STATES_MAX]; STATES_MAX];
        for row in 0..n {
            for column in 0..n {
                result[self.d + row][self.d + column] = sum[row][column];
            }
        }
        result
    }

    /// Runs the filter through the series. `None` where it breaks down.
    pub(super) fn filter(&self, series: &[f64]) -> Option<Filtered> {
        let (d, n) = (self.d, self.states());
        let shock = self.shock();
        let mut state = self.stationary_mean();
        let mut covariance = self.stationary_covariance();
        (0..d).for_each(|level| covariance[level][level] = DIFFUSE_VARIANCE);
        let mut log_likelihood = 0.0;
        for (time, value) in series.iter().enumerate() {
            let (gain, variance) = self.gain(&covariance, n)?;
            let innovation = value - state[..=d].iter().sum::<f64>();
            if time >= d {
                log_likelihood += log_density(1, innovation * innovation, variance);
            }
            state = self.advance(&state);
            (0..n).for_each(|index| state[index] += gain[index] * innovation);
            let next = self.next_covariance(&covariance, &(gain, variance), &shock, n);
            if time > d && is_close(&covariance, &next, n) {
                let rest = &series[time + 1..];
                let squares = self.follow(&mut state, &gain, rest);
                log_likelihood += log_density(rest.len(), squares, variance);
                break;
            }
            covariance = next;
        }
        let next = state[..=d].iter().sum::<f64>();
        (log_likelihood.is_finite() && next.is_finite())
            .then_some(Filtered { log_likelihood, next })
    }

    /// Runs a filter that has settled through the rest of a series; the sum of its squared
    /// innovations.
    fn follow(&self, state: &mut Vector, gain: &Vector, series: &[f64]) -> f64 {
        let (d, n) = (self.d, self.states());
        let mut phi = [0.0; STATES_MAX];
        phi[d..].iter_mut().zip(self.ar.iter()).for_each(|(to, from)| *to = *from);
        let mut squares = 0.0;
        for value in series {
            let innovation = value - state[..=d].iter().sum::<f64>();
            squares += innovation * innovation;
            for level in 0..d {
                state[level] = state[level..=d].iter().sum::<f64>() + gain[level] * innovation;
            }
            let first = state[d];
            for index in d..n {
                let shifted = if index + 1 < n { state[index + 1] } else { 0.0 };
                state[index] = phi[index] * first + shifted + gain[index] * innovation;
            }
            state[d] += self.intercept;
        }
        squares
    }

    /// The gain `T P Z′ / F`, and the innovation's variance `F = Z P Z′`.
    fn gain(&self, covariance: &Matrix, n: usize) -> Option<(Vector, f64)> {
        let mut observed = [0.0; STATES_MAX];
        (0..n).for_each(|row| observed[row] = covariance[row][..=self.d].iter().sum());
        let variance = observed[..=self.d].iter().sum::<f64>();
        let mut gain = Self { intercept: 0.0, ..*self }.advance(&observed);
        gain.iter_mut().for_each(|g| *g /= variance);
        (variance > 0.0 && variance.is_finite()).then_some((gain, variance))
    }

    /// `T P T′ + R R′ σ² − K F K′`.
    fn next_covariance(
        &self,
        covariance: &Matrix,
        (gain, variance): &(Vector, f64),
        shock: &Vector,
        n: usize,
    ) -> Matrix {
        let half = transposed(&self.advance_columns(covariance), n);
        let mut next = self.advance_columns(&half);
        for row in 0..n {
            for column in 0..n {
                next[row][column] += shock[row] * shock[column] * self.variance
                    - gain[row] * gain[column] * variance;
            }
        }
        next
    }
}

/// Of so many innovations of this variance.
fn log_density(count: usize, squares: f64, variance: f64) -> f64 {
    -0.5 * (count as f64 * (LN_TWO_PI + libm::log(variance)) + squares / variance)
}

fn product(a: &Matrix, b: &Matrix, n: usize) -> Matrix {
    let mut result = [[0.0; STATES_MAX]; STATES_MAX];
    for row in 0..n {
        for inner in 0..n {
            let factor = a[row][inner];
            (0..n).for_each(|column| result[row][column] += factor * b[inner][column]);
        }
    }
    result
}

fn transposed(matrix: &Matrix, n: usize) -> Matrix {
    let mut result = [[0.0; STATES_MAX]; STATES_MAX];
    for row in 0..n {
        (0..n).for_each(|column| result[column][row] = matrix[row][column]);
    }
    result
}

fn is_close(before: &Matrix, after: &Matrix, n: usize) -> bool {
    let scale = (0..n).map(|index| after[index][index]).fold(0.0, f64::max);
    (0..n).all(|row| {
        (0..n).all(|column| (after[row][column] - before[row][column]).abs() <= scale * SETTLED)
    })
}
