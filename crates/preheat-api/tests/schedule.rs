//! What schedules ask for at a time, as tables; and what nobody may ask for.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZoneDatabase;
use preheat_api::schedule::{
    AHEAD, DATES_MAX, SCHEDULES_MAX, ScheduleMistake, ScheduleSpec, Schedules, Upcoming,
};
use preheat_core::{Instant, ReplicaCount};
use proptest::prelude::*;

const MAX: ReplicaCount = ReplicaCount(12);

/// `weekdays 08:50-11:00 Europe/Berlin`: days or dates with commas between, then when and where.
fn spec(name: &str, text: &str) -> ScheduleSpec {
    let parts: Vec<&str> = text.split(' ').collect();
    let [days, time, timezone] = parts[..] else { unreachable!("{text}") };
    let (from, until) = time.split_once('-').unwrap();
    let words: Vec<String> = days.split(',').map(str::to_owned).collect();
    let are_dates = days.starts_with('2');
    ScheduleSpec {
        name: name.to_owned(),
        days: (!are_dates).then(|| words.clone()),
        dates: are_dates.then_some(words),
        from: from.to_owned(),
        until: until.to_owned(),
        timezone: timezone.to_owned(),
        replicas: 2,
    }
}

fn schedules(specs: &[ScheduleSpec]) -> Schedules {
    Schedules::new(specs, MAX).unwrap()
}

fn instant(utc: &str) -> Instant {
    let timestamp: Timestamp = format!("{}:00Z", utc.replace(' ', "T")).parse().unwrap();
    Instant::from_nanos(u64::try_from(timestamp.as_nanosecond()).unwrap())
}

fn shown(at: Instant) -> String {
    let timestamp = Timestamp::from_nanosecond(i128::from(at.as_nanos())).unwrap();
    timestamp.strftime("%m-%d %H:%M").to_string()
}

fn told(entries: &[Upcoming<'_>]) -> String {
    let entry = |entry: &Upcoming<'_>| {
        format!("{} to {}", shown(entry.demand.from), shown(entry.demand.until))
    };
    entries.iter().map(entry).collect::<Vec<_>>().join(", ")
}

/// At `now`, this schedule asks for these; all in UTC.
#[track_caller]
fn check(text: &str, now: &str, expected: &str) {
    let schedules = schedules(&[spec("it", text)]);
    assert_eq!(told(&schedules.upcoming(instant(now))), expected, "{text} at {now}");
}

// 2026-11-23 is a Monday.

#[test]
fn what_has_not_ended_and_begins_within_a_day_is_told() {
    let office = "weekdays 08:50-11:00 UTC";
    check(office, "2026-11-22 08:49", "");
    check(office, "2026-11-22 08:50", "11-23 08:50 to 11-23 11:00");
    check(office, "2026-11-23 08:50", "11-23 08:50 to 11-23 11:00, 11-24 08:50 to 11-24 11:00");
    check(office, "2026-11-23 10:59", "11-23 08:50 to 11-23 11:00, 11-24 08:50 to 11-24 11:00");
    check(office, "2026-11-23 11:00", "11-24 08:50 to 11-24 11:00");
    check(office, "2026-11-27 11:00", "");
    check("sat 00:00-24:00 UTC", "2026-11-28 12:00", "11-28 00:00 to 11-29 00:00");
    check("mon,wed 09:00-10:00 UTC", "2026-11-23 12:00", "");
    check("mon,wed 09:00-10:00 UTC", "2026-11-24 12:00", "11-25 09:00 to 11-25 10:00");
    let weekend = "weekend 09:00-10:00 UTC";
    check(weekend, "2026-11-28 09:30", "11-28 09:00 to 11-28 10:00, 11-29 09:00 to 11-29 10:00");
}

