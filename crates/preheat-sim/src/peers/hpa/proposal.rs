//! What one metric makes an HPA propose.
//!
//! Source: Kubernetes, `pkg/controller/podautoscaler/replica_calculator.go`.

use crate::peers::knobs::count_up;

/// Ratios that are close enough to one to do nothing, per direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Above one.
    pub up: f64,
    /// Below one.
    pub down: f64,
}

impl Default for Tolerance {
    /// `--horizontal-pod-autoscaler-tolerance`.
    fn default() -> Self {
        Self { up: 0.1, down: 0.1 }
    }
}

impl Tolerance {
    fn holds(self, ratio: f64) -> bool {
        (1.0 - self.down..=1.0 + self.up).contains(&ratio)
    }
}

/// Replicas, as the scale subresource and readiness tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scale {
    /// Asked for.
    pub(crate) spec: u32,
    /// That exist, ready or not.
    pub(crate) status: u32,
    /// That are ready.
    pub(crate) ready: u32,
}

/// A metric that could be read, and its target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Metric {
    /// External or Object, target type `Value`: multiplies by ready replicas.
    Value { total: f64, target: f64 },
    /// External or Object, target type `AverageValue`: does not.
    AverageValue { total: f64, target: f64 },
    /// Per-replica samples, and how many replicas gave none.
    Pods { samples: Vec<f64>, missing: u32, target: f64 },
    /// Per-replica use of what replicas request, of CPU: how many gave no sample, and how many of those
    /// that did don't count as they were not ready.
    Resource { percents: Vec<f64>, missing: u32, unready: u32, target_percent: f64 },
}

impl Metric {
    pub(super) fn propose(&self, scale: Scale, tolerance: Tolerance) -> Option<u32> {
        match self {
            Self::Value { total, target } => {
                let ratio = milli(*total) as f64 / milli(*target) as f64;
                Some(if scale.spec == 0 {
                    count_up(ratio)
                } else if tolerance.holds(ratio) {
                    scale.spec
                } else {
                    count_up(ratio * f64::from(scale.ready))
                })
            }
            Self::AverageValue { total, target } => {
                let (total, target) = (milli(*total) as f64, milli(*target) as f64);
                let ratio = total / (target * f64::from(scale.status));
                Some(if tolerance.holds(ratio) { scale.status } else { count_up(total / target) })
            }
            Self::Pods { samples, missing, target } => {
                let samples: Vec<i64> = samples.iter().copied().map(milli).collect();
                let target = milli(*target);
                let others = Others { missing: *missing, missing_is: target, unready: 0 };
                each(&samples, others, &|mean| mean as f64 / target as f64, scale.spec, tolerance)
            }
            Self::Resource { percents, missing, unready, target_percent } => {
                let samples: Vec<i64> = percents.iter().copied().map(milli).collect();
                let missing_is = milli(target_percent.max(100.0));
                let others = Others { missing: *missing, missing_is, unready: *unready };
                // Utilisation is whole percents.
                let ratio = |mean: i64| (mean / 1_000) as f64 / target_percent;
                each(&samples, others, &ratio, scale.spec, tolerance)
            }
        }
    }
}

/// Replicas without a sample that counts.
#[derive(Clone, Copy)]
struct Others {
    /// Gave none.
    missing: u32,
    /// What those count as when shrinking, in thousandths.
    missing_is: i64,
    /// Were not ready; they count when growing only.
    unready: u32,
}

/// What samples of each replica, in whole thousandths, propose; `ratio` is of their mean. Replicas
/// without a sample count as idle when growing and as on target or more when shrinking, so those that
/// still load brake both. For a custom metric a replica that runs but isn't ready is one of them.
fn each(
    samples: &[i64],
    others: Others,
    ratio: &dyn Fn(i64) -> f64,
    spec: u32,
    tolerance: Tolerance,
) -> Option<u32> {
    if samples.is_empty() {
        return None;
    }
    let of_mean = |total: i64, replicas: usize| {
        // A mean is divided as an integer.
        ratio(total / i64::try_from(replicas.max(1)).unwrap_or(i64::MAX))
    };
    let total: i64 = samples.iter().sum();
    let seen = of_mean(total, samples.len());
    let idle = if seen > 1.0 { others.unready } else { 0 };
    if others.missing == 0 && idle == 0 {
        let proposal = count_up(seen * samples.len() as f64);
        return Some(if tolerance.holds(seen) { spec } else { proposal });
    }
    let added = if seen < 1.0 { i64::from(others.missing) * others.missing_is } else { 0 };
    let replicas = samples.len() + (others.missing + idle) as usize;
    let filled = of_mean(total + added, replicas);
    let flipped = (seen < 1.0 && filled > 1.0) || (seen > 1.0 && filled < 1.0);
    if tolerance.holds(filled) || flipped {
        return Some(spec);
    }
    let proposal = count_up(filled * replicas as f64);
    let wrong_way = (filled < 1.0 && proposal > spec) || (filled > 1.0 && proposal < spec);
    Some(if wrong_way { spec } else { proposal })
}

