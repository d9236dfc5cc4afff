//! What a world saw at one tick. Every signal is a [`Sample`] with its time, or absent.
//!
//! **Invariant:** absent is not zero. A world that could not read a signal leaves it out; it
//! never fills in a default.

mod demand;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::demand::DemandObservation;
use crate::units::{Concurrency, Instant, ReplicaCount, Utilization};

/// Number of one observe-decide-apply round, counted from 0 for each pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TickId(pub u64);

/// Identity of a replica within its pool; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplicaId(pub u64);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "r{}", self.0)
    }
}

/// A measured value and when it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample<T> {
    /// What was measured.
    pub value: T,
    /// When it was true, in the world's time.
    pub observed_at: Instant,
}

impl<T> Sample<T> {
    /// A value seen at `observed_at`.
    pub const fn new(value: T, observed_at: Instant) -> Self {
        Self { value, observed_at }
    }

    /// How old the value is at `now`.
    pub const fn staleness(&self, now: Instant) -> Duration {
        now.since(self.observed_at)
    }
}

/// A kind of standby, cheapest wake first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rung {
    /// The engine sleeps: weights in host memory, KV cache dropped, process alive.
    Sleeping,
}

/// Where a replica is in its life. The order of the first eight is the order in which they
/// are passed through; any of the first five may be skipped by a world that can't tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaPhase {
    /// Ordered, and nothing has happened yet (no slot, or waiting out a restart back-off).
    Pending,
    /// A machine is being made ready for it.
    Provisioning,
    /// Its image is being pulled.
    Pulling,
    /// Its weights are being loaded.
    Loading,
    /// The engine profiles, compiles, captures graphs, and answers its first token.
    Warming,
    /// It may be given traffic.
    Ready,
    /// No new requests; those in flight finish.
    Draining,
    /// Gone. Worlds report it at most once more, then leave it out.
    Stopped,
    /// Held so that a wake is short; gets no traffic.
    Standby(Rung),
    /// On its way from standby to ready.
    Waking(Rung),
}

impl ReplicaPhase {
    /// On its way to [`ReplicaPhase::Ready`], from nothing or from standby.
    pub const fn is_starting(self) -> bool {
        match self {
            Self::Pending
            | Self::Provisioning
            | Self::Pulling
            | Self::Loading
            | Self::Warming
            | Self::Waking(_) => true,
            Self::Ready | Self::Draining | Self::Stopped | Self::Standby(_) => false,
        }
    }

    /// Name as in metrics, JSON and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Provisioning => "provisioning",
            Self::Pulling => "pulling",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Standby(_) => "standby",
            Self::Waking(_) => "waking",
        }
    }
}

/// Time in each of [`crate::START_PHASES`]: zero where a phase was skipped, `None` where nobody saw
/// whether it was.
pub type PhaseTimes = [Option<Duration>; 5];

/// What the machine of a replica holds of what a start needs; absent where nobody knows.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct MachineState {
    /// The image is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<bool>,
    /// The model's weights are there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<bool>,
}

impl MachineState {
    /// A machine that holds nothing, as a new one does.
    pub const BARE: Self = Self { image: Some(false), weights: Some(false) };

    /// Whether nothing is known of it.
    pub const fn is_unknown(&self) -> bool {
        self.image.is_none() && self.weights.is_none()
    }

    /// How much it is known to hold.
    pub(crate) fn held(self) -> usize {
        [self.image, self.weights].iter().filter(|held| **held == Some(true)).count()
    }
}

/// What an engine counted between two scrapes of it, resets already taken out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Time between the two scrapes.
    pub over: Duration,
    /// Requests that ended well. Clients that hung up are missing from it on vLLM.
    pub completions: u64,
    /// Prompt tokens computed.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub generation_tokens: u64,
    /// Requests thrown out of the batch for want of KV blocks, where the engine tells.
    #[serde(default)]
    pub preemptions: Option<u64>,
}

/// Quantiles of a latency over a short window; absent when nothing was measured in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyWindow {
    /// How many measurements.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
    /// 99th percentile.
    pub p99: Duration,
}

/// Mean of a latency between two scrapes: what a sum and a count can tell. Absent when nothing was
/// measured between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyMean {
    /// Time between the two scrapes.
    pub over: Duration,
    /// How many measurements; at least one.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Duration,
}

