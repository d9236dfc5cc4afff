//! What preheat would have held beside what there was: a fold over ticks at which it decided while
//! somebody else scaled.
//!
//! Two counts are compared, both of replicas that are ready or on their way: those that there were,
//! and those that preheat wanted. Preheat's own count starts from what was found and then follows its
//! decisions as its fleet would have, whatever the other did (`wanted`).
//!
//! **Invariant:** nothing is simulated. What was seen is what came to the other's replicas, and the
//! report says so.
//!
//! **Invariant:** time in which nobody looked counts for neither side.

mod counts;
mod report;
mod trouble;
mod wanted;

#[cfg(test)]
mod tests;

use std::time::Duration;

use preheat_core::{
    Action, ArrivalSource, Explanation, Instant, Observation, Plan, Policy, PolicySpec,
    ReplicaPhase, TickId,
};

use counts::Counts;
pub use report::{Differences, ScaleUp, ScaleUps, ShadowReport, Side, Trouble, Troubles};
use trouble::Episodes;
use wanted::Wanted;

/// Two ticks further apart than this have a pause between them, in which nobody looked: the longest
/// tick interval that a policy allows is half of it.
pub const PAUSE_MIN: Duration = Duration::from_secs(600);

/// A comparison being made, tick by tick.
#[derive(Debug)]
pub struct Shadow {
    pool: String,
    spec: PolicySpec,
    watches: Vec<Watch>,
    totals: Totals,
    last: Option<Last>,
}

/// A stretch of time without a pause in it.
#[derive(Debug, Default)]
struct Watch {
    begin: Instant,
    end: Instant,
    /// Ready or on their way.
    there: Counts,
    ready: Counts,
    wanted: Counts,
    own: Wanted,
    episodes: Episodes,
}

/// Sums over all ticks.
#[derive(Debug, Default)]
struct Totals {
    ticks: u64,
    watched: Duration,
    /// Of it, time in which too little was known to give anything up.
    blind: Duration,
    /// Time in which requests queued for every replica.
    clipped: Duration,
    /// Time in which preheat wanted as many as it may have.
    at_most: Duration,
    /// Time in which an operator had paused or pinned the pool.
    controlled: Duration,
    first_tokens: u64,
    late: u64,
    pauses: u64,
    /// Ticks at which preheat ordered replicas, and those after which there were more.
    orders: u64,
    orders_followed: u64,
    sleeps: bool,
    /// Whether preheat had nothing to remember at the first tick.
    begins_anew: bool,
}

/// What the tick before left: it holds until the next one.
#[derive(Debug)]
struct Last {
    at: Instant,
    there: u32,
    ordered: bool,
    is_blind: bool,
    is_clipped: bool,
    is_at_most: bool,
    is_controlled: bool,
}

impl Shadow {
    /// Nothing seen yet; `policy` is what the first ticks are decided by.
    pub fn new(pool: impl Into<String>, policy: &Policy) -> Self {
        Self {
            pool: pool.into(),
            spec: policy.spec().clone(),
            watches: Vec::new(),
            totals: Totals::default(),
            last: None,
        }
    }

    /// The ticks from here on are decided by another policy.
    pub fn policy(&mut self, policy: &Policy) {
        self.spec = policy.spec().clone();
    }

