//! Sentences about a workload: what it is, and what was found.

use std::collections::BTreeMap;

use super::numbers::{aim, count, hours, length, plain, seconds, share, signed_percent, times};
use super::ranking::{highest_attainment, most, ranked, reaching};
use crate::comparison::{PolicyComparison, WorkloadComparison};
use preheat_sim::preheat_policy::PREHEAT;

/// Knobs as `threshold 5, window_s 300`.
pub(super) fn knobs(knobs: &BTreeMap<String, f64>) -> String {
    if knobs.is_empty() {
        return "as shipped".to_owned();
    }
    let set: Vec<String> =
        knobs.iter().map(|(name, value)| format!("{name} {}", plain(*value))).collect();
    set.join(", ")
}

/// The workload's name: `azure-code at 10 times its rate`.
pub(super) fn traffic(name: &str) -> String {
    match name.rsplit_once('@') {
        Some((trace, "1")) => trace.to_owned(),
        Some((trace, scale)) if scale.parse::<f64>().is_ok() => {
            format!("{trace} at {scale} times its rate")
        }
        _ => name.to_owned(),
    }
}

/// What it is run on.
pub(super) fn facts(workload: &WorkloadComparison) -> String {
    format!(
        "{} requests in {}. Engine profile {} with max-num-seqs {}. Cold start {}. \
         SLO: {} of requests with a TTFT of at most {}.",
        count(workload.requests),
        length(workload.duration_s),
        workload.profile,
        workload.max_num_seqs,
        seconds(workload.cold_start_s),
        aim(workload.slo_quantile),
        seconds(workload.slo_ttft_s)
    )
}

/// Who is cheapest at the highest attainment, and where preheat stands.
pub(super) fn finding(workload: &WorkloadComparison) -> String {
    let Some(index) = highest_attainment(workload) else {
        return "No attainment was asked for.".to_owned();
    };
    let Some(optimum) = workload.optimum.get(index) else { return String::new() };
    let asked = aim(optimum.attainment);
    let ranked = ranked(workload, Some(index));
    let reach: Vec<(&PolicyComparison, f64)> = ranked
        .iter()
        .filter_map(|policy| Some((*policy, reaching(policy, Some(index))?.gpu_hours)))
        .collect();
    let preheat = ranked.iter().find(|policy| policy.policy == PREHEAT).copied();
    let Some((best, cost)) = reach.first().copied() else {
        let mut sentences = vec![format!("No policy reaches {asked}.")];
        sentences.extend(ranked.first().and_then(|policy| attains_most(policy)));
        sentences.extend(preheat.filter(|p| p.policy != ranked[0].policy).and_then(attains_most));
        return sentences.join(" ");
    };
    let mut sentences = vec![format!(
        "{} is the cheapest at {asked}: {} GPU-hours, {} the optimum's bound.",
        best.policy,
        hours(cost),
        times(cost / optimum.bound_gpu_hours)
    )];
    let place = reach.iter().position(|(policy, _)| policy.policy == PREHEAT);
    match (place, preheat) {
        (Some(0), _) => sentences.push(runner_up(&reach)),
        (Some(place), _) => {
            let own = reach[place].1;
            sentences.push(format!(
                "preheat takes {} ({}), {} than that, and is number {} of the {} that reach it.",
                hours(own),
                times(own / optimum.bound_gpu_hours),
                more(own / cost - 1.0),
                place + 1,
                reach.len()
            ));
        }
        (None, Some(preheat)) => {
            sentences.push(format!("preheat does not reach {asked} here."));
            sentences.extend(attains_most(preheat));
        }
        (None, None) => {}
    }
    sentences.join(" ")
}

/// How many reach the highest attainment untuned, and how costs came about.
pub(super) fn terms(workload: &WorkloadComparison) -> Option<String> {
    let asked = workload.optimum.get(highest_attainment(workload)?)?.attainment;
    let shipped: Vec<_> =
        workload.policies.iter().filter_map(PolicyComparison::as_configured).collect();
    let reach = shipped.iter().filter(|outcome| outcome.attainment >= asked).count();
    let mut text = format!(
        "As shipped, {reach} of {} policies with defaults reach {}.",
        shipped.len(),
        aim(asked)
    );
    if workload.policies.iter().any(|policy| policy.outcomes.len() > 1) {
        text.push_str(
            " Where several settings were tried, a policy's is picked in hindsight on this very \
             traffic.",
        );
    }
    Some(text)
}

fn runner_up(reach: &[(&PolicyComparison, f64)]) -> String {
    match (reach.first(), reach.get(1)) {
        (Some((_, first)), Some((next, cost))) => format!(
            "The next, {}, takes {}, {}.",
            next.policy,
            hours(*cost),
            more(cost / first - 1.0)
        ),
        _ => "No other policy reaches it.".to_owned(),
    }
}

fn more(difference: f64) -> String {
    let percent = signed_percent(difference);
    if percent.starts_with('0') { "hardly more".to_owned() } else { format!("{percent} more") }
}

fn attains_most(policy: &PolicyComparison) -> Option<String> {
    let outcome = most(policy)?;
    Some(format!(
        "{} attains {} at most, for {} GPU-hours.",
        policy.policy,
        share(outcome.attainment),
        hours(outcome.gpu_hours)
    ))
}

/// Longest cold starts at which the chosen settings still reach an attainment, as sentences.
pub(super) fn cliffs(workload: &WorkloadComparison) -> Option<String> {
    let asked = workload.optimum.get(highest_attainment(workload)?)?.attainment;
    // In whole milliseconds, so that they can be keys.
    let mut holds: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    let mut never: Vec<&str> = Vec::new();
    let swept = workload.policies.iter().filter(|policy| !policy.cold_start_sweep.is_empty());
    for policy in swept {
        let reached = policy.cold_start_sweep.iter().filter(|at| at.outcome.attainment >= asked);
        match reached.map(|at| at.cold_start_s).max_by(f64::total_cmp) {
            Some(longest) => {
                holds.entry((longest * 1e3) as u64).or_default().push(&policy.policy);
            }
            None => never.push(&policy.policy),
        }
    }
    if holds.is_empty() && never.is_empty() {
        return None;
    }
    let mut parts: Vec<String> = holds
        .iter()
        .rev()
        .map(|(millis, names)| format!("{} ({})", seconds(*millis as f64 / 1e3), names.join(", ")))
        .collect();
    if !never.is_empty() {
        parts.push(format!("none of them ({})", never.join(", ")));
    }
    Some(format!("Longest cold start with {}: {}.", aim(asked), parts.join("; ")))
}
