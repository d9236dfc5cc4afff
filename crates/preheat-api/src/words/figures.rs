//! Quantities as a person reads them.

use std::time::Duration;

/// `5.5/s`, with a digit more where it is small.
pub fn rate(per_second: f64) -> String {
    if per_second < 1.0 { format!("{per_second:.2}/s") } else { format!("{per_second:.1}/s") }
}

/// `0.35 s`, `9.8 s`, `152 s`.
pub fn seconds(duration: Duration) -> String {
    let secs = duration.as_secs_f64();
    match secs {
        _ if secs < 1.0 => format!("{secs:.2} s"),
        _ if secs < 20.0 => format!("{secs:.1} s"),
        _ => format!("{secs:.0} s"),
    }
}

/// `0.52 ms`, `19.8 ms`, `152 ms`.
pub(super) fn milliseconds(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1e3;
    match millis {
        _ if millis < 1.0 => format!("{millis:.2} ms"),
        _ if millis < 20.0 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

/// `40 min`, `2.7 h`; short times in seconds.
pub(super) fn minutes(duration: Duration) -> String {
    let minutes = duration.as_secs_f64() / 60.0;
    match minutes {
        _ if minutes < 2.0 => seconds(duration),
        _ if minutes < 90.0 => format!("{minutes:.0} min"),
        _ => format!("{:.1} h", minutes / 60.0),
    }
}

pub(super) fn sentence_case(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
