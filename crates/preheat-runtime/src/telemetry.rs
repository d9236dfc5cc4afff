//! preheat's own metrics: the [`Status`] of a process as Prometheus text.
//!
//! [`METRICS`] is the one table of what is exported; the reference page is made from it. Durations
//! are model time. What is not known has no sample.
//!
//! **Invariant:** nothing here counts. Two renderings of one status are equal.

mod definitions;

use std::fmt::Write as _;

use preheat_api::status::{
    GatewayStatus, GatewayTotals, JournalHealth, LatencyStatus, PoolStatus, PoolTotals, Status,
};

use definitions as metric;
pub use definitions::{METRICS, MetricDefinition, MetricKind};

/// Media type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Phases of replicas that exist; each has a sample, so that a phase nobody is in reads 0.
const PHASES: [&str; 9] = [
    "pending",
    "provisioning",
    "pulling",
    "loading",
    "warming",
    "ready",
    "draining",
    "standby",
    "waking",
];

/// The metrics of `status` in Prometheus' text format 0.0.4.
pub fn render(status: &Status) -> String {
    let mut page = Page::default();
    page.one(&metric::BUILD_INFO, &[("version", &status.version)], 1.0);
    page.one(&metric::UPTIME, &[], status.uptime_s);
    if let Some(journal) = &status.journal {
        journal_metrics(&mut page, journal);
    }
    if let Some(gateway) = &status.gateway {
        gateway_totals_metrics(&mut page, gateway);
    }
    for pool in &status.pools {
        pool_metrics(&mut page, pool);
        if let Some(last) = pool.last_tick_at {
            let age = status.clock.now.since(last).as_secs_f64();
            page.one(&metric::TICK_AGE, &[("pool", &pool.pool)], age);
        }
        totals_metrics(&mut page, &pool.pool, &pool.totals);
        if let Some(gateway) = &pool.gateway {
            gateway_metrics(&mut page, &pool.pool, gateway);
        }
    }
    page.finish()
}

fn journal_metrics(page: &mut Page, journal: &JournalHealth) {
    let failing = if journal.failure.is_some() { 1.0 } else { 0.0 };
    page.one(&metric::JOURNAL_FAILING, &[], failing);
    page.one(&metric::JOURNAL_WRITTEN, &[], journal.written_records as f64);
    page.one(&metric::JOURNAL_DROPPED, &[], journal.dropped_records as f64);
}

fn pool_metrics(page: &mut Page, pool: &PoolStatus) {
    let labels = [("pool", pool.pool.as_str())];
    for phase in PHASES {
        let count = pool.replicas.iter().filter(|replica| replica.phase == phase).count();
        page.one(&metric::REPLICAS, &[labels[0], ("phase", phase)], count as f64);
    }
    page.one(&metric::DESIRED_REPLICAS, &labels, f64::from(pool.desired));
    let allowed = pool.quota.as_ref().map(|quota| f64::from(quota.replicas_allowed));
    page.known(&metric::ALLOWED_REPLICAS, &labels, allowed);
    if let Some(decision) = &pool.decision {
        page.one(&metric::TARGET_REPLICAS, &labels, f64::from(decision.target));
        page.one(&metric::ARRIVAL_RATE, &labels, decision.arrival_rate);
        page.one(&metric::OFFERED_LOAD, &labels, decision.offered_load);
        page.one(&metric::LEAD_TIME, &labels, decision.lead_time_s);
        for (quantile, seconds) in
            [("0.5", decision.cold_start_p50_s), ("0.9", decision.cold_start_p90_s)]
        {
            page.one(&metric::COLD_START, &[labels[0], ("quantile", quantile)], seconds);
        }
        page.known(&metric::UTILIZATION, &labels, decision.utilization);
    }
    page.known(&metric::IN_FLIGHT, &labels, pool.in_flight.map(f64::from));
    page.known(&metric::QUEUE_DEPTH, &labels, pool.queue_depth.map(f64::from));
    for (signal, age) in &pool.signal_age_s {
        page.one(&metric::SIGNAL_AGE, &[labels[0], ("signal", signal)], *age);
    }
}

