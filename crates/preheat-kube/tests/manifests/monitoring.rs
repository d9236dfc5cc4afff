//! Expressions name what is exported, and nothing else.

use std::collections::BTreeSet;

use preheat_kube::manifests::{ALERTS, PANELS, POOLS, RECORDED};
use preheat_runtime::telemetry::{METRICS, MetricDefinition, MetricKind};

/// The metrics that an expression names; panics at one that is not exported.
fn metrics(expr: &str) -> Vec<&'static MetricDefinition> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let names = expr.split(word).filter(|name| name.starts_with("preheat_"));
    let found = names.map(|name| {
        let exported = |metric: &&MetricDefinition| {
            let part =
                name.strip_prefix(metric.name).filter(|_| metric.kind == MetricKind::Summary);
            metric.name == name || matches!(part, Some("_sum" | "_count"))
        };
        METRICS.iter().find(exported).unwrap_or_else(|| panic!("{name} is not exported: {expr}"))
    });
    found.collect()
}

/// The labels that it groups by and selects with.
fn labels(expr: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (open, close) in [("by (", ')'), ("{", '}')] {
        for rest in expr.split(open).skip(1) {
            for label in rest.split(close).next().unwrap().split(',') {
                labels.insert(label.split(['=', '!']).next().unwrap().trim().to_owned());
            }
        }
    }
    labels
}

#[test]
fn every_expression_names_exported_metrics_and_their_labels() {
    let alerts = ALERTS.iter().map(|alert| alert.expr);
    let queries = PANELS.iter().flat_map(|panel| panel.queries).map(|(expr, _)| *expr);
    let recorded = RECORDED.iter().map(|(_, expr)| *expr);
    for expr in alerts.chain(queries).chain(recorded).chain([POOLS]) {
        let metrics = metrics(expr);
        assert!(!metrics.is_empty(), "{expr}");
        for label in labels(expr) {
            let all = metrics.iter().all(|metric| metric.labels.contains(&label.as_str()));
            let any = metrics.iter().any(|metric| metric.labels.contains(&label.as_str()));
            // A selector belongs to one metric of several; a grouping to all.
            assert!(all || (any && metrics.len() > 1), "{label} is no label of it: {expr}");
        }
        let count = |c: char| expr.matches(c).count();
        assert_eq!(
            (count('('), count('{'), count('[')),
            (count(')'), count('}'), count(']')),
            "{expr}"
        );
    }
}

#[test]
fn counters_are_looked_at_by_their_growth_and_legends_name_kept_labels() {
    let queries = PANELS.iter().flat_map(|panel| panel.queries);
    for (expr, legend) in queries.clone() {
        for label in legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            assert!(labels(expr).contains(label), "{label}: {expr}");
        }
    }
    let exprs = ALERTS.iter().map(|alert| alert.expr).chain(queries.map(|(expr, _)| *expr));
    let recorded = RECORDED.iter().map(|(_, expr)| *expr);
    for expr in exprs.chain(recorded) {
        for metric in metrics(expr).iter().filter(|metric| metric.kind == MetricKind::Counter) {
            let grows =
                ["increase", "rate"].map(|f| expr.contains(&format!("{f}({}", metric.name)));
            assert!(grows.contains(&true), "{}: {expr}", metric.name);
        }
    }
}

#[test]
fn alerts_say_what_to_do_and_their_names_are_their_own() {
    let names: BTreeSet<&str> = ALERTS.iter().map(|alert| alert.name).collect();
    assert_eq!(names.len(), ALERTS.len());
    for alert in ALERTS {
        assert!(alert.name.starts_with("Preheat"), "{}", alert.name);
        assert!(
            !alert.summary.ends_with('.') && alert.description.ends_with('.'),
            "{}",
            alert.name
        );
        assert!(matches!(alert.severity, "critical" | "warning"));
        for label in alert.summary.split("$labels.").skip(1) {
            let label: String = label.chars().take_while(char::is_ascii_alphanumeric).collect();
            assert!(labels(alert.expr).contains(&label), "{label}: {}", alert.expr);
        }
    }
}
