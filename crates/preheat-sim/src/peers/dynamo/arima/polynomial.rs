//! Coefficients of AR and MA polynomials, and where their roots lie.
//!
//! Source: Monahan (1984): a polynomial is stationary just if all its partial autocorrelations are
//! within one.
//!
//! **Invariant:** coefficients that are made of free numbers are those of a stationary polynomial.

use std::ops::Deref;

/// p or q at most, as `auto_arima` searches by default.
pub(super) const ORDER_MAX: usize = 5;

/// The coefficients, first lag first.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Coefficients {
    values: [f64; ORDER_MAX],
    len: usize,
}

impl Deref for Coefficients {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.values[..self.len]
    }
}

impl Coefficients {
    /// Those beyond [`ORDER_MAX`] are left out.
    pub(super) fn new(values: &[f64]) -> Self {
        let mut result = Self { len: values.len().min(ORDER_MAX), ..Self::default() };
        result.values.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        result
    }

    pub(super) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let mut result = self;
        result.values[..self.len].iter_mut().for_each(|value| *value = f(*value));
        result
    }

    /// A stationary polynomial from any numbers: `u ÷ √(1 + u²)` are its partial autocorrelations.
    pub(super) fn from_free(free: &[f64]) -> Self {
        let mut result = Self { len: 0, ..Self::default() };
        for u in free.iter().take(ORDER_MAX) {
            let partial = u / libm::sqrt(1.0 + u * u);
            let before = result;
            for (index, value) in before.iter().enumerate() {
                result.values[index] = value - partial * before.values[before.len - 1 - index];
            }
            result.values[before.len] = partial;
            result.len += 1;
        }
        result
    }

    /// The numbers it is made of; `None` if it is not stationary.
    pub(super) fn to_free(self) -> Option<Self> {
        let mut free = self;
        let mut rest = self;
        while let Some(partial) = rest.last().copied() {
            let keep = 1.0 - partial * partial;
            if keep.is_nan() || keep <= 0.0 {
                return None;
            }
            let before = rest;
            rest.len -= 1;
            for index in 0..rest.len {
                let mirrored = before.values[rest.len - 1 - index];
                rest.values[index] = (before.values[index] + partial * mirrored) / keep;
            }
            free.values[rest.len] = partial / libm::sqrt(keep);
        }
        Some(free)
    }

    /// Whether the inverses of all its roots are within `radius`.
    pub(super) fn is_within(self, radius: f64) -> bool {
        let mut scaled = self;
        let mut power = 1.0;
        for value in &mut scaled.values {
            power *= radius;
            *value /= power;
        }
        scaled.to_free().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_numbers_and_coefficients_are_each_others_inverse() {
        for free in [&[][..], &[0.7], &[-1.5, 0.2], &[3.0, -0.1, 0.4, 2.0, -0.9]] {
            let made = Coefficients::from_free(free);
            let back = made.to_free().unwrap();
            assert!(back.iter().zip(free).all(|(a, b)| (a - b).abs() < 1e-9), "{free:?}");
        }
    }

    #[test]
    fn roots_are_within_what_they_are_within() {
        // (1 − 0.9 z)(1 − 0.5 z) = 1 − 1.4 z + 0.45 z².
        let polynomial = Coefficients::new(&[1.4, -0.45]);
        assert!(polynomial.is_within(0.901) && !polynomial.is_within(0.899));
        assert!(Coefficients::new(&[]).is_within(0.5));
        assert!(!Coefficients::new(&[1.0]).is_within(1.0));
    }
}
