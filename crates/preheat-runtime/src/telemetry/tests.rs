//! What is exported, held against the table of definitions and the project's own parser.

use std::collections::BTreeSet;

use preheat_api::journal::ViolationRecord;
use preheat_api::status::{
    ClockStatus, DecisionCount, DecisionNumbers, Direction, JournalFailure, QuotaStatus,
    ReplicaStatus,
};
use preheat_core::{Instant, Reason, ReplicaId};

use super::*;
use crate::exposition::{Exposition, Format, Line, MetadataKind};

/// A status in which everything is known.
fn full(pool: &str) -> Status {
    let latency = LatencyStatus {
        count: 3,
        sum_s: 1.5,
        p50_s: Some(0.1),
        p90_s: Some(0.2),
        p99_s: Some(0.9),
    };
    let counted = |name: &str| [(name.to_owned(), 2)].into_iter().collect();
    let decision =
        DecisionCount { direction: Direction::Up, reason: Reason::DemandAbovePlan, count: 4 };
    let totals = PoolTotals {
        gpu_seconds_by_phase: [("ready".to_owned(), 0.1)].into_iter().collect(),
        starts_by_reason: counted("DemandAbovePlan"),
        stops_by_reason: counted("Drained"),
        violations: counted("D4"),
        decisions: vec![decision],
        ..PoolTotals::default()
    };
    let replica = ReplicaStatus {
        id: ReplicaId(1),
        phase: "ready".to_owned(),
        phase_age_s: 1.0,
        in_flight: None,
        queue_depth: None,
        outstanding: None,
        kv_utilization: None,
        capacity: None,
        node: None,
        address: None,
        pid: None,
        restarts: 0,
        last_error: None,
    };
    let pool = PoolStatus {
        pool: pool.to_owned(),
        desired: 2,
        quota: Some(QuotaStatus { replicas_allowed: 3, ..QuotaStatus::default() }),
        decision: Some(DecisionNumbers { utilization: Some(0.5), ..DecisionNumbers::default() }),
        violation: Some(ViolationRecord { id: "D4".to_owned(), seen: String::new() }),
        in_flight: Some(1),
        queue_depth: Some(0),
        last_tick_at: Some(Instant::from_nanos(500_000_000)),
        signal_age_s: [("gateway".to_owned(), 1e-7)].into_iter().collect(),
        gateway: Some(GatewayStatus {
            held_oldest_s: Some(3.0),
            ttft: latency,
            itl: latency,
            ..GatewayStatus::default()
        }),
        totals,
        replicas: vec![replica],
        ..PoolStatus::default()
    };
    let failure = JournalFailure { error: String::new(), hint: None, since: None };
    let journal = JournalHealth { failure: Some(failure), ..JournalHealth::default() };
    let clock = ClockStatus { now: Instant::from_nanos(2_000_000_000), ..ClockStatus::default() };
    let pools = vec![pool.clone(), PoolStatus { pool: "other".to_owned(), ..pool }];
    let gateway = Some(GatewayTotals::default());
    let version = "1".to_owned();
    Status { version, uptime_s: 0.25, clock, journal: Some(journal), gateway, pools }
}

#[test]
fn what_is_rendered_is_what_the_table_says() {
    let text = render(&full("chat"));
    let mut reader = Exposition::new(text.as_bytes(), Format::Text);
    let mut current: Option<&MetricDefinition> = None;
    let mut seen = BTreeSet::new();
    for line in &mut reader {
        match line {
            Line::Metadata(metadata) => {
                let metric = METRICS.iter().find(|metric| metric.name == metadata.family).unwrap();
                match metadata.kind {
                    MetadataKind::Help => {
                        assert!(seen.insert(metric.name), "{} comes twice", metric.name);
                        assert_eq!(metadata.text, metric.help);
                        current = Some(metric);
                    }
                    MetadataKind::Type => assert_eq!(metadata.text, metric.kind.name()),
                    MetadataKind::Unit => panic!("{metadata:?}"),
                }
            }
            Line::Sample(sample) => {
                let metric = current.unwrap();
                let suffix = sample.name.strip_prefix(metric.name).unwrap();
                let is_part = !suffix.is_empty();
                let summary = metric.kind == MetricKind::Summary;
                assert!(
                    !is_part || (summary && ["_sum", "_count"].contains(&suffix)),
                    "{sample:?}"
                );
                let labels: Vec<_> = sample.labels.map(|label| label.name.into_owned()).collect();
                let expected = metric.labels.iter().filter(|label| !is_part || **label == "pool");
                assert_eq!(labels, expected.copied().collect::<Vec<_>>(), "{}", metric.name);
            }
            Line::Eof => panic!("no such line in this format"),
        }
    }
    assert_eq!(reader.malformed(), 0);
    let unseen: Vec<_> = METRICS.iter().filter(|metric| !seen.contains(metric.name)).collect();
    assert!(unseen.is_empty(), "{unseen:?}");
}

