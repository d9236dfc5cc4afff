//! Scalars with units, as people write them: `90s`, `64MiB`, `18100-18199`.
//!
//! **Invariant:** a bare number is no duration; zero needs no unit in people's minds, but gets one
//! here all the same, so that there is one way to write it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Location, Spanned};

/// Where an optional value stands in the file.
pub(super) fn at<T>(value: &Option<Spanned<T>>) -> Option<Location> {
    value.as_ref().map(|spanned| spanned.referenced)
}

/// `500ms`, `90s`, `1m30s`, `2h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DurationText(pub(super) Duration);

/// `512`, `64KiB`, `64MiB`, `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BytesText(pub(super) u64);

/// `daily`, or `[mon, tue]`: a list whose only value may stand for it. One that stands alone has no
/// place of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OneOrMore(pub(super) Vec<(String, Option<Location>)>);

/// Why a scalar can't be read. The texts are the whole message a person gets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("`{0}` has no unit; write it as `{0}s`, `{0}m` or `{0}ms`")]
    DurationWithoutUnit(String),
    #[error("`{text}` is no duration: `{unit}` is no unit; use d, h, m, s or ms")]
    DurationUnit { text: String, unit: String },
    #[error("`{0}` is no duration; write it like `90s`, `5m`, `1m30s` or `500ms`")]
    Duration(String),
    #[error("`{0}` is too long: the longest duration is 3650d")]
    DurationTooLong(String),
    #[error("`{text}` is no size: `{unit}` is no unit; use B, KiB, MiB or GiB")]
    BytesUnit { text: String, unit: String },
    #[error("`{0}` is no size; write it like `64MiB`, `512KiB` or `4096`")]
    Bytes(String),
    #[error("`{0}` is too large a size")]
    BytesTooLarge(String),
}

/// Ten years: more is a typing mistake, and sums of a few of them still fit everywhere.
const DURATION_MAX: Duration = Duration::from_secs(3650 * 24 * 3600);

pub(super) fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let malformed = || ValueError::Duration(text.to_owned());
    let too_long = || ValueError::DurationTooLong(text.to_owned());
    let mut rest = text;
    let mut total = Duration::ZERO;
    // Units must fall, so that `30s1m` and `1m1m` are the mistakes they look like.
    let mut unit_before = Duration::MAX;
    while !rest.is_empty() {
        let (digits, unit_text, after) = split_number(rest).ok_or_else(malformed)?;
        if unit_text.is_empty() {
            return Err(if digits == text {
                ValueError::DurationWithoutUnit(text.to_owned())
            } else {
                malformed()
            });
        }
        let unit = match unit_text {
            "d" => Duration::from_secs(24 * 3600),
            "h" => Duration::from_secs(3600),
            "m" => Duration::from_secs(60),
            "s" => Duration::from_secs(1),
            "ms" => Duration::from_millis(1),
            other => {
                let unit = other.to_owned();
                return Err(ValueError::DurationUnit { text: text.to_owned(), unit });
            }
        };
        if unit >= unit_before {
            return Err(malformed());
        }
        unit_before = unit;
        total =
            scaled(digits, unit).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
        rest = after;
    }
    if text.is_empty() {
        return Err(malformed());
    }
    if total > DURATION_MAX { Err(too_long()) } else { Ok(total) }
}

/// `1.5` × unit, exactly: a fraction is read as digits, not through binary floating point.
fn scaled(digits: &str, unit: Duration) -> Option<Duration> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unit_nanos = unit.as_nanos();
    let mut nanos = whole.parse::<u128>().ok()?.checked_mul(unit_nanos)?;
    let mut place = unit_nanos;
    for digit in fraction.bytes() {
        place /= 10;
        nanos += place * u128::from(digit - b'0');
    }
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

/// Splits `90s5ms` into `90`, `s` and `5ms`. `None` unless it starts with a number.
fn split_number(text: &str) -> Option<(&str, &str, &str)> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at(number_end);
    let well_formed = !digits.is_empty()
        && !digits.starts_with('.')
        && !digits.ends_with('.')
        && digits.bytes().filter(|&b| b == b'.').count() <= 1;
    let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, after) = rest.split_at(unit_end);
    well_formed.then_some((digits, unit, after))
}

