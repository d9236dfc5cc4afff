//! What preheat says about itself: what `/metrics` and the HTTP API are made of.
//!
//! Field names are the glossary's; durations are seconds of model time; ratios are 0–1. A number that is
//! not known is absent, never 0.
//!
//! **Invariant:** data only. Nothing here measures or decides.

use std::collections::BTreeMap;

use preheat_core::{Instant, Reason, ReplicaId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::journal::ViolationRecord;
use crate::schedule::Upcoming;

/// One process, everything it scales.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Version of preheat.
    pub version: String,
    /// Since it started.
    pub uptime_s: f64,
    /// Model time, and how fast it runs.
    pub clock: ClockStatus,
    /// Whether decisions are being recorded; absent when no journal is kept.
    pub journal: Option<JournalHealth>,
    /// What the gateway counted over all pools; absent without a gateway.
    pub gateway: Option<GatewayTotals>,
    /// By name.
    pub pools: Vec<PoolStatus>,
}

/// Model time, and how fast it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClockStatus {
    /// Seconds of model time per second of wall time.
    pub scale: f64,
    /// Model time when this was written.
    pub now: Instant,
}

impl Default for ClockStatus {
    fn default() -> Self {
        Self { scale: 1.0, now: Instant::ORIGIN }
    }
}

/// Whether decisions are being recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalHealth {
    /// The file.
    pub path: String,
    /// What keeps it from being written, if anything does.
    pub failure: Option<JournalFailure>,
    /// Entries stored by this process.
    pub written_records: u64,
    /// Entries lost by this process because they could not be stored in time.
    pub dropped_records: u64,
}

/// What keeps the journal from being written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JournalFailure {
    /// What went wrong.
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Time of the first entry that could not be stored; absent when it failed before any came.
    #[schemars(with = "Option<u64>")]
    pub since: Option<Instant>,
}

/// What the gateway counted over all pools since this process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayTotals {
    /// Client connections accepted.
    pub connections: u64,
    /// Requests turned away before a pool was known: malformed, too large, too slow, unknown model.
    pub unroutable: u64,
    /// Requests whose client left before their end; neither completed nor failed.
    pub cancelled: u64,
    /// Attempts repeated because a replica could not be reached.
    pub retries_connect: u64,
    /// Attempts repeated because an engine broke off before it began to answer.
    pub retries_closed: u64,
    /// Attempts repeated because an engine refused.
    pub retries_refused: u64,
}

/// One pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolStatus {
    /// Its name.
    pub pool: String,
    /// What clients may ask for by name.
    pub model_names: Vec<String>,
    /// Replicas that should be ready or on their way, after every limit.
    pub desired: u32,
    /// Lower and upper bound of that.
    pub replicas_min: u32,
    /// See `replicas_min`.
    pub replicas_max: u32,
    /// GPUs of one replica; absent where a journal does not tell.
    pub gpus_per_replica: Option<u32>,
    /// What other pools leave to it of the GPUs that they share; absent where it shares none.
    pub quota: Option<QuotaStatus>,
    /// May serve.
    pub ready: u32,
    /// On their way to ready, wakes included.
    pub starting: u32,
    /// Kept for a short wake.
    pub standby: u32,
    /// Finishing their last requests.
    pub draining: u32,
    /// Why the last plan was as it was; absent when it broke an invariant, or before the first.
    pub reason: Option<Reason>,
    /// The last plan and its reason in words; absent when `reason` is.
    pub headline: Option<String>,
    /// What the pool is held to.
    pub slo: Option<SloStatus>,
    /// Seconds until each start under way should be ready, as of the last tick, soonest first.
    pub starts_ready_in_s: Vec<f64>,
    /// How long each phase of a start takes, in the order in which they are passed through.
    pub cold_start_phases: Vec<PhaseStatus>,
    /// Starts that were measured and are remembered, the newest of them, oldest first.
    pub cold_starts: Vec<MeasuredStart>,
    /// The invariant that the last plan broke, if it did: the pool is held as it is.
    pub violation: Option<ViolationRecord>,
    /// When the last decision was made.
    pub last_tick_at: Option<Instant>,
    /// The numbers behind it.
    pub decision: Option<DecisionNumbers>,
    /// Requests in a batch slot, over the ready replicas that could be asked.
    pub in_flight: Option<u32>,
    /// Requests waiting in engines, over the ready replicas that could be asked.
    pub queue_depth: Option<u32>,
    /// Age of the oldest value of each signal, over ready replicas, in seconds.
    pub signal_age_s: BTreeMap<String, f64>,
    /// What the gateway sees; absent without a gateway.
    pub gateway: Option<GatewayStatus>,
    /// What is scheduled, has not ended, and begins within a day; by its begin.
    pub scheduled: Vec<ScheduledStatus>,
    /// Since this process started.
    pub totals: PoolTotals,
    /// By id.
    pub replicas: Vec<ReplicaStatus>,
}