#[test]
fn values_and_labels_survive_the_text() {
    let odd = "a\"b\\c\nd";
    let text = render(&full(odd));
    let value = |name: &str, label: (&str, &str)| {
        let mut reader = Exposition::new(text.as_bytes(), Format::Text);
        std::iter::from_fn(|| reader.next_sample_where(|found| found == name.as_bytes()))
            .find(|sample| {
                sample.labels.get("pool").as_deref() == Some(odd)
                    && (label.0.is_empty()
                        || sample.labels.get(label.0).as_deref() == Some(label.1))
            })
            .map(|sample| sample.value)
    };
    let reason = ("reason", "DemandAbovePlan");
    for (name, label, expected) in [
        ("preheat_replicas", ("phase", "ready"), Some(1.0)),
        ("preheat_replicas", ("phase", "waking"), Some(0.0)),
        ("preheat_desired_replicas", ("", ""), Some(2.0)),
        ("preheat_allowed_replicas", ("", ""), Some(3.0)),
        ("preheat_decisions_total", reason, Some(4.0)),
        ("preheat_signal_age_seconds", ("signal", "gateway"), Some(1e-7)),
        ("preheat_tick_age_seconds", ("", ""), Some(1.5)),
        ("preheat_gateway_ttft_seconds", ("quantile", "0.99"), Some(0.9)),
        ("preheat_gateway_ttft_seconds_sum", ("", ""), Some(1.5)),
        ("preheat_nonsense", ("", ""), None),
    ] {
        assert_eq!(value(name, label), expected, "{name}");
    }
}

#[test]
fn what_the_gateway_counted_has_no_pool() {
    let gateway = GatewayTotals {
        connections: 9,
        unroutable: 7,
        cancelled: 5,
        retries_connect: 1,
        retries_closed: 2,
        retries_refused: 3,
    };
    let text = render(&Status { gateway: Some(gateway), ..Status::default() });
    for line in [
        "preheat_gateway_retries_total{reason=\"connect\"} 1\n",
        "preheat_gateway_retries_total{reason=\"closed\"} 2\n",
        "preheat_gateway_retries_total{reason=\"refused\"} 3\n",
        "preheat_gateway_cancelled_requests_total 5\n",
        "preheat_gateway_unroutable_requests_total 7\n",
        "preheat_gateway_connections_total 9\n",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[test]
fn what_is_not_known_has_no_sample() {
    let pool = PoolStatus { pool: "chat".to_owned(), ..PoolStatus::default() };
    let status = Status { pools: vec![pool], ..Status::default() };
    let text = render(&status);
    for absent in ["queue_depth", "allowed", "arrival_rate", "gateway", "journal", "tick_age"] {
        assert!(!text.contains(absent), "{absent} is in {text}");
    }
    assert!(text.contains("preheat_invariant_violations_total{pool=\"chat\"} 0\n"));
}

#[test]
fn names_follow_the_rules() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        assert!(names.insert(metric.name), "{} is there twice", metric.name);
        assert!(metric.name.starts_with("preheat_") && metric.help.ends_with('.'), "{metric:?}");
        let total = metric.name.ends_with("_total");
        assert_eq!(total, metric.kind == MetricKind::Counter, "{}", metric.name);
    }
}
