//! The backlog: what is queued now, and how much of it would still be when a start ordered now is
//! ready.
//!
//! **Invariant:** a backlog asks for replicas only as far as those ready and on their way will not
//! have drained it by then. That is what keeps a queue from ordering the maximum during a long start.

use std::time::Duration;

use crate::decision::BacklogExplanation;
use crate::demand::serves;
use crate::observation::Observation;
use crate::policy::PolicySpec;

/// Everything the projection needs.
pub(crate) struct Projection<'a> {
    /// Offered load until then, in slots.
    pub(crate) load: f64,
    pub(crate) service_time: Duration,
    /// Slots of a replica.
    pub(crate) slots: f64,
    /// What ready replicas count for.
    pub(crate) ready: f64,
    /// What each that becomes ready does.
    pub(crate) each: f64,
    /// Time to ready of each credited start, soonest first.
    pub(crate) residuals: &'a [Duration],
    pub(crate) lead_time: Duration,
}

/// Requests queued in engines or held in front of them.
pub(crate) fn requests(spec: &PolicySpec, observation: &Observation) -> u32 {
    let queued = observation.replicas.iter().filter(|r| serves(r)).filter_map(|replica| {
        let sample = replica.queue_depth?;
        (sample.staleness(observation.now) <= spec.staleness_max).then_some(sample.value)
    });
    let held = observation.held(spec.staleness_max);
    queued.fold(held, u32::saturating_add)
}

/// Follows the queue to one lead time ahead: it grows by arrivals and shrinks by the slots that
/// are ready then, each of which frees up once per service time.
pub(crate) fn project(requests: u32, projection: &Projection<'_>) -> BacklogExplanation {
    let service_s = projection.service_time.as_secs_f64();
    let mut queued = f64::from(requests);
    let mut from = Duration::ZERO;
    let arriving = projection.residuals.iter().copied().filter(|r| *r < projection.lead_time);
    let ends = arriving.chain([projection.lead_time]);
    let mut replicas = projection.ready;
    for until in ends {
        let net = (projection.load - replicas * projection.slots) / service_s;
        queued = (queued + net * (until.saturating_sub(from)).as_secs_f64()).max(0.0);
        from = from.max(until);
        replicas += projection.each;
    }
    BacklogExplanation { requests, requests_at_lead_time: queued }
}

/// Slots needed on top of `slots_spare` to drain what will be queued within the drain time.
pub(crate) fn slots_needed(
    backlog: &BacklogExplanation,
    service_time: Duration,
    drain_time: Duration,
    slots_spare: f64,
) -> f64 {
    let work_seconds = backlog.requests_at_lead_time * service_time.as_secs_f64();
    (work_seconds / drain_time.as_secs_f64() - slots_spare).max(0.0)
}
