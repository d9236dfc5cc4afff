//! A comparison as text.

use std::collections::BTreeMap;
use std::fmt::Write;

use preheat_compare::{Across, AtAttainment, Comparison, PolicyComparison, WorkloadComparison};

/// Least width of a policy's name.
const NAME: usize = 20;

/// Everything, workload by workload, then over all of them.
pub(crate) fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    for workload in &comparison.workloads {
        one(&mut text, workload);
        text.push('\n');
    }
    if comparison.workloads.len() > 1 {
        for across in &comparison.across {
            single(&mut text, across);
        }
    }
    let has_peers = |across: &&Across| across.closed.iter().any(|row| row.peer_hindsight.is_some());
    for across in comparison.across.iter().filter(has_peers) {
        closed(&mut text, across);
    }
    text
}

fn width<'a>(names: impl Iterator<Item = &'a String>) -> usize {
    names.map(String::len).max().unwrap_or(0).max(NAME)
}

// Writing to a string can't fail, so its results are dropped below.

fn one(text: &mut String, workload: &WorkloadComparison) {
    let name = width(workload.policies.iter().map(|policy| &policy.policy));
    let _ = writeln!(
        text,
        "{}: {} requests in {:.1} h, {}, max-num-seqs {}, cold start {} s, TTFT ≤ {} s",
        workload.name,
        workload.requests,
        workload.duration_s / 3_600.0,
        workload.profile,
        workload.max_num_seqs,
        workload.cold_start_s,
        workload.slo_ttft_s
    );
    let _ = write!(text, "{:<name$} {:>9} {:>9}", "", "as it", "comes");
    for optimum in &workload.optimum {
        let _ = write!(text, "   {:<26}", format!("at {}", percent(optimum.attainment)));
    }
    let _ = write!(text, "\n{:<name$} {:>9} {:>9}", "policy", "attained", "GPU-h");
    for _ in &workload.optimum {
        let _ = write!(text, "   {:>9} {:>6} {:<9}", "GPU-h", "÷ opt", "");
    }
    let _ = write!(text, "\n{:<name$} {:>9} {:>9}", "optimum (bound)", "", "");
    for optimum in &workload.optimum {
        let _ = write!(text, "   {:>9.2} {:>6.2} {:<9}", optimum.bound_gpu_hours, 1.0, "");
    }
    let _ = write!(text, "\n{:<name$} {:>9} {:>9}", "optimum (replayed)", "", "");
    for optimum in &workload.optimum {
        match &optimum.replayed {
            Some(replayed) => {
                let ratio = replayed.gpu_hours / optimum.bound_gpu_hours;
                let _ = write!(text, "   {:>9.2} {ratio:>6.2} {:<9}", replayed.gpu_hours, "");
            }
            None => missed(text),
        }
    }
    text.push('\n');
    let mut policies: Vec<&PolicyComparison> = workload.policies.iter().collect();
    policies.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
    for policy in policies {
        let _ = write!(text, "{:<name$}", policy.policy);
        match policy.as_configured() {
            Some(outcome) => {
                let _ = write!(text, " {:>9.4} {:>9.2}", outcome.attainment, outcome.gpu_hours);
            }
            None => {
                let _ = write!(text, " {:>9} {:>9}", "-", "-");
            }
        }
        for at in &policy.at {
            cell(text, at);
        }
        // Cells are padded for the one that follows.
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
}

/// What a policy is sorted by: its cost at the first attainment, then at the next.
fn cost(policy: &PolicyComparison) -> f64 {
    let reached = policy.at.iter().position(|at| at.outcome.is_some());
    let Some(first) = reached else { return f64::INFINITY };
    let hours = policy.at[first].outcome.as_ref().map_or(0.0, |outcome| outcome.gpu_hours);
    // Those that miss an earlier aim come after all that reach it.
    hours + first as f64 * 1e12
}

fn cell(text: &mut String, at: &AtAttainment) {
    let (Some(outcome), Some(ratio)) = (&at.outcome, at.gpu_hours_ratio) else {
        return missed(text);
    };
    let knobs = knobs(&outcome.knobs);
    let _ = write!(text, "   {:>9.2} {ratio:>6.2} {knobs:<9}", outcome.gpu_hours);
}

fn missed(text: &mut String) {
    let _ = write!(text, "   {:>9} {:>6} {:<9}", "missed", "", "");
}

/// Knobs as `0.6/300/0`, in the order of their names.
fn knobs(knobs: &BTreeMap<String, f64>) -> String {
    if knobs.is_empty() {
        return "defaults".to_owned();
    }
    let values: Vec<String> = knobs.values().map(f64::to_string).collect();
    values.join("/")
}

fn single(text: &mut String, across: &Across) {
    let name = width(across.rows.iter().map(|row| &row.policy));
    let _ = writeln!(
        text,
        "One setting that reaches {} on all of them, GPU-hours ÷ optimum in the mean:",
        percent(across.attainment)
    );
    if across.rows.is_empty() {
        text.push_str("  none does\n");
    }
    for row in &across.rows {
        let setting = row.outcomes.first().map(|outcome| knobs(&outcome.knobs)).unwrap_or_default();
        let _ =
            writeln!(text, "  {:<name$} {:>6.2}  {setting}", row.policy, row.gpu_hours_ratio_mean);
    }
    text.push('\n');
}

fn closed(text: &mut String, across: &Across) {
    let _ = writeln!(
        text,
        "preheat at {}: how much of the best peer's distance from the optimum it closes",
        percent(across.attainment)
    );
    let _ = writeln!(
        text,
        "  {:<32} {:>8} {:>8}   {:<36} {:<36}",
        "", "optimum", "preheat", "best with one setting for all", "best tuned in hindsight"
    );
    for row in &across.closed {
        let hours = |hours: Option<f64>| match hours {
            Some(hours) => format!("{hours:.2}"),
            None => "missed".to_owned(),
        };
        let peer = |peer: &Option<(String, f64)>, closed: Option<f64>| match (peer, closed) {
            (Some((name, hours)), Some(closed)) => {
                format!("{hours:.2} {name}: {}", percent(closed))
            }
            (Some((name, hours)), None) => format!("{hours:.2} {name}: -"),
            (None, _) => "none reaches it".to_owned(),
        };
        let _ = writeln!(
            text,
            "  {:<32} {:>8.2} {:>8}   {:<36} {}",
            row.workload,
            row.optimum_gpu_hours,
            hours(row.preheat_gpu_hours),
            peer(&row.peer_single, row.closed_single),
            peer(&row.peer_hindsight, row.closed_hindsight)
        );
    }
    text.push('\n');
}

fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if (percent - percent.round()).abs() < 1e-9 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}
