//! What [`crate::decide`] answers: a plan, the memory for the next tick, and the explanation.
//!
//! **Invariant:** no text. Reasons are a closed enum and numbers; sentences are made at the edge.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::memory::Memory;
use crate::observation::{Allowance, MachineState, ReplicaId, ReplicaPhase, Rung};
use crate::units::{
    Concurrency, Erlangs, Instant, Probability, ReplicaCount, RequestRate, Utilization,
};

/// The whole output of one decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub plan: Plan,
    /// What to remember; the next tick's input.
    pub memory: Memory,
    /// Why, with every intermediate number.
    pub explanation: Explanation,
}

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Replicas that should be ready or on their way, after every limit.
    pub desired: ReplicaCount,
    /// Steps towards that; none touches a replica twice.
    pub actions: Vec<Action>,
    /// When to decide again.
    pub next_tick_at: Instant,
}

/// One step of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Start this many new replicas.
    Start {
        /// How many.
        count: u32,
    },
    /// Bring a standby replica back to ready.
    Wake {
        /// Which.
        replica: ReplicaId,
    },
    /// Give a draining replica its traffic back.
    Resume {
        /// Which.
        replica: ReplicaId,
    },
    /// Route nothing new to a ready replica.
    Drain {
        /// Which.
        replica: ReplicaId,
    },
    /// Put a drained replica to standby.
    Sleep {
        /// Which.
        replica: ReplicaId,
        /// Where to.
        rung: Rung,
    },
    /// End a replica that is drained, past its drain deadline, never became ready, or is standby.
    Stop {
        /// Which.
        replica: ReplicaId,
        /// Why it may be ended.
        because: StopReason,
    },
}

/// Why a replica may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// No request is in it any more.
    Drained,
    /// Requests are still in it, and its drain deadline has passed.
    DrainDeadlinePassed,
    /// It was still starting, and is no longer needed.
    StartCancelled,
    /// It was held in standby beyond the standby target.
    StandbySurplus,
}

/// Why the plan is as it is: one for each decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// As many as needed.
    Steady,
    /// The offered load needs more.
    DemandAbovePlan,
    /// What is queued would outlast its drain time.
    Backlog,
    /// First tokens come late though the fleet is large enough for the load.
    TtftGuard,
    /// What is scheduled to begin within a lead time needs more.
    Scheduled,
    /// Requests are there, and nothing is ready or on its way.
    Activate,
    /// Fewer than the lower bound.
    BelowMinimum,
    /// More should be there, ready or asleep.
    StandbyBelowPlan,
    /// More are needed, and enough are on their way.
    StartsUnderWay,
    /// More are needed than the upper bound, the quota or the limit of starts allows.
    Capped,
    /// Fewer are needed, but the stabilization window still remembers more.
    ScaleDownStabilized,
    /// Fewer are needed, but the rate limit has been used up.
    ScaleDownRateLimited,
    /// Fewer have been needed for the whole window.
    DemandBelowPlan,
    /// Nothing has arrived for the whole window.
    ToZero,
    /// More exist than the upper bound allows.
    AboveMaximum,
    /// Another pool needs the GPUs more.
    QuotaTaken,
    /// A replica's signals are missing or stale, so nothing is given up.
    SignalsMissing,
    /// Nobody would see a request that finds no replica, so the last one stays.
    DemandUnseen,
    /// An operator has pinned the count.
    Pinned,
    /// An operator has paused the pool.
    Paused,
}

impl Reason {
    /// CamelCase name, as in conditions, metric labels and docs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steady => "Steady",
            Self::DemandAbovePlan => "DemandAbovePlan",
            Self::Backlog => "Backlog",
            Self::TtftGuard => "TtftGuard",
            Self::Scheduled => "Scheduled",
            Self::Activate => "Activate",
            Self::BelowMinimum => "BelowMinimum",
            Self::StandbyBelowPlan => "StandbyBelowPlan",
            Self::StartsUnderWay => "StartsUnderWay",
            Self::Capped => "Capped",
            Self::ScaleDownStabilized => "ScaleDownStabilized",
            Self::ScaleDownRateLimited => "ScaleDownRateLimited",
            Self::DemandBelowPlan => "DemandBelowPlan",
            Self::ToZero => "ToZero",
            Self::AboveMaximum => "AboveMaximum",
            Self::QuotaTaken => "QuotaTaken",
            Self::SignalsMissing => "SignalsMissing",
            Self::DemandUnseen => "DemandUnseen",
            Self::Pinned => "Pinned",
            Self::Paused => "Paused",
        }
    }

    /// Every reason, for references and metric registration.
    pub const ALL: [Self; 20] = [
        Self::Steady,
        Self::DemandAbovePlan,
        Self::Backlog,
        Self::TtftGuard,
        Self::Scheduled,
        Self::Activate,
        Self::BelowMinimum,
        Self::StandbyBelowPlan,
        Self::StartsUnderWay,
        Self::Capped,
        Self::ScaleDownStabilized,
        Self::ScaleDownRateLimited,
        Self::DemandBelowPlan,
        Self::ToZero,
        Self::AboveMaximum,
        Self::QuotaTaken,
        Self::SignalsMissing,
        Self::DemandUnseen,
        Self::Pinned,
        Self::Paused,
    ];
}

