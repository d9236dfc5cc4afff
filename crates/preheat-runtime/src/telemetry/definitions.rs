//! The table of what is exported.
//!
//! **Invariant:** every name is derived from the glossary; units are in it.

/// What one metric is called and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricDefinition {
    /// Its name, as scraped.
    pub name: &'static str,
    /// Its type.
    pub kind: MetricKind,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

/// Type of a metric, as Prometheus means it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, but for restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Quantiles, a sum and a count.
    Summary,
}

impl MetricKind {
    /// Name as in `# TYPE`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
        }
    }
}

/// Everything that is exported, in the order of the page.
pub const METRICS: &[MetricDefinition] = &[
    BUILD_INFO,
    UPTIME,
    REPLICAS,
    DESIRED_REPLICAS,
    TARGET_REPLICAS,
    ALLOWED_REPLICAS,
    ARRIVAL_RATE,
    OFFERED_LOAD,
    UTILIZATION,
    IN_FLIGHT,
    QUEUE_DEPTH,
    SIGNAL_AGE,
    LEAD_TIME,
    COLD_START,
    TICKS,
    TICK_AGE,
    DECISIONS,
    STARTS,
    STOPS,
    WAKES,
    RESUMES,
    DRAINS,
    SLEEPS,
    DIRECTION_CHANGES,
    GPU_SECONDS,
    VIOLATIONS,
    JOURNAL_FAILING,
    JOURNAL_WRITTEN,
    JOURNAL_DROPPED,
    GATEWAY_ARRIVALS,
    GATEWAY_REQUESTS,
    GATEWAY_HELD,
    GATEWAY_HELD_OLDEST,
    GATEWAY_TTFT,
    GATEWAY_ITL,
    GATEWAY_RETRIES,
    GATEWAY_CANCELLED,
    GATEWAY_UNROUTABLE,
    GATEWAY_CONNECTIONS,
];

