//! What many errors come to.

/// Absolute errors, as shares, smallest first.
pub(crate) struct Errors(Vec<f64>);

impl Errors {
    pub(crate) fn new(errors: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = errors.into_iter().map(f64::abs).collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// The error that a share `level` of them does not exceed; 0 of none.
    pub(crate) fn quantile(&self, level: f64) -> f64 {
        let index = (level * self.0.len() as f64).ceil() as usize;
        self.0.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}