/// Every number on the way from observation to plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Why the plan is as it is.
    pub reason: Reason,
    /// The demand.
    pub demand: DemandExplanation,
    /// What one replica can carry.
    pub capacity: CapacityExplanation,
    /// How long a start takes.
    pub cold_start: ColdStartExplanation,
    /// Which rule is followed, and why that one.
    pub rehearsal: RehearsalExplanation,
    /// The rung below ready, where replicas may sleep.
    pub standby: Option<StandbyExplanation>,
    /// First tokens that come late, and what is held on top because of them.
    pub guard: GuardExplanation,
    /// What is queued now and would still be when a start ordered now is ready.
    pub backlog: BacklogExplanation,
    /// What exists.
    pub supply: SupplyExplanation,
    /// Whole replicas needed for the slots that the rule holds.
    pub needed_for_load: ReplicaCount,
    /// Whole replicas needed on top, to drain the backlog in time.
    pub needed_for_backlog: ReplicaCount,
    /// Replicas that are scheduled to be ready by the end of a lead time.
    pub needed_for_schedule: ReplicaCount,
    /// Computed before limits: the larger of load and backlog together and the schedule, in replicas
    /// of which some may be slow.
    pub target: ReplicaCount,
    /// What the pool may hold of GPUs that it shares with others, as its world said.
    pub allowance: Option<Allowance>,
    /// The count that an operator has pinned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<ReplicaCount>,
    /// What the pool may shrink to: the largest need that the stabilization window remembers, with
    /// starts that are not given up yet.
    pub target_stabilized: ReplicaCount,
    /// Replicas whose signals were missing or stale.
    pub replicas_blind: Vec<ReplicaId>,
    /// Replicas that have been starting for longer than starts take.
    pub replicas_overdue: Vec<ReplicaId>,
}

/// Where the demand came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalSource {
    /// The gateway counted arrivals.
    Gateway,
    /// Completions plus the change of what is inside the engines.
    Engines,
    /// Nobody could tell at this tick.
    Unknown,
}

/// The demand, step by step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DemandExplanation {
    /// Who counted.
    pub source: ArrivalSource,
    /// Mean over the arrival window.
    pub arrival_rate: RequestRate,
    /// Time in a batch slot of a whole replica that is just full.
    pub service_time: Duration,
    /// Whether that was measured or is the prior.
    pub service_time_measured: bool,
    /// Requests inside replicas or held, where every serving replica's are known.
    pub requests_inside: Option<u32>,
    /// Slots of whole replicas in use if nobody had to wait; while the service time is not measured, at most what is
    /// inside.
    pub offered_load: Erlangs,
}

/// Which rule is followed: one that would have been as good as the best on this pool's own traffic, a
/// missed request weighed against what is paid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RehearsalExplanation {
    /// It holds this many times the peak of the offered load …
    pub headroom_factor: f64,
    /// … and β·√ of that on top, in slots.
    pub headroom_beta: f64,
    /// Whether the load is smoothed before its peak is taken.
    pub smoothed: bool,
    /// The peak is that of this window.
    pub hold_window: Duration,
    /// A share of the peak of a longer window is held too.
    pub tail_share: Option<Probability>,
    /// That window.
    pub tail_window: Option<Duration>,
    /// Time rehearsed on the pool's own traffic, faded.
    pub rehearsed: Duration,
    /// Share of requests that the rule would have kept inside the SLO.
    pub attainment_expected: Probability,
    /// Slots that it would have paid for ÷ slots in use.
    pub cost_expected: f64,
    /// Rules that come so close to the best one that luck decides which that is, with it. Of these the
    /// one that holds the middle now is followed.
    pub rules_close: u32,
    /// Slots that it holds now.
    pub slots_held: f64,
}

