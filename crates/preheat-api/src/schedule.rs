//! Schedules: demand that somebody announces by the calendar, on days of the week or on dates, in a
//! time zone of their own.
//!
//! [`Schedules::new`] is the only way in. A configuration file and a Kubernetes object write a
//! schedule alike and both come in as [`ScheduleSpec`]s; what comes out has its time zones found and
//! is read with [`Schedules::upcoming`], a pure function of the time.
//!
//! **Invariant:** no clock is read. Time zones come from the machine's tz database where it has one,
//! else from the one that is built in, and are read once, in [`Schedules::new`].
//!
//! **Invariant:** an entry covers every moment at which its zone's clocks show a time from `from` to
//! `until`: where they skip or repeat one of the two, it begins at the earlier reading and ends at
//! the later one.

mod error;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Disambiguation, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use preheat_core::{Instant, ReplicaCount, ScheduledDemand};

pub use error::{ScheduleError, ScheduleField, ScheduleMistake};

use crate::name::is_name;

/// How far ahead is looked: a day is more than any start takes.
pub const AHEAD: Duration = Duration::from_secs(24 * 3600);
/// Schedules of one pool: each is read at every tick, and beyond so many a person wants another tool.
pub const SCHEDULES_MAX: usize = 64;
/// Dates of one schedule: a year of them.
pub const DATES_MAX: usize = 366;

/// One schedule as people write it, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleSpec {
    /// What it is called; no two of a pool are called alike.
    pub name: String,
    /// `mon` to `sun`, `weekdays`, `weekend` or `daily`; this or `dates`.
    pub days: Option<Vec<String>>,
    /// Dates like `2026-12-01`.
    pub dates: Option<Vec<String>>,
    /// Time of day like `08:50`.
    pub from: String,
    /// Time of day up to `24:00`. One that is earlier than `from` is on the next day.
    pub until: String,
    /// Name in the tz database, like `Europe/Berlin`.
    pub timezone: String,
    /// Replicas that should be ready all that time.
    pub replicas: u32,
}

/// A pool's schedules, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules(Vec<Schedule>);

/// What one schedule asks for, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upcoming<'a> {
    /// The schedule's name.
    pub name: &'a str,
    /// From when until when how many replicas.
    pub demand: ScheduledDemand,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Schedule {
    name: String,
    days: Days,
    from: Time,
    until: Time,
    /// Whether `until` is on the day after `from`.
    until_next_day: bool,
    timezone: TimeZone,
    replicas: ReplicaCount,
}

/// The days on which an entry begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    /// Of each week, Monday first.
    Weekly([bool; 7]),
    Dates(BTreeSet<Date>),
}

impl Schedules {
    /// Checks what people wrote for a pool of at most `replicas_max`.
    ///
    /// # Errors
    /// The first mistake, with the schedule and the key that it is in.
    pub fn new(specs: &[ScheduleSpec], replicas_max: ReplicaCount) -> Result<Self, ScheduleError> {
        let mut schedules = Vec::with_capacity(specs.len().min(SCHEDULES_MAX));
        for (index, spec) in specs.iter().enumerate() {
            let at = |(field, mistake)| ScheduleError { index, field, mistake };
            if index >= SCHEDULES_MAX {
                return Err(at((ScheduleField::Whole, ScheduleMistake::TooMany)));
            }
            if specs[..index].iter().any(|before| before.name == spec.name) {
                let mistake = ScheduleMistake::NameDuplicated(spec.name.clone());
                return Err(at((ScheduleField::Name, mistake)));
            }
            schedules.push(Schedule::new(spec, replicas_max).map_err(at)?);
        }
        Ok(Self(schedules))
    }

    /// What has not ended at `now` and begins within a day from then, by its begin. `now` is counted
    /// from the Unix epoch, as live worlds count.
    pub fn upcoming(&self, now: Instant) -> Vec<Upcoming<'_>> {
        let mut found: Vec<Upcoming<'_>> =
            self.0.iter().flat_map(|schedule| schedule.upcoming(now)).collect();
        found.sort_by_key(|entry| (entry.demand.from, entry.demand.until));
        found
    }

    /// The same without names, as an observation has it.
    pub fn demand(&self, now: Instant) -> Vec<ScheduledDemand> {
        self.upcoming(now).into_iter().map(|entry| entry.demand).collect()
    }
}

