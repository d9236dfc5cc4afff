//! Cost against attainment: every setting that was tried, each policy's frontier, and the optimum.

use super::labels::{self, LineEnd, strength};
use super::looks::{Look, Looks};
use super::markup::Markup;
use super::numbers::{self, aim, hours, share, times};
use super::plot::{AttainmentAxis, Plot, axis_x};
use super::ranking::highest_attainment;
use super::scale::{Bend, Scale};
use super::svg::{Anchor, Marker, Naming, Path};
use super::words::knobs;
use crate::comparison::{PolicyComparison, WorkloadComparison};
use crate::frontier::frontier;
use crate::outcome::Outcome;

const WIDTH_PX: f64 = 1_040.0;
const HEIGHT_PX: f64 = 500.0;

/// Where things are on this chart.
struct Axes {
    plot: Plot,
    cost: Scale,
    attained: AttainmentAxis,
}

/// Draws it.
pub(super) fn draw(
    markup: &mut Markup,
    workload: &WorkloadComparison,
    looks: &Looks,
    prefix: &str,
) {
    let Some(axes) = axes(workload) else { return };
    let naming = Naming {
        id: &format!("{prefix}-frontier"),
        title: &format!("{}: cost against attainment", workload.name),
        description: "GPU-hours on a logarithmic axis against the share of requests within the \
                      SLO. Each policy's frontier is a stepped line; up and left is better. The \
                      table below has the numbers.",
    };
    markup.chart((WIDTH_PX, HEIGHT_PX), naming, |svg| {
        grid(svg, &axes, workload);
        out_of_reach(svg, &axes, workload);
        let mut policies: Vec<(&PolicyComparison, &Look)> = workload
            .policies
            .iter()
            .filter_map(|policy| Some((policy, looks.get(&policy.policy)?)))
            .collect();
        // The strongest are drawn last, on top of the others.
        policies.sort_by_key(|(_, look)| look.weight);
        for (policy, look) in &policies {
            tried(svg, &axes, policy, look);
        }
        for (policy, look) in &policies {
            best(svg, &axes, policy, look);
        }
        replayed(svg, &axes, workload);
        let ends = policies.iter().filter_map(|(policy, look)| {
            let last = shown(&axes, policy).pop()?;
            Some(LineEnd { name: &policy.policy, look, at: axes.place(last) })
        });
        labels::draw(svg, &axes.plot, ends.collect());
    });
}

impl Axes {
    fn place(&self, outcome: &Outcome) -> (f64, f64) {
        (self.cost.place(outcome.gpu_hours), self.attained.place(outcome.attainment))
    }
}

/// Both scales, wide enough for everything that was tried.
fn axes(workload: &WorkloadComparison) -> Option<Axes> {
    let outcomes = || workload.policies.iter().flat_map(|policy| &policy.outcomes);
    let replayed = workload.optimum.iter().filter_map(|optimum| optimum.replayed.as_ref());
    let bounds = workload.optimum.iter().map(|optimum| optimum.bound_gpu_hours);
    let costs = outcomes().chain(replayed).map(|outcome| outcome.gpu_hours).chain(bounds);
    let (least, most) = costs
        .filter(|cost| cost.is_finite() && *cost > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), cost| (least.min(cost), most.max(cost)));
    if least > most {
        return None;
    }
    let rail = labels::width_px(workload.policies.iter().map(|policy| policy.policy.as_str()));
    let plot = Plot { left: 72.0, right: WIDTH_PX - rail, top: 54.0, bottom: HEIGHT_PX - 46.0 };
    let asked = workload.optimum.iter().map(|optimum| optimum.attainment).collect();
    let attained = outcomes().map(|outcome| outcome.attainment);
    Some(Axes {
        plot,
        cost: Scale::new(Bend::Log, (least * 0.8, most * 1.08), plot.across()),
        attained: AttainmentAxis::new(attained, asked, &plot),
    })
}

fn grid(svg: &mut Markup, axes: &Axes, workload: &WorkloadComparison) {
    let Axes { plot, cost, attained } = axes;
    axis_x(svg, plot, cost, &cost.ticks(34.0), ("GPU-hours", numbers::plain));
    attained.draw(svg, plot);
    let highest = highest_attainment(workload).and_then(|index| workload.optimum.get(index));
    let Some(bound) = highest.map(|optimum| optimum.bound_gpu_hours) else { return };
    let multiples = [1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];
    for ratio in cost.spaced(multiples.map(|ratio| ratio * bound).to_vec(), 42.0) {
        let x = cost.place(ratio);
        svg.line("axis", (x, plot.top - 4.0), (x, plot.top));
        let text = format!("{}\u{202f}×", numbers::plain(ratio / bound));
        svg.label("tick", (x, plot.top - 8.0), Anchor::Middle, &text);
    }
    let at = (plot.left + plot.right) / 2.0;
    svg.label("axis-title", (at, plot.top - 26.0), Anchor::Middle, "÷ the optimum's bound");
}

