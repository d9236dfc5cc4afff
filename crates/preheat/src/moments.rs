//! Moments as people write and read them, in this machine's time zone.

use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use preheat_core::Instant;

use crate::failure::hinted;

/// `2026-11-24 09:07:12`.
pub(crate) fn shown(at: Instant) -> String {
    zoned(at).map_or_else(
        || format!("{:.1} s", at.as_secs_f64()),
        |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    )
}

fn zoned(at: Instant) -> Option<Zoned> {
    let nanos = i128::from(at.as_nanos());
    let timestamp = Timestamp::from_nanosecond(nanos).ok()?;
    Some(timestamp.to_zoned(TimeZone::system()))
}

/// Reads a full moment, a time of the day of `last`, or an age before `last`.
pub(crate) fn parse(text: &str, last: Instant) -> anyhow::Result<Instant> {
    if let Ok(age) = preheat_api::config::parse_duration(text) {
        return Ok(last.saturating_sub(age));
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return instant(timestamp).ok_or_else(|| unreadable(text));
    }
    if let Ok(date_time) = text.parse::<civil::DateTime>() {
        let local = date_time.to_zoned(TimeZone::system()).ok();
        return local.and_then(|z| instant(z.timestamp())).ok_or_else(|| unreadable(text));
    }
    let time: civil::Time = text.parse().map_err(|_| unreadable(text))?;
    let day = zoned(last).map(|last| last.date()).ok_or_else(|| unreadable(text))?;
    let local = day.to_datetime(time).to_zoned(TimeZone::system()).ok();
    local.and_then(|z| instant(z.timestamp())).ok_or_else(|| unreadable(text))
}

fn instant(timestamp: Timestamp) -> Option<Instant> {
    u64::try_from(timestamp.as_nanosecond()).ok().map(Instant::from_nanos)
}

fn unreadable(text: &str) -> anyhow::Error {
    hinted(
        format!("{text:?} is no moment"),
        "write it like 2026-11-24T09:07:00Z, 2026-11-24 09:07, 09:07, or as an age: 5m",
    )
}

/// The time of day until which a tick counts as the one at a moment asked for to the second.
pub(crate) const SAME_SECOND: Duration = Duration::from_millis(999);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ages_times_or_timestamps() {
        let last = Instant::from_nanos(1_795_500_000_000_000_000);
        let minute = Duration::from_secs(60);
        assert_eq!(parse("1m", last).unwrap(), last.saturating_sub(minute));
        let shown = shown(last).replace(' ', "T");
        assert_eq!(parse(&shown, last).unwrap(), last);
        assert_eq!(parse(&shown[11..], last).unwrap(), last);
        let utc = parse("2026-11-24T07:20:00Z", last).unwrap();
        assert_eq!(utc.as_secs_f64(), 1_795_504_800.0);
        assert!(parse("yesterday", last).is_err());
    }
}