/// Demand that was announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledStatus {
    /// The schedule's name.
    pub name: String,
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// At least how many replicas.
    pub replicas: u32,
}

impl From<Upcoming<'_>> for ScheduledStatus {
    fn from(Upcoming { name, demand }: Upcoming<'_>) -> Self {
        let (from, until, replicas) = (demand.from, demand.until, demand.replicas.0);
        Self { name: name.to_owned(), from, until, replicas }
    }
}

/// What a pool may hold of GPUs that it shares with others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaStatus {
    /// At most so many replicas, those that drain left out.
    pub replicas_allowed: u32,
    /// Pools that come before this one and have more than their minimum, while this one lacks
    /// something.
    pub taken_by: Vec<String>,
    /// Until what it lacks is taken from pools that come after it, if it is needed for so long.
    pub settles_in_s: Option<f64>,
}

/// What a pool is held to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SloStatus {
    /// What is measured: `ttft`.
    pub metric: String,
    /// Share of requests that must be within the threshold.
    pub quantile: f64,
    /// The bound.
    pub threshold_s: f64,
}

/// How long one phase of a start takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseStatus {
    /// Which.
    pub phase: String,
    /// Starts that were seen to pass it.
    pub seen: u32,
    /// Starts that were given up in it, or are in it.
    pub unfinished: u32,
    /// Median of those that do not skip it.
    pub p50_s: f64,
    /// 90th percentile of the same.
    pub p90_s: f64,
}

/// One start that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredStart {
    /// From its order, or the crash before it, until it was ready or given up.
    pub took_s: f64,
    /// Time in each phase: 0 in one that it skipped; one of which nobody knows, or that it did not
    /// reach, is left out.
    pub phases_s: BTreeMap<String, f64>,
    /// The phase in which it was given up, and so would have been for longer; absent when it became
    /// ready.
    pub given_up_in: Option<String>,
}

/// The numbers behind the last decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionNumbers {
    /// Replicas before limits.
    pub target: u32,
    /// The largest target that the stabilization window remembers.
    pub target_stabilized: u32,
    /// Requests per second.
    pub arrival_rate: f64,
    /// Erlangs.
    pub offered_load: f64,
    /// Slots that the rule which is followed holds.
    pub slots_held: f64,
    /// Share of requests that this rule would have kept inside the SLO on the pool's own traffic.
    pub attainment_expected: f64,
    /// Time in a batch slot.
    pub service_time_s: f64,
    /// Slots per replica.
    pub concurrency_cap: u32,
    /// In flight ÷ slots, where known.
    pub utilization: Option<f64>,
    /// Requests queued in engines or held at the gateway.
    pub backlog: u32,
    /// Cold starts that were seen to end.
    pub cold_starts_seen: u32,
    /// Median cold start.
    pub cold_start_p50_s: f64,
    /// 90th percentile of it.
    pub cold_start_p90_s: f64,
    /// How far ahead a start must be decided.
    pub lead_time_s: f64,
}

