//! Scalars as people write them, and the ranges that several sections share.

use std::time::Duration;

use preheat_core::{Instant, Probability};
use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Location, Spanned};

use crate::error::{ScenarioError, Source, out_of_range};

/// A value that may be absent, with its place.
pub(crate) type Set<T> = Option<Spanned<T>>;

/// `500ms`, `90s`, `1m30s`, `2h`, as in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DurationText(pub(crate) Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        preheat_api::config::parse_duration(&text).map(Self).map_err(de::Error::custom)
    }
}

/// Where an optional value stands in the file.
pub(crate) fn at<T>(value: &Set<T>) -> Option<Location> {
    value.as_ref().map(|spanned| spanned.referenced)
}

pub(crate) fn duration_or(value: &Set<DurationText>, default: Duration) -> Duration {
    value.as_ref().map_or(default, |spanned| spanned.value.0)
}

pub(crate) fn instant(value: &Spanned<DurationText>) -> Instant {
    Instant::ORIGIN.saturating_add(value.value.0)
}

/// A share from 0 to 1; absent is `default`.
pub(crate) fn share(
    key: &str,
    value: &Set<f64>,
    default: f64,
    source: &Source<'_>,
) -> Result<Probability, ScenarioError> {
    let given = value.as_ref().map_or(default, |spanned| spanned.value);
    Probability::new(given)
        .ok_or_else(|| source.error(at(value), out_of_range(key, given, "from 0 to 1")))
}

/// A number inside a range.
pub(crate) fn number(
    key: &str,
    value: &Spanned<f64>,
    range: std::ops::RangeInclusive<f64>,
    source: &Source<'_>,
) -> Result<f64, ScenarioError> {
    source.require(range.contains(&value.value), Some(value.referenced), || {
        let allowed = format!("from {} to {}", range.start(), range.end());
        out_of_range(key, value.value, &allowed)
    })?;
    Ok(value.value)
}

/// A count of at least one.
pub(crate) fn at_least_one(
    key: &str,
    value: &Spanned<u32>,
    source: &Source<'_>,
) -> Result<u32, ScenarioError> {
    source.require(value.value > 0, Some(value.referenced), || {
        out_of_range(key, value.value, "at least 1")
    })?;
    Ok(value.value)
}

/// The one of these that is given.
///
/// # Errors
/// When none is, or several are.
pub(crate) fn one_of<'n>(
    what: &str,
    given: &[(&'n str, Option<Location>)],
    whole: Location,
    source: &Source<'_>,
) -> Result<&'n str, ScenarioError> {
    let names: Vec<&str> = given.iter().map(|(name, _)| *name).collect();
    let mut found = given.iter().filter_map(|(name, at)| at.map(|at| (*name, at)));
    match (found.next(), found.next()) {
        (Some((name, _)), None) => Ok(name),
        (Some((first, _)), Some((second, at))) => {
            let message = format!("{what} has both `{first}` and `{second}`; it must have one");
            Err(source.error(Some(at), message))
        }
        (None, _) => {
            let message = format!("{what} must have one of `{}`", names.join("`, `"));
            Err(source.error(Some(whole), message))
        }
    }
}