#[test]
fn an_entry_over_midnight_ends_on_the_next_day_and_belongs_to_the_day_it_begins_on() {
    let night = "fri 22:00-06:00 UTC";
    check(night, "2026-11-26 21:00", "");
    check(night, "2026-11-27 12:00", "11-27 22:00 to 11-28 06:00");
    check(night, "2026-11-28 05:59", "11-27 22:00 to 11-28 06:00");
    check(night, "2026-11-28 06:00", "");
    check(
        "daily 23:59-00:00 UTC",
        "2026-12-31 23:59",
        "12-31 23:59 to 01-01 00:00, 01-01 23:59 to 01-02 00:00",
    );
    let day = "daily 12:00-11:59 UTC";
    check(day, "2026-11-24 11:58", "11-23 12:00 to 11-24 11:59, 11-24 12:00 to 11-25 11:59");
}

#[test]
fn dates_come_once() {
    let launch = "2026-12-01,2026-12-03 08:50-11:00 Europe/Berlin";
    check(launch, "2026-11-30 07:49", "");
    check(launch, "2026-11-30 08:00", "12-01 07:50 to 12-01 10:00");
    check(launch, "2026-12-01 10:00", "");
    check(launch, "2026-12-03 09:59", "12-03 07:50 to 12-03 10:00");
    check(launch, "2027-12-01 08:00", "");
    check("2028-02-29 10:00-11:00 UTC", "2028-02-29 00:00", "02-29 10:00 to 02-29 11:00");
    // Whole days without a gap between them.
    let fair = "2026-12-01,2026-12-02 00:00-24:00 UTC";
    check(fair, "2026-12-01 12:00", "12-01 00:00 to 12-02 00:00, 12-02 00:00 to 12-03 00:00");
}

/// In Berlin clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25;
/// at 01:00 in UTC both times.
#[test]
fn an_entry_keeps_its_local_time_and_where_that_is_skipped_or_repeated_lasts_longer() {
    // One hour earlier in UTC after the change, one hour later again.
    let office = "daily 08:50-11:00 Europe/Berlin";
    check(office, "2026-03-28 09:00", "03-28 07:50 to 03-28 10:00, 03-29 06:50 to 03-29 09:00");
    check(office, "2026-10-24 08:00", "10-24 06:50 to 10-24 09:00, 10-25 07:50 to 10-25 10:00");
    // Across the gap, and with either end or both in it.
    check("sun 01:30-03:30 Europe/Berlin", "2026-03-28 12:00", "03-29 00:30 to 03-29 01:30");
    check("sun 02:30-05:00 Europe/Berlin", "2026-03-28 12:00", "03-29 00:30 to 03-29 03:00");
    check("sun 01:00-02:30 Europe/Berlin", "2026-03-28 12:00", "03-29 00:00 to 03-29 01:30");
    check("sun 02:15-02:45 Europe/Berlin", "2026-03-28 12:00", "03-29 00:15 to 03-29 01:45");
    check("sun 02:00-03:00 Europe/Berlin", "2026-03-28 12:00", "03-29 00:00 to 03-29 01:00");
    // Across the fold, and with either end or both in it.
    check("sun 01:30-03:30 Europe/Berlin", "2026-10-24 12:00", "10-24 23:30 to 10-25 02:30");
    check("sun 02:30-05:00 Europe/Berlin", "2026-10-24 12:00", "10-25 00:30 to 10-25 04:00");
    check("sun 01:00-02:30 Europe/Berlin", "2026-10-24 12:00", "10-24 23:00 to 10-25 01:30");
    check("sun 02:15-02:45 Europe/Berlin", "2026-10-24 12:00", "10-25 00:15 to 10-25 01:45");
    // The day that has 25 hours, and the one that has 23.
    check("sun 00:00-24:00 Europe/Berlin", "2026-10-24 23:00", "10-24 22:00 to 10-25 23:00");
    check("sun 00:00-24:00 Europe/Berlin", "2026-03-29 12:00", "03-28 23:00 to 03-29 22:00");
}

