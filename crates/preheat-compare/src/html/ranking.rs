//! Who comes before whom.

use crate::comparison::{PolicyComparison, WorkloadComparison};
use crate::outcome::Outcome;

/// Which of the compared attainments is the highest.
pub(super) fn highest_attainment(workload: &WorkloadComparison) -> Option<usize> {
    let numbered = workload.optimum.iter().enumerate();
    numbered.max_by(|a, b| a.1.attainment.total_cmp(&b.1.attainment)).map(|(index, _)| index)
}

/// Policies that reach the attainment, cheapest first; then those that don't, by what they attain
/// at most.
pub(super) fn ranked(
    workload: &WorkloadComparison,
    attainment: Option<usize>,
) -> Vec<&PolicyComparison> {
    let mut policies: Vec<&PolicyComparison> = workload.policies.iter().collect();
    let cost = |policy: &PolicyComparison| {
        reaching(policy, attainment).map_or(f64::INFINITY, |outcome| outcome.gpu_hours)
    };
    policies.sort_by(|a, b| {
        cost(a).total_cmp(&cost(b)).then(most_attained(b).total_cmp(&most_attained(a)))
    });
    policies
}

/// The cheapest outcome of a policy at an attainment.
pub(super) fn reaching(policy: &PolicyComparison, attainment: Option<usize>) -> Option<&Outcome> {
    policy.at.get(attainment?)?.outcome.as_ref()
}

/// The outcome with which a policy attains most.
pub(super) fn most(policy: &PolicyComparison) -> Option<&Outcome> {
    policy.outcomes.iter().max_by(|a, b| {
        // Of equals the cheaper one.
        a.attainment.total_cmp(&b.attainment).then(b.gpu_hours.total_cmp(&a.gpu_hours))
    })
}

fn most_attained(policy: &PolicyComparison) -> f64 {
    most(policy).map_or(f64::NEG_INFINITY, |outcome| outcome.attainment)
}