fn milli(value: f64) -> i64 {
    libm::round(value * 1000.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_OF_FOUR: Scale = Scale { spec: 4, status: 4, ready: 2 };

    fn propose(metric: &Metric, scale: Scale) -> Option<u32> {
        metric.propose(scale, Tolerance::default())
    }

    #[test]
    fn value_multiplies_by_ready_replicas() {
        // 3 waiting ÷ 1 × 2 ready = 6.
        let metric = Metric::Value { total: 3.0, target: 1.0 };
        assert_eq!(propose(&metric, TWO_OF_FOUR), Some(6));
        // All unready at a peak: nothing times anything is nothing.
        assert_eq!(propose(&metric, Scale { ready: 0, ..TWO_OF_FOUR }), Some(0));
        assert_eq!(propose(&metric, Scale { spec: 0, status: 0, ready: 0 }), Some(3));
        let near = Metric::Value { total: 1.1, target: 1.0 };
        assert_eq!(propose(&near, TWO_OF_FOUR), Some(4));
    }

    #[test]
    fn average_value_does_not_look_at_readiness() {
        for (total, proposal) in [(23.0, 5), (22.0, 4), (18.0, 4), (17.0, 4), (14.0, 3), (0.0, 0)] {
            let metric = Metric::AverageValue { total, target: 5.0 };
            assert_eq!(propose(&metric, TWO_OF_FOUR), Some(proposal), "{total}");
        }
    }

    #[test]
    fn replicas_that_load_dilute_a_per_replica_metric() {
        let pods = |samples: &[f64], missing, target| {
            propose(&Metric::Pods { samples: samples.to_vec(), missing, target }, TWO_OF_FOUR)
        };
        assert_eq!(pods(&[100.0; 4], 0, 80.0), Some(5));
        // (100 + 100 + 0 + 0) ÷ 4 = 50: 0.63 is on the other side of one, so nothing is done.
        assert_eq!(pods(&[100.0; 2], 2, 80.0), Some(4));
        // (200 × 2 + 0 × 2) ÷ 4 ÷ 80 = 1.25 → 5, not the 10 of a ratio of 2.5.
        assert_eq!(pods(&[200.0; 2], 2, 80.0), Some(5));
        // (20 × 2 + 80 × 2) ÷ 4 ÷ 80 = 0.625 → 3.
        assert_eq!(pods(&[20.0; 2], 2, 80.0), Some(3));
        assert_eq!(pods(&[], 4, 80.0), None);
    }

    #[test]
    fn of_cpu_those_that_start_count_when_growing_only() {
        let cpu = |percents: &[f64], missing, unready| {
            let percents = percents.to_vec();
            let metric = Metric::Resource { percents, missing, unready, target_percent: 80.0 };
            propose(&metric, TWO_OF_FOUR)
        };
        assert_eq!(cpu(&[100.0; 4], 0, 0), Some(5));
        // (100 + 100 + 0 + 0) ÷ 4 = 50: the other side of one.
        assert_eq!(cpu(&[100.0; 2], 0, 2), Some(4));
        // 20 ÷ 80 × 2 = 0.5: those that start brake no shrinking.
        assert_eq!(cpu(&[20.0; 2], 0, 2), Some(1));
        // (20 × 2 + 100 × 2) ÷ 4 ÷ 80 = 0.75 → 3: those without a sample do, as if they were full.
        assert_eq!(cpu(&[20.0; 2], 2, 0), Some(3));
        // 88.9 % is 88 %: within the tolerance.
        assert_eq!(cpu(&[88.9; 4], 0, 0), Some(4));
        assert_eq!(cpu(&[], 2, 2), None);
    }

    #[test]
    fn means_are_of_whole_thousandths() {
        // (0 + 0 + 0.001) ÷ 3 is 0 thousandths.
        let metric = Metric::Pods { samples: vec![0.0, 0.0, 0.001], missing: 0, target: 1.0 };
        assert_eq!(propose(&metric, Scale { spec: 3, status: 3, ready: 3 }), Some(0));
    }
}
