//! Bodies of the HTTP API, version 1: what the dashboard is drawn from, and what `docs/reference/openapi.json`
//! is made of.
//!
//! Moments are seconds of model time since the world's origin, durations seconds of model time,
//! ratios 0–1. A number that is not known is `null`, never 0. Fields may be added within a version;
//! a reader ignores those that it does not know.
//!
//! **Invariant:** data only. Nothing here measures, decides or reads a journal.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::journal::ViolationRecord;
use crate::reconfiguration::Reconfiguration;
use crate::status::{
    DecisionNumbers, Direction, GatewayStatus, GatewayTotals, JournalHealth, MeasuredStart,
    PhaseStatus, PoolStatus, PoolTotals, QuotaStatus, ReplicaStatus, ScheduledStatus, SloStatus,
    Status,
};

/// Every pool, without its replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// Version of preheat.
    pub version: String,
    /// Whether this is a running preheat; `false` when it is a journal after the fact.
    pub live: bool,
    /// Model time.
    pub clock: ModelClock,
    /// Since this process started; absent for a journal.
    pub uptime_s: Option<f64>,
    /// Whether decisions are being recorded; absent when no journal is kept, and for a journal.
    pub journal: Option<JournalHealth>,
    /// What the gateway counted over all pools; absent without a gateway.
    pub gateway: Option<GatewayTotals>,
    /// By name.
    pub pools: Vec<PoolSummary>,
}

/// Model time, and how fast it runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelClock {
    /// Now.
    pub now_s: f64,
    /// Seconds of model time per second of wall time.
    pub scale: f64,
}

/// One pool in a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolSummary {
    /// Its name.
    pub pool: String,
    /// What clients may ask for by name.
    pub model_names: Vec<String>,
    /// Replicas that should be ready or on their way, after every limit.
    pub desired: u32,
    /// Lower bound of that.
    pub replicas_min: u32,
    /// Upper bound of that.
    pub replicas_max: u32,
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
    /// Seconds from `last_tick_s` until the next start should be ready; absent when none is under way.
    pub next_ready_in_s: Option<f64>,
    /// What it is held to; absent where a journal does not tell.
    pub slo: Option<SloStatus>,
    /// Arrival → first token, of the last tick that had any.
    pub ttft: LatencyQuantiles,
    /// Gaps between successive streamed events, of the last tick that had any.
    pub itl: LatencyQuantiles,
    /// Requests in a batch slot.
    pub in_flight: Option<u32>,
    /// Requests waiting in engines.
    pub queue_depth: Option<u32>,
    /// Requests held at the gateway; absent without one.
    pub held: Option<u32>,
    /// Why the last plan was as it was, as in journals; absent before the first tick.
    pub reason: Option<String>,
    /// The same in words, with what was done.
    pub headline: Option<String>,
    /// The invariant that the last plan broke, if it did: the pool is held as it is.
    pub violation: Option<ViolationRecord>,
    /// When the last decision was made.
    pub last_tick_s: Option<f64>,
    /// The numbers behind it.
    pub decision: Option<DecisionNumbers>,
    /// Age of the oldest signal that was believed or missed.
    pub signal_age_max_s: Option<f64>,
    /// Accelerators × seconds since this process started; absent for a journal.
    pub gpu_seconds: Option<f64>,
    /// What its last day cost beside the optimum; absent until it was worked out, which begins when
    /// somebody looks, and where no journal is kept.
    pub spent: Option<Spent>,
    /// Restarts after crashes, over the replicas that exist.
    pub restarts: u32,
}

/// What the last 24 hours of a pool cost, or as much of them as its journal has, beside what an
/// autoscaler that knew the future would have spent on the same requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spent {
    /// Which time; absent where it could not be read.
    pub over: Option<Span>,
    /// GPU-hours; absent where nobody told of replicas.
    pub gpu_hours: Option<f64>,
    /// Share of first tokens within the SLO; absent where nobody told.
    pub attainment: Option<f64>,
    /// GPU-hours that no plan of the slot model undercuts at the attainment that the SLO asks for.
    pub optimum_gpu_hours: Option<f64>,
    /// Why that is absent, in words.
    pub optimum_missing: Option<String>,
}

