//! Labels beside a chart, one for each line, moved apart until none covers another.

use super::looks::{Look, Weight};
use super::markup::Markup;
use super::plot::Plot;
use super::svg::{Anchor, Path};

/// Height of a line of small text.
const LINE_PX: f64 = 12.5;
/// Mean width of its characters; an estimate, as nobody measures a font here.
const CHARACTER_PX: f64 = 7.0;
/// From the plot to where the labels begin.
const LEAD_PX: f64 = 34.0;
/// Room for the marker before a label.
const MARKER_PX: f64 = 11.0;

/// The end of a line, to be labelled.
#[derive(Clone, Debug)]
pub(super) struct LineEnd<'a> {
    pub(super) name: &'a str,
    pub(super) look: &'a Look,
    pub(super) at: (f64, f64),
}

/// Width that labels of these names need.
pub(super) fn width_px<'a>(names: impl Iterator<Item = &'a str>) -> f64 {
    let longest = names.map(|name| name.chars().count()).max().unwrap_or(0);
    LEAD_PX + MARKER_PX + longest.min(40) as f64 * CHARACTER_PX + 4.0
}

/// Writes the labels right of the plot, each joined to its line's end by a thin line.
pub(super) fn draw(markup: &mut Markup, plot: &Plot, mut ends: Vec<LineEnd<'_>>) {
    ends.sort_by(|a, b| a.at.1.total_cmp(&b.at.1).then(a.at.0.total_cmp(&b.at.0)));
    let wanted: Vec<f64> = ends.iter().map(|end| end.at.1).collect();
    let heights = spread(&wanted, LINE_PX, (plot.top, plot.bottom));
    let x = plot.right + LEAD_PX;
    for (end, y) in ends.iter().zip(heights) {
        let class = format!("policy {}{}", end.look.tone, strength(end.look.weight));
        markup.element("g", &[("class", &class), ("data-p", &end.look.number)], |group| {
            let mut leader = Path::default();
            leader.to((end.at.0 + 6.0, end.at.1));
            leader.to((plot.right.max(end.at.0 + 6.0), end.at.1));
            leader.to((x - 8.0, y));
            group.path("leader", &leader);
            group.marker(end.look.marker, "mark", (x, y), "");
            let shown: String = end.name.chars().take(40).collect();
            group.label("name", (x + MARKER_PX, y + 4.0), Anchor::Start, &shown);
        });
    }
}

/// The class of a weight, with the space before it.
pub(super) fn strength(weight: Weight) -> &'static str {
    match weight {
        Weight::Strongest => " strongest",
        Weight::Best => "",
        Weight::Other => " other",
    }
}

/// Places in the order of `wanted` (which rises), `gap` apart where there is room for that, inside
/// `bounds`, as near to what was wanted as that allows.
///
/// Neighbours that would touch form a cluster, which is put around the mean of what they wanted.
pub(super) fn spread(wanted: &[f64], gap: f64, bounds: (f64, f64)) -> Vec<f64> {
    let room = bounds.1 - bounds.0;
    let gap = gap.min(room / wanted.len().max(1) as f64);
    // Each cluster: its first place, and how many it holds.
    let mut clusters: Vec<(f64, usize)> = Vec::new();
    for want in wanted {
        let inside = |start: f64, size: usize| {
            let last = (size - 1) as f64 * gap;
            start.clamp(bounds.0, (bounds.1 - last).max(bounds.0))
        };
        let mut size = 1;
        let mut start = inside(*want, size);
        while let Some((before, of)) = clusters.last().copied() {
            if before + of as f64 * gap <= start {
                break;
            }
            // The mean of the first places that each of the two would choose.
            let own = start - of as f64 * gap;
            start = (before * of as f64 + own * size as f64) / (of + size) as f64;
            size += of;
            start = inside(start, size);
            clusters.pop();
        }
        clusters.push((start, size));
    }
    let places =
        |(start, size): (f64, usize)| (0..size).map(move |index| start + index as f64 * gap);
    clusters.into_iter().flat_map(places).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: &[f64], expected: &[f64]) {
        assert_eq!(spread(wanted, 10.0, (0.0, 100.0)), expected);
    }

    #[test]
    fn labels_move_apart_and_no_further() {
        check(&[], &[]);
        check(&[20.0, 60.0], &[20.0, 60.0]);
        check(&[50.0, 50.0, 50.0], &[40.0, 50.0, 60.0]);
        check(&[50.0, 52.0], &[46.0, 56.0]);
    }

    #[test]
    fn labels_stay_inside() {
        check(&[0.0, 0.0, 0.0], &[0.0, 10.0, 20.0]);
        check(&[99.0, 99.0], &[90.0, 100.0]);
        check(&[75.0, 99.0, 99.0, 99.0], &[70.0, 80.0, 90.0, 100.0]);
    }

    #[test]
    fn too_many_labels_share_what_room_there_is() {
        let places = spread(&[5.0; 40], 10.0, (0.0, 100.0));
        assert_eq!(places.len(), 40);
        assert!(places.windows(2).all(|pair| pair[1] > pair[0]));
        assert!(places.iter().all(|place| (0.0..=100.0).contains(place)));
    }
}