/// How many there should be in all, sleeping ones included. [`Explanation::rehearsal`] then says how
/// many should be ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StandbyExplanation {
    /// What a sleeping replica costs, as a share of one that is awake.
    pub price: Probability,
    /// Wakes that were seen.
    pub wakes: u32,
    /// 90th percentile of the time to wake.
    pub wake_p90: Duration,
    /// Tick interval + that: how far ahead a wake must be decided.
    pub lead_time: Duration,
    /// The rule for replicas in all; `None` where so many sleep beside the ready ones whatever comes.
    pub rehearsal: Option<RehearsalExplanation>,
    /// Replicas that there should be, before limits.
    pub needed_in_all: ReplicaCount,
}

/// First tokens that come late though the fleet is large enough for the load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GuardExplanation {
    /// First tokens of the last minutes that came in no shortage, faded.
    pub first_tokens: f64,
    /// Share of them that were late.
    pub late_share: Probability,
    /// The load's need is multiplied by this.
    pub factor: f64,
    /// Whole replicas that this makes on top.
    pub replicas: ReplicaCount,
}

/// What one replica can carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityExplanation {
    /// Slots per replica used for sizing.
    pub concurrency_cap: Concurrency,
    /// What bound it.
    pub bound_by: CapacityBound,
    /// `max-num-seqs`, where known.
    pub max_num_seqs: Option<Concurrency>,
    /// KV tokens ÷ mean tokens per request, where known.
    pub kv_bound: Option<Concurrency>,
    /// Most requests in flight at which the objective on TPOT is met, where there is one and enough
    /// was seen.
    pub tpot_bound: Option<Concurrency>,
    /// How ITL grows with requests in flight, where enough was seen.
    pub itl: Option<ItlExplanation>,
}

/// Inter-token latency with n requests in flight: `base + n · per_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItlExplanation {
    /// What a step takes whoever is in the batch.
    pub base: Duration,
    /// What each request adds.
    pub per_request: Duration,
}

/// Which limit makes the concurrency cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapacityBound {
    /// `max-num-seqs` as the engine states it.
    MaxNumSeqs,
    /// The configured cap.
    Configured,
    /// KV memory.
    KvMemory,
    /// The objective on TPOT.
    Tpot,
    /// Nothing was known: a cautious default.
    Default,
}

/// How long a start takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdStartExplanation {
    /// Starts that were seen to become ready.
    pub samples: u32,
    /// Starts given up or still under way: each takes longer than it was seen to.
    pub censored: u32,
    /// Median.
    pub p50: Duration,
    /// 90th percentile: the start-up part of the lead time.
    pub p90: Duration,
    /// Tick interval + p90: how far ahead a start must be decided. Where it is known on which machines
    /// one may come to be, p90 is that of the slowest.
    pub lead_time: Duration,
    /// The phases that starts were seen to pass, in order; empty where the world tells none apart.
    pub phases: Vec<PhaseExplanation>,
    /// The same by what the machine held, where the world tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_machine: Vec<MachineExplanation>,
    /// What the slowest machine holds that a start may come to, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slowest: Option<MachineState>,
}

/// How long starts take on machines that hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineExplanation {
    /// What they held when the starts came there.
    pub machine: MachineState,
    /// Starts that became ready there.
    pub samples: u32,
    /// Starts that were given up there, or are under way.
    pub censored: u32,
    /// Median of what was seen.
    pub p50: Duration,
    /// 90th percentile of what was seen.
    pub p90: Duration,
}

/// How long one phase of a start takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseExplanation {
    /// Which.
    pub phase: ReplicaPhase,
    /// Starts that were seen to pass it.
    pub samples: u32,
    /// Starts that were given up in it, or are in it now.
    pub censored: u32,
    /// Median of those that do not skip it.
    pub p50: Duration,
    /// 90th percentile of the same.
    pub p90: Duration,
}

/// The queue, now and one lead time ahead.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BacklogExplanation {
    /// Requests queued in engines or held at the gateway.
    pub requests: u32,
    /// Requests that would still be queued when a start ordered now is ready.
    pub requests_at_lead_time: f64,
}

/// What exists, by kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SupplyExplanation {
    /// May serve.
    pub ready: ReplicaCount,
    /// On their way and credited.
    pub starting: ReplicaCount,
    /// Finishing their last requests.
    pub draining: ReplicaCount,
    /// In standby.
    pub standby: ReplicaCount,
    /// Time until each credited start should be ready, soonest first.
    pub residuals: Vec<Duration>,
    /// In flight ÷ (ready × concurrency cap), where every ready replica's is known.
    pub utilization: Option<Utilization>,
    /// Replicas that are slower than their pool.
    pub slow: Vec<SlowReplica>,
    /// What ready and starting ones count for together, in whole replicas.
    pub capacity: f64,
}

/// A replica that is slower than its pool with as many requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowReplica {
    /// Which.
    pub replica: ReplicaId,
    /// What it counts for, a whole one as 1.
    pub capacity: Utilization,
}