pub(super) const BUILD_INFO: MetricDefinition = MetricDefinition {
    name: "preheat_build_info",
    kind: MetricKind::Gauge,
    help: "Always 1; the labels say what runs.",
    labels: &["version"],
};
pub(super) const UPTIME: MetricDefinition = MetricDefinition {
    name: "preheat_uptime_seconds",
    kind: MetricKind::Gauge,
    help: "Time since the process started.",
    labels: &[],
};
pub(super) const REPLICAS: MetricDefinition = MetricDefinition {
    name: "preheat_replicas",
    kind: MetricKind::Gauge,
    help: "Replicas by phase.",
    labels: &["pool", "phase"],
};
pub(super) const DESIRED_REPLICAS: MetricDefinition = MetricDefinition {
    name: "preheat_desired_replicas",
    kind: MetricKind::Gauge,
    help: "Replicas that should be ready or on their way, after every limit.",
    labels: &["pool"],
};
pub(super) const TARGET_REPLICAS: MetricDefinition = MetricDefinition {
    name: "preheat_target_replicas",
    kind: MetricKind::Gauge,
    help: "Replicas needed, before limits.",
    labels: &["pool"],
};
pub(super) const ALLOWED_REPLICAS: MetricDefinition = MetricDefinition {
    name: "preheat_allowed_replicas",
    kind: MetricKind::Gauge,
    help: "Replicas that the pool may hold of the GPUs that it shares with others; absent where it shares none.",
    labels: &["pool"],
};
pub(super) const ARRIVAL_RATE: MetricDefinition = MetricDefinition {
    name: "preheat_arrival_rate",
    kind: MetricKind::Gauge,
    help: "Requests arriving per second, held and rejected ones included.",
    labels: &["pool"],
};
pub(super) const OFFERED_LOAD: MetricDefinition = MetricDefinition {
    name: "preheat_offered_load",
    kind: MetricKind::Gauge,
    help: "Arrival rate times service time: slots that the traffic occupies, in erlangs.",
    labels: &["pool"],
};
pub(super) const UTILIZATION: MetricDefinition = MetricDefinition {
    name: "preheat_utilization_ratio",
    kind: MetricKind::Gauge,
    help: "Requests in flight over slots of ready replicas, 0 to 1.",
    labels: &["pool"],
};
pub(super) const IN_FLIGHT: MetricDefinition = MetricDefinition {
    name: "preheat_requests_in_flight",
    kind: MetricKind::Gauge,
    help: "Requests in a batch slot, over ready replicas.",
    labels: &["pool"],
};
pub(super) const QUEUE_DEPTH: MetricDefinition = MetricDefinition {
    name: "preheat_queue_depth",
    kind: MetricKind::Gauge,
    help: "Requests waiting for a batch slot, over ready replicas.",
    labels: &["pool"],
};
pub(super) const SIGNAL_AGE: MetricDefinition = MetricDefinition {
    name: "preheat_signal_age_seconds",
    kind: MetricKind::Gauge,
    help: "Age of the oldest value of a signal that the last decision used.",
    labels: &["pool", "signal"],
};
pub(super) const LEAD_TIME: MetricDefinition = MetricDefinition {
    name: "preheat_lead_time_seconds",
    kind: MetricKind::Gauge,
    help: "How far ahead a start must be decided.",
    labels: &["pool"],
};
pub(super) const COLD_START: MetricDefinition = MetricDefinition {
    name: "preheat_cold_start_seconds",
    kind: MetricKind::Gauge,
    help: "Time from ordering a replica to ready, as learned so far.",
    labels: &["pool", "quantile"],
};
pub(super) const TICKS: MetricDefinition = MetricDefinition {
    name: "preheat_ticks_total",
    kind: MetricKind::Counter,
    help: "Decisions made, held ones included.",
    labels: &["pool"],
};
pub(super) const TICK_AGE: MetricDefinition = MetricDefinition {
    name: "preheat_tick_age_seconds",
    kind: MetricKind::Gauge,
    help: "Time since the last decision; grows when the control loop is stuck.",
    labels: &["pool"],
};
pub(super) const DECISIONS: MetricDefinition = MetricDefinition {
    name: "preheat_decisions_total",
    kind: MetricKind::Counter,
    help: "Decisions by what they did and why.",
    labels: &["pool", "direction", "reason"],
};
pub(super) const STARTS: MetricDefinition = MetricDefinition {
    name: "preheat_starts_total",
    kind: MetricKind::Counter,
    help: "Replicas ordered, by the decision's reason.",
    labels: &["pool", "reason"],
};
pub(super) const STOPS: MetricDefinition = MetricDefinition {
    name: "preheat_stops_total",
    kind: MetricKind::Counter,
    help: "Replicas stopped, by what allowed it.",
    labels: &["pool", "reason"],
};
pub(super) const WAKES: MetricDefinition = MetricDefinition {
    name: "preheat_wakes_total",
    kind: MetricKind::Counter,
    help: "Replicas woken from standby.",
    labels: &["pool"],
};
pub(super) const RESUMES: MetricDefinition = MetricDefinition {
    name: "preheat_resumes_total",
    kind: MetricKind::Counter,
    help: "Draining replicas given their traffic back.",
    labels: &["pool"],
};
pub(super) const DRAINS: MetricDefinition = MetricDefinition {
    name: "preheat_drains_total",
    kind: MetricKind::Counter,
    help: "Replicas drained.",
    labels: &["pool"],
};
pub(super) const SLEEPS: MetricDefinition = MetricDefinition {
    name: "preheat_sleeps_total",
    kind: MetricKind::Counter,
    help: "Replicas put to standby.",
    labels: &["pool"],
};
pub(super) const DIRECTION_CHANGES: MetricDefinition = MetricDefinition {
    name: "preheat_direction_changes_total",
    kind: MetricKind::Counter,
    help: "Times that growing followed shrinking, or the reverse.",
    labels: &["pool"],
};
pub(super) const GPU_SECONDS: MetricDefinition = MetricDefinition {
    name: "preheat_gpu_seconds_total",
    kind: MetricKind::Counter,
    help: "Accelerators times seconds held, from the moment a start is ordered.",
    labels: &["pool", "phase"],
};
pub(super) const VIOLATIONS: MetricDefinition = MetricDefinition {
    name: "preheat_invariant_violations_total",
    kind: MetricKind::Counter,
    help: "Decisions dropped because they broke an invariant; the pool was held.",
    labels: &["pool"],
};
pub(super) const JOURNAL_FAILING: MetricDefinition = MetricDefinition {
    name: "preheat_journal_failing",
    kind: MetricKind::Gauge,
    help: "1 while decisions can't be recorded, else 0.",
    labels: &[],
};
pub(super) const JOURNAL_WRITTEN: MetricDefinition = MetricDefinition {
    name: "preheat_journal_written_records_total",
    kind: MetricKind::Counter,
    help: "Journal entries stored.",
    labels: &[],
};
pub(super) const JOURNAL_DROPPED: MetricDefinition = MetricDefinition {
    name: "preheat_journal_dropped_records_total",
    kind: MetricKind::Counter,
    help: "Journal entries lost because they could not be stored in time.",
    labels: &[],
};
pub(super) const GATEWAY_ARRIVALS: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_arrivals_total",
    kind: MetricKind::Counter,
    help: "Requests that arrived at the gateway.",
    labels: &["pool"],
};
pub(super) const GATEWAY_REQUESTS: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_requests_total",
    kind: MetricKind::Counter,
    help: "Requests that the gateway is done with, by outcome.",
    labels: &["pool", "outcome"],
};
pub(super) const GATEWAY_HELD: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_held_requests",
    kind: MetricKind::Gauge,
    help: "Requests held because no replica could take them.",
    labels: &["pool"],
};
pub(super) const GATEWAY_HELD_OLDEST: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_held_oldest_seconds",
    kind: MetricKind::Gauge,
    help: "Age of the oldest held request.",
    labels: &["pool"],
};
pub(super) const GATEWAY_TTFT: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_ttft_seconds",
    kind: MetricKind::Summary,
    help: "Arrival to first token as clients saw it; quantiles over the last tick with any.",
    labels: &["pool", "quantile"],
};
pub(super) const GATEWAY_ITL: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_itl_seconds",
    kind: MetricKind::Summary,
    help: "Gaps between streamed events as clients saw them; quantiles over the last tick with any.",
    labels: &["pool", "quantile"],
};
pub(super) const GATEWAY_RETRIES: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_retries_total",
    kind: MetricKind::Counter,
    help: "Attempts repeated, by why: the replica could not be reached (connect), broke off before it began to answer (closed), or would not take it (refused).",
    labels: &["reason"],
};
pub(super) const GATEWAY_CANCELLED: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_cancelled_requests_total",
    kind: MetricKind::Counter,
    help: "Requests whose client left before their end; neither completed nor failed.",
    labels: &[],
};
pub(super) const GATEWAY_UNROUTABLE: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_unroutable_requests_total",
    kind: MetricKind::Counter,
    help: "Requests turned away before a pool was known: malformed, too large, too slow, or for an unknown model.",
    labels: &[],
};
pub(super) const GATEWAY_CONNECTIONS: MetricDefinition = MetricDefinition {
    name: "preheat_gateway_connections_total",
    kind: MetricKind::Counter,
    help: "Client connections accepted by the gateway.",
    labels: &[],
};
