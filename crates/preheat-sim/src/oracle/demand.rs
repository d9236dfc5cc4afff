//! From a trace to demand per slot: how many replicas its requests would keep busy if none waited.
//!
//! **Invariant:** busy time is counted in whole nanoseconds, so a load that is exactly 2 replicas
//! needs 2 and not 3.
//! **Invariant:** the requests of all slots sum to the trace's, but for rounding: a request is
//! spread over the slots in which it is served.

use std::time::Duration;

use preheat_core::Concurrency;
use preheat_engine::{EngineConfig, StepLoad};
use preheat_traffic::{Trace, TraceRequest};

use super::error::{OracleError, check_figure};
use super::problem::SlotDemand;

/// Slots at most: 115 days of 1 s slots, 160 MB.
pub const SLOTS_MAX: u64 = 10_000_000;

/// A figure that is linear in a request's tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TokenCost {
    /// Per request.
    pub per_request: f64,
    /// Per prompt token.
    pub per_input_token: f64,
    /// Per generated token.
    pub per_output_token: f64,
}

/// What a request takes of a replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServiceModel {
    /// It holds one of the replica's `concurrency` slots for `seconds`.
    Slots {
        /// Slots of one replica.
        concurrency: Concurrency,
        /// Mean service time by tokens.
        seconds: TokenCost,
    },
    /// It brings `work`, of which a replica does `per_second`, when it arrives.
    Work {
        /// Work that a replica does in a second.
        per_second: f64,
        /// Work of a request, by tokens.
        work: TokenCost,
    },
}

/// How demand is counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DemandSpec {
    /// Length of a slot.
    pub slot: Duration,
    /// What a request takes.
    pub service: ServiceModel,
    /// Share of headroom: at 0.2 a load of 5 asks for 6.
    pub margin: f64,
}

impl TokenCost {
    fn of(&self, request: &TraceRequest) -> f64 {
        self.per_request
            + self.per_input_token * f64::from(request.input_tokens)
            + self.per_output_token * f64::from(request.output_tokens)
    }

    fn check(&self) -> Result<(), OracleError> {
        check_figure("per_request", self.per_request)?;
        check_figure("per_input_token", self.per_input_token)?;
        check_figure("per_output_token", self.per_output_token)
    }
}

impl ServiceModel {
    /// The engine with all of `concurrency` busy with requests of these mean lengths: while a
    /// request is in its slot each of the k slots gets through one, so its time is its own decode
    /// steps plus k prefills, `s = out · step(k) + k · in · prefill`. Where fewer run it is faster;
    /// this is the throughput at which a full replica keeps up.
    pub fn of_engine(
        engine: &EngineConfig,
        concurrency: Concurrency,
        input_tokens_mean: f64,
        output_tokens_mean: f64,
    ) -> Self {
        let seqs = concurrency.get();
        let context = f64::from(seqs) * (input_tokens_mean + output_tokens_mean / 2.0);
        // The casts saturate and are of figures that are not negative.
        let decode =
            StepLoad { decode_seqs: seqs, decode_context: context as u64, ..StepLoad::default() };
        let room = engine.max_num_batched_tokens.saturating_sub(seqs).max(1);
        let chunk = (input_tokens_mean as u32).clamp(1, room);
        let step_s = engine.profile.step_time(&decode).as_secs_f64();
        let mixed_s = engine.profile.step_time(&decode.with_prefill(0, chunk)).as_secs_f64();
        let prefill_s = (mixed_s - step_s).max(0.0) / f64::from(chunk);
        let seconds = TokenCost {
            per_request: 0.0,
            per_input_token: f64::from(seqs) * prefill_s,
            per_output_token: step_s,
        };
        Self::Slots { concurrency, seconds }
    }

    /// Time of one slot, or of the whole replica, that a request of these lengths takes, in seconds.
    pub(crate) fn seconds(&self, input_tokens: f64, output_tokens: f64) -> f64 {
        let of = |cost: &TokenCost| {
            cost.per_request
                + cost.per_input_token * input_tokens
                + cost.per_output_token * output_tokens
        };
        match self {
            Self::Slots { seconds, .. } => of(seconds),
            Self::Work { per_second, work } => of(work) / per_second,
        }
    }