pub(super) fn parse_bytes(text: &str) -> Result<u64, ValueError> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit_text) = text.split_at(digits_end);
    if digits.is_empty() {
        return Err(ValueError::Bytes(text.to_owned()));
    }
    let unit: u64 = match unit_text.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => {
            let unit = other.to_owned();
            return Err(ValueError::BytesUnit { text: text.to_owned(), unit });
        }
    };
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(unit))
        .ok_or_else(|| ValueError::BytesTooLarge(text.to_owned()))
}

/// As the file would write it.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units: [(&str, u128); 4] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let unit = units.iter().find(|(_, size)| millis >= *size && millis.is_multiple_of(*size));
    match unit {
        Some((name, size)) => format!("{}{name}", millis / size),
        None if millis == 0 && !duration.is_zero() => format!("{duration:?}"),
        None if millis == 0 => "0s".to_owned(),
        None => format!("{millis}ms"),
    }
}

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_duration(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor)
    }
}

struct OneOrMoreVisitor;

impl<'de> de::Visitor<'de> for OneOrMoreVisitor {
    type Value = OneOrMore;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one word or a list of them")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<OneOrMore, E> {
        Ok(OneOrMore(vec![(word.to_owned(), None)]))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = list.next_element::<Spanned<String>>()? {
            words.push((word.value, Some(word.referenced)));
        }
        Ok(OneOrMore(words))
    }
}

impl<'de> Deserialize<'de> for BytesText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_bytes(&text).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_duration(text: &str, expected: &str) {
        let got = parse_duration(text).map_or_else(|e| e.to_string(), |d| format!("{d:?}"));
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn durations_are_read_exactly() {
        check_duration("90s", "90s");
        check_duration("5m", "300s");
        check_duration("1m30s", "90s");
        check_duration("500ms", "500ms");
        check_duration("1.5s", "1.5s");
        check_duration("0.1s", "100ms");
        check_duration("0s", "0ns");
        check_duration("7d", "604800s");
        check_duration("90", "`90` has no unit; write it as `90s`, `90m` or `90ms`");
        let shape = "write it like `90s`, `5m`, `1m30s` or `500ms`";
        check_duration("", &format!("`` is no duration; {shape}"));
        check_duration("soon", &format!("`soon` is no duration; {shape}"));
        check_duration("-5s", &format!("`-5s` is no duration; {shape}"));
        check_duration("30s1m", &format!("`30s1m` is no duration; {shape}"));
        check_duration("1m30", &format!("`1m30` is no duration; {shape}"));
        check_duration("1.s", &format!("`1.s` is no duration; {shape}"));
        check_duration("5 s", "`5 s` is no duration: ` s` is no unit; use d, h, m, s or ms");
        check_duration("5min", "`5min` is no duration: `min` is no unit; use d, h, m, s or ms");
        check_duration("9999d", "`9999d` is too long: the longest duration is 3650d");
        let digits = "9".repeat(60);
        check_duration(
            &format!("{digits}s"),
            &format!("`{digits}s` is too long: the longest duration is 3650d"),
        );
    }

    #[test]
    fn sizes_are_read_exactly() {
        let check = |text: &str, expected: &str| {
            let got = parse_bytes(text).map_or_else(|e| e.to_string(), |b| b.to_string());
            assert_eq!(got, expected, "{text}");
        };
        check("64MiB", "67108864");
        check("1 GiB", "1073741824");
        check("4096", "4096");
        check("4KB", "`4KB` is no size: `KB` is no unit; use B, KiB, MiB or GiB");
        check("big", "`big` is no size; write it like `64MiB`, `512KiB` or `4096`");
        check("99999999999999GiB", "`99999999999999GiB` is too large a size");
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["90s", "5m", "500ms", "7d", "0s", "2h", "61s"] {
            assert_eq!(duration_text(parse_duration(text).unwrap()), text);
        }
    }
}
