//! Numbers as they are written for people.

use libm::{floor, round};

/// A narrow space that doesn't break, between digits and before units.
const THIN: char = '\u{202f}';

/// An attainment that was measured, rounded down so that 98.996 % never reads as 99 %.
pub(super) fn share(ratio: f64) -> String {
    format!("{:.2}{THIN}%", floor(ratio * 1e4 + 1e-6) / 100.0)
}

/// An attainment that was asked for, in full: `99 %`, `99.5 %`.
pub(super) fn aim(ratio: f64) -> String {
    format!("{}{THIN}%", plain(ratio * 100.0))
}

/// A difference in percent, with its sign: `+6 %`, `−12 %`.
pub(super) fn signed_percent(ratio: f64) -> String {
    let percent = round(ratio * 100.0);
    let sign = if percent < 0.0 { "−" } else { "" };
    format!("{sign}{}{THIN}%", percent.abs())
}

/// GPU-hours, without their unit.
pub(super) fn hours(gpu_hours: f64) -> String {
    format!("{gpu_hours:.2}")
}

/// A cost relative to another: `1.23 ×`.
pub(super) fn times(ratio: f64) -> String {
    format!("{ratio:.2}{THIN}×")
}

/// Seconds with the unit that fits: `110 ms`, `2 s`, `404 s`.
pub(super) fn seconds(seconds: f64) -> String {
    match seconds {
        short if short < 0.9995 => format!("{:.0}{THIN}ms", short * 1e3),
        some if some < 10.0 => format!("{}{THIN}s", plain(round(some * 10.0) / 10.0)),
        long => format!("{long:.0}{THIN}s"),
    }
}

/// A length of time in hours or, where it is short, minutes.
pub(super) fn length(seconds: f64) -> String {
    if seconds < 3_000.0 {
        format!("{:.0}{THIN}min", seconds / 60.0)
    } else {
        format!("{:.1}{THIN}h", seconds / 3_600.0)
    }
}

/// A count with its thousands apart: `77 464`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(THIN);
        }
        text.push(digit);
    }
    text
}

/// A number without digits that say nothing: at most six after the point.
pub(super) fn plain(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Pixels, to a tenth.
pub(super) fn px(value: f64) -> String {
    plain(round(value * 10.0) / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let table = [
            (share(0.989_96), "98.99 %"),
            (share(0.99), "99.00 %"),
            (share(1.0), "100.00 %"),
            (aim(0.99), "99 %"),
            (aim(0.9995), "99.95 %"),
            (signed_percent(-0.124), "−12 %"),
            (signed_percent(-0.001), "0 %"),
            (seconds(0.1109), "111 ms"),
            (seconds(2.0), "2 s"),
            (seconds(404.8), "405 s"),
            (length(1_800.0), "30 min"),
            (length(3_502.0), "1.0 h"),
            (count(77_464), "77 464"),
            (count(999), "999"),
            (times(1.234), "1.23 ×"),
            (hours(14.2), "14.20"),
            (plain(-0.0), "0"),
            (px(12.04), "12"),
        ];
        for (written, expected) in table {
            assert_eq!(written.replace(THIN, " "), expected);
        }
    }
}
