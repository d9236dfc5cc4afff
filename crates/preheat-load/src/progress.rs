//! How far a run has come, for whoever watches it.

use std::collections::VecDeque;

use serde::Serialize;

/// How far a run has come. Durations are in model time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct LoadProgress {
    /// The requests of the trace.
    pub requests: u64,
    /// The requests whose time has come.
    pub sent: u64,
    /// Those that were answered in full.
    pub completed: u64,
    /// Those that were not.
    pub failed: u64,
    /// Those under way.
    pub in_flight: u64,
    /// How often a request was sent again.
    pub retries: u64,
    /// The 0.99 quantile of TTFT over the last requests that got a token, if any did.
    pub ttft_recent_p99_s: Option<f64>,
    /// Since the run's start.
    pub elapsed_s: f64,
}

/// The TTFTs of the last requests.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    ttft_s: VecDeque<f64>,
}

/// How many requests are recent: enough for a 0.99 quantile that is not the maximum.
const RECENT_MAX: usize = 512;

impl Recent {
    pub(crate) fn add(&mut self, ttft_s: f64) {
        if self.ttft_s.len() == RECENT_MAX {
            self.ttft_s.pop_front();
        }
        self.ttft_s.push_back(ttft_s);
    }

    pub(crate) fn ttft_p99_s(&self) -> Option<f64> {
        let mut sorted: Vec<f64> = self.ttft_s.iter().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted.get(rank.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_requests_count() {
        let mut recent = Recent::default();
        assert_eq!(recent.ttft_p99_s(), None);
        recent.add(7.0);
        assert_eq!(recent.ttft_p99_s(), Some(7.0));
        for index in 0..RECENT_MAX {
            recent.add(index as f64);
        }
        assert_eq!(recent.ttft_p99_s(), Some(506.0));
    }
}
