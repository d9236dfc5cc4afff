//! One setting for all workloads, as a user would have it, and how much of a peer's distance from
//! the optimum preheat closes.
//!
//! ```text
//! closed = (peer − preheat) ÷ (peer − optimum)      in GPU-hours at equal attainment
//! ```

use preheat_sim::preheat_policy::PREHEAT;
use serde::{Deserialize, Serialize};

use crate::comparison::{PolicyComparison, WorkloadComparison};
use crate::outcome::Outcome;
use crate::setting::is_peer;

/// What single settings cost over all workloads, at one attainment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Across {
    /// Share of requests within the SLO that each workload must reach.
    pub attainment: f64,
    /// Each policy's best single setting, cheapest first; those without one are left out.
    pub rows: Vec<AcrossRow>,
    /// preheat against the best peers, workload by workload; empty without preheat.
    pub closed: Vec<Closed>,
}

/// A policy's best single setting: of those that reach the attainment on every workload, the one
/// with the least mean of GPU-hours ÷ optimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcrossRow {
    /// The policy.
    pub policy: String,
    /// Mean of GPU-hours ÷ optimum.
    pub gpu_hours_ratio_mean: f64,
    /// The outcome on each workload.
    pub outcomes: Vec<Outcome>,
}

/// preheat against the best peers on one workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The workload.
    pub workload: String,
    /// GPU-hours of the optimum (the bound).
    pub optimum_gpu_hours: f64,
    /// preheat's GPU-hours: the cheapest aim that reaches the attainment.
    pub preheat_gpu_hours: Option<f64>,
    /// The peer whose single setting is best over all workloads, and its GPU-hours here.
    pub peer_single: Option<(String, f64)>,
    /// Share of its distance from the optimum that preheat closes.
    pub closed_single: Option<f64>,
    /// The peer that is best here when tuned in hindsight on this very workload.
    pub peer_hindsight: Option<(String, f64)>,
    /// Share of its distance from the optimum that preheat closes.
    pub closed_hindsight: Option<f64>,
}

pub(crate) fn across(workloads: &[WorkloadComparison], attainments: &[f64]) -> Vec<Across> {
    let each = attainments.iter().enumerate();
    each.map(|(index, attainment)| at(workloads, index, *attainment)).collect()
}

fn at(workloads: &[WorkloadComparison], index: usize, attainment: f64) -> Across {
    let policies = workloads.first().map(|first| first.policies.as_slice()).unwrap_or_default();
    let mut rows: Vec<AcrossRow> = policies
        .iter()
        .enumerate()
        .filter_map(|(number, policy)| single(workloads, number, policy, index, attainment))
        .collect();
    rows.sort_by(|a, b| a.gpu_hours_ratio_mean.total_cmp(&b.gpu_hours_ratio_mean));
    let has_preheat = policies.iter().any(|policy| policy.policy == PREHEAT);
    let best_peer = rows.iter().find(|row| is_peer(&row.policy));
    let closed = workloads.iter().enumerate().filter(|_| has_preheat);
    let closed = closed.map(|(number, workload)| closed_on(workload, number, index, best_peer));
    Across { attainment, closed: closed.collect(), rows }
}

/// The best single setting of one policy.
fn single(
    workloads: &[WorkloadComparison],
    number: usize,
    policy: &PolicyComparison,
    index: usize,
    attainment: f64,
) -> Option<AcrossRow> {
    let settings = 0..policy.outcomes.len();
    let rows = settings.filter_map(|setting| {
        let mut ratios = 0.0;
        let mut outcomes = Vec::with_capacity(workloads.len());
        for workload in workloads {
            let outcome = workload.policies.get(number)?.outcomes.get(setting)?;
            if outcome.attainment < attainment {
                return None;
            }
            ratios += outcome.gpu_hours / workload.optimum.get(index)?.bound_gpu_hours;
            outcomes.push(outcome.clone());
        }
        let gpu_hours_ratio_mean = ratios / workloads.len() as f64;
        Some(AcrossRow { policy: policy.policy.clone(), gpu_hours_ratio_mean, outcomes })
    });
    rows.min_by(|a, b| a.gpu_hours_ratio_mean.total_cmp(&b.gpu_hours_ratio_mean))
}

fn closed_on(
    workload: &WorkloadComparison,
    number: usize,
    index: usize,
    best_peer: Option<&AcrossRow>,
) -> Closed {
    let optimum = workload.optimum.get(index).map_or(0.0, |optimum| optimum.bound_gpu_hours);
    let gpu_hours = |policy: &PolicyComparison| {
        let at = policy.at.get(index)?;
        Some((policy.policy.clone(), at.outcome.as_ref()?.gpu_hours))
    };
    let preheat = workload.policies.iter().find(|policy| policy.policy == PREHEAT);
    let preheat = preheat.and_then(gpu_hours).map(|(_, hours)| hours);
    let peers = workload.policies.iter().filter(|policy| is_peer(&policy.policy));
    let peer_hindsight = peers.filter_map(gpu_hours).min_by(|a, b| a.1.total_cmp(&b.1));
    let peer_single =
        best_peer.and_then(|row| Some((row.policy.clone(), row.outcomes.get(number)?.gpu_hours)));
    let closed = |peer: &Option<(String, f64)>| {
        let (peer, preheat) = (peer.as_ref()?.1, preheat?);
        let distance = peer - optimum;
        (distance > 0.0).then(|| (peer - preheat) / distance)
    };
    Closed {
        workload: workload.name.clone(),
        optimum_gpu_hours: optimum,
        preheat_gpu_hours: preheat,
        closed_single: closed(&peer_single),
        closed_hindsight: closed(&peer_hindsight),
        peer_single,
        peer_hindsight,
    }
}
