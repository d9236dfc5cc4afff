//! The largest offered load of any window that ends now.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::Instant;

/// Entries at most. Beyond, neighbours are merged to the higher and later of both, which only ever
/// overstates a peak.
pub(crate) const PEAKS_MAX: usize = 256;

/// An offered load that no later one has reached.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// When.
    pub at: Instant,
    /// Slots.
    pub load: f64,
}

/// Adds the load of now. Times ascend, loads descend.
pub(crate) fn push(peaks: &mut VecDeque<Peak>, now: Instant, load: f64, window: Duration) {
    let oldest = now.saturating_sub(window);
    while peaks.front().is_some_and(|peak| peak.at < oldest) {
        peaks.pop_front();
    }
    while peaks.back().is_some_and(|peak| peak.load <= load) {
        peaks.pop_back();
    }
    if peaks.len() >= PEAKS_MAX {
        merge_closest(peaks);
    }
    peaks.push_back(Peak { at: now, load });
}

/// Of the two neighbours whose loads differ least, the higher load lives on at the later time.
fn merge_closest(peaks: &mut VecDeque<Peak>) {
    let steps = peaks.iter().zip(peaks.iter().skip(1)).map(|(a, b)| a.load - b.load);
    let closest = steps.enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    let Some((index, _)) = closest else { return };
    if let Some(higher) = peaks.remove(index)
        && let Some(later) = peaks.get_mut(index)
    {
        later.load = higher.load;
    }
}

/// The largest load since `window` ago.
pub(crate) fn largest(peaks: &VecDeque<Peak>, now: Instant, window: Duration) -> f64 {
    let oldest = now.saturating_sub(window);
    let first = peaks.partition_point(|peak| peak.at < oldest);
    peaks.get(first).map_or(0.0, |peak| peak.load)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
    }

    #[test]
    fn the_largest_of_each_window_is_found() {
        let mut peaks = VecDeque::new();
        let loads = [5.0, 9.0, 3.0, 7.0, 7.0, 1.0, 2.0];
        for (second, load) in (0..).zip(loads) {
            push(&mut peaks, at(second), load, Duration::from_secs(100));
        }
        for window in 0..loads.len() {
            let expected = loads[loads.len() - 1 - window..].iter().copied().fold(0.0, f64::max);
            let got = largest(&peaks, at(6), Duration::from_secs(window as u64));
            assert_eq!(got, expected, "over {window} s");
        }
        push(&mut peaks, at(200), 0.5, Duration::from_secs(100));
        assert_eq!(peaks.len(), 1, "what is older than the window is forgotten");
    }

    #[test]
    fn merging_only_overstates() {
        let (mut peaks, window) = (VecDeque::new(), Duration::from_secs(10_000));
        let loads: Vec<f64> = (0..2_000_u32).map(|i| 1e6 - f64::from(i * i)).collect();
        for (second, load) in (0..).zip(&loads) {
            push(&mut peaks, at(second), *load, window);
        }
        assert!(peaks.len() <= PEAKS_MAX);
        for back in [0, 1, 10, 300, 1_999] {
            let exact = loads[1_999 - back];
            let got = largest(&peaks, at(1_999), Duration::from_secs(back as u64));
            assert!(got >= exact, "{got} for {exact}");
        }
    }
}
