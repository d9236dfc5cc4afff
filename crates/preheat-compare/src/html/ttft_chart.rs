//! TTFT against its SLO: the median and the 99th percentile of each policy's chosen setting.

use super::labels::{self, strength};
use super::looks::{Look, Looks};
use super::markup::Markup;
use super::numbers::{self, seconds};
use super::plot::{Plot, axis_x};
use super::ranking::{highest_attainment, ranked};
use super::scale::{Bend, Scale};
use super::svg::{Anchor, Marker, Naming};
use crate::comparison::{PolicyComparison, WorkloadComparison};
use crate::outcome::Outcome;

const WIDTH_PX: f64 = 1_040.0;
const ROW_PX: f64 = 19.0;
/// Room on the right for the percentile in digits.
const DIGITS_PX: f64 = 64.0;

/// Draws it.
pub(super) fn draw(
    markup: &mut Markup,
    workload: &WorkloadComparison,
    looks: &Looks,
    prefix: &str,
) {
    let rows: Vec<(&PolicyComparison, &Look, &Outcome)> =
        ranked(workload, highest_attainment(workload))
            .into_iter()
            .filter_map(|policy| Some((policy, looks.get(&policy.policy)?, policy.chosen()?)))
            .collect();
    let names = labels::width_px(rows.iter().map(|(policy, _, _)| policy.policy.as_str()));
    let bottom = 30.0 + rows.len() as f64 * ROW_PX;
    let plot = Plot { left: names, right: WIDTH_PX - DIGITS_PX, top: 30.0, bottom };
    let slo = workload.slo_ttft_s;
    let measured = rows.iter().flat_map(|(_, _, outcome)| [outcome.ttft_p50_s, outcome.ttft_p99_s]);
    let domain = measured
        .flatten()
        .filter(|ttft| ttft.is_finite() && *ttft > 0.0)
        .fold((slo, slo), |(least, most), ttft| (least.min(ttft), most.max(ttft)));
    let ttft = Scale::new(Bend::Log, (domain.0 * 0.8, domain.1 * 1.15), plot.across());
    let naming = Naming {
        id: &format!("{prefix}-ttft"),
        title: &format!("{}: TTFT of each policy", workload.name),
        description: "Median and 99th percentile of the time to first token on a logarithmic \
                      axis, with the SLO as a vertical line.",
    };
    markup.chart((WIDTH_PX, bottom + 44.0), naming, |svg| {
        axis_x(svg, &plot, &ttft, &ttft.ticks(46.0), ("TTFT", seconds));
        let x = ttft.place(slo);
        svg.line("asked", (x, plot.top), (x, plot.bottom));
        svg.label("tick asked-tick", (x, plot.top - 8.0), Anchor::Middle, "SLO");
        let heading = (WIDTH_PX - DIGITS_PX + 10.0, plot.top - 8.0);
        svg.label("axis-title", heading, Anchor::Start, "p99");
        for (number, (policy, look, outcome)) in rows.iter().enumerate() {
            let y = plot.top + (number as f64 + 0.5) * ROW_PX;
            let class = format!("policy {}{}", look.tone, strength(look.weight));
            svg.element("g", &[("class", &class), ("data-p", &look.number)], |row| {
                draw_row(row, (policy, look, outcome), &plot, &ttft, y);
            });
        }
    });
}

fn draw_row(
    row: &mut Markup,
    (policy, look, outcome): (&PolicyComparison, &Look, &Outcome),
    plot: &Plot,
    ttft: &Scale,
    y: f64,
) {
    let name: String = policy.policy.chars().take(40).collect();
    row.marker(look.marker, "mark", (10.0, y), "");
    row.label("name", (21.0, y + 4.0), Anchor::Start, &name);
    row.line("row", (plot.left, y), (plot.right, y));
    let at = (WIDTH_PX - DIGITS_PX + 10.0, y + 4.0);
    let (Some(p50), Some(p99)) = (outcome.ttft_p50_s, outcome.ttft_p99_s) else {
        row.label("tick-start", at, Anchor::Start, "no answer");
        return;
    };
    let tip = format!(
        "{}: p50 {}, p99 {}, {} within the SLO",
        policy.policy,
        seconds(p50),
        seconds(p99),
        numbers::share(outcome.attainment)
    );
    row.line("span", (ttft.place(p50), y), (ttft.place(p99), y));
    row.marker(Marker::Circle, "median", (ttft.place(p50), y), &tip);
    row.marker(look.marker, "mark", (ttft.place(p99), y), &tip);
    row.label("tick-start", at, Anchor::Start, &seconds(p99));
}
