//! Numbers as reports write them.

use std::time::Duration;

use preheat_api::words::seconds;

/// `1 start`, `3 starts`.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A time of a request or of a start.
pub(crate) fn time(seconds_f64: f64) -> String {
    seconds(Duration::try_from_secs_f64(seconds_f64).unwrap_or_default())
}

/// `45 min`, `5.4 h`, `12 days`.
pub(crate) fn span(seconds_f64: f64) -> String {
    match seconds_f64 / 3600.0 {
        hours if hours < 1.5 => format!("{:.0} min", hours * 60.0),
        hours if hours < 48.0 => format!("{hours:.1} h"),
        hours => format!("{:.0} days", hours / 24.0),
    }
}