/// One replica as seen at this tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplicaObservation {
    /// Which one.
    pub id: ReplicaId,
    /// Its phase.
    pub phase: ReplicaPhase,
    /// When it entered that phase.
    pub phase_since: Instant,
    /// When its start (or wake) was ordered.
    pub start_ordered_at: Instant,
    /// How often it was restarted after a crash since it was ordered.
    pub restarts: u32,
    /// Requests holding a batch slot (`vllm:num_requests_running`).
    pub in_flight: Option<Sample<u32>>,
    /// Requests waiting for a slot (`vllm:num_requests_waiting`).
    pub queue_depth: Option<Sample<u32>>,
    /// Share of KV blocks in use.
    pub kv_utilization: Option<Sample<Utilization>>,
    /// `max-num-seqs`, where the engine or its command tells.
    pub max_num_seqs: Option<Concurrency>,
    /// Tokens that fit its KV cache (`vllm:cache_config_info`).
    pub kv_capacity_tokens: Option<u64>,
    /// What it counted since the scrape before.
    pub counters: Option<Sample<Counters>>,
    /// TTFT as the engine saw it, over the last window.
    pub ttft: Option<Sample<LatencyWindow>>,
    /// Inter-token latency as the engine saw it, since the scrape before.
    pub itl: Option<Sample<LatencyMean>>,
    /// Requests the gateway sent it and that have not ended. A sleeping vLLM shows 0 in flight and
    /// 0 queued while requests hang in it: this is the number that tells.
    pub outstanding: Option<Sample<u32>>,
    /// Time that it was in the phases of its start and has left them, where the world itself keeps
    /// it: a world that writes down when a phase ended knows better than whoever looked afterwards.
    #[serde(default, skip_serializing_if = "is_untold")]
    pub passed: PhaseTimes,
    /// What its machine holds; while it starts, what that held when the replica came there, before the
    /// start itself brought anything.
    #[serde(default, skip_serializing_if = "MachineState::is_unknown")]
    pub machine: MachineState,
}

fn is_untold(passed: &PhaseTimes) -> bool {
    passed.iter().all(Option::is_none)
}

impl ReplicaObservation {
    /// One of which no more is known than where it is in its life, ordered when it entered its phase.
    pub fn untold(id: ReplicaId, phase: ReplicaPhase, phase_since: Instant) -> Self {
        Self {
            id,
            phase,
            phase_since,
            start_ordered_at: phase_since,
            restarts: 0,
            in_flight: None,
            queue_depth: None,
            kv_utilization: None,
            max_num_seqs: None,
            kv_capacity_tokens: None,
            counters: None,
            ttft: None,
            itl: None,
            outstanding: None,
            passed: PhaseTimes::default(),
            machine: MachineState::default(),
        }
    }

    /// Requests inside the replica, by the best fresh source: the larger of the gateway's count and
    /// the engine's own. `None` when neither is fresh.
    pub fn requests_inside(&self, now: Instant, staleness_max: Duration) -> Option<u32> {
        let fresh = |sample: Option<Sample<u32>>| {
            sample.filter(|s| s.staleness(now) <= staleness_max).map(|s| s.value)
        };
        let engine = match (fresh(self.in_flight), fresh(self.queue_depth)) {
            (Some(in_flight), Some(queue_depth)) => Some(in_flight.saturating_add(queue_depth)),
            _ => None,
        };
        match (engine, fresh(self.outstanding)) {
            (Some(engine), Some(gateway)) => Some(engine.max(gateway)),
            (engine, gateway) => engine.or(gateway),
        }
    }
}

/// First tokens that clients got, and how many of them came too late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstTokens {
    /// How many.
    pub count: u64,
    /// Those that came later than the SLO's threshold.
    pub late: u64,
    /// Those of the late ones whose replica had been ready for less than [`Self::AFTER_START`]: what
    /// they waited for was its start.
    pub late_after_start: u64,
}

impl FirstTokens {
    /// A replica that has been ready for less than this works off what waited for it.
    pub const AFTER_START: Duration = Duration::from_secs(60);
}

/// What a gateway measured for the pool since it was last asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayObservation {
    /// When it was asked.
    pub observed_at: Instant,
    /// Time since it was asked before.
    pub over: Duration,
    /// Requests that arrived, held and rejected ones included.
    pub arrivals: u64,
    /// Requests answered completely.
    pub completions: u64,
    /// Requests that failed after an engine had begun.
    pub failures: u64,
    /// Requests turned away (429, 503).
    pub rejections: u64,
    /// Requests held now because no replica could take them.
    pub held: u32,
    /// Age of the oldest of them.
    pub held_oldest: Option<Duration>,
    /// Arrival → first token as the client saw it, over those that got theirs since.
    pub ttft: Option<LatencyWindow>,
    /// The same first tokens beside the SLO; absent where the gateway does not know it.
    pub first_tokens: Option<FirstTokens>,
    /// Gaps between successive streamed events.
    pub itl: Option<LatencyWindow>,
    /// First byte sent to the engine → last byte received: time inside an engine.
    pub engine_time: Option<LatencyWindow>,
}

