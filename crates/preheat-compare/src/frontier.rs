//! Cost against attainment: which outcomes nothing else beats, and the cheapest that reaches an aim.

use crate::outcome::Outcome;

/// Outcomes that no other beats in both attainment and cost, cheapest first.
pub fn frontier(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut sorted: Vec<&Outcome> = outcomes.iter().collect();
    sorted.sort_by(|a, b| {
        let by_cost = a.gpu_hours.total_cmp(&b.gpu_hours);
        by_cost.then(b.attainment.total_cmp(&a.attainment))
    });
    let mut best = f64::NEG_INFINITY;
    sorted.retain(|outcome| {
        let better = outcome.attainment > best;
        best = best.max(outcome.attainment);
        better
    });
    sorted
}

/// The cheapest outcome that reaches `attainment`. Nothing is interpolated: a user runs one setting.
pub fn cheapest(outcomes: &[Outcome], attainment: f64) -> Option<&Outcome> {
    let reach = outcomes.iter().filter(|outcome| outcome.attainment >= attainment);
    reach.min_by(|a, b| a.gpu_hours.total_cmp(&b.gpu_hours))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn outcome(attainment: f64, gpu_hours: f64) -> Outcome {
        Outcome {
            knobs: BTreeMap::new(),
            attainment,
            gpu_hours,
            ttft_p50_s: None,
            ttft_p99_s: None,
            tpot_p99_s: None,
            failed: 0,
            streams_cut: 0,
            starts: 0,
            replicas_peak: 0,
            direction_changes: 0,
        }
    }

    #[test]
    fn the_frontier_rises_and_the_beaten_are_left_out() {
        let all = [(0.9, 5.0), (0.99, 9.0), (0.95, 9.5), (0.8, 5.0), (0.97, 6.0), (0.5, 7.0)];
        let all = all.map(|(attainment, gpu_hours)| outcome(attainment, gpu_hours));
        let points: Vec<_> = frontier(&all).iter().map(|o| (o.attainment, o.gpu_hours)).collect();
        assert_eq!(points, [(0.9, 5.0), (0.97, 6.0), (0.99, 9.0)]);
    }

    #[test]
    fn the_cheapest_reaches_the_aim_or_there_is_none() {
        let all = [outcome(0.95, 4.0), outcome(0.99, 6.0), outcome(0.999, 5.5)];
        assert_eq!(cheapest(&all, 0.99).map(|o| o.gpu_hours), Some(5.5));
        assert_eq!(cheapest(&all, 0.95).map(|o| o.gpu_hours), Some(4.0));
        assert_eq!(cheapest(&all, 0.9999), None);
    }
}