fn totals_metrics(page: &mut Page, pool: &str, totals: &PoolTotals) {
    let labels = [("pool", pool)];
    page.one(&metric::TICKS, &labels, totals.ticks as f64);
    for decision in &totals.decisions {
        let labels = [
            labels[0],
            ("direction", decision.direction.name()),
            ("reason", decision.reason.name()),
        ];
        page.one(&metric::DECISIONS, &labels, decision.count as f64);
    }
    for (reason, count) in &totals.starts_by_reason {
        page.one(&metric::STARTS, &[labels[0], ("reason", reason)], *count as f64);
    }
    for (reason, count) in &totals.stops_by_reason {
        page.one(&metric::STOPS, &[labels[0], ("reason", reason)], *count as f64);
    }
    page.one(&metric::WAKES, &labels, totals.wakes as f64);
    page.one(&metric::RESUMES, &labels, totals.resumes as f64);
    page.one(&metric::DRAINS, &labels, totals.drains as f64);
    page.one(&metric::SLEEPS, &labels, totals.sleeps as f64);
    page.one(&metric::DIRECTION_CHANGES, &labels, totals.direction_changes as f64);
    for (phase, seconds) in &totals.gpu_seconds_by_phase {
        page.one(&metric::GPU_SECONDS, &[labels[0], ("phase", phase)], *seconds);
    }
    let violations: u64 = totals.violations.values().sum();
    page.one(&metric::VIOLATIONS, &labels, violations as f64);
}

fn gateway_metrics(page: &mut Page, pool: &str, gateway: &GatewayStatus) {
    let labels = [("pool", pool)];
    page.one(&metric::GATEWAY_ARRIVALS, &labels, gateway.arrivals as f64);
    for (outcome, count) in [
        ("completed", gateway.completions),
        ("failed", gateway.failures),
        ("rejected", gateway.rejections),
    ] {
        page.one(&metric::GATEWAY_REQUESTS, &[labels[0], ("outcome", outcome)], count as f64);
    }
    page.one(&metric::GATEWAY_HELD, &labels, f64::from(gateway.held));
    page.known(&metric::GATEWAY_HELD_OLDEST, &labels, gateway.held_oldest_s);
    page.summary(&metric::GATEWAY_TTFT, pool, &gateway.ttft);
    page.summary(&metric::GATEWAY_ITL, pool, &gateway.itl);
}

fn gateway_totals_metrics(page: &mut Page, totals: &GatewayTotals) {
    for (reason, count) in [
        ("connect", totals.retries_connect),
        ("closed", totals.retries_closed),
        ("refused", totals.retries_refused),
    ] {
        page.one(&metric::GATEWAY_RETRIES, &[("reason", reason)], count as f64);
    }
    page.one(&metric::GATEWAY_CANCELLED, &[], totals.cancelled as f64);
    page.one(&metric::GATEWAY_UNROUTABLE, &[], totals.unroutable as f64);
    page.one(&metric::GATEWAY_CONNECTIONS, &[], totals.connections as f64);
}

/// Samples by metric, in the table's order: a metric's samples must stand together.
#[derive(Default)]
struct Page {
    /// One text per entry of [`METRICS`].
    samples: Vec<String>,
}

impl Page {
    fn one(&mut self, definition: &MetricDefinition, labels: &[(&str, &str)], value: f64) {
        self.sample(definition, "", labels, value);
    }

    fn known(&mut self, metric: &MetricDefinition, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.one(metric, labels, value);
        }
    }

    fn summary(&mut self, metric: &MetricDefinition, pool: &str, latency: &LatencyStatus) {
        let pool = ("pool", pool);
        for (quantile, seconds) in
            [("0.5", latency.p50_s), ("0.9", latency.p90_s), ("0.99", latency.p99_s)]
        {
            self.known(metric, &[pool, ("quantile", quantile)], seconds);
        }
        self.sample(metric, "_sum", &[pool], latency.sum_s);
        self.sample(metric, "_count", &[pool], latency.count as f64);
    }

    fn sample(
        &mut self,
        definition: &MetricDefinition,
        suffix: &str,
        labels: &[(&str, &str)],
        value: f64,
    ) {
        self.samples.resize(METRICS.len(), String::new());
        let place = METRICS.iter().position(|metric| metric.name == definition.name);
        let Some(text) = place.and_then(|place| self.samples.get_mut(place)) else { return };
        text.push_str(definition.name);
        text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(name);
            text.push_str("=\"");
            escape(text, value);
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        text.push(' ');
        write_number(text, value);
        text.push('\n');
    }

    fn finish(self) -> String {
        let mut page = String::new();
        for (metric, samples) in METRICS.iter().zip(self.samples) {
            if samples.is_empty() {
                continue;
            }
            let MetricDefinition { name, kind, help, .. } = metric;
            // Writing to a string can't fail.
            let _written = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
            page.push_str(&samples);
        }
        page
    }
}

fn write_number(text: &mut String, value: f64) {
    if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else {
        // Writing to a string can't fail.
        let _written = write!(text, "{value}");
    }
}

fn escape(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
