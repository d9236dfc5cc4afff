//! Replicas against need, minute by minute: one small chart for preheat and each of the best peers.

use preheat_sim::report::Minute;

use super::looks::Looks;
use super::markup::Markup;
use super::numbers;
use super::plot::{Plot, axis_x, axis_y};
use super::ranking::{highest_attainment, ranked};
use super::scale::{Bend, Scale};
use super::svg::{Naming, Path};
use crate::comparison::{PolicyComparison, WorkloadComparison};
use preheat_sim::preheat_policy::PREHEAT;

const WIDTH_PX: f64 = 510.0;
const HEIGHT_PX: f64 = 190.0;
/// Peers beside preheat.
const PEERS: usize = 5;
/// Most points of a line: two pixels each are all that can be seen.
const POINTS_MAX: usize = 300;

/// A layer's name, and the replicas in it.
type Layer = (&'static str, fn(&Minute) -> u32);

/// What stands on what, from the bottom.
const LAYERS: [Layer; 4] = [
    ("ready", |minute| minute.ready),
    ("draining", |minute| minute.draining),
    ("standby", |minute| minute.standby),
    ("starting", |minute| minute.starting),
];

/// Draws them; nothing where no series was kept.
pub(super) fn draw(
    markup: &mut Markup,
    workload: &WorkloadComparison,
    looks: &Looks,
    prefix: &str,
) {
    let shown = shown(workload);
    let series: Vec<Vec<Minute>> = shown.iter().map(|policy| thin(&policy.series)).collect();
    let highest = series.iter().flatten().map(height).fold(1.0, f64::max);
    let charts = shown.into_iter().zip(&series).filter(|(_, series)| !series.is_empty());
    markup.element("div", &[("class", "multiples")], |markup| {
        for (policy, series) in charts {
            let Some(look) = looks.get(&policy.policy) else { continue };
            let class = format!("multiple policy {}", look.tone);
            markup.element("div", &[("class", &class), ("data-p", &look.number)], |markup| {
                markup.element("p", &[("class", "multiple-name")], |p| {
                    p.leaf("b", &[], &policy.policy);
                    if let Some(outcome) = policy.chosen() {
                        p.text(&format!(
                            " {}, {} GPU-hours",
                            numbers::share(outcome.attainment),
                            numbers::hours(outcome.gpu_hours)
                        ));
                    }
                });
                chart(markup, policy, series, highest, &format!("{prefix}-fleet-{}", look.number));
            });
        }
    });
}

/// Whether there is anything to draw.
pub(super) fn is_drawn(workload: &WorkloadComparison) -> bool {
    workload.policies.iter().any(|policy| !policy.series.is_empty())
}

/// preheat, then the best peers of this workload.
fn shown(workload: &WorkloadComparison) -> Vec<&PolicyComparison> {
    let ranked = ranked(workload, highest_attainment(workload));
    let with_series = || ranked.iter().filter(|policy| !policy.series.is_empty()).copied();
    let preheat = with_series().filter(|policy| policy.policy == PREHEAT);
    preheat.chain(with_series().filter(|policy| policy.policy != PREHEAT).take(PEERS)).collect()
}

fn chart(
    markup: &mut Markup,
    policy: &PolicyComparison,
    series: &[Minute],
    highest: f64,
    id: &str,
) {
    let plot = Plot { left: 36.0, right: WIDTH_PX - 10.0, top: 22.0, bottom: HEIGHT_PX - 40.0 };
    let first = series.first().map_or(0, |minute| minute.minute);
    let last = series.last().map_or(0, |minute| minute.minute) + 1;
    // Short ones in minutes, so that the ticks are round.
    let (unit, unit_minutes) = if last - first > 180 { ("hours", 60.0) } else { ("minutes", 1.0) };
    let domain = (first as f64 / unit_minutes, last as f64 / unit_minutes);
    let time = Scale::new(Bend::Linear, domain, plot.across());
    let replicas = Scale::new(Bend::Linear, (0.0, highest), plot.upright());
    let naming = Naming {
        id,
        title: &format!("{}: replicas against need", policy.policy),
        description: "Ready and starting replicas stacked over time, and the replicas that the \
                      arrivals of each minute keep busy as a line.",
    };
    markup.chart((WIDTH_PX, HEIGHT_PX), naming, |svg| {
        axis_y(svg, &plot, &replicas, &replicas.ticks(26.0), ("replicas", numbers::plain));
        axis_x(svg, &plot, &time, &time.ticks(44.0), (unit, numbers::plain));
        let steps = Steps { series, time, unit_minutes, replicas, last };
        // From the top: each reaches down to zero, and the next covers what isn't its own.
        for (number, (name, of)) in LAYERS.iter().enumerate().rev() {
            if series.iter().any(|minute| of(minute) > 0) {
                let area = steps.area(|minute| stacked(minute, number + 1));
                svg.path(&format!("layer {name}"), &area);
            }
        }
        svg.path("need", &steps.line(|minute| minute.need));
    });
}

/// Replicas in the lowest `layers`.
fn stacked(minute: &Minute, layers: usize) -> f64 {
    LAYERS.iter().take(layers).map(|(_, of)| f64::from(of(minute))).sum()
}

/// The highest thing in a minute.
fn height(minute: &Minute) -> f64 {
    stacked(minute, LAYERS.len()).max(minute.need)
}

/// Draws what holds for a minute as a step.
struct Steps<'a> {
    series: &'a [Minute],
    time: Scale,
    unit_minutes: f64,
    replicas: Scale,
    last: u64,
}