/// Quantiles of a latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencyQuantiles {
    /// Median.
    pub p50_s: Option<f64>,
    /// 90th percentile.
    pub p90_s: Option<f64>,
    /// 99th percentile.
    pub p99_s: Option<f64>,
}

/// One pool with its replicas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Whether this is a running preheat.
    pub live: bool,
    /// Model time.
    pub clock: ModelClock,
    /// The pool in a line.
    pub summary: PoolSummary,
    /// By id.
    pub replicas: Vec<ReplicaStatus>,
    /// Seconds from `summary.last_tick_s` until each start should be ready, soonest first.
    pub starts_ready_in_s: Vec<f64>,
    /// How long each phase of a start takes, in the order in which they are passed through.
    pub cold_start_phases: Vec<PhaseStatus>,
    /// Starts that were measured and are remembered, at most 64 of the newest, oldest first. Of a
    /// journal, those that were remembered at its last checkpoint.
    pub cold_starts: Vec<MeasuredStart>,
    /// What is announced, has not ended, and begins within a day; by its begin.
    pub scheduled: Vec<Scheduled>,
    /// What operators have ordered; absent where no orders are taken.
    pub controls: Option<Controls>,
    /// What the gateway saw of it since this process started; absent without one, and for a journal.
    pub gateway: Option<GatewayStatus>,
    /// What it came to since this process started; absent for a journal.
    pub totals: Option<PoolTotals>,
    /// Age of the oldest value of each signal, over ready replicas.
    pub signal_age_s: BTreeMap<String, f64>,
    /// First and last moment that the journal has of this pool; absent without a journal.
    pub recorded: Option<Span>,
}

/// What operators have ordered of a pool for a while, whatever the policy would do. It is read and
/// written whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Controls {
    /// Nothing is started, woken or given up; what drains goes on to its end.
    #[serde(default)]
    pub paused: bool,
    /// A count that stands whatever is needed.
    #[serde(default)]
    pub pinned: Option<Pinned>,
    /// Demand that is known to come.
    #[serde(default)]
    pub announced: Vec<Announced>,
}

/// So many replicas are to be ready, whatever is needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// How many, within the pool's bounds.
    pub replicas: u32,
    /// Until when, at most seven days ahead.
    pub until_s: f64,
}

/// At least so many replicas should be ready for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Announced {
    /// How many, within the pool's bounds.
    pub replicas: u32,
    /// From when.
    pub from_s: f64,
    /// Until when, at most seven days ahead.
    pub until_s: f64,
}

/// Demand that was announced: at least so many replicas should be ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Scheduled {
    /// The schedule's name.
    pub name: String,
    /// From when.
    pub from_s: f64,
    /// Until when.
    pub until_s: f64,
    /// At least how many.
    pub replicas: u32,
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// The first.
    pub from_s: f64,
    /// The last.
    pub until_s: f64,
}

/// What happened to a pool, in steps of equal width.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct History {
    /// Which pool.
    pub pool: String,
    /// Start of the first step.
    pub from_s: f64,
    /// End of the last.
    pub until_s: f64,
    /// Width of each.
    pub width_s: f64,
    /// From here on everything is in it. When this is later than `from_s`, more was to be read than
    /// one request may: ask again, and it reaches further back.
    pub complete_from_s: f64,
    /// One value per step, in columns of equal length.
    pub series: Series,
    /// When the pool was told to do otherwise, as its decisions were recorded; by time. Of many the
    /// newest.
    pub reconfigurations: Vec<Reconfiguration>,
    /// How many there were before these.
    pub reconfigurations_left_out: u32,
}