impl Schedule {
    fn new(
        spec: &ScheduleSpec,
        replicas_max: ReplicaCount,
    ) -> Result<Self, (ScheduleField, ScheduleMistake)> {
        use {ScheduleField as Field, ScheduleMistake as Mistake};
        if !is_name(&spec.name) {
            return Err((Field::Name, Mistake::Name(spec.name.clone())));
        }
        let days = Days::new(spec)?;
        let from = time_of_day(&spec.from)
            .filter(|minutes| *minutes < DAY_MINUTES)
            .ok_or_else(|| (Field::From, Mistake::From(spec.from.clone())))?;
        let until = time_of_day(&spec.until)
            .filter(|minutes| *minutes <= DAY_MINUTES)
            .ok_or_else(|| (Field::Until, Mistake::Until(spec.until.clone())))?;
        if from == until {
            return Err((Field::Until, Mistake::Empty(spec.until.clone())));
        }
        let timezone = timezone(&spec.timezone)
            .ok_or_else(|| (Field::Timezone, Mistake::Timezone(spec.timezone.clone())))?;
        if !(1..=replicas_max.0).contains(&spec.replicas) {
            let mistake = Mistake::Replicas { replicas: spec.replicas, max: replicas_max };
            return Err((Field::Replicas, mistake));
        }
        Ok(Self {
            name: spec.name.clone(),
            days,
            from: clock(from),
            until: clock(until),
            until_next_day: until < from || until == DAY_MINUTES,
            timezone,
            replicas: ReplicaCount(spec.replicas),
        })
    }

    fn upcoming(&self, now: Instant) -> impl Iterator<Item = Upcoming<'_>> {
        let begins_by = now.saturating_add(AHEAD);
        let dates = self.dates_around(now);
        let entries = dates.into_iter().filter_map(|date| self.entry(date));
        entries
            .filter(move |entry| now < entry.until && entry.from <= begins_by)
            .map(|demand| Upcoming { name: &self.name, demand })
    }

    /// The dates on which an entry may begin that concerns `now`: it lasts a day at most, and a
    /// change of clocks can move either end by hours.
    fn dates_around(&self, now: Instant) -> Vec<Date> {
        let Ok(timestamp) = Timestamp::from_nanosecond(i128::from(now.as_nanos())) else {
            return Vec::new();
        };
        let today = timestamp.to_zoned(self.timezone.clone()).date();
        (-2..=2)
            .filter_map(|days: i64| today.checked_add(days.days()).ok())
            .filter(|date| self.days.contains(*date))
            .collect()
    }

    /// The entry that begins on this date; `None` beyond the calendar's end.
    fn entry(&self, date: Date) -> Option<ScheduledDemand> {
        let last = if self.until_next_day { date.tomorrow().ok()? } else { date };
        Some(ScheduledDemand {
            from: self.instant(date.to_datetime(self.from), Disambiguation::Earlier)?,
            until: self.instant(last.to_datetime(self.until), Disambiguation::Later)?,
            replicas: self.replicas,
        })
    }

    fn instant(&self, local: DateTime, reading: Disambiguation) -> Option<Instant> {
        let timestamp = self.timezone.to_ambiguous_timestamp(local).disambiguate(reading).ok()?;
        u64::try_from(timestamp.as_nanosecond()).ok().map(Instant::from_nanos)
    }
}

/// Words for days, with the days that each stands for, Monday first.
const DAY_WORDS: [(&str, [bool; 7]); 10] = [
    ("mon", [true, false, false, false, false, false, false]),
    ("tue", [false, true, false, false, false, false, false]),
    ("wed", [false, false, true, false, false, false, false]),
    ("thu", [false, false, false, true, false, false, false]),
    ("fri", [false, false, false, false, true, false, false]),
    ("sat", [false, false, false, false, false, true, false]),
    ("sun", [false, false, false, false, false, false, true]),
    ("weekdays", [true, true, true, true, true, false, false]),
    ("weekend", [false, false, false, false, false, true, true]),
    ("daily", [true; 7]),
];