impl Steps<'_> {
    fn x(&self, minute: u64) -> f64 {
        self.time.place(minute as f64 / self.unit_minutes)
    }

    /// Corners only where the value changes, and the end.
    fn line(&self, of: impl Fn(&Minute) -> f64) -> Path {
        let mut path = Path::default();
        let mut held = None;
        for minute in self.series {
            let (x, y) = (self.x(minute.minute), self.replicas.place(of(minute)));
            match held {
                None => path.to((x, y)),
                Some(before) if before == y => {}
                Some(_) => {
                    path.across_to(x);
                    path.upright_to(y);
                }
            }
            held = Some(y);
        }
        path.across_to(self.x(self.last));
        path
    }

    /// Below the line.
    fn area(&self, of: impl Fn(&Minute) -> f64) -> Path {
        let mut path = self.line(of);
        path.upright_to(self.replicas.place(0.0));
        path.across_to(self.time.range().0);
        path.close();
        path
    }
}

/// No more than [`POINTS_MAX`] points, each the highest of its minutes in everything.
fn thin(series: &[Minute]) -> Vec<Minute> {
    let size = series.len().div_ceil(POINTS_MAX).max(1);
    series.chunks(size).filter_map(|chunk| chunk.iter().copied().reduce(highest_of)).collect()
}

fn highest_of(a: Minute, b: Minute) -> Minute {
    Minute {
        minute: a.minute.min(b.minute),
        arrivals: a.arrivals.max(b.arrivals),
        within_slo: a.within_slo.max(b.within_slo),
        need: a.need.max(b.need),
        desired: a.desired.max(b.desired),
        ready: a.ready.max(b.ready),
        starting: a.starting.max(b.starting),
        draining: a.draining.max(b.draining),
        standby: a.standby.max(b.standby),
        queue: a.queue.max(b.queue),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_is_thinned_and_keeps_its_peaks() {
        let mut series: Vec<Minute> =
            (0..1_441).map(|minute| Minute { minute, ready: 3, ..Minute::default() }).collect();
        series[777].need = 42.0;
        series[1_440].starting = 9;
        let thinned = thin(&series);
        assert!(thinned.len() <= POINTS_MAX, "{}", thinned.len());
        assert!(thinned.iter().any(|minute| minute.need == 42.0));
        assert!(thinned.iter().any(|minute| minute.starting == 9));
        assert_eq!(thinned[0].minute, 0);
        assert_eq!(thin(&series[..5]), series[..5]);
        assert!(thin(&[]).is_empty());
    }
}