/// Columns of a history. A step without a tick has `null` everywhere but in counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Series {
    /// Start of the step.
    pub at_s: Vec<f64>,
    /// Ticks in it.
    pub ticks: Vec<u32>,
    /// Requests per second, mean.
    pub arrival_rate: Vec<Option<f64>>,
    /// Erlangs, mean.
    pub offered_load: Vec<Option<f64>>,
    /// Erlangs, the largest.
    pub offered_load_max: Vec<Option<f64>>,
    /// Slots that the rule which is followed holds, mean.
    pub slots_held: Vec<Option<f64>>,
    /// Slots of ready replicas, mean.
    pub slots_ready: Vec<Option<f64>>,
    /// Replicas before limits, mean.
    pub target: Vec<Option<f64>>,
    /// Replicas after limits, mean.
    pub desired: Vec<Option<f64>>,
    /// Replicas by phase, mean: times the width, the time spent in it.
    pub replicas: BTreeMap<String, Vec<Option<f64>>>,
    /// Requests in a batch slot, mean.
    pub in_flight: Vec<Option<f64>>,
    /// Requests waiting in engines, the most.
    pub queue_depth: Vec<Option<f64>>,
    /// Requests held at the gateway, the most.
    pub held: Vec<Option<f64>>,
    /// Share of KV blocks in use over ready replicas, mean.
    pub kv_utilization: Vec<Option<f64>>,
    /// In flight ÷ slots, mean.
    pub utilization: Vec<Option<f64>>,
    /// Median TTFT, mean over ticks by their requests.
    pub ttft_p50_s: Vec<Option<f64>>,
    /// 90th percentile of TTFT, the largest of any tick.
    pub ttft_p90_s: Vec<Option<f64>>,
    /// 99th percentile of TTFT, the largest of any tick.
    pub ttft_p99_s: Vec<Option<f64>>,
    /// ITL as the engines count it, mean over ready replicas.
    pub itl_mean_s: Vec<Option<f64>>,
    /// Median ITL as clients see it, mean over ticks by their gaps.
    pub itl_p50_s: Vec<Option<f64>>,
    /// 99th percentile of ITL, the largest of any tick.
    pub itl_p99_s: Vec<Option<f64>>,
    /// Requests that failed after an engine had begun.
    pub failures: Vec<u32>,
    /// Requests turned away.
    pub rejections: Vec<u32>,
    /// Replicas started, woken or given their traffic back.
    pub started: Vec<u32>,
    /// Replicas drained, or given up while they were starting or in standby.
    pub given_up: Vec<u32>,
    /// Decisions dropped because they broke an invariant.
    pub violations: Vec<u32>,
}

/// Decisions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DecisionLog {
    /// Which pool.
    pub pool: String,
    /// Newest first.
    pub decisions: Vec<DecisionSummary>,
    /// Pass this as `before` for those that came earlier; absent when there are none.
    pub next_before: Option<u64>,
}

/// One decision in a line.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DecisionSummary {
    /// Its number in the journal.
    pub seq: u64,
    /// Its tick.
    pub tick: u64,
    /// When.
    pub at_s: f64,
    /// What it did to the number of replicas.
    pub direction: Direction,
    /// Replicas that should be ready or on their way, after it.
    pub desired: u32,
    /// Ready when it was made.
    pub ready: u32,
    /// Starting when it was made.
    pub starting: u32,
    /// Why; absent when the decision broke an invariant.
    pub reason: Option<String>,
    /// What was done and why, in words.
    pub headline: String,
}

/// One decision with everything that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Decision {
    /// In a line.
    pub summary: DecisionSummary,
    /// The way there in words, one sentence each, as `preheat why` tells it.
    pub details: Vec<String>,
    /// The invariant that it broke, if it did.
    pub violation: Option<ViolationRecord>,
    /// What was to be done, as in the journal.
    pub plan: serde_json::Value,
    /// Every number on the way there, as in the journal; `null` when it broke an invariant.
    pub explanation: serde_json::Value,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Error {
    /// What happened.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Fleet {
    /// What a status says of all pools.
    pub fn of(status: &Status, live: bool) -> Self {
        Self {
            version: status.version.clone(),
            live,
            clock: ModelClock::of(status),
            uptime_s: live.then_some(status.uptime_s),
            journal: status.journal.clone(),
            gateway: status.gateway,
            pools: status.pools.iter().map(|pool| PoolSummary::of(pool, live)).collect(),
        }
    }
}