impl Days {
    fn new(spec: &ScheduleSpec) -> Result<Self, (ScheduleField, ScheduleMistake)> {
        use {ScheduleField as Field, ScheduleMistake as Mistake};
        let name = || spec.name.clone();
        match (&spec.days, &spec.dates) {
            (Some(days), None) => Self::weekly(days),
            (None, Some(dates)) => Self::dates(dates),
            (Some(_), Some(_)) => Err((Field::Dates, Mistake::DaysAndDates(name()))),
            (None, None) => Err((Field::Name, Mistake::DaysMissing(name()))),
        }
    }

    fn weekly(words: &[String]) -> Result<Self, (ScheduleField, ScheduleMistake)> {
        use {ScheduleField as Field, ScheduleMistake as Mistake};
        if words.is_empty() {
            return Err((Field::Days, Mistake::DaysEmpty));
        }
        let mut all = [false; 7];
        for (index, word) in words.iter().enumerate() {
            let here = |mistake| (Field::Day(index), mistake);
            let (_, days) = DAY_WORDS
                .iter()
                .find(|(known, _)| known == word)
                .ok_or_else(|| here(Mistake::Day { word: word.clone() }))?;
            for (one, added) in all.iter_mut().zip(days) {
                if *one && *added {
                    return Err(here(Mistake::DayTwice(word.clone())));
                }
                *one |= added;
            }
        }
        Ok(Self::Weekly(all))
    }

    fn dates(texts: &[String]) -> Result<Self, (ScheduleField, ScheduleMistake)> {
        use {ScheduleField as Field, ScheduleMistake as Mistake};
        if texts.is_empty() {
            return Err((Field::Dates, Mistake::DatesEmpty));
        }
        let mut dates = BTreeSet::new();
        for (index, text) in texts.iter().enumerate() {
            let here = |mistake| (Field::Date(index), mistake);
            if index >= DATES_MAX {
                return Err(here(Mistake::DatesTooMany));
            }
            let date = date(text).ok_or_else(|| here(Mistake::Date(text.clone())))?;
            if !dates.insert(date) {
                return Err(here(Mistake::DateTwice(date.to_string())));
            }
        }
        Ok(Self::Dates(dates))
    }

    fn contains(&self, date: Date) -> bool {
        match self {
            Self::Weekly(days) => usize::try_from(date.weekday().to_monday_zero_offset())
                .is_ok_and(|index| days.get(index).copied().unwrap_or(false)),
            Self::Dates(dates) => dates.contains(&date),
        }
    }
}

const DAY_MINUTES: u16 = 24 * 60;

/// Minutes since midnight; `08:50` is the one way to write it.
fn time_of_day(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| {
        let is_number = part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
        if is_number { part.parse::<u16>().ok() } else { None }
    };
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    (minutes < 60).then_some(hours * 60 + minutes)
}

/// `24:00` is the next day's `00:00`.
fn clock(minutes: u16) -> Time {
    let part = |value: u16| i8::try_from(value).unwrap_or(0);
    Time::new(part(minutes / 60 % 24), part(minutes % 60), 0, 0).unwrap_or(Time::MIN)
}

/// `2026-12-01` is the one way to write it.
fn date(text: &str) -> Option<Date> {
    let fits = |(index, b): (usize, u8)| {
        if matches!(index, 4 | 7) { b == b'-' } else { b.is_ascii_digit() }
    };
    let shaped = text.len() == 10 && text.bytes().enumerate().all(fits);
    if shaped { text.parse().ok() } else { None }
}

/// The machine's database may lack a zone, or there may be none, as in a bare container.
fn timezone(name: &str) -> Option<TimeZone> {
    let built_in = |_| TimeZoneDatabase::bundled().get(name);
    jiff::tz::db().get(name).or_else(built_in).ok()
}
