//! A pool's status as text: one line each, and a table of its replicas.

use std::fmt::Write;
use std::time::Duration;

use preheat_api::status::{GatewayTotals, ReplicaStatus};
use preheat_api::v1::{Pool, PoolSummary, Scheduled};
use preheat_api::words;
use preheat_core::Instant;

use crate::admin_client::StatusAnswer;
use crate::moments;

/// Everything a status says, for a terminal of at least 80 columns.
pub(crate) fn status(status: &StatusAnswer) -> String {
    let StatusAnswer { fleet, pools } = status;
    let mut text = String::new();
    for pool in pools {
        let _ = writeln!(text, "{}", pool_line(&pool.summary));
        if let Some(line) = quota_line(&pool.summary) {
            let _ = writeln!(text, "{line}");
        }
        for entry in scheduled_next(&pool.scheduled, pool.clock.now_s) {
            let _ = writeln!(text, "{}", scheduled_line(entry));
        }
        for replica in &pool.replicas {
            let _ = writeln!(text, "{}", replica_line(replica));
        }
    }
    if let Some(line) = fleet.gateway.as_ref().and_then(gateway_line) {
        let _ = writeln!(text, "{line}");
    }
    if let Some(failure) = fleet.journal.as_ref().and_then(|journal| journal.failure.as_ref()) {
        let _ = writeln!(text, "journal: not being written: {}", failure.error);
    }
    text
}

/// `chat   ready 3/4  starting 1 …  StartsUnderWay`.
fn pool_line(pool: &PoolSummary) -> String {
    // Writing to a string can't fail.
    let mut line = format!("{:<10} ready {}/{}", pool.pool, pool.ready, pool.desired);
    for (count, what) in
        [(pool.starting, "starting"), (pool.draining, "draining"), (pool.standby, "standby")]
    {
        if count > 0 {
            let _ = write!(line, "  {what} {count}");
        }
    }
    if let Some(decision) = &pool.decision {
        let _ = write!(line, "  arrivals {:.1}/s", decision.arrival_rate);
    }
    let count = |value: Option<u32>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let _ =
        write!(line, "  in flight {}  queue {}", count(pool.in_flight), count(pool.queue_depth));
    if let Some(held) = pool.held.filter(|held| *held > 0) {
        let _ = write!(line, "  held {held}");
    }
    if let Some(reason) = &pool.reason {
        let _ = write!(line, "  {reason}");
    }
    line
}

/// Entries that have begun, and the first that has not.
fn scheduled_next(by_begin: &[Scheduled], now_s: f64) -> impl Iterator<Item = &Scheduled> {
    let begun = by_begin.partition_point(|entry| entry.from_s <= now_s);
    by_begin.iter().take(begun + 1)
}

/// `scheduled 12 from 2026-12-01 08:50:00 until 2026-12-01 11:00:00 (launch)`.
fn scheduled_line(entry: &Scheduled) -> String {
    let (from, until) = (moment(entry.from_s), moment(entry.until_s));
    format!("  scheduled {} from {from} until {until} ({})", entry.replicas, entry.name)
}

/// A moment of the HTTP API.
fn moment(seconds: f64) -> String {
    let since = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    moments::shown(Instant::ORIGIN.saturating_add(since))
}

/// `4 are needed, but 2 may be held: chat comes first`; `None` while the pool may have what it needs.
fn quota_line(pool: &PoolSummary) -> Option<String> {
    let (quota, decision) = (pool.quota.as_ref()?, pool.decision.as_ref()?);
    let allowed = quota.replicas_allowed;
    let settles_in = quota.settles_in_s.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
    (decision.target > allowed).then(|| {
        let text = words::short_of(decision.target, allowed, &quota.taken_by, settles_in);
        format!("  quota: {text}")
    })
}

/// `gateway: 3 retries  1 cancelled  4 unroutable`; `None` while there is nothing of it.
fn gateway_line(totals: &GatewayTotals) -> Option<String> {
    let GatewayTotals { retries_connect, retries_closed, retries_refused, .. } = totals;
    let counts = [
        (retries_connect + retries_closed + retries_refused, "retries"),
        (totals.cancelled, "cancelled"),
        (totals.unroutable, "unroutable"),
    ];
    let told: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    (!told.is_empty()).then(|| format!("gateway: {}", told.join("  ")))
}

fn replica_line(replica: &ReplicaStatus) -> String {
    let mut line = format!(
        "  {:<6} {:<12} {:>7}",
        replica.id.to_string(),
        replica.phase,
        age(replica.phase_age_s)
    );
    let inside = replica.outstanding.or(replica.in_flight);
    if let Some(inside) = inside.filter(|n| *n > 0 || replica.phase == "ready") {
        let _ = write!(line, "  {inside:>4} inside");
    }
    if let Some(address) = &replica.address {
        let _ = write!(line, "  {address}");
    }
    if let Some(pid) = replica.pid {
        let _ = write!(line, "  pid {pid}");
    }
    if replica.restarts > 0 {
        let _ = write!(line, "  {} restarts", replica.restarts);
    }
    if let Some(error) = &replica.last_error {
        let _ = write!(line, "  {error}");
    }
    line
}