/// What the gateway sees of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GatewayStatus {
    /// Requests held now.
    pub held: u32,
    /// Age of the oldest of them.
    pub held_oldest_s: Option<f64>,
    /// Requests that arrived since this process started.
    pub arrivals: u64,
    /// Requests answered completely.
    pub completions: u64,
    /// Requests that failed after an engine had begun.
    pub failures: u64,
    /// Requests turned away.
    pub rejections: u64,
    /// Arrival → first token.
    pub ttft: LatencyStatus,
    /// Gaps between successive streamed events.
    pub itl: LatencyStatus,
}

/// A latency: totals since this process started, and quantiles of the last tick that had any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyStatus {
    /// Measurements.
    pub count: u64,
    /// Their sum.
    pub sum_s: f64,
    /// Median.
    pub p50_s: Option<f64>,
    /// 90th percentile.
    pub p90_s: Option<f64>,
    /// 99th percentile.
    pub p99_s: Option<f64>,
}

/// Totals of one pool since this process started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolTotals {
    /// Ticks, held ones included.
    pub ticks: u64,
    /// Accelerators × seconds, standby counted in full.
    pub gpu_seconds: f64,
    /// The same by phase.
    pub gpu_seconds_by_phase: BTreeMap<String, f64>,
    /// Most replicas that existed at one tick.
    pub replicas_peak: u32,
    /// Replicas ordered.
    pub starts: u64,
    /// Replicas ordered, by the plan's reason.
    pub starts_by_reason: BTreeMap<String, u64>,
    /// Replicas woken from standby.
    pub wakes: u64,
    /// Draining replicas given their traffic back.
    pub resumes: u64,
    /// Replicas drained.
    pub drains: u64,
    /// Replicas put to standby.
    pub sleeps: u64,
    /// Replicas stopped.
    pub stops: u64,
    /// Replicas stopped, by what allowed it.
    pub stops_by_reason: BTreeMap<String, u64>,
    /// Decisions by direction and reason.
    pub decisions: Vec<DecisionCount>,
    /// Times that growing followed shrinking, or the reverse.
    pub direction_changes: u64,
    /// Plans dropped because they broke an invariant, by its id.
    pub violations: BTreeMap<String, u64>,
}

/// How often one kind of decision was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DecisionCount {
    /// What it did to the number of replicas.
    pub direction: Direction,
    /// Why.
    #[schemars(with = "String")]
    pub reason: Reason,
    /// How often.
    pub count: u64,
}

/// What a plan does to the number of replicas that serve or will.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More.
    Up,
    /// Fewer.
    Down,
    /// As many.
    Hold,
}

impl Direction {
    /// Name as in metrics and JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Hold => "hold",
        }
    }
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReplicaStatus {
    /// Which one.
    #[schemars(with = "u64")]
    pub id: ReplicaId,
    /// Its phase.
    pub phase: String,
    /// Time in that phase.
    pub phase_age_s: f64,
    /// Requests in a batch slot.
    pub in_flight: Option<u32>,
    /// Requests waiting for one.
    pub queue_depth: Option<u32>,
    /// Requests that the gateway gave to it and that have not ended.
    pub outstanding: Option<u32>,
    /// Share of KV blocks in use.
    pub kv_utilization: Option<f64>,
    /// What it counts for while it is ready, a whole one as 1: less for one that is slower than its pool.
    pub capacity: Option<f64>,
    /// The machine that it is on; a world that has several fills it in.
    pub node: Option<String>,
    /// Where it listens; a world that knows fills it in.
    pub address: Option<String>,
    /// Its process; a world that has processes fills it in.
    pub pid: Option<u32>,
    /// How often it was restarted after a crash.
    pub restarts: u32,
    /// What went wrong last; a world that knows fills it in.
    pub last_error: Option<String>,
}
