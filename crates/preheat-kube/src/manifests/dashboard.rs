//! A Grafana dashboard of preheat's own metrics.
//!
//! **Invariant:** as for alerts: what a query names is exported, which a test checks.

use serde_json::{Value, json};

/// One panel.
#[derive(Clone, Copy, Debug)]
pub struct Panel {
    /// Its heading.
    pub title: &'static str,
    /// The axis' unit, as Grafana calls it.
    unit: &'static str,
    /// Whether series stand on each other.
    stacked: bool,
    /// Queries in PromQL, each with its legend.
    pub queries: &'static [(&'static str, &'static str)],
}

const fn panel(
    title: &'static str,
    unit: &'static str,
    queries: &'static [(&'static str, &'static str)],
) -> Panel {
    Panel { title, unit, stacked: false, queries }
}

/// All panels, two to a row.
pub const PANELS: &[Panel] = &[
    Panel {
        title: "Replicas by phase",
        unit: "short",
        stacked: true,
        queries: &[("sum by (phase) (preheat_replicas{pool=~\"$pool\"})", "{{phase}}")],
    },
    panel(
        "Needed, wanted, allowed",
        "short",
        &[
            ("max by (pool) (preheat_target_replicas{pool=~\"$pool\"})", "{{pool}} needed"),
            ("max by (pool) (preheat_desired_replicas{pool=~\"$pool\"})", "{{pool}} wanted"),
            ("max by (pool) (preheat_allowed_replicas{pool=~\"$pool\"})", "{{pool}} allowed"),
        ],
    ),
    panel(
        "Arrival rate",
        "reqps",
        &[("max by (pool) (preheat_arrival_rate{pool=~\"$pool\"})", "{{pool}}")],
    ),
    panel(
        "Load: offered, in flight, queued",
        "short",
        &[
            ("max by (pool) (preheat_offered_load{pool=~\"$pool\"})", "{{pool}} offered"),
            ("max by (pool) (preheat_requests_in_flight{pool=~\"$pool\"})", "{{pool}} in flight"),
            ("max by (pool) (preheat_queue_depth{pool=~\"$pool\"})", "{{pool}} queued"),
        ],
    ),
    panel(
        "Utilization of slots",
        "percentunit",
        &[("max by (pool) (preheat_utilization_ratio{pool=~\"$pool\"})", "{{pool}}")],
    ),
    panel(
        "Cold start and lead time",
        "s",
        &[
            (
                "max by (pool, quantile) (preheat_cold_start_seconds{pool=~\"$pool\"})",
                "{{pool}} cold start p{{quantile}}",
            ),
            ("max by (pool) (preheat_lead_time_seconds{pool=~\"$pool\"})", "{{pool}} lead time"),
        ],
    ),
    Panel {
        title: "Decisions that changed something",
        unit: "short",
        stacked: true,
        queries: &[(
            "sum by (pool, direction, reason) (increase(preheat_decisions_total{pool=~\"$pool\",direction!=\"hold\"}[$__rate_interval]))",
            "{{pool}} {{direction}} {{reason}}",
        )],
    },
    Panel {
        title: "GPUs held, by phase",
        unit: "short",
        stacked: true,
        queries: &[(
            "sum by (phase) (rate(preheat_gpu_seconds_total{pool=~\"$pool\"}[$__rate_interval]))",
            "{{phase}}",
        )],
    },
    panel(
        "Age of signals and of the last decision",
        "s",
        &[
            (
                "max by (pool, signal) (preheat_signal_age_seconds{pool=~\"$pool\"})",
                "{{pool}} {{signal}}",
            ),
            ("min by (pool) (preheat_tick_age_seconds{pool=~\"$pool\"})", "{{pool}} decision"),
        ],
    ),
    panel(
        "preheat itself",
        "short",
        &[
            ("count(preheat_build_info)", "processes"),
            ("max(preheat_journal_failing)", "journal failing"),
            ("sum(increase(preheat_invariant_violations_total[$__rate_interval]))", "violations"),
            (
                "sum(increase(preheat_journal_dropped_records_total[$__rate_interval]))",
                "records lost",
            ),
        ],
    ),
];

const PANEL_WIDTH: usize = 12;
const PANEL_HEIGHT: usize = 8;

/// The dashboard, as Grafana imports it.
pub(super) fn text() -> String {
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    let panels: Vec<Value> = PANELS
        .iter()
        .enumerate()
        .map(|(index, panel)| {
            let targets: Vec<Value> = (b'A'..)
                .zip(panel.queries)
                .map(|(id, (expr, legend))| {
                    json!({
                        "refId": char::from(id).to_string(), "datasource": source,
                        "expr": expr, "legendFormat": legend,
                    })
                })
                .collect();
            let stacking = if panel.stacked { "normal" } else { "none" };
            let fill = if panel.stacked { 30 } else { 0 };
            json!({
                "id": index + 1,
                "type": "timeseries",
                "title": panel.title,
                "datasource": source,
                "gridPos": {
                    "x": index % 2 * PANEL_WIDTH, "y": index / 2 * PANEL_HEIGHT,
                    "w": PANEL_WIDTH, "h": PANEL_HEIGHT,
                },
                "fieldConfig": {
                    "defaults": {
                        "unit": panel.unit,
                        "min": 0,
                        "custom": {"fillOpacity": fill, "stacking": {"mode": stacking}},
                    },
                    "overrides": [],
                },
                "options": {"tooltip": {"mode": "multi"}, "legend": {"displayMode": "list"}},
                "targets": targets,
            })
        })
        .collect();
    let variables = json!([
        {"name": "datasource", "type": "datasource", "query": "prometheus"},
        {
            "name": "pool", "type": "query", "datasource": source, "refresh": 2,
            "query": {"query": POOLS, "refId": "pool"}, "includeAll": true, "multi": true,
            "allValue": ".*", "current": {"text": "All", "value": "$__all"},
        },
    ]);
    let dashboard = json!({
        "title": "preheat",
        "uid": "preheat",
        "tags": ["preheat"],
        "schemaVersion": 39,
        "editable": true,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": variables},
        "panels": panels,
    });
    format!("{dashboard:#}\n")
}

/// Finds the pools that there are.
pub const POOLS: &str = "label_values(preheat_desired_replicas, pool)";