/// Where no plan of the slot model can be: left of the bound, from its attainment upwards.
fn out_of_reach(svg: &mut Markup, axes: &Axes, workload: &WorkloadComparison) {
    let mut bounds: Vec<(f64, f64)> = workload
        .optimum
        .iter()
        .map(|optimum| {
            (axes.cost.place(optimum.bound_gpu_hours), axes.attained.place(optimum.attainment))
        })
        .collect();
    bounds.sort_by(|a, b| b.1.total_cmp(&a.1));
    let Some(lowest) = bounds.first().copied() else { return };
    let (mut area, mut edge) = (Path::default(), Path::default());
    area.to((axes.plot.left, lowest.1));
    for (number, (x, y)) in bounds.iter().enumerate() {
        area.upright_to(*y);
        area.across_to(*x);
        if number == 0 {
            edge.to((*x, *y));
        } else {
            edge.upright_to(*y);
            edge.across_to(*x);
        }
    }
    area.upright_to(axes.plot.top);
    edge.upright_to(axes.plot.top);
    area.across_to(axes.plot.left);
    area.close();
    svg.path("unreachable", &area);
    svg.path("bound", &edge);
    for (optimum, at) in workload.optimum.iter().map(|optimum| {
        let at =
            (axes.cost.place(optimum.bound_gpu_hours), axes.attained.place(optimum.attainment));
        (optimum, at)
    }) {
        let cost = hours(optimum.bound_gpu_hours);
        let tip = format!("optimum's bound at {}: {cost} GPU-hours", aim(optimum.attainment));
        svg.marker(Marker::TriangleDown, "optimum-mark", at, &tip);
    }
    let label = (axes.plot.left + 6.0, lowest.1 + 15.0);
    svg.label("optimum-name", label, Anchor::Start, "▾ bound");
}

/// The cheapest plans that reached the attainments when replayed request by request.
fn replayed(svg: &mut Markup, axes: &Axes, workload: &WorkloadComparison) {
    let mut plans: Vec<&Outcome> =
        workload.optimum.iter().filter_map(|optimum| optimum.replayed.as_ref()).collect();
    plans.sort_by(|a, b| a.attainment.total_cmp(&b.attainment));
    let mut line = Path::default();
    for plan in &plans {
        line.to(axes.place(plan));
    }
    svg.path("replayed", &line);
    for plan in &plans {
        let cost = hours(plan.gpu_hours);
        let tip = format!("optimum, replayed: {}, {cost} GPU-hours", share(plan.attainment));
        svg.marker(Marker::Diamond, "optimum-mark", axes.place(plan), &tip);
    }
    if let Some(lowest) = plans.first() {
        let (x, y) = axes.place(lowest);
        svg.label("optimum-name", (x, y + 18.0), Anchor::Middle, "◆ plan");
    }
}

/// Faint dots for all that was tried, in one path: there can be hundreds.
fn tried(svg: &mut Markup, axes: &Axes, policy: &PolicyComparison, look: &Look) {
    let mut dots = Path::default();
    for outcome in &policy.outcomes {
        dots.dot(axes.place(outcome));
    }
    let class = format!("policy {}{}", look.tone, strength(look.weight));
    svg.element("g", &[("class", &class), ("data-p", &look.number)], |group| {
        group.path("tried", &dots);
    });
}

/// The stepped line: what a budget of so many GPU-hours buys at most.
fn best(svg: &mut Markup, axes: &Axes, policy: &PolicyComparison, look: &Look) {
    let best = shown(axes, policy);
    let mut steps = Path::default();
    for (number, outcome) in best.iter().enumerate() {
        let (x, y) = axes.place(outcome);
        if number == 0 {
            steps.to((x, y));
        } else {
            steps.across_to(x);
            steps.upright_to(y);
        }
    }
    let class = format!("policy {}{}", look.tone, strength(look.weight));
    svg.element("g", &[("class", &class), ("data-p", &look.number)], |group| {
        group.path("frontier", &steps);
        for outcome in best {
            let tip = format!(
                "{}: {}, {} GPU-hours{}; {}",
                policy.policy,
                share(outcome.attainment),
                hours(outcome.gpu_hours),
                relative(policy, outcome),
                knobs(&outcome.knobs)
            );
            group.marker(look.marker, "mark", axes.place(outcome), &tip);
        }
    });
}

/// The frontier between the ends of the axis, and one outcome at each end: what is drawn there
/// differs in cost alone, and would only be a line along the edge.
fn shown<'a>(axes: &Axes, policy: &'a PolicyComparison) -> Vec<&'a Outcome> {
    let mut best = frontier(&policy.outcomes);
    let (low, high) = axes.attained.ends();
    let above = best.iter().position(|outcome| outcome.attainment >= high);
    best.truncate(above.map_or(best.len(), |first| first + 1));
    let below = best.iter().rposition(|outcome| outcome.attainment <= low);
    best.split_off(below.unwrap_or(0))
}

/// The cost of an outcome relative to the optimum, where it was compared.
fn relative(policy: &PolicyComparison, outcome: &Outcome) -> String {
    let compared = policy.at.iter().find(|at| at.outcome.as_ref() == Some(outcome));
    match compared.and_then(|at| Some((at.attainment, at.gpu_hours_ratio?))) {
        Some((attainment, ratio)) => format!(", {} at {}", times(ratio), aim(attainment)),
        None => String::new(),
    }
}
