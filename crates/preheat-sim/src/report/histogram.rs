//! Quantiles of durations in bounded memory, the same on every platform.
//!
//! **Invariant:** integers only until a quantile is read; a quantile is within 0.4 % of the exact
//! nearest-rank one.

/// Buckets per doubling, as a power of two: 128, so that a bucket is at most 1/128 wide.
const BITS: u32 = 7;
/// Values below this have a bucket each.
const LINEAR: u64 = 1 << (BITS + 1);
/// Doublings from [`LINEAR`] to the end of 64 bits, each of 2^BITS buckets, beside the linear ones.
const BUCKETS: usize = LINEAR as usize + ((64 - BITS - 1) as usize) * (1 << BITS);

/// A histogram of nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64) {
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.count += 1;
    }

    /// Nearest-rank quantile in seconds, at the middle of its bucket; `None` when empty.
    pub(crate) fn quantile_secs(&self, level: f64) -> Option<f64> {
        let rank = ((self.count as f64 * level).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(found) / 1e9)
    }
}

/// Which bucket a value is in.
const fn bucket(value: u64) -> usize {
    if value < LINEAR {
        return value as usize;
    }
    let shift = 63 - BITS - value.leading_zeros();
    // The upper BITS + 1 bits, the first of which is set.
    let upper = (value >> shift) as usize;
    ((shift as usize) << BITS) + upper
}

/// The middle of a bucket.
fn middle(bucket: usize) -> f64 {
    if bucket < LINEAR as usize {
        return bucket as f64;
    }
    let shift = (bucket >> BITS) - 1;
    let upper = bucket - (shift << BITS);
    (upper as f64 + 0.5) * (1_u64 << shift.min(63)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_narrow() {
        let mut last = 0;
        let mut value = 1_u64;
        while value < u64::MAX / 3 {
            let at = bucket(value);
            assert!(at >= last && at < BUCKETS, "{value}: {at}");
            assert!((middle(at) / value as f64 - 1.0).abs() < 0.004_f64.max(1e-12), "{value}");
            last = at;
            value += value / 50 + 1;
        }
        assert!(bucket(u64::MAX) < BUCKETS);
        assert_eq!(bucket(LINEAR), LINEAR as usize);
        assert_eq!(bucket(LINEAR - 1), LINEAR as usize - 1);
    }

    #[test]
    fn quantiles_are_nearest_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_secs(0.5), None);
        for millis in 1..=1000 {
            histogram.record(millis * 1_000_000);
        }
        for (level, expected) in [(0.5, 0.5), (0.9, 0.9), (0.99, 0.99), (1.0, 1.0)] {
            let got = histogram.quantile_secs(level).unwrap();
            assert!((got / expected - 1.0).abs() < 0.004, "{got} for {expected}");
        }
    }
}