    /// Takes in one tick. Where its decision was dropped, there is no explanation, and preheat would
    /// have held what it had.
    pub fn tick(
        &mut self,
        observation: &Observation,
        plan: &Plan,
        explanation: Option<&Explanation>,
    ) {
        let now = observation.now;
        let seen = Seen::of(observation);
        self.pass(now, seen.there);
        let spec = &self.spec;
        let Some(watch) = self.watches.last_mut() else { return };
        watch.there.set(now, seen.there);
        watch.ready.set(now, seen.ready);
        let wanted = watch.own.step(spec, observation, explanation, seen.there);
        watch.wanted.set(now, wanted);
        let lead_time = explanation.map(|told| told.cold_start.lead_time);
        watch.episodes.tick(spec, observation, &seen, lead_time);
        if let Some(first) = observation.gateway.as_ref().and_then(|gateway| gateway.first_tokens) {
            self.totals.first_tokens += first.count;
            self.totals.late += first.late;
        }
        self.totals.begins_anew |= self.totals.ticks == 0 && observation.tick == TickId(0);
        self.totals.ticks += 1;
        self.totals.sleeps |= explanation.is_some_and(|told| told.standby.is_some());
        let (_, most) = preheat_core::bounds(spec, observation);
        let controls = observation.controls;
        self.last = Some(Last {
            at: now,
            there: seen.there,
            ordered: plan
                .actions
                .iter()
                .any(|action| matches!(action, Action::Start { .. } | Action::Wake { .. })),
            is_blind: explanation.is_none_or(|told| is_blind(observation, told)),
            is_clipped: seen.queues_for_all(),
            is_at_most: wanted >= most,
            is_controlled: controls.paused || controls.pinned.is_some(),
        });
    }

    /// What it came to; `None` where there was no time between two ticks.
    pub fn report(self) -> Option<ShadowReport> {
        (!self.totals.watched.is_zero()).then(|| report::report(self))
    }

    /// Time goes on to `now`, as the tick before left it; or a pause ends.
    fn pass(&mut self, now: Instant, there: u32) {
        let went_on = self.last.as_ref().filter(|last| now.since(last.at) <= PAUSE_MIN);
        if let Some(last) = went_on {
            let for_ = now.since(last.at);
            let totals = &mut self.totals;
            totals.watched += for_;
            let sums = [
                (&mut totals.blind, last.is_blind),
                (&mut totals.clipped, last.is_clipped),
                (&mut totals.at_most, last.is_at_most),
                (&mut totals.controlled, last.is_controlled),
            ];
            for (sum, holds) in sums {
                *sum += if holds { for_ } else { Duration::ZERO };
            }
            totals.orders += u64::from(last.ordered);
            totals.orders_followed += u64::from(last.ordered && there > last.there);
            if let Some(watch) = self.watches.last_mut() {
                watch.end = now;
            }
            return;
        }
        self.totals.pauses += u64::from(self.last.is_some());
        self.watches.push(Watch { begin: now, end: now, ..Watch::default() });
    }
}

/// The counts of one tick.
struct Seen {
    ready: u32,
    there: u32,
    /// Requests that wait, in engines or before them.
    queued: u32,
}

impl Seen {
    fn of(observation: &Observation) -> Self {
        let phases = |wanted: fn(ReplicaPhase) -> bool| {
            let found = observation.replicas.iter().filter(|replica| wanted(replica.phase)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let ready = phases(|phase| phase == ReplicaPhase::Ready);
        let held = observation.gateway.as_ref().map_or(0, |gateway| gateway.held);
        let queued = observation.replicas.iter().filter_map(|replica| replica.queue_depth);
        Self {
            ready,
            there: ready.saturating_add(phases(ReplicaPhase::is_starting)),
            queued: queued.fold(held, |sum, queued| sum.saturating_add(queued.value)),
        }
    }

    /// Whether a request or more waits for each ready replica: then what comes is not all that would
    /// have come to a larger fleet.
    fn queues_for_all(&self) -> bool {
        self.queued >= self.ready.max(1)
    }
}

/// Whether so little was known that nothing might be given up, as `decide` has it.
fn is_blind(observation: &Observation, told: &Explanation) -> bool {
    let ready = observation.replicas.iter().any(|replica| replica.phase == ReplicaPhase::Ready);
    let nobody_to_ask = !ready && observation.gateway.is_none();
    let is_unknown = told.demand.source == ArrivalSource::Unknown && !nobody_to_ask;
    !told.replicas_blind.is_empty() || is_unknown
}