    fn check(&self) -> Result<(), OracleError> {
        match self {
            Self::Slots { seconds, .. } => seconds.check(),
            Self::Work { per_second, work } => {
                check_figure("per_second", *per_second)?;
                if *per_second == 0.0 {
                    let (name, value) = ("per_second", *per_second);
                    return Err(OracleError::Figure { name, value, must: "above 0" });
                }
                work.check()
            }
        }
    }

    /// Busy time of a request, and how many a replica has at once.
    fn busy(&self, request: &TraceRequest) -> (Duration, u32) {
        let (seconds, at_once) = match self {
            Self::Slots { concurrency, seconds } => (seconds.of(request), concurrency.get()),
            Self::Work { per_second, work } => (work.of(request) / per_second, 1),
        };
        // A request always takes something, or it could not be missed.
        let busy = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        (busy.max(Duration::from_nanos(1)), at_once)
    }
}

/// Demand per slot from the trace's origin until its last request is served.
///
/// # Errors
/// When a figure is out of range, the trace is empty, or it makes more than [`SLOTS_MAX`] slots.
pub fn demand(trace: &Trace, spec: &DemandSpec) -> Result<Vec<SlotDemand>, OracleError> {
    spec.service.check()?;
    check_figure("margin", spec.margin)?;
    if trace.requests.is_empty() {
        return Err(OracleError::Empty);
    }
    let slot_ns = u64::try_from(spec.slot.as_nanos()).unwrap_or(u64::MAX);
    if slot_ns == 0 {
        return Err(OracleError::SlotZero);
    }
    let slots = slots(trace, spec, slot_ns)?;
    let (mut busy_ns, mut requests) = (vec![0_u64; slots], vec![0.0; slots]);
    let mut at_once = 1;
    for request in &trace.requests {
        let (busy, limit) = spec.service.busy(request);
        at_once = limit;
        let (arrival_ns, busy) = (nanos(request.arrival), nanos(busy));
        if let ServiceModel::Work { .. } = spec.service {
            let slot = (arrival_ns / slot_ns) as usize;
            busy_ns[slot] = busy_ns[slot].saturating_add(busy);
            requests[slot] += 1.0;
        } else {
            spread(arrival_ns, busy, slot_ns, &mut busy_ns, &mut requests);
        }
    }
    let replica_ns = slot_ns as f64 * f64::from(at_once);
    let load = |busy_ns: u64| busy_ns as f64 / replica_ns * (1.0 + spec.margin);
    let filled = busy_ns.into_iter().zip(requests);
    Ok(filled.map(|(busy_ns, requests)| SlotDemand { load: load(busy_ns), requests }).collect())
}

/// Adds one request's busy time to the slots it spans, and itself in the same shares.
fn spread(from_ns: u64, busy: u64, slot_ns: u64, busy_ns: &mut [u64], requests: &mut [f64]) {
    let mut at = from_ns;
    let until = from_ns.saturating_add(busy);
    while at < until {
        let slot = (at / slot_ns) as usize;
        let end = (slot as u64 + 1).saturating_mul(slot_ns).min(until);
        busy_ns[slot] = busy_ns[slot].saturating_add(end - at);
        requests[slot] += (end - at) as f64 / busy as f64;
        at = end;
    }
}

/// Slots until the last request is served.
fn slots(trace: &Trace, spec: &DemandSpec, slot_ns: u64) -> Result<usize, OracleError> {
    let last = trace.requests.iter().map(|request| match spec.service {
        ServiceModel::Slots { .. } => {
            nanos(request.arrival).saturating_add(nanos(spec.service.busy(request).0)) - 1
        }
        ServiceModel::Work { .. } => nanos(request.arrival),
    });
    let slots = last.max().unwrap_or(0) / slot_ns + 1;
    if slots > SLOTS_MAX {
        return Err(OracleError::Slots { slots, most: SLOTS_MAX });
    }
    Ok(slots as usize)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
