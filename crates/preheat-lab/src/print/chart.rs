//! Lines over minutes, as SVG that needs nothing else. Told apart by dash as well as by colour.

use std::fmt::Write;

use super::escaped;

/// One line.
pub(super) struct Line {
    pub(super) label: &'static str,
    /// Minute by minute; what is not known leaves a gap.
    pub(super) values: Vec<Option<f64>>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 44.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;
const DASHES: [&str; 4] = ["", "8 4", "2 3", "10 3 2 3"];

/// A figure with its legend.
pub(super) fn chart(title: &str, unit: &str, lines: &[Line]) -> String {
    let minutes = lines.iter().map(|line| line.values.len()).max().unwrap_or(0).max(2);
    let all = lines.iter().flat_map(|line| line.values.iter().flatten().copied());
    let top = nice(all.fold(1.0, f64::max));
    let x = |minute: usize| LEFT + (WIDTH - LEFT - 8.0) * minute as f64 / (minutes - 1) as f64;
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - value / top);
    let mut svg = String::new();
    let label = escaped(&format!("{title}, {unit}"));
    // Writing to a string can't fail.
    let _ = write!(
        svg,
        "<figure>\n<figcaption><b>{}</b> {}</figcaption>\n\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n",
        escaped(title),
        escaped(unit)
    );
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let at = y(value);
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            WIDTH - 8.0,
            LEFT - 6.0,
            at + 4.0
        );
    }
    let step = (minutes / 6).max(1).next_multiple_of(5);
    for minute in (0..minutes).step_by(step) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{minute} min</text>",
            x(minute),
            HEIGHT - 6.0
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(svg, "<path {} d=\"{}\"/>", look(index), path(&line.values, &x, &y));
    }
    svg.push_str("</svg>\n<ul class=\"legend\">\n");
    for (index, line) in lines.iter().enumerate() {
        let _ = writeln!(
            svg,
            "<li><svg viewBox=\"0 0 34 8\" aria-hidden=\"true\"><path {} d=\"M0 4H34\"/></svg> {}</li>",
            look(index),
            escaped(line.label)
        );
    }
    svg.push_str("</ul>\n</figure>\n");
    svg
}

fn look(index: usize) -> String {
    let dash = DASHES.get(index % DASHES.len()).copied().unwrap_or_default();
    format!("class=\"line line-{}\" stroke-dasharray=\"{dash}\"", index % 8)
}

fn path(values: &[Option<f64>], x: &dyn Fn(usize) -> f64, y: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut pen_is_down = false;
    for (minute, value) in values.iter().enumerate() {
        let Some(value) = value else {
            pen_is_down = false;
            continue;
        };
        let command = if pen_is_down { 'L' } else { 'M' };
        let _ = write!(path, "{command}{:.1} {:.1}", x(minute), y(*value));
        pen_is_down = true;
    }
    path
}

/// The end of an axis that four even steps of it divide well.
fn nice(value: f64) -> f64 {
    let mut unit = 4.0;
    while unit * 5.0 < value {
        unit *= 5.0;
    }
    (value / unit).ceil().max(1.0) * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_where_four_steps_end() {
        for (value, expected) in [(1.0, 4.0), (16.0, 16.0), (17.0, 20.0), (100.0, 100.0)] {
            assert_eq!(nice(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_known_leaves_a_gap() {
        let values = [Some(1.0), None, Some(2.0), Some(3.0)];
        let path = path(&values, &|minute| minute as f64, &|value| value);
        assert_eq!(path, "M0.0 1.0M2.0 2.0L3.0 3.0");
    }
}
