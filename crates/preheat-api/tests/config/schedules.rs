//! Schedules in the file: what is accepted, and how mistakes are shown.

use std::fmt::Write;
use std::path::Path;

use preheat_api::config::LocalConfig;

use crate::{BASE, parse};

const OFFICE: &str = "{name: office, days: weekdays, from: \"08:50\", until: \"11:00\", \
                      timezone: Europe/Berlin, replicas: 3}";

/// [`BASE`] with these schedules, one a line from line 10 on.
fn with(schedules: &[&str]) -> String {
    let list: String = schedules.iter().map(|line| format!("      - {line}\n")).collect();
    format!("{BASE}    schedules:\n{list}")
}

#[test]
fn days_and_dates_alone_or_in_a_list_quoted_or_not_are_accepted() {
    let changes = [
        ("office", "office"),
        ("weekdays", "[mon, tue]"),
        ("weekdays", "[weekdays, sat]"),
        ("weekdays", "daily"),
        ("days: weekdays", "dates: 2026-12-01"),
        ("days: weekdays", "dates: \"2026-12-01\""),
        ("days: weekdays", "dates: [2026-12-01, 2026-12-31]"),
        ("\"08:50\"", "08:50"),
        ("\"11:00\"", "24:00"),
        ("\"11:00\"", "\"01:00\""),
        ("Europe/Berlin", "UTC"),
        ("replicas: 3", "replicas: 4"),
    ];
    for (old, new) in changes {
        let text = with(&[&OFFICE.replace(old, new)]);
        assert_eq!(parse(&text), "valid", "{text}");
    }
    let config = LocalConfig::parse(&with(&[OFFICE]), Path::new("preheat.yaml")).unwrap();
    // A Monday, 07:00 in UTC.
    let now = preheat_core::Instant::from_nanos(1_795_417_200_000_000_000);
    let entries = config.pools[0].schedules.upcoming(now);
    assert_eq!((entries.len(), entries[0].name), (1, "office"));
    assert_eq!(entries[0].demand.from.since(now), std::time::Duration::from_secs(50 * 60));
}

#[test]
fn every_mistake_names_its_place_and_what_is_allowed() {
    let mistakes = [
        ("office", "\"\""),
        ("office", "a/b"),
        ("weekdays", "[]"),
        ("weekdays", "Weekday"),
        ("weekdays", "[mon, wendesday]"),
        ("weekdays", "[weekdays, fri]"),
        ("weekdays", "5"),
        ("days: weekdays, ", ""),
        ("days: weekdays", "days: daily, dates: 2026-12-01"),
        ("days: weekdays", "dates: []"),
        ("days: weekdays", "dates: 01.12.2026"),
        ("days: weekdays", "dates: [2026-12-01, 2026-02-30]"),
        ("days: weekdays", "dates: [2026-12-01, 2026-12-01]"),
        ("days: weekdays", "dates: 2026-12-01T08:50"),
        ("\"08:50\"", "8:50"),
        ("\"08:50\"", "\"24:00\""),
        ("\"08:50\"", "\"08:50:30\""),
        ("\"08:50\"", "\"08:60\""),
        ("\"08:50\"", "morning"),
        ("\"11:00\"", "\"24:01\""),
        ("\"11:00\"", "\"08:50\""),
        ("Europe/Berlin", "Europe/Berlni"),
        ("Europe/Berlin", "new york"),
        ("Europe/Berlin", "Bielefeld"),
        ("Europe/Berlin", "+01:00"),
        ("Europe/Berlin", "../../etc/passwd"),
        ("replicas: 3", "replicas: 5"),
        ("replicas: 3", "replicas: 0"),
        ("replicas: 3", "replicas: -1"),
        (", replicas: 3", ""),
        ("timezone: Europe/Berlin, ", ""),
        ("timezone", "timeZone"),
    ];
    let mut text = String::new();
    for (old, new) in mistakes {
        assert!(OFFICE.contains(old), "{old}");
        writeln!(text, "{}\n", parse(&with(&[&OFFICE.replacen(old, new, 1)]))).unwrap();
    }
    writeln!(text, "{}", parse(&with(&[OFFICE, OFFICE]))).unwrap();
    insta::assert_snapshot!("mistakes", text);
}

#[test]
fn the_page_shows_a_configuration_that_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schedules.md");
    let page = std::fs::read_to_string(path).unwrap();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(parse(example.unwrap()), "valid");
}
