//! Demand that was announced, from the file to engines, and what is told of it.

use jiff::{Timestamp, ToSpan};

use crate::common::Stage;

/// `daily` from an hour ago for the next hours, in UTC, whatever the time is: model time begins as
/// wall time and runs through a few minutes of it here.
fn since_an_hour_ago() -> String {
    let now = Timestamp::now();
    let clock = |hours: i64| {
        let at = now.checked_add(hours.hours()).expect("not the end of time");
        at.strftime("%H:%M").to_string()
    };
    let (from, until) = (clock(-1), clock(9));
    format!(
        "schedules: [{{name: launch, days: daily, from: '{from}', until: '{until}', \
         timezone: UTC, replicas: 2}}]"
    )
}

#[tokio::test]
async fn what_is_scheduled_is_started_without_traffic_and_told_by_its_name() {
    let stage = Stage::new();
    let pool = format!(
        "minReplicas: 0, maxReplicas: 2, coldStart: {{p50: 20s, p90: 20s}}, {}",
        since_an_hour_ago()
    );
    let mut up = stage.up(&stage.config(50.0, &pool, "emulated: {}"));
    stage.ready(2).await;

    let admin = stage.admin().to_string();
    let status = stage.run(&["status", "--admin", &admin]);
    let line = status.stdout.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with("  scheduled 2 from 20"), "{status:?}");
    assert!(line.ends_with(" (launch)"), "{status:?}");
    let announced = stage.pool("entries", |pool| pool.scheduled.first().cloned()).await;
    assert_eq!((announced.name.as_str(), announced.replicas), ("launch", 2));

    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
    let journal = stage.state().display().to_string();
    let changes = stage.run(&["why", "--journal", &journal, "--changes", "9"]);
    let started = "Started 2 replicas: 2 are scheduled to be ready within a lead time, and 0 are \
                   ready or on the way.";
    assert!(changes.stdout.contains(started), "{changes:?}");
    let last = stage.run(&["why", "--journal", &journal]);
    for part in ["\n  Schedule: 2 from 20", " (begun) until ", "2 are asked for, and that sets"] {
        assert!(last.stdout.contains(part), "{last:?}");
    }
}

#[test]
fn a_mistake_in_a_schedule_is_shown_with_its_place_and_what_was_meant() {
    let stage = Stage::new();
    let pool = since_an_hour_ago().replace("UTC", "Berlin");
    let file = stage.file("preheat.yaml", stage.config(1.0, &pool, "emulated: {}"));
    let ran = stage.run(&["up", "--check", &file]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("`schedules.timezone` is `Berlin`"), "{ran:?}");
    assert!(ran.stderr.ends_with("hint: did you mean `Europe/Berlin`?\n"), "{ran:?}");
}
