//! A comparison as one HTML file that needs nothing else: no network, no font, no script to be
//! read. Scripts only add read-outs and the choice of policies.
//!
//! ```text
//! Comparison ──ranking, looks──► words · charts · tables ──markup──► HTML
//! ```
//!
//! **Invariant:** equal comparisons give equal bytes. Whatever a user named is escaped. Nothing
//! here computes a result; it shows what [`Comparison`] holds.

mod across_table;
mod frontier_chart;
mod labels;
mod looks;
mod markup;
mod numbers;
mod plot;
mod ranking;
mod replicas_chart;
mod scale;
mod svg;
mod sweep_chart;
mod table;
#[cfg(test)]
mod tests;
mod ttft_chart;
mod words;

use looks::Looks;
use markup::Markup;
use svg::Marker;

use crate::comparison::{Comparison, WorkloadComparison};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// Nothing may be fetched, from anywhere.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// Where a report comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HtmlAbout {
    /// The command line that made it.
    pub command: String,
    /// The version of preheat that ran.
    pub version: String,
}

/// The report.
#[must_use]
pub fn render(comparison: &Comparison, about: &HtmlAbout) -> String {
    let looks = Looks::of(comparison);
    let mut markup = Markup::default();
    markup.verbatim("<!DOCTYPE html>\n");
    markup.element("html", &[("lang", "en")], |html| {
        html.element("head", &[], |head| draw_head(head, comparison));
        html.line_break();
        html.element("body", &[], |body| {
            body.element("header", &[], |header| draw_header(header, comparison, about));
            body.line_break();
            draw_chooser(body, &looks);
            body.element("main", &[], |main| {
                for (number, workload) in comparison.workloads.iter().enumerate() {
                    draw_workload(main, workload, &looks, &format!("w{}", number + 1));
                }
                if has_across(comparison) {
                    main.element("section", &[("id", "across")], |section| {
                        section.leaf("h2", &[], "All workloads together");
                        across_table::draw(section, comparison, &looks);
                    });
                }
            });
            body.line_break();
            body.element("div", &[("id", "tip"), ("hidden", "")], |_| {});
            body.element("script", &[], |script| script.verbatim(SCRIPT));
        });
    });
    markup.line_break();
    markup.finish()
}

fn has_across(comparison: &Comparison) -> bool {
    comparison.workloads.len() > 1 && !comparison.across.is_empty()
}

