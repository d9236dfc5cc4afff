//! The deciding core of preheat: one pure function, [`decide`], and the data it works on.
//!
//! Every world (simulated, local processes, Kubernetes) turns what it sees into an
//! [`Observation`], calls [`decide`], and applies the [`Plan`] that comes back.
//!
//! **Invariant:** nothing here does I/O, reads a clock, draws a random number, logs, or is async.
//! Time comes in as [`Instant`]; randomness, when a policy needs it, comes in as a seed.
//!
//! **Invariant:** no iteration over hash maps; equal inputs give bit-equal outputs.

mod units;

mod observation;
mod part;
mod policy;

mod decide;

mod backlog;
mod capacity;
mod cold_start;
mod demand;
mod fleet;
mod guard;
mod ladder;
mod need;
mod plan;
mod quota;
mod rehearsal;
mod schedule;
mod targets;

mod decision;
mod memory;

pub mod invariants;

pub use capacity::{CapacityMemory, ItlFit, Pace, TpotCap};
pub use cold_start::{EndedStart, START_PHASES, StartFollower, Survival, WAKE_PRIOR};
pub use decide::{bounds, decide};
pub use decision::{
    Action, ArrivalSource, BacklogExplanation, CapacityBound, CapacityExplanation,
    ColdStartExplanation, Decision, DemandExplanation, Explanation, GuardExplanation,
    ItlExplanation, MachineExplanation, PhaseExplanation, Plan, Reason, RehearsalExplanation,
    SlowReplica, StandbyExplanation, StopReason, SupplyExplanation,
};
pub use guard::GuardMemory;
pub use memory::{
    ArrivalBin, ColdStartSample, DemandKnown, LastTick, LoadSample, Memory, RemovalAt,
    ReplicaMemory, StartMemory, TargetAt, WorkTotals,
};
pub use observation::{
    Allowance, Controls, Counters, DemandObservation, FirstTokens, GatewayObservation, LatencyMean,
    LatencyWindow, MachineState, Observation, PhaseTimes, ReplicaId, ReplicaObservation,
    ReplicaPhase, Rung, Sample, ScheduledDemand, TickId,
};
pub use part::Part;
pub use policy::{
    ColdStartPrior, Policy, PolicyError, PolicySpec, ScaleRateLimit, Slo, SloMetric, Standby,
};
pub use quota::{Allotment, Claim, NeedMemory, QuotaMemory, WantedSince, allot, replicas_held};
pub use rehearsal::{Found, Peak, RULES, Rehearsal, RehearsedFleet};
pub use units::{
    Concurrency, Erlangs, GpuSeconds, GpuWorth, Instant, Probability, ReplicaCount, RequestRate,
    Utilization,
};
