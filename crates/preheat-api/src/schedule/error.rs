//! What can be wrong with a schedule, in which key, and what to do about it.

use jiff::tz::TimeZoneDatabase;
use preheat_core::ReplicaCount;

use super::{DATES_MAX, DAY_WORDS, SCHEDULES_MAX};
use crate::yaml::nearest;

/// A mistake in a pool's schedules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{mistake}")]
pub struct ScheduleError {
    /// In which of them, from 0.
    pub index: usize,
    /// In which key of it.
    pub field: ScheduleField,
    /// What is wrong.
    pub mistake: ScheduleMistake,
}

/// A key of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the keys are")]
pub enum ScheduleField {
    Whole,
    Name,
    Days,
    /// The day at this place in `days`.
    Day(usize),
    Dates,
    /// The date at this place in `dates`.
    Date(usize),
    From,
    Until,
    Timezone,
    Replicas,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message documents it")]
pub enum ScheduleMistake {
    #[error("a pool has at most {SCHEDULES_MAX} schedules")]
    TooMany,
    #[error(
        "schedule name `{0}` must be 1 to 63 letters, digits, `-`, `.` or `_`, a letter or digit first"
    )]
    Name(String),
    #[error("schedule `{0}` is defined twice in this pool")]
    NameDuplicated(String),
    #[error("schedule `{0}` has neither `days` nor `dates`; it must have one of them")]
    DaysMissing(String),
    #[error("schedule `{0}` has both `days` and `dates`; it must have one of them")]
    DaysAndDates(String),
    #[error("`schedules.days` is empty; it must have at least one day")]
    DaysEmpty,
    #[error("`schedules.days` has `{word}`; a day must be one of {}", day_words())]
    Day { word: String },
    #[error("`schedules.days` has a day twice, the second time with `{0}`")]
    DayTwice(String),
    #[error("`schedules.dates` is empty; it must have at least one date")]
    DatesEmpty,
    #[error("`schedules.dates` has more than {DATES_MAX} dates")]
    DatesTooMany,
    #[error("`schedules.dates` has `{0}`; it must be a date like 2026-12-01")]
    Date(String),
    #[error("`schedules.dates` has {0} twice")]
    DateTwice(String),
    #[error("`schedules.from` is `{0}`; it must be a time of day from 00:00 to 23:59")]
    From(String),
    #[error("`schedules.until` is `{0}`; it must be a time of day from 00:00 to 24:00")]
    Until(String),
    #[error("`schedules.until` is {0}, and so is `from`; they must differ")]
    Empty(String),
    #[error("`schedules.timezone` is `{0}`; it must be a name in the tz database")]
    Timezone(String),
    #[error("`schedules.replicas` is {replicas}; it must be from 1 to maxReplicas, which is {max}")]
    Replicas { replicas: u32, max: ReplicaCount },
}

impl ScheduleMistake {
    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Day { word } => return did_you_mean(nearest(word, day_names())?),
            Self::Timezone(name) => return timezone_hint(name),
            Self::DaysMissing(_) | Self::DaysAndDates(_) => {
                "`days: weekdays` comes every week, `dates: 2026-12-01` once"
            }
            Self::From(_) | Self::Until(_) => "with two digits each, as in \"08:50\"",
            Self::Empty(_) => "a whole day is from \"00:00\" until \"24:00\"",
            Self::Replicas { replicas: 0, .. } => "leave the schedule out to ask for none",
            Self::Replicas { .. } => "raise `maxReplicas`, or ask for fewer",
            Self::TooMany
            | Self::Name(_)
            | Self::NameDuplicated(_)
            | Self::DaysEmpty
            | Self::DayTwice(_)
            | Self::DatesEmpty
            | Self::DatesTooMany
            | Self::Date(_)
            | Self::DateTwice(_) => return None,
        };
        Some(hint.to_owned())
    }
}

fn day_names() -> impl Iterator<Item = &'static str> {
    DAY_WORDS.iter().map(|(word, _)| *word)
}

fn day_words() -> String {
    day_names().collect::<Vec<_>>().join(", ")
}

fn did_you_mean(name: &str) -> Option<String> {
    Some(format!("did you mean `{name}`?"))
}

/// A city alone is told its region.
fn timezone_hint(name: &str) -> Option<String> {
    let database = TimeZoneDatabase::bundled();
    let known: Vec<String> = database.available().map(|known| known.to_string()).collect();
    let city = name.replace(' ', "_");
    let is_city = |known: &&String| {
        known.rsplit_once('/').is_some_and(|(_, last)| last.eq_ignore_ascii_case(&city))
    };
    let by_city = known.iter().find(is_city).map(String::as_str);
    let by_spelling = || nearest(&city, known.iter().map(String::as_str));
    match by_city.or_else(by_spelling) {
        Some(name) => did_you_mean(name),
        None => Some("for example `Europe/Berlin`, `America/New_York`, or `UTC`".to_owned()),
    }
}