fn draw_head(head: &mut Markup, comparison: &Comparison) {
    head.empty("meta", &[("charset", "utf-8")]);
    head.empty("meta", &[("http-equiv", "Content-Security-Policy"), ("content", CONTENT_POLICY)]);
    head.empty("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    head.empty("meta", &[("name", "color-scheme"), ("content", "light dark")]);
    let names: Vec<&str> =
        comparison.workloads.iter().map(|workload| workload.name.as_str()).collect();
    head.leaf("title", &[], &format!("preheat compare: {}", names.join(", ")));
    head.element("style", &[], |style| style.verbatim(STYLE));
}

/// The title, how it was made, and an index with each workload's finding.
fn draw_header(header: &mut Markup, comparison: &Comparison, about: &HtmlAbout) {
    header.leaf("h1", &[], "Autoscalers side by side");
    header.element("p", &[("class", "about")], |p| {
        p.leaf("code", &[], &about.command);
        p.text(&format!(" (preheat {})", about.version));
    });
    header.leaf(
        "p",
        &[],
        "The same traffic under each policy. Costs are GPU-hours from the moment a start is \
         ordered, set beside the offline optimum: a bound that no plan of the slot model beats, \
         and the cheapest plan that held when it was replayed request by request.",
    );
    if comparison.workloads.len() < 2 {
        return;
    }
    header.element("nav", &[("aria-label", "Workloads")], |nav| {
        nav.element("ol", &[], |list| {
            for (number, workload) in comparison.workloads.iter().enumerate() {
                list.element("li", &[], |item| {
                    let target = format!("#w{}", number + 1);
                    item.leaf("a", &[("href", &target)], &words::traffic(&workload.name));
                    item.text(&format!(": {}", words::finding(workload)));
                });
            }
            if has_across(comparison) {
                list.element("li", &[], |item| {
                    item.leaf("a", &[("href", "#across")], "All workloads together");
                });
            }
        });
    });
}

/// Which policies are shown; hidden until the script that it needs runs.
fn draw_chooser(body: &mut Markup, looks: &Looks) {
    let attributes = [("id", "chooser"), ("hidden", ""), ("aria-label", "Policies shown")];
    body.element("section", &attributes, |chooser| {
        chooser.leaf("button", &[("type", "button"), ("data-choose", "all")], "all");
        chooser.leaf("button", &[("type", "button"), ("data-choose", "best")], "the best");
        for (name, look) in looks.all() {
            let class = format!("policy {}", look.tone);
            chooser.element("label", &[("class", &class)], |label| {
                let best = if look.tone == "tone-other" { "no" } else { "yes" };
                label.empty(
                    "input",
                    &[
                        ("type", "checkbox"),
                        ("checked", ""),
                        ("value", &look.number),
                        ("data-best", best),
                    ],
                );
                swatch(label, look.marker);
                label.text(name);
            });
        }
    });
    body.line_break();
}

fn swatch(markup: &mut Markup, marker: Marker) {
    let attributes =
        [("viewBox", "0 0 16 16"), ("width", "14"), ("height", "14"), ("aria-hidden", "true")];
    markup.element("svg", &attributes, |svg| svg.marker(marker, "mark", (8.0, 8.0), ""));
}

fn draw_workload(main: &mut Markup, workload: &WorkloadComparison, looks: &Looks, prefix: &str) {
    main.element("section", &[("id", prefix)], |section| {
        section.leaf("h2", &[], &words::traffic(&workload.name));
        section.leaf("p", &[("class", "facts")], &words::facts(workload));
        section.leaf("p", &[("class", "finding")], &words::finding(workload));
        if let Some(terms) = words::terms(workload) {
            section.leaf("p", &[], &terms);
        }
        let has_outcomes = workload.policies.iter().any(|policy| !policy.outcomes.is_empty());
        if has_outcomes {
            draw_charts(section, workload, looks, prefix);
        }
        section.leaf("h3", &[], "The numbers");
        table::draw(section, workload, looks);
    });
    main.line_break();
}

fn draw_charts(section: &mut Markup, workload: &WorkloadComparison, looks: &Looks, prefix: &str) {
    figure(
        section,
        "Cost against attainment",
        "Every setting that was tried is a faint dot; the stepped line is the most that a budget \
         buys. Up and left is better. The vertical axis is the order of magnitude of what is \
         missed. Dashed lines are the attainments compared; no plan can be in the shaded area.",
        |figure| frontier_chart::draw(figure, workload, looks, prefix),
    );
    if replicas_chart::is_drawn(workload) {
        figure(
            section,
            "Replicas against need",
            "preheat and the best peers, each with the setting named in the table. Need is the \
             replicas that a minute's arrivals keep busy.",
            |figure| {
                legend(figure);
                replicas_chart::draw(figure, workload, looks, prefix);
            },
        );
    }
    figure(
        section,
        "TTFT against the SLO",
        "Hollow: the median. Filled: the 99th percentile. The order is the table's.",
        |figure| ttft_chart::draw(figure, workload, looks, prefix),
    );
    if sweep_chart::is_drawn(workload) {
        let mut caption =
            "The same settings with other cold starts; nothing is tuned anew. ".to_owned();
        caption.push_str(&words::cliffs(workload).unwrap_or_default());
        figure(section, "Other cold starts", &caption, |figure| {
            sweep_chart::draw(figure, workload, looks, prefix);
        });
    }
}

fn figure(section: &mut Markup, title: &str, caption: &str, inside: impl FnOnce(&mut Markup)) {
    section.element("figure", &[], |figure| {
        figure.element("figcaption", &[], |figcaption| {
            figcaption.leaf("h3", &[], title);
            figcaption.leaf("p", &[], caption);
        });
        figure.element("div", &[("class", "scroll")], inside);
    });
    section.line_break();
}

/// What the layers of the replicas' charts are.
fn legend(figure: &mut Markup) {
    figure.element("p", &[("class", "legend")], |legend| {
        for name in ["need", "ready", "draining", "standby", "starting"] {
            legend.element("span", &[], |entry| {
                entry.element("i", &[("class", &format!("key key-{name}"))], |_| {});
                entry.text(name);
            });
        }
    });
}
