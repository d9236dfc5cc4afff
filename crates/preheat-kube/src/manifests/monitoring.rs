//! For who has the Prometheus operator: where preheat's metrics are, when to wake somebody, and what
//! to keep for long.
//!
//! **Invariant:** every metric and label that an expression names is one that preheat exports; a test
//! holds each against the table of them.

use preheat_runtime::prometheus::engine_rules;
use serde_json::{Value, json};

use super::{NAME, NAMESPACE};

/// When to tell somebody.
#[derive(Clone, Copy, Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// What must hold, in PromQL.
    pub expr: &'static str,
    /// For how long.
    pub hold: &'static str,
    /// `critical` wakes somebody, `warning` does not.
    pub severity: &'static str,
    /// What has happened.
    pub summary: &'static str,
    /// What to do next.
    pub description: &'static str,
}

/// All alerts. One pool is told of by whoever leads; a new leader has another pod's labels, so that
/// what is known of a pool is put together by its name.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "PreheatAbsent",
        expr: "absent(preheat_build_info)",
        hold: "5m",
        severity: "critical",
        summary: "No preheat is running",
        description: "Every target stays at the replicas that it has. Look at the Deployment preheat and its events.",
    },
    Alert {
        name: "PreheatPoolUndecided",
        expr: "min by (pool) (preheat_tick_age_seconds) > 60",
        hold: "2m",
        severity: "critical",
        summary: "Nothing is decided for {{ $labels.pool }}",
        description: "Its replicas stay as they are. `kubectl get infas -o wide` says why: a target that is gone, a right that is missing, an apiserver that does not answer.",
    },
    Alert {
        name: "PreheatPoolLimited",
        expr: "max by (pool) (preheat_target_replicas) > max by (pool) (preheat_desired_replicas)",
        hold: "10m",
        severity: "warning",
        summary: "{{ $labels.pool }} needs more replicas than it may have",
        description: "maxReplicas, maxStarts, or GPUs that pools share are in the way. `kubectl preheat why` says which.",
    },
    Alert {
        name: "PreheatReplicasMissing",
        expr: "sum by (pool) (preheat_replicas{phase=\"ready\"}) < max by (pool) (preheat_desired_replicas) and max by (pool) (preheat_tick_age_seconds) < 60",
        hold: "30m",
        severity: "warning",
        summary: "{{ $labels.pool }} has had fewer ready replicas than wanted for half an hour",
        description: "Starts do not succeed or take longer than they did. Look at the events of its pods; in mode Observe nobody carries the decision out.",
    },
    Alert {
        name: "PreheatSignalsOld",
        expr: "max by (pool, signal) (preheat_signal_age_seconds) > 60",
        hold: "5m",
        severity: "warning",
        summary: "{{ $labels.pool }} is scaled without a fresh {{ $labels.signal }}",
        description: "Nothing is given up meanwhile. Check the engine's port and path in the resource, and network policies between preheat and the pods.",
    },
    Alert {
        name: "PreheatFlapping",
        expr: "max by (pool) (increase(preheat_direction_changes_total[1h])) > 12",
        hold: "0s",
        severity: "warning",
        summary: "{{ $labels.pool }} grows and shrinks in turn",
        description: "A longer behavior.scaleDown.stabilizationWindow calms it.",
    },
    Alert {
        name: "PreheatInvariantBroken",
        expr: "max by (pool) (increase(preheat_invariant_violations_total[15m])) > 0",
        hold: "0s",
        severity: "warning",
        summary: "A decision for {{ $labels.pool }} broke an invariant and was dropped",
        description: "The pool was held. This is a mistake in preheat: keep the journal and report it.",
    },
    Alert {
        name: "PreheatJournalFailing",
        expr: "max(preheat_journal_failing) > 0 or max(increase(preheat_journal_dropped_records_total[15m])) > 0",
        hold: "5m",
        severity: "warning",
        summary: "Decisions can't be recorded",
        description: "Scaling goes on; `why` and `replay` have gaps. Look for a full volume.",
    },
];

/// What is computed of preheat's own metrics and kept, by name: one series for each pool, whichever
/// preheat led and however often it was started again.
pub const RECORDED: &[(&str, &str)] = &[
    ("pool:preheat_replicas:max", "max by (pool, phase) (preheat_replicas)"),
    ("pool:preheat_desired_replicas:max", "max by (pool) (preheat_desired_replicas)"),
    ("pool:preheat_arrival_rate:max", "max by (pool) (preheat_arrival_rate)"),
    ("pool:preheat_gpus:rate5m", "sum by (pool) (rate(preheat_gpu_seconds_total[5m]))"),
    (
        "pool:preheat_starts:increase1h",
        "sum by (pool, reason) (increase(preheat_starts_total[1h]))",
    ),
];

/// Where the Prometheus operator finds each preheat's metrics.
pub(super) fn pod_monitor() -> Value {
    let labels = json!({"app.kubernetes.io/name": NAME});
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "podMetricsEndpoints": [{"port": "admin", "path": "/metrics", "interval": "15s"}],
        },
    })
}

/// Alerts, and what is recorded of pools and of engines, as the operator takes them.
pub(super) fn prometheus_rule() -> Value {
    let alert = |alert: &Alert| {
        let mut rule = json!({
            "alert": alert.name,
            "expr": alert.expr,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.description},
        });
        if alert.hold != "0s" {
            rule["for"] = alert.hold.into();
        }
        rule
    };
    let alerts: Vec<Value> = ALERTS.iter().map(alert).collect();
    let recorded = RECORDED.iter().map(|(record, expr)| json!({"record": record, "expr": expr}));
    let engines = engine_rules().into_iter();
    let engines = engines.map(|rule| json!({"record": rule.record, "expr": rule.expr}));
    let groups = [
        json!({"name": NAME, "rules": alerts}),
        json!({"name": format!("{NAME}-pools"), "rules": recorded.collect::<Vec<_>>()}),
        json!({"name": format!("{NAME}-engines"), "rules": engines.collect::<Vec<_>>()}),
    ];
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": NAME},
        },
        "spec": {"groups": groups},
    })
}