fn age(seconds: f64) -> String {
    match seconds {
        _ if seconds < 100.0 => format!("{seconds:.0}s"),
        _ if seconds < 6000.0 => format!("{:.0}m", seconds / 60.0),
        _ => format!("{:.1}h", seconds / 3600.0),
    }
}

/// Widest bar: leaves room for labels in 80 columns.
const BAR_WIDTH: u32 = 64;

/// A picture of a pool: a bar for each replica, as long as it is full.
pub(crate) fn picture(pool: &Pool) -> String {
    let slots = pool.summary.decision.map_or(1, |decision| decision.concurrency_cap).max(1);
    let mut text = String::new();
    for replica in &pool.replicas {
        let inside = replica.outstanding.or(replica.in_flight).unwrap_or(0);
        let filled = (inside.min(slots) * BAR_WIDTH).div_ceil(slots) as usize;
        let bar = if replica.phase == "ready" || replica.phase == "draining" {
            let over = if inside > slots { format!("+{}", inside - slots) } else { String::new() };
            format!("{}{over}", "█".repeat(filled))
        } else {
            age(replica.phase_age_s)
        };
        let _ = writeln!(text, "  {:<5}{:<9}{bar}", replica.id.to_string(), replica.phase);
    }
    text
}

#[cfg(test)]
mod tests {
    use preheat_api::status::{DecisionNumbers, PoolStatus, QuotaStatus, Status};
    use preheat_api::v1::Fleet;

    use super::*;

    fn summary(pool: PoolStatus) -> PoolSummary {
        let fleet = Fleet::of(&Status { pools: vec![pool], ..Status::default() }, true);
        fleet.pools.into_iter().next().unwrap()
    }

    #[test]
    fn a_pool_that_may_not_have_what_it_needs_says_why() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let line = |target, taken_by: &[&str], settles_in_s| {
            quota_line(&summary(PoolStatus {
                decision: Some(DecisionNumbers { target, ..DecisionNumbers::default() }),
                quota: Some(QuotaStatus {
                    replicas_allowed: 2,
                    taken_by: names(taken_by),
                    settles_in_s,
                }),
                ..PoolStatus::default()
            }))
        };
        let needs = "  quota: 4 are needed, but 2 may be held: ";
        for (line, expected) in [
            (line(2, &[], None), None),
            (line(4, &["chat"], None), Some("chat comes first")),
            (line(4, &["vip", "chat"], None), Some("vip and chat come first")),
            (line(4, &[], None), Some("the GPUs are shared out")),
            (
                line(4, &[], Some(40.0)),
                Some("others give GPUs up if the need lasts for another 40 s"),
            ),
        ] {
            assert_eq!(line, expected.map(|why| format!("{needs}{why}")));
        }
    }

    #[test]
    fn the_gateway_has_a_line_when_there_is_something_to_tell() {
        let quiet = GatewayTotals { connections: 12, ..GatewayTotals::default() };
        let all = GatewayTotals {
            unroutable: 4,
            cancelled: 1,
            retries_connect: 1,
            retries_closed: 2,
            retries_refused: 3,
            ..quiet
        };
        let cancelled = GatewayTotals { cancelled: 2, ..quiet };
        for (gateway, expected) in [
            (None, ""),
            (Some(quiet), ""),
            (Some(all), "gateway: 6 retries  1 cancelled  4 unroutable\n"),
            (Some(cancelled), "gateway: 2 cancelled\n"),
        ] {
            let fleet = Fleet::of(&Status { gateway, ..Status::default() }, true);
            assert_eq!(status(&StatusAnswer { fleet, pools: Vec::new() }), expected);
        }
    }

    #[test]
    fn of_what_is_scheduled_the_begun_and_the_next_are_told() {
        let at = |hours: u32| f64::from(20_000 * 24 + hours) * 3_600.0;
        let entry = |name: &str, from, until| {
            let (from_s, until_s) = (at(from), at(until));
            Scheduled { name: name.to_owned(), from_s, until_s, replicas: 2 }
        };
        let entries = [entry("a", 1, 9), entry("b", 3, 4), entry("c", 5, 6), entry("d", 7, 8)];
        for (now, expected) in [(0, "a"), (1, "ab"), (4, "abc"), (7, "abcd")] {
            let told: String =
                scheduled_next(&entries, at(now)).map(|entry| entry.name.as_str()).collect();
            assert_eq!(told, expected, "at {now}");
        }
        assert_eq!(scheduled_next(&[], at(0)).count(), 0);
    }
}
