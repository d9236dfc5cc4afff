//! The numbers of a workload: one row per policy, the cheapest at the highest attainment first.

use std::collections::BTreeMap;

use super::looks::Looks;
use super::markup::Markup;
use super::numbers::{aim, count, hours, plain, share, times};
use super::ranking::{highest_attainment, ranked};
use crate::comparison::{PolicyComparison, WorkloadComparison};
use crate::outcome::Outcome;

/// A head cell over one column.
pub(super) fn head(row: &mut Markup, text: &str) {
    row.leaf("th", &[("scope", "col")], text);
}

/// A head cell over a column of numbers.
pub(super) fn number_head(row: &mut Markup, text: &str) {
    row.leaf("th", &[("scope", "col"), ("class", "number")], text);
}

/// A cell with a number.
pub(super) fn number(row: &mut Markup, text: &str) {
    row.leaf("td", &[("class", "number")], text);
}

/// A cell that says that there is no number, over `columns` columns.
pub(super) fn nothing(row: &mut Markup, columns: usize, text: &str) {
    row.leaf("td", &[("class", "nothing"), ("colspan", &columns.to_string())], text);
}

/// A cell with knobs, each on a line of its own.
pub(super) fn setting(row: &mut Markup, knobs: &BTreeMap<String, f64>) {
    row.element("td", &[("class", "setting")], |cell| {
        if knobs.is_empty() {
            cell.text("as shipped");
        }
        for (name, value) in knobs {
            cell.leaf("div", &[], &format!("{name} {}", plain(*value)));
        }
    });
}

/// Writes it.
pub(super) fn draw(markup: &mut Markup, workload: &WorkloadComparison, looks: &Looks) {
    // Attainments from the highest down, as indices.
    let mut asked: Vec<usize> = (0..workload.optimum.len()).collect();
    let attainment = |index: &usize| workload.optimum.get(*index).map_or(0.0, |o| o.attainment);
    asked.sort_by(|a, b| attainment(b).total_cmp(&attainment(a)));
    markup.element("div", &[("class", "scroll")], |markup| {
        markup.element("table", &[], |table| {
            table.leaf(
                "caption",
                &[],
                "÷ optimum is GPU-hours ÷ the optimum's bound at that attainment; as shipped, at \
                 the highest, whatever was attained. Starts, direction changes and streams cut are \
                 of the setting that the charts show: the cheapest at the highest attainment that \
                 the policy reaches, else the one that attains most.",
            );
            table.element("thead", &[], |thead| heads(thead, workload, &asked));
            table.element("tbody", &[], |tbody| {
                optimum_rows(tbody, workload, &asked);
                for policy in ranked(workload, highest_attainment(workload)) {
                    policy_row(tbody, workload, policy, looks, &asked);
                }
            });
        });
    });
    markup.line_break();
}

fn heads(thead: &mut Markup, workload: &WorkloadComparison, asked: &[usize]) {
    thead.element("tr", &[], |row| {
        row.leaf("th", &[("scope", "col"), ("rowspan", "2")], "policy");
        row.leaf("th", &[("scope", "colgroup"), ("colspan", "3")], "as shipped");
        for optimum in asked.iter().filter_map(|index| workload.optimum.get(*index)) {
            let text = format!("cheapest at {}", aim(optimum.attainment));
            row.leaf("th", &[("scope", "colgroup"), ("colspan", "3")], &text);
        }
        row.leaf("th", &[("scope", "colgroup"), ("colspan", "3")], "the setting shown");
    });
    thead.element("tr", &[], |row| {
        for text in ["attained", "GPU-hours", "÷ optimum"] {
            number_head(row, text);
        }
        for _ in asked {
            head(row, "setting");
            number_head(row, "GPU-hours");
            number_head(row, "÷ optimum");
        }
        for text in ["starts", "direction changes", "streams cut"] {
            number_head(row, text);
        }
    });
}

fn optimum_rows(tbody: &mut Markup, workload: &WorkloadComparison, asked: &[usize]) {
    let optima = || asked.iter().filter_map(|index| workload.optimum.get(*index));
    tbody.element("tr", &[("class", "optimum")], |row| {
        row.leaf("th", &[("scope", "row")], "optimum, bound");
        nothing(row, 3, "");
        for optimum in optima() {
            row.leaf("td", &[], "no plan is cheaper");
            number(row, &hours(optimum.bound_gpu_hours));
            number(row, &times(1.0));
        }
        nothing(row, 3, "");
    });
    tbody.element("tr", &[("class", "optimum")], |row| {
        row.leaf("th", &[("scope", "row")], "optimum, replayed");
        nothing(row, 3, "");
        for optimum in optima() {
            let Some(replayed) = &optimum.replayed else {
                nothing(row, 3, "not reached");
                continue;
            };
            setting(row, &replayed.knobs);
            number(row, &hours(replayed.gpu_hours));
            number(row, &times(replayed.gpu_hours / optimum.bound_gpu_hours));
        }
        let highest = asked.first().and_then(|index| workload.optimum.get(*index));
        shown(row, highest.and_then(|optimum| optimum.replayed.as_ref()));
    });
}

fn policy_row(
    tbody: &mut Markup,
    workload: &WorkloadComparison,
    policy: &PolicyComparison,
    looks: &Looks,
    asked: &[usize],
) {
    let Some(look) = looks.get(&policy.policy) else { return };
    let class = format!("policy {}", look.tone);
    tbody.element("tr", &[("class", &class), ("data-p", &look.number)], |row| {
        row.leaf("th", &[("scope", "row")], &policy.policy);
        let highest = highest_attainment(workload).and_then(|index| workload.optimum.get(index));
        match policy.as_configured() {
            Some(outcome) => {
                number(row, &share(outcome.attainment));
                number(row, &hours(outcome.gpu_hours));
                let ratio = highest.map(|optimum| outcome.gpu_hours / optimum.bound_gpu_hours);
                number(row, &ratio.map(times).unwrap_or_default());
            }
            None => nothing(row, 3, "has no defaults"),
        }
        for at in asked.iter().map(|index| policy.at.get(*index)) {
            match at.and_then(|at| Some((at.outcome.as_ref()?, at.gpu_hours_ratio))) {
                Some((outcome, ratio)) => {
                    setting(row, &outcome.knobs);
                    number(row, &hours(outcome.gpu_hours));
                    number(row, &ratio.map(times).unwrap_or_default());
                }
                None => nothing(row, 3, "not reached"),
            }
        }
        shown(row, policy.chosen());
    });
    tbody.line_break();
}

fn shown(row: &mut Markup, outcome: Option<&Outcome>) {
    let Some(outcome) = outcome else { return nothing(row, 3, "") };
    for value in [outcome.starts, outcome.direction_changes, outcome.streams_cut] {
        number(row, &count(value));
    }
}
