//! Calendar timestamps as the Azure traces write them: `2023-11-16 18:15:46.6805900`, and with
//! a zone from 2024 on: `2024-05-10 00:00:00.009930+00:00`.
//!
//! Only differences matter, so a stamp becomes nanoseconds since 1970 with no leap seconds.
//! Without a zone, UTC is taken; mixed files would be off by their zone and nothing more.

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970-01-01 00:00:00, or nothing when `text` is no such timestamp.
pub(crate) fn parse_nanos(text: &str) -> Option<i128> {
    let (date, rest) = text.split_once([' ', 'T'])?;
    let (clock, offset_s) = split_zone(rest)?;
    let [year, month, day] = fields(date, '-')?;
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = fields(whole, ':')?;
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    if !in_range {
        return None;
    }
    let of_day = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = days_from_civil(year, month, day) * 86_400 + of_day - offset_s;
    Some(i128::from(seconds) * NANOS_PER_SECOND + fraction_nanos(fraction)?)
}

/// Takes a trailing `Z`, `+HH:MM` or `-HH:MM` off; the second value is the offset in seconds.
fn split_zone(rest: &str) -> Option<(&str, i64)> {
    if let Some(clock) = rest.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let Some(at) = rest.find(['+', '-']) else {
        return Some((rest, 0));
    };
    let (clock, zone) = rest.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let [hours, minutes] = fields(zone.get(1..)?, ':')?;
    (hours < 24 && minutes < 60)
        .then(|| (clock, sign * (i64::from(hours) * 3600 + i64::from(minutes) * 60)))
}

fn fields<const N: usize>(text: &str, separator: char) -> Option<[u32; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for slot in &mut found {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn fraction_nanos(digits: &str) -> Option<i128> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut nanos = 0;
    let mut digits = digits.bytes();
    for _ in 0..9 {
        nanos = nanos * 10 + i128::from(digits.next().map_or(0, |digit| digit - b'0'));
    }
    Some(nanos)
}

/// Days since 1970-01-01 in the Gregorian calendar (H. Hinnant's `days_from_civil`).
fn days_from_civil(year: u32, month: u32, day: u32) -> i64 {
    let (year, month, day) = (i64::from(year), i64::from(month), i64::from(day));
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year - era * 400;
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i128>) {
        assert_eq!(parse_nanos(text), expected, "{text}");
    }

    #[test]
    fn timestamps() {
        check("1970-01-01 00:00:00", Some(0));
        check("2000-03-01 00:00:00.5", Some(951_868_800_500_000_000));
        check("2023-11-16 18:15:46.6805900", Some(1_700_158_546_680_590_000));
        check("2024-05-10 00:00:00.009930+00:00", Some(1_715_299_200_009_930_000));
        check("2024-05-10T02:00:00.009930+02:00", Some(1_715_299_200_009_930_000));
        check("2024-05-09 22:00:00-02:00", Some(1_715_299_200_000_000_000));
        check("2024-05-10T00:00:00Z", Some(1_715_299_200_000_000_000));
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "",
            "12.5",
            "2023-11-16",
            "2023-13-16 18:15:46",
            "2023-11-16 24:15:46",
            "2023-11-16 18:15",
            "2023-11-16 18:15:46.68x",
            "2023-11-16 18:15:+4",
            "2023-11-16 18:15:46+1",
            "99999999999-11-16 18:15:46",
            "2023-1٣-16 18:15:46",
        ] {
            check(text, None);
        }
    }
}
