//! What another cold start does to attainment and to cost: where is the cliff?

use super::labels::{self, LineEnd, strength};
use super::looks::{Look, Looks};
use super::markup::Markup;
use super::numbers::{hours, plain, seconds, share};
use super::plot::{AttainmentAxis, Plot, axis_x, axis_y};
use super::scale::{Bend, Scale};
use super::svg::{Naming, Path};
use crate::comparison::{PolicyComparison, SweepPoint, WorkloadComparison};

const WIDTH_PX: f64 = 510.0;
const HEIGHT_PX: f64 = 400.0;

/// What is drawn over the cold start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Attainment,
    GpuHours,
}

/// Draws both charts.
pub(super) fn draw(
    markup: &mut Markup,
    workload: &WorkloadComparison,
    looks: &Looks,
    prefix: &str,
) {
    markup.element("div", &[("class", "multiples")], |markup| {
        for quantity in [Quantity::Attainment, Quantity::GpuHours] {
            markup.element("div", &[("class", "multiple")], |markup| {
                chart(markup, workload, looks, quantity, prefix);
            });
        }
    });
}

/// Whether there is anything to draw.
pub(super) fn is_drawn(workload: &WorkloadComparison) -> bool {
    points(workload).next().is_some()
}

impl Quantity {
    fn of(self, point: &SweepPoint) -> f64 {
        match self {
            Self::Attainment => point.outcome.attainment,
            Self::GpuHours => point.outcome.gpu_hours,
        }
    }

    fn naming(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Attainment => (
                "sweep-attainment",
                "attainment against cold start",
                "Share of requests within the SLO when the chosen setting of each policy runs \
                 with other cold starts.",
            ),
            Self::GpuHours => (
                "sweep-cost",
                "GPU-hours against cold start",
                "GPU-hours when the chosen setting of each policy runs with other cold starts.",
            ),
        }
    }
}

/// The axis of a quantity.
enum Upright {
    Attainment(AttainmentAxis),
    GpuHours(Scale),
}

impl Upright {
    fn new(quantity: Quantity, workload: &WorkloadComparison, plot: &Plot) -> Self {
        let values = points(workload).map(|point| quantity.of(point));
        match quantity {
            Quantity::Attainment => {
                let asked = workload.optimum.iter().map(|optimum| optimum.attainment).collect();
                Self::Attainment(AttainmentAxis::new(values, asked, plot))
            }
            Quantity::GpuHours => {
                let positive = values.filter(|value| *value > 0.0);
                let (least, most) = positive.fold((f64::INFINITY, 0.0_f64), |ends, value| {
                    (ends.0.min(value), ends.1.max(value))
                });
                let least = if least.is_finite() { least } else { 1.0 };
                let domain = (least * 0.9, most.max(least) * 1.1);
                Self::GpuHours(Scale::new(Bend::Log, domain, plot.upright()))
            }
        }
    }

    fn place(&self, value: f64) -> f64 {
        match self {
            Self::Attainment(axis) => axis.place(value),
            Self::GpuHours(scale) => scale.place(value),
        }
    }

    fn draw(&self, svg: &mut Markup, plot: &Plot) {
        match self {
            Self::Attainment(axis) => axis.draw(svg, plot),
            Self::GpuHours(scale) => {
                axis_y(svg, plot, scale, &scale.ticks(22.0), ("GPU-hours", plain));
            }
        }
    }
}

fn chart(
    markup: &mut Markup,
    workload: &WorkloadComparison,
    looks: &Looks,
    quantity: Quantity,
    prefix: &str,
) {
    let rail = labels::width_px(workload.policies.iter().map(|policy| policy.policy.as_str()));
    let plot = Plot { left: 72.0, right: WIDTH_PX - rail, top: 30.0, bottom: HEIGHT_PX - 44.0 };
    let x = cold_starts(workload, &plot);
    let y = Upright::new(quantity, workload, &plot);
    let (id, title, description) = quantity.naming();
    let id = format!("{prefix}-{id}");
    let title = format!("{}: {title}", workload.name);
    markup.chart((WIDTH_PX, HEIGHT_PX), Naming { id: &id, title: &title, description }, |svg| {
        let mut tried: Vec<f64> = points(workload).map(|point| point.cold_start_s).collect();
        tried.sort_by(f64::total_cmp);
        axis_x(svg, &plot, &x, &x.spaced(tried, 36.0), ("cold start", seconds));
        y.draw(svg, &plot);
        let mut policies: Vec<(&PolicyComparison, &Look)> = workload
            .policies
            .iter()
            .filter(|policy| !policy.cold_start_sweep.is_empty())
            .filter_map(|policy| Some((policy, looks.get(&policy.policy)?)))
            .collect();
        policies.sort_by_key(|(_, look)| look.weight);
        let place = |point: &SweepPoint| (x.place(point.cold_start_s), y.place(quantity.of(point)));
        for (policy, look) in &policies {
            let class = format!("policy {}{}", look.tone, strength(look.weight));
            svg.element("g", &[("class", &class), ("data-p", &look.number)], |group| {
                line(group, policy, look, &place);
            });
        }
        let ends = policies.iter().filter_map(|(policy, look)| {
            let last = sorted(policy).pop()?;
            Some(LineEnd { name: &policy.policy, look, at: place(last) })
        });
        labels::draw(svg, &plot, ends.collect());
    });
}

fn line(
    group: &mut Markup,
    policy: &PolicyComparison,
    look: &Look,
    place: &impl Fn(&SweepPoint) -> (f64, f64),
) {
    let points = sorted(policy);
    let mut path = Path::default();
    for point in &points {
        path.to(place(point));
    }
    group.path("sweep", &path);
    for point in points {
        let tip = format!(
            "{}, cold start {}: {}, {} GPU-hours",
            policy.policy,
            seconds(point.cold_start_s),
            share(point.outcome.attainment),
            hours(point.outcome.gpu_hours)
        );
        group.marker(look.marker, "mark", place(point), &tip);
    }
}

/// A logarithmic axis, unless there is a cold start of nothing.
fn cold_starts(workload: &WorkloadComparison, plot: &Plot) -> Scale {
    let starts = points(workload).map(|point| point.cold_start_s);
    let (least, most) = starts
        .fold((f64::INFINITY, 0.0_f64), |(least, most), start| (least.min(start), most.max(start)));
    let bend = if least > 0.0 { Bend::Log } else { Bend::Linear };
    Scale::new(bend, (least, most), (plot.left + 12.0, plot.right - 4.0))
}

fn points(workload: &WorkloadComparison) -> impl Iterator<Item = &SweepPoint> {
    workload.policies.iter().flat_map(|policy| &policy.cold_start_sweep)
}

/// The points of a policy, the shortest cold start first.
fn sorted(policy: &PolicyComparison) -> Vec<&SweepPoint> {
    let mut points: Vec<&SweepPoint> = policy.cold_start_sweep.iter().collect();
    points.sort_by(|a, b| a.cold_start_s.total_cmp(&b.cold_start_s));
    points
}
