//! How many replicas are needed: what rule and guard hold, what the backlog asks for on top, and what
//! is announced.
//!
//! **Invariant:** nothing here knows of limits, nor of what was needed before.

use std::time::Duration;

use crate::decision::{
    BacklogExplanation, CapacityExplanation, DemandExplanation, RehearsalExplanation,
};
use crate::fleet::{Fleet, ceil, count};
use crate::ladder::Ladder;
use crate::observation::Observation;
use crate::part::Part;
use crate::policy::PolicySpec;
use crate::{backlog, schedule};

/// What the rules hold, and by how much the TTFT guard multiplies what they hold ready.
pub(crate) struct Rehearsed<'a> {
    pub(crate) ready: &'a RehearsalExplanation,
    pub(crate) in_all: Option<&'a RehearsalExplanation>,
    pub(crate) guard_factor: f64,
    /// What is taken to come while a queue drains, in slots: [`crate::demand::sure`].
    pub(crate) load_sure: f64,
}

/// Replicas that rule and guard hold.
pub(crate) struct Held {
    for_load: u32,
    for_guard: u32,
    slots_per_replica: f64,
}

impl Held {
    pub(crate) fn of(
        spec: &PolicySpec,
        observation: &Observation,
        capacity: &CapacityExplanation,
        rehearsed: &Rehearsed<'_>,
    ) -> Self {
        let slots_per_replica = f64::from(capacity.concurrency_cap.get());
        let called = observation.is_called(spec.staleness_max);
        let replicas = |slots: f64| ceil(slots / slots_per_replica);
        let slots_held = rehearsed.ready.slots_held;
        let for_load = replicas(slots_held).max(u32::from(called));
        let for_guard = replicas(slots_held * rehearsed.guard_factor).saturating_sub(for_load);
        Self { for_load, for_guard, slots_per_replica }
    }

    fn replicas(&self) -> u32 {
        self.for_load + self.for_guard
    }
}

/// What would still be queued when a replica that is ordered now is ready.
pub(crate) struct Queued {
    /// Without the replicas that only a queue asked for, ready or on their way: what asks for them still.
    /// Were they counted, they would be the reason for their own end, and be ordered again right after.
    pub(crate) without_extra: BacklogExplanation,
    /// With them: what asks for more than those.
    with_extra: BacklogExplanation,
    /// How many they are.
    extra: u32,
}

/// The same for both ways to a ready replica.
pub(crate) struct Backlogs {
    /// One that is woken, where one sleeps, else one that is started.
    pub(crate) ready: Queued,
    /// One that is started.
    cold: Queued,
}

impl Backlogs {
    pub(crate) fn project(
        spec: &PolicySpec,
        observation: &Observation,
        demand: &DemandExplanation,
        rehearsed: &Rehearsed<'_>,
        ladder: &Ladder,
        fleet: &Fleet,
        held: &Held,
    ) -> Self {
        let slots = held.slots_per_replica;
        let requests = backlog::requests(spec, observation);
        let residuals: Vec<Duration> =
            fleet.starting.iter().map(|(residual, _)| *residual).collect();
        let heads = fleet.ready_for(held.replicas(), Duration::MAX) as usize;
        let held_starting = heads.saturating_sub(fleet.ready.len()).min(residuals.len());
        let extra_ready = fleet.ready.len().saturating_sub(heads);
        let held_ready = fleet.ready_capacity.min(f64::from(held.replicas()));
        let project = |ready, residuals: &[Duration], lead_time| {
            let projection = backlog::Projection {
                load: rehearsed.load_sure,
                service_time: demand.service_time,
                slots,
                ready,
                each: fleet.unseen_capacity,
                residuals,
                lead_time,
            };
            backlog::project(requests, &projection)
        };
        let at = |lead_time| Queued {
            without_extra: project(held_ready, &residuals[..held_starting], lead_time),
            with_extra: project(fleet.ready_capacity, &residuals, lead_time),
            extra: count(extra_ready + residuals.len() - held_starting),
        };
        let lead_ready =
            if fleet.standby.is_empty() { ladder.lead_cold } else { ladder.lead_ready };
        Self { ready: at(lead_ready), cold: at(ladder.lead_cold) }
    }
}

/// Replicas needed, before limits.
pub(crate) struct Need {
    pub(crate) for_load: u32,
    pub(crate) for_guard: u32,
    pub(crate) for_backlog: u32,
    pub(crate) for_schedule: u32,
    /// Ready ones.
    pub(crate) target: u32,
    /// Ready and sleeping ones together.
    pub(crate) in_all: u32,
}

impl Need {
    pub(crate) fn of(
        spec: &PolicySpec,
        observation: &Observation,
        demand: &DemandExplanation,
        rehearsed: &Rehearsed<'_>,
        held: &Held,
        backlogs: &Backlogs,
        ladder: &Ladder,
    ) -> Self {
        let &Held { for_load, for_guard, slots_per_replica } = held;
        let slots_held = f64::from(held.replicas()) * slots_per_replica;
        let spare = (slots_held - rehearsed.load_sure).max(0.0);
        let drains = |backlog: &BacklogExplanation| {
            let drain_time = spec.backlog_drain_time;
            let slots = backlog::slots_needed(backlog, demand.service_time, drain_time, spare);
            ceil(slots / slots_per_replica)
        };
        let for_backlog = |queued: &Queued| {
            if spec.without == Some(Part::Backlog) {
                return 0;
            }
            let more = queued.extra.saturating_add(drains(&queued.with_extra));
            // Twice what the load needs drains any backlog at the rate at which it came in.
            drains(&queued.without_extra).min(more).min(for_load.max(1))
        };
        let target = |queued: &Queued, lead_time| {
            let scheduled = schedule::replicas(spec, observation, lead_time);
            held.replicas().saturating_add(for_backlog(queued)).max(scheduled)
        };
        let cold = target(&backlogs.cold, ladder.lead_cold);
        let in_all = rehearsed.in_all.map(|in_all| ceil(in_all.slots_held / slots_per_replica));
        Self {
            for_load,
            for_guard,
            for_backlog: for_backlog(&backlogs.ready),
            for_schedule: schedule::replicas(spec, observation, ladder.lead_ready),
            target: target(&backlogs.ready, ladder.lead_ready),
            in_all: ladder.in_all(cold, spec.replicas_min.0, in_all),
        }
    }
}