/// Everything a world saw of one pool at one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Which tick.
    pub tick: TickId,
    /// The world's time.
    pub now: Instant,
    /// Replicas that exist, sorted by id, without duplicates.
    pub replicas: Vec<ReplicaObservation>,
    /// The gateway's view, when there is a gateway and it answered.
    pub gateway: Option<GatewayObservation>,
    /// What somebody else in front of the replicas tells, where anybody does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<DemandObservation>,
    /// Replicas that could still be placed now (GPU slots, quota); absent when nobody knows.
    pub replicas_placeable: Option<u32>,
    /// What the machines hold that a replica may come to which is started now, each state once;
    /// empty where nobody knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub placeable_on: Vec<MachineState>,
    /// What the pool may hold while others need the GPUs; absent where it shares none. What is held
    /// beyond is given up, but never below the pool's minimum.
    pub replicas_allowed: Option<Allowance>,
    /// What is scheduled and has not ended; a world leaves out what begins later than in a day.
    pub scheduled: Vec<ScheduledDemand>,
    /// What an operator has ordered for a while.
    #[serde(default, skip_serializing_if = "Controls::are_off")]
    pub controls: Controls,
}

impl Observation {
    /// Replicas, sorted by id, and nothing else that is known.
    pub fn of(tick: TickId, now: Instant, replicas: Vec<ReplicaObservation>) -> Self {
        Self {
            tick,
            now,
            replicas,
            gateway: None,
            demand: None,
            replicas_placeable: None,
            placeable_on: Vec::new(),
            replicas_allowed: None,
            scheduled: Vec::new(),
            controls: Controls::default(),
        }
    }
}

/// What an operator has ordered for a while, whatever the policy would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controls {
    /// Nothing is started, woken or given up; what drains goes on to its end.
    pub paused: bool,
    /// So many replicas are to be ready, as far as bounds and quota allow.
    pub pinned: Option<ReplicaCount>,
}

impl Controls {
    /// Whether nothing is ordered.
    pub fn are_off(&self) -> bool {
        *self == Self::default()
    }
}

/// What a pool may hold of GPUs that it shares with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// At most so many, those that drain left out.
    pub replicas: ReplicaCount,
    /// Pools that come before this one and hold more than their minimum, the most important first;
    /// empty while this one lacks nothing.
    pub taken_by: Vec<String>,
    /// Until what it lacks will have been needed for long enough to be taken from pools that come
    /// after it, where these hold any.
    pub settles_in: Option<Duration>,
}

/// Demand that somebody has announced: so many replicas should be ready from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledDemand {
    /// From when.
    pub from: Instant,
    /// Until when.
    pub until: Instant,
    /// At least how many.
    pub replicas: ReplicaCount,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALENESS_MAX: Duration = Duration::from_secs(15);

    /// Each source is `(requests, age in seconds)`, or absent.
    #[track_caller]
    fn check(
        in_flight: Option<(u32, u64)>,
        queue_depth: Option<(u32, u64)>,
        outstanding: Option<(u32, u64)>,
        expected: Option<u32>,
    ) {
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000));
        let sample = |source: Option<(u32, u64)>| {
            source.map(|(value, age)| {
                Sample::new(value, now.saturating_sub(Duration::from_secs(age)))
            })
        };
        let replica = ReplicaObservation {
            in_flight: sample(in_flight),
            queue_depth: sample(queue_depth),
            outstanding: sample(outstanding),
            ..ReplicaObservation::untold(ReplicaId(0), ReplicaPhase::Ready, Instant::ORIGIN)
        };
        assert_eq!(replica.requests_inside(now, STALENESS_MAX), expected);
    }

    #[test]
    fn requests_inside_is_what_the_best_informed_source_says() {
        check(Some((8, 1)), Some((3, 1)), None, Some(11));
        // A sleeping vLLM shows nothing while requests hang in it: the gateway knows.
        check(Some((0, 1)), Some((0, 1)), Some((2, 0)), Some(2));
        // Other clients may go past the gateway.
        check(Some((5, 1)), Some((0, 1)), Some((2, 0)), Some(5));
        // Half an answer, an old one, and none are no answer.
        check(Some((5, 1)), None, None, None);
        check(Some((5, 16)), Some((0, 16)), None, None);
        check(Some((5, 16)), Some((0, 16)), Some((0, 0)), Some(0));
        check(None, None, None, None);
    }
}
