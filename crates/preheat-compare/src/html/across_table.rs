//! All workloads together: what one setting for all of them costs, and how much of the best peer's
//! distance from the optimum preheat closes.

use super::looks::Looks;
use super::markup::Markup;
use super::numbers::{aim, hours, signed_percent, times};
use super::table::{head, nothing, number, number_head, setting};
use crate::across::{Across, Closed};
use crate::comparison::Comparison;

/// Writes both tables for each attainment.
pub(super) fn draw(markup: &mut Markup, comparison: &Comparison, looks: &Looks) {
    for across in &comparison.across {
        let asked = aim(across.attainment);
        markup.leaf("h3", &[], &format!("One setting that reaches {asked} on every workload"));
        if across.rows.is_empty() {
            markup.leaf("p", &[], "No single setting of any policy does.");
        } else {
            single(markup, across, comparison, looks);
        }
        if !across.closed.is_empty() {
            markup.leaf("h3", &[], &format!("How much of the distance preheat closes at {asked}"));
            closed(markup, across);
        }
    }
}

fn single(markup: &mut Markup, across: &Across, comparison: &Comparison, looks: &Looks) {
    markup.element("div", &[("class", "scroll")], |markup| {
        markup.element("table", &[], |table| {
            table.leaf(
                "caption",
                &[],
                "GPU-hours on each workload, and the mean of GPU-hours ÷ the optimum's bound. \
                 Policies of which no single setting reaches it everywhere are left out.",
            );
            table.element("thead", &[], |thead| {
                thead.element("tr", &[], |row| {
                    head(row, "policy");
                    head(row, "setting");
                    number_head(row, "mean ÷ optimum");
                    for workload in &comparison.workloads {
                        number_head(row, &workload.name);
                    }
                });
            });
            table.element("tbody", &[], |tbody| {
                for line in &across.rows {
                    let Some(look) = looks.get(&line.policy) else { continue };
                    let class = format!("policy {}", look.tone);
                    let attributes = [("class", class.as_str()), ("data-p", &look.number)];
                    tbody.element("tr", &attributes, |row| {
                        row.leaf("th", &[("scope", "row")], &line.policy);
                        match line.outcomes.first() {
                            Some(outcome) => setting(row, &outcome.knobs),
                            None => nothing(row, 1, ""),
                        }
                        number(row, &times(line.gpu_hours_ratio_mean));
                        for outcome in &line.outcomes {
                            number(row, &hours(outcome.gpu_hours));
                        }
                    });
                }
            });
        });
    });
}

fn closed(markup: &mut Markup, across: &Across) {
    markup.element("div", &[("class", "scroll")], |markup| {
        markup.element("table", &[], |table| {
            table.leaf(
                "caption",
                &[],
                "Closed = (peer − preheat) ÷ (peer − optimum), in GPU-hours. 100 % is the optimum, \
                 0 % is the peer, and less than 0 % means that preheat costs more than the peer.",
            );
            table.element("thead", &[], closed_heads);
            table.element("tbody", &[], |tbody| {
                for line in &across.closed {
                    tbody.element("tr", &[], |row| closed_row(row, line));
                }
            });
        });
    });
}

fn closed_heads(thead: &mut Markup) {
    thead.element("tr", &[], |row| {
        for (text, class) in [("workload", ""), ("optimum", "number"), ("preheat", "number")] {
            row.leaf("th", &[("scope", "col"), ("rowspan", "2"), ("class", class)], text);
        }
        for text in ["best peer with one setting for all", "best peer, tuned in hindsight"] {
            row.leaf("th", &[("scope", "colgroup"), ("colspan", "3")], text);
        }
    });
    thead.element("tr", &[], |row| {
        for _ in 0..2 {
            head(row, "peer");
            number_head(row, "GPU-hours");
            number_head(row, "closed");
        }
    });
}

fn closed_row(row: &mut Markup, line: &Closed) {
    row.leaf("th", &[("scope", "row")], &line.workload);
    number(row, &hours(line.optimum_gpu_hours));
    match line.preheat_gpu_hours {
        Some(gpu_hours) => number(row, &hours(gpu_hours)),
        None => nothing(row, 1, "not reached"),
    }
    for (peer, closed) in
        [(&line.peer_single, line.closed_single), (&line.peer_hindsight, line.closed_hindsight)]
    {
        let Some((name, gpu_hours)) = peer else {
            nothing(row, 3, "no peer reaches it");
            continue;
        };
        row.leaf("td", &[], name);
        number(row, &hours(*gpu_hours));
        match closed {
            Some(closed) => number(row, &signed_percent(closed)),
            None => nothing(row, 1, "–"),
        }
    }
}
