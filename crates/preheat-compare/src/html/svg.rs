//! Shapes of a chart.

use super::markup::Markup;
use super::numbers::px;

/// What a chart is called and what it shows, for those who don't see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming<'a> {
    /// Unique in the document.
    pub(super) id: &'a str,
    /// Its name.
    pub(super) title: &'a str,
    /// What it shows, in a sentence or two.
    pub(super) description: &'a str,
}

/// Which end of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// Shapes that are told apart without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    /// ●
    Circle,
    /// ■
    Square,
    /// ◆
    Diamond,
    /// ▲
    Triangle,
    /// ▼
    TriangleDown,
    /// ✚
    Plus,
    /// ✖
    Cross,
    /// ★, of preheat alone
    Star,
}

impl Markup {
    /// A chart of this many pixels; it shrinks with the page.
    pub(super) fn chart(
        &mut self,
        (width, height): (f64, f64),
        naming: Naming<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        let title_id = format!("{}-title", naming.id);
        let description_id = format!("{}-desc", naming.id);
        let attributes = [
            ("role", "img"),
            ("viewBox", &format!("0 0 {} {}", px(width), px(height))),
            ("width", &px(width)),
            ("height", &px(height)),
            ("aria-labelledby", &format!("{title_id} {description_id}")),
        ];
        self.element("svg", &attributes, |svg| {
            svg.leaf("title", &[("id", &title_id)], naming.title);
            svg.leaf("desc", &[("id", &description_id)], naming.description);
            inside(svg);
        });
        self.line_break();
    }

    /// A straight line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let (x1, y1, x2, y2) = (px(from.0), px(from.1), px(to.0), px(to.1));
        self.empty("line", &[("class", class), ("x1", &x1), ("y1", &y1), ("x2", &x2), ("y2", &y2)]);
    }

    /// A path; nothing where it has no point.
    pub(super) fn path(&mut self, class: &str, path: &Path) {
        if !path.steps.is_empty() {
            self.empty("path", &[("class", class), ("d", &path.steps)]);
        }
    }

    /// A text at a place on its baseline.
    pub(super) fn label(&mut self, class: &str, at: (f64, f64), anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y) = (px(at.0), px(at.1));
        self.leaf("text", &[("class", class), ("x", &x), ("y", &y), ("text-anchor", anchor)], text);
    }

    /// A marker, with what to say when one points at it.
    pub(super) fn marker(&mut self, marker: Marker, class: &str, at: (f64, f64), tip: &str) {
        let outline = marker.outline(at);
        if tip.is_empty() {
            return self.path(class, &outline);
        }
        self.element("path", &[("class", class), ("d", &outline.steps)], |path| {
            path.leaf("title", &[], tip);
        });
    }
}

impl Marker {
    fn outline(self, (x, y): (f64, f64)) -> Path {
        let corners: &[(f64, f64)] = match self {
            Self::Circle => return Path::circle((x, y), 4.0),
            Self::Square => &[(-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5)],
            Self::Diamond => &[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)],
            Self::Triangle => &[(0.0, -4.8), (4.8, 3.6), (-4.8, 3.6)],
            Self::TriangleDown => &[(0.0, 4.8), (4.8, -3.6), (-4.8, -3.6)],
            Self::Plus => &PLUS,
            Self::Cross => &CROSS,
            Self::Star => &STAR,
        };
        let mut path = Path::default();
        for (dx, dy) in corners {
            path.to((x + dx, y + dy));
        }
        path.close();
        path
    }
}

const PLUS: [(f64, f64); 12] = [
    (-1.4, -4.6),
    (1.4, -4.6),
    (1.4, -1.4),
    (4.6, -1.4),
    (4.6, 1.4),
    (1.4, 1.4),
    (1.4, 4.6),
    (-1.4, 4.6),
    (-1.4, 1.4),
    (-4.6, 1.4),
    (-4.6, -1.4),
    (-1.4, -1.4),
];

/// The plus, turned by an eighth.
const CROSS: [(f64, f64); 12] = [
    (-4.2, -2.3),
    (-2.3, -4.2),
    (0.0, -2.0),
    (2.3, -4.2),
    (4.2, -2.3),
    (2.0, 0.0),
    (4.2, 2.3),
    (2.3, 4.2),
    (0.0, 2.0),
    (-2.3, 4.2),
    (-4.2, 2.3),
    (-2.0, 0.0),
];

/// Five points on a circle of 7.5, five on one of 3.2.
const STAR: [(f64, f64); 10] = [
    (0.0, -7.5),
    (1.9, -2.6),
    (7.1, -2.3),
    (3.0, 1.0),
    (4.4, 6.1),
    (0.0, 3.2),
    (-4.4, 6.1),
    (-3.0, 1.0),
    (-7.1, -2.3),
    (-1.9, -2.6),
];

/// The steps of a path.
#[derive(Clone, Debug, Default)]
pub(super) struct Path {
    steps: String,
}

impl Path {
    /// A straight line to a point; the first only goes there.
    pub(super) fn to(&mut self, (x, y): (f64, f64)) {
        let step = if self.steps.is_empty() { 'M' } else { 'L' };
        self.steps.push_str(&format!("{step}{} {}", px(x), px(y)));
    }

    /// Along a line of equal height to `x`.
    pub(super) fn across_to(&mut self, x: f64) {
        self.steps.push_str(&format!("H{}", px(x)));
    }

    /// Straight up or down to `y`.
    pub(super) fn upright_to(&mut self, y: f64) {
        self.steps.push_str(&format!("V{}", px(y)));
    }

    /// A dot, drawn by the round ends of a line without length.
    pub(super) fn dot(&mut self, (x, y): (f64, f64)) {
        self.steps.push_str(&format!("M{} {}h0", px(x), px(y)));
    }

    /// Back to the first point.
    pub(super) fn close(&mut self) {
        self.steps.push('Z');
    }

    fn circle((x, y): (f64, f64), radius: f64) -> Self {
        let (left, across, radius) = (px(x - radius), px(2.0 * radius), px(radius));
        let y = px(y);
        Self {
            steps: format!(
                "M{left} {y}a{radius} {radius} 0 1 0 {across} 0a{radius} {radius} 0 1 0 -{across} 0Z"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_a_title_and_a_description() {
        let mut markup = Markup::default();
        let naming = Naming { id: "c", title: "Cost & more", description: "What it shows." };
        markup.chart((10.0, 5.0), naming, |svg| {
            svg.label("t", (1.0, 2.0), Anchor::End, "<x>");
            svg.marker(Marker::Circle, "m", (5.0, 2.0), "tip");
            svg.path("p", &Path::default());
        });
        let text = markup.finish();
        assert!(text.starts_with("<svg role=\"img\" viewBox=\"0 0 10 5\""), "{text}");
        assert!(text.contains("aria-labelledby=\"c-title c-desc\""), "{text}");
        assert!(text.contains("<title id=\"c-title\">Cost &amp; more</title>"), "{text}");
        assert!(text.contains("text-anchor=\"end\">&lt;x&gt;</text>"), "{text}");
        assert!(text.contains("<title>tip</title></path></svg>"), "{text}");
    }

    #[test]
    fn a_path_begins_where_it_is_told() {
        let mut path = Path::default();
        path.to((1.0, 2.0));
        path.across_to(3.04);
        path.upright_to(0.5);
        path.to((0.0, 0.0));
        path.close();
        assert_eq!(path.steps, "M1 2H3V0.5L0 0Z");
    }
}