impl ModelClock {
    fn of(status: &Status) -> Self {
        Self { now_s: status.clock.now.as_secs_f64(), scale: status.clock.scale }
    }
}

impl PoolSummary {
    fn of(pool: &PoolStatus, live: bool) -> Self {
        let gateway = pool.gateway.unwrap_or_default();
        let quantiles = |latency: crate::status::LatencyStatus| LatencyQuantiles {
            p50_s: latency.p50_s,
            p90_s: latency.p90_s,
            p99_s: latency.p99_s,
        };
        Self {
            pool: pool.pool.clone(),
            model_names: pool.model_names.clone(),
            desired: pool.desired,
            replicas_min: pool.replicas_min,
            replicas_max: pool.replicas_max,
            quota: pool.quota.clone(),
            ready: pool.ready,
            starting: pool.starting,
            standby: pool.standby,
            draining: pool.draining,
            next_ready_in_s: pool.starts_ready_in_s.first().copied(),
            slo: pool.slo.clone(),
            ttft: quantiles(gateway.ttft),
            itl: quantiles(gateway.itl),
            in_flight: pool.in_flight,
            queue_depth: pool.queue_depth,
            held: pool.gateway.map(|gateway| gateway.held),
            reason: pool.reason.map(|reason| reason.name().to_owned()),
            headline: pool.headline.clone(),
            violation: pool.violation.clone(),
            last_tick_s: pool.last_tick_at.map(|at| at.as_secs_f64()),
            decision: pool.decision,
            signal_age_max_s: pool.signal_age_s.values().copied().reduce(f64::max),
            gpu_seconds: live.then_some(pool.totals.gpu_seconds),
            spent: None,
            restarts: pool.replicas.iter().map(|replica| replica.restarts).sum(),
        }
    }
}

impl Scheduled {
    fn of(scheduled: &ScheduledStatus) -> Self {
        Self {
            name: scheduled.name.clone(),
            from_s: scheduled.from.as_secs_f64(),
            until_s: scheduled.until.as_secs_f64(),
            replicas: scheduled.replicas,
        }
    }
}

impl Pool {
    /// What a status says of the pool of that name, if there is one.
    pub fn of(status: &Status, pool: &str, live: bool, recorded: Option<Span>) -> Option<Self> {
        let pool = status.pools.iter().find(|candidate| candidate.pool == pool)?;
        Some(Self {
            live,
            clock: ModelClock::of(status),
            summary: PoolSummary::of(pool, live),
            replicas: pool.replicas.clone(),
            starts_ready_in_s: pool.starts_ready_in_s.clone(),
            cold_start_phases: pool.cold_start_phases.clone(),
            cold_starts: pool.cold_starts.clone(),
            scheduled: pool.scheduled.iter().map(Scheduled::of).collect(),
            controls: None,
            gateway: pool.gateway.filter(|_| live),
            totals: live.then(|| pool.totals.clone()),
            signal_age_s: pool.signal_age_s.clone(),
            recorded,
        })
    }
}

/// A scenario to run.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulationRequest {
    /// A scenario file, as `preheat scenario` takes it.
    pub scenario: String,
    /// Who scales, by its name there.
    pub policy: String,
    /// Values for some of that policy's knobs.
    #[serde(default)]
    pub knobs: BTreeMap<String, f64>,
    /// Whether to report minute by minute.
    #[serde(default)]
    pub series: bool,
}

/// A scenario, or a pool's past, that is run, will be, or was.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Simulation {
    /// Where to ask for it.
    pub id: u64,
    /// How far it is.
    pub state: SimulationState,
    /// Share of the work that is done.
    pub progress: f64,
    /// Why it failed.
    pub error: Option<String>,
    /// Of a scenario what `preheat scenario --json` prints of it, of a pool's past a `WhatIfAnswer`;
    /// absent until it is done.
    pub result: Option<serde_json::Value>,
}

/// How far a simulation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SimulationState {
    /// Others are before it.
    Queued,
    /// It runs.
    Running,
    /// There is a result.
    Done,
    /// There is none, and an error instead.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}
