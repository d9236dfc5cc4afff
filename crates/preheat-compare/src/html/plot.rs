//! The area of a chart, its axes and its grid.

use super::markup::Markup;
use super::numbers::aim;
use super::scale::{Bend, Scale};
use super::svg::Anchor;

/// Where the data are drawn, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plot {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Plot {
    /// Left to right.
    pub(super) fn across(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    /// Bottom to top: more is higher.
    pub(super) fn upright(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }
}

/// A line of the grid for each tick, its value below, and the axis' title below those.
pub(super) fn axis_x(
    markup: &mut Markup,
    plot: &Plot,
    scale: &Scale,
    ticks: &[f64],
    (title, write): (&str, impl Fn(f64) -> String),
) {
    for tick in ticks {
        let x = scale.place(*tick);
        markup.line("grid", (x, plot.top), (x, plot.bottom));
        markup.label("tick", (x, plot.bottom + 16.0), Anchor::Middle, &write(*tick));
    }
    markup.line("axis", (plot.left, plot.bottom), (plot.right, plot.bottom));
    let middle = (plot.left + plot.right) / 2.0;
    markup.label("axis-title", (middle, plot.bottom + 34.0), Anchor::Middle, title);
}

/// A line of the grid for each tick, its value left of it, and the axis' title on top.
pub(super) fn axis_y(
    markup: &mut Markup,
    plot: &Plot,
    scale: &Scale,
    ticks: &[f64],
    (title, write): (&str, impl Fn(f64) -> String),
) {
    for tick in ticks {
        let y = scale.place(*tick);
        markup.line("grid", (plot.left, y), (plot.right, y));
        markup.label("tick", (plot.left - 6.0, y + 4.0), Anchor::End, &write(*tick));
    }
    markup.label("axis-title", (4.0, plot.top - 12.0), Anchor::Start, title);
}

/// Attainments that the axis always resolves; it goes down to the lowest of these and no further.
const ATTAINED: (f64, f64) = (0.8, 0.9995);

/// The axis of attainment: by the order of magnitude of what is missed.
///
/// What lies beyond its ends is drawn at them, and they say so: below 80 % nobody cares by how
/// much, and above 99.95 % the axis would be spent on single requests.
pub(super) struct AttainmentAxis {
    scale: Scale,
    asked: Vec<f64>,
    ends: (f64, f64),
    passed: (bool, bool),
}

impl AttainmentAxis {
    /// An axis for these attainments, some of which were asked for.
    pub(super) fn new(attained: impl Iterator<Item = f64>, asked: Vec<f64>, plot: &Plot) -> Self {
        // An attainment that was asked for keeps clear of the end.
        let highest = asked.iter().map(|asked| 1.0 - (1.0 - asked) / 3.0);
        let lowest = asked.iter().map(|asked| 1.0 - (1.0 - asked) * 2.0);
        let ends = (lowest.fold(ATTAINED.0, f64::min).max(0.0), highest.fold(ATTAINED.1, f64::max));
        let passed = attained.fold((false, false), |passed, attained| {
            (passed.0 || attained < ends.0, passed.1 || attained > ends.1)
        });
        Self { scale: Scale::new(Bend::Misses, ends, plot.upright()), asked, ends, passed }
    }

    /// The lowest and the highest attainment that have a place of their own.
    pub(super) fn ends(&self) -> (f64, f64) {
        self.ends
    }

    /// Where an attainment lies.
    pub(super) fn place(&self, attainment: f64) -> f64 {
        self.scale.place(attainment)
    }

    /// Draws it, with a dashed line at what was asked for.
    pub(super) fn draw(&self, markup: &mut Markup, plot: &Plot) {
        let mut ticks = self.scale.ticks(20.0);
        let clear = |tick: f64| {
            let marked = self.asked.iter().chain([&self.ends.0, &self.ends.1]);
            !marked.into_iter().any(|at| (self.place(tick) - self.place(*at)).abs() < 13.0)
        };
        ticks.retain(|tick| clear(*tick));
        ticks.extend([self.ends.0, self.ends.1]);
        let write = |tick: f64| match tick {
            low if low == self.ends.0 && self.passed.0 => format!("≤ {}", aim(low)),
            high if high == self.ends.1 && self.passed.1 => format!("≥ {}", aim(high)),
            between => aim(between),
        };
        axis_y(markup, plot, &self.scale, &ticks, ("within the SLO", write));
        for asked in &self.asked {
            let y = self.place(*asked);
            markup.line("asked", (plot.left, y), (plot.right, y));
            markup.label("tick asked-tick", (plot.left - 6.0, y + 4.0), Anchor::End, &aim(*asked));
        }
    }
}