#[test]
fn days_are_those_of_the_schedules_time_zone() {
    // Monday has begun in Kiritimati (UTC+14) while Pago Pago (UTC-11) still has Saturday.
    check("mon 00:00-01:00 Pacific/Kiritimati", "2026-11-22 10:00", "11-22 10:00 to 11-22 11:00");
    check("sat 23:00-24:00 Pacific/Pago_Pago", "2026-11-22 10:00", "11-22 10:00 to 11-22 11:00");
    // Half an hour beside the others.
    check("mon 09:00-10:00 Asia/Kolkata", "2026-11-23 00:00", "11-23 03:30 to 11-23 04:30");
    // A day that Samoa never had.
    check("2011-12-30 10:00-11:00 Pacific/Apia", "2011-12-30 00:00", "12-29 20:00 to 12-30 21:00");
    // On a machine without a tz database, too.
    assert!(TimeZoneDatabase::bundled().get("Europe/Berlin").is_ok());
}

#[test]
fn several_schedules_are_told_by_their_begin_with_their_names() {
    let specs = [spec("late", "daily 12:00-13:00 UTC"), spec("early", "daily 11:00-14:00 UTC")];
    let schedules = schedules(&specs);
    let now = instant("2026-11-23 10:00");
    let names: Vec<&str> = schedules.upcoming(now).iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["early", "late"]);
    assert_eq!(schedules.demand(now).len(), 2);
    assert_eq!(schedules.demand(now)[0].replicas, ReplicaCount(2));
    assert_eq!(Schedules::default().demand(now), []);
    // Times before and beyond the calendar.
    assert_eq!(schedules.demand(Instant::ORIGIN).len(), 2);
    assert!(schedules.demand(Instant::from_nanos(u64::MAX)).len() <= 4);
}

#[test]
fn there_is_a_limit_on_everything() {
    let many = |count: usize| -> Vec<ScheduleSpec> {
        (0..count).map(|n| spec(&format!("s{n}"), "daily 11:00-14:00 UTC")).collect()
    };
    assert!(Schedules::new(&many(SCHEDULES_MAX), MAX).is_ok());
    let error = Schedules::new(&many(SCHEDULES_MAX + 1), MAX).unwrap_err();
    assert_eq!((error.index, error.mistake), (SCHEDULES_MAX, ScheduleMistake::TooMany));
    let date = |n: usize| format!("{}-01-01", 2000 + n);
    let dated = |count: usize| {
        let dates: Vec<String> = (0..count).map(date).collect();
        vec![ScheduleSpec { days: None, dates: Some(dates), ..spec("s", "daily 11:00-14:00 UTC") }]
    };
    assert!(Schedules::new(&dated(DATES_MAX), MAX).is_ok());
    let error = Schedules::new(&dated(DATES_MAX + 1), MAX).unwrap_err();
    assert_eq!(error.mistake, ScheduleMistake::DatesTooMany);
}

proptest! {
    /// Whatever the zone and the time: nothing that is over or far away, sorted, and no entry shorter
    /// or longer than a change of clocks explains.
    #[test]
    fn what_is_told_is_near_and_lasts_as_announced(
        now_s in 0_u64..4_000_000_000,
        from in 0_u16..1440,
        lasts in 1_u16..1440,
        zone in proptest::sample::select(vec![
            "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia",
            "Africa/Casablanca", "America/St_Johns",
        ]),
    ) {
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60);
        let text = format!("daily {}-{} {zone}", clock(from), clock(from + lasts));
        let schedules = schedules(&[spec("it", &text)]);
        let now = Instant::from_nanos(now_s * 1_000_000_000);
        let told = schedules.demand(now);
        prop_assert!(told.is_sorted_by_key(|entry| entry.from));
        for entry in &told {
            prop_assert!(now < entry.until && entry.from <= now.saturating_add(AHEAD));
            let (real, announced) =
                (entry.until.since(entry.from), Duration::from_secs(u64::from(lasts) * 60));
            // Samoa once skipped a day; everyone else moves clocks by three hours at most.
            let moved = Duration::from_secs(if zone == "Pacific/Apia" { 26 } else { 3 } * 3600);
            prop_assert!(real <= announced + moved, "{entry:?}");
            prop_assert!(real + moved >= announced, "{entry:?}");
        }
        prop_assert!(!told.is_empty(), "a daily entry is always less than a day away");
    }
}
