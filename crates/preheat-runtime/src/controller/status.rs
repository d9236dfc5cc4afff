//! A pool's status: from what was decided, what was seen, and which replicas there are.
//!
//! **Invariant:** what a status says of the pool's replicas is added up from the replicas in it.

use std::time::Duration;

use preheat_api::journal::JournalEntry;
use preheat_api::status::{
    DecisionNumbers, MeasuredStart, PhaseStatus, PoolStatus, QuotaStatus, ReplicaStatus, SloStatus,
};
use preheat_api::words;
use preheat_core::{
    Allowance, ColdStartSample, Explanation, Instant, Memory, Observation, PhaseExplanation,
    Policy, ReplicaObservation, ReplicaPhase, START_PHASES, Sample, SloMetric, SlowReplica,
};

/// Starts told of a pool: twice as many as are remembered where machines are all alike. Each is told
/// every second to whoever looks.
const STARTS_TOLD_MAX: usize = 64;

/// What is known before anything was decided.
pub(crate) fn of_policy(pool: &str, policy: &Policy) -> PoolStatus {
    let spec = policy.spec();
    let metric = match spec.slo.metric {
        SloMetric::Ttft => "ttft",
    };
    PoolStatus {
        pool: pool.to_owned(),
        replicas_min: spec.replicas_min.0,
        replicas_max: spec.replicas_max.0,
        slo: Some(SloStatus {
            metric: metric.to_owned(),
            quantile: spec.slo.quantile.get(),
            threshold_s: spec.slo.threshold.as_secs_f64(),
        }),
        ..PoolStatus::default()
    }
}

/// Fills in what a tick saw and decided.
pub(crate) fn of_entry(status: &mut PoolStatus, entry: &JournalEntry, staleness_max: Duration) {
    status.last_tick_at = Some(entry.at);
    status.desired = entry.body.plan().map_or(0, |plan| plan.desired.0);
    status.violation = entry.body.violation().cloned();
    if let (Some(plan), Some(explanation)) = (entry.body.plan(), entry.body.explanation()) {
        status.reason = Some(explanation.reason);
        status.headline = Some(words::headline(plan, explanation));
        status.decision = Some(numbers(explanation));
        let residuals = explanation.supply.residuals.iter();
        status.starts_ready_in_s = residuals.map(Duration::as_secs_f64).collect();
        status.cold_start_phases = explanation.cold_start.phases.iter().map(phase).collect();
    }
    if let Some(observation) = entry.body.observation() {
        observe(status, observation, staleness_max);
    }
    if let Some(explanation) = entry.body.explanation() {
        set_capacities(&mut status.replicas, &explanation.supply.slow);
    }
}

/// Fills in the starts that are remembered.
pub(crate) fn of_memory(status: &mut PoolStatus, memory: &Memory) {
    let starts = &memory.cold_starts;
    let newest = starts.iter().skip(starts.len().saturating_sub(STARTS_TOLD_MAX));
    status.cold_starts = newest.map(measured).collect();
}

fn measured(start: &ColdStartSample) -> MeasuredStart {
    let phases = START_PHASES.iter().zip(start.phases);
    let known =
        phases.filter_map(|(phase, took)| Some((phase.name().to_owned(), took?.as_secs_f64())));
    MeasuredStart {
        took_s: start.took.as_secs_f64(),
        phases_s: known.collect(),
        given_up_in: start.given_up_in.map(|phase| phase.name().to_owned()),
    }
}

/// What ready replicas counted for in a decision.
fn set_capacities(replicas: &mut [ReplicaStatus], slow: &[SlowReplica]) {
    for replica in replicas.iter_mut().filter(|replica| replica.phase == ReplicaPhase::Ready.name())
    {
        let slow = slow.iter().find(|slow| slow.replica == replica.id);
        replica.capacity = Some(slow.map_or(1.0, |slow| slow.capacity.get()));
    }
}

fn phase(seen: &PhaseExplanation) -> PhaseStatus {
    PhaseStatus {
        phase: seen.phase.name().to_owned(),
        seen: seen.samples,
        unfinished: seen.censored,
        p50_s: seen.p50.as_secs_f64(),
        p90_s: seen.p90.as_secs_f64(),
    }
}

/// The numbers behind a decision.
fn numbers(explanation: &Explanation) -> DecisionNumbers {
    let (demand, cold_start) = (&explanation.demand, &explanation.cold_start);
    let rehearsal = &explanation.rehearsal;
    DecisionNumbers {
        target: explanation.target.0,
        target_stabilized: explanation.target_stabilized.0,
        arrival_rate: demand.arrival_rate.get(),
        offered_load: demand.offered_load.get(),
        slots_held: rehearsal.slots_held,
        attainment_expected: rehearsal.attainment_expected.get(),
        service_time_s: demand.service_time.as_secs_f64(),
        concurrency_cap: explanation.capacity.concurrency_cap.get(),
        utilization: explanation.supply.utilization.map(|utilization| utilization.get()),
        backlog: explanation.backlog.requests,
        cold_starts_seen: cold_start.samples,
        cold_start_p50_s: cold_start.p50.as_secs_f64(),
        cold_start_p90_s: cold_start.p90.as_secs_f64(),
        lead_time_s: cold_start.lead_time.as_secs_f64(),
    }
}

/// Fills in what was seen.
/// Values are left out once they are older than the policy believes; their ages stay.
fn observe(status: &mut PoolStatus, observation: &Observation, staleness_max: Duration) {
    let now = observation.now;
    let ready = observation.replicas.iter().filter(|r| r.phase == ReplicaPhase::Ready);
    for replica in ready {
        let signals = [
            ("in_flight", replica.in_flight.map(|s| s.observed_at)),
            ("queue_depth", replica.queue_depth.map(|s| s.observed_at)),
            ("counters", replica.counters.map(|s| s.observed_at)),
            ("outstanding", replica.outstanding.map(|s| s.observed_at)),
        ];
        for (signal, observed_at) in signals {
            let Some(observed_at) = observed_at else { continue };
            let oldest = status.signal_age_s.entry(signal.to_owned()).or_default();
            *oldest = oldest.max(age_s(observed_at, now));
        }
    }
    if let Some(gateway) = &observation.gateway {
        status.signal_age_s.insert("gateway".to_owned(), age_s(gateway.observed_at, now));
    }
    status.quota = observation.replicas_allowed.as_ref().map(quota);
    let seen = observation.replicas.iter().map(|r| (r.phase, replica(r, now, staleness_max)));
    set_replicas(status, seen);
}

fn quota(allowance: &Allowance) -> QuotaStatus {
    QuotaStatus {
        replicas_allowed: allowance.replicas.0,
        taken_by: allowance.taken_by.clone(),
        settles_in_s: allowance.settles_in.map(|settles_in| settles_in.as_secs_f64()),
    }
}

/// Puts these replicas into the status, each with its phase, and the counts and sums over them: both
/// are of the moment that the replicas are of.
pub fn set_replicas(
    status: &mut PoolStatus,
    replicas: impl IntoIterator<Item = (ReplicaPhase, ReplicaStatus)>,
) {
    let (mut ready, mut starting, mut draining, mut standby) = (0, 0, 0, 0);
    let (mut in_flight, mut queue_depth) = (None, None);
    let mut listed = Vec::new();
    for (phase, replica) in replicas {
        match phase {
            ReplicaPhase::Ready => {
                ready += 1;
                add(&mut in_flight, replica.in_flight);
                add(&mut queue_depth, replica.queue_depth);
            }
            ReplicaPhase::Pending
            | ReplicaPhase::Provisioning
            | ReplicaPhase::Pulling
            | ReplicaPhase::Loading
            | ReplicaPhase::Warming
            | ReplicaPhase::Waking(_) => starting += 1,
            ReplicaPhase::Draining => draining += 1,
            ReplicaPhase::Standby(_) => standby += 1,
            ReplicaPhase::Stopped => {}
        }
        listed.push(replica);
    }
    status.ready = ready;
    status.starting = starting;
    status.draining = draining;
    status.standby = standby;
    status.in_flight = in_flight;
    status.queue_depth = queue_depth;
    status.replicas = listed;
}

/// One replica as it was seen; what a world knows of its process is absent.
fn replica(seen: &ReplicaObservation, now: Instant, staleness_max: Duration) -> ReplicaStatus {
    let fresh = |sample: Option<Sample<u32>>| {
        sample.filter(|s| s.staleness(now) <= staleness_max).map(|s| s.value)
    };
    ReplicaStatus {
        id: seen.id,
        phase: seen.phase.name().to_owned(),
        phase_age_s: age_s(seen.phase_since, now),
        in_flight: fresh(seen.in_flight),
        queue_depth: fresh(seen.queue_depth),
        outstanding: fresh(seen.outstanding),
        kv_utilization: seen.kv_utilization.map(|s| s.value.get()),
        capacity: None,
        node: None,
        address: None,
        pid: None,
        restarts: seen.restarts,
        last_error: None,
    }
}

fn age_s(at: Instant, now: Instant) -> f64 {
    now.since(at).as_secs_f64()
}

/// Adds what is known to a sum that is absent until something is.
fn add(sum: &mut Option<u32>, value: Option<u32>) {
    if let Some(value) = value {
        *sum = Some(sum.unwrap_or(0).saturating_add(value));
    }
}

#[cfg(test)]
mod tests {
    use preheat_core::{ReplicaId, Rung, Utilization};

    use super::*;

    fn listed(id: u64, in_flight: Option<u32>, queue_depth: Option<u32>) -> ReplicaStatus {
        ReplicaStatus {
            id: ReplicaId(id),
            phase: String::new(),
            phase_age_s: 0.0,
            in_flight,
            queue_depth,
            outstanding: None,
            kv_utilization: None,
            capacity: None,
            node: None,
            address: None,
            pid: None,
            restarts: 0,
            last_error: None,
        }
    }

    #[test]
    fn a_ready_replica_counts_for_one_unless_it_is_slower_than_its_pool() {
        let mut replicas = [listed(1, None, None), listed(2, None, None), listed(3, None, None)];
        for replica in &mut replicas[..2] {
            replica.phase = "ready".to_owned();
        }
        let half = Utilization::new(0.5).unwrap();
        set_capacities(&mut replicas, &[SlowReplica { replica: ReplicaId(2), capacity: half }]);
        assert_eq!(replicas.map(|replica| replica.capacity), [Some(1.0), Some(0.5), None]);
    }

    #[test]
    fn counts_and_sums_are_those_of_the_replicas_listed() {
        use ReplicaPhase::{Draining, Loading, Pending, Ready, Standby, Stopped, Waking};
        let mut status = PoolStatus::default();
        let replicas = [
            (Ready, listed(1, Some(3), None)),
            (Ready, listed(2, Some(4), None)),
            (Ready, listed(3, None, None)),
            (Pending, listed(4, Some(9), Some(9))),
            (Loading, listed(5, None, None)),
            (Waking(Rung::Sleeping), listed(6, None, None)),
            (Draining, listed(7, Some(9), Some(9))),
            (Standby(Rung::Sleeping), listed(8, None, None)),
            (Stopped, listed(9, None, None)),
        ];
        set_replicas(&mut status, replicas);
        let counts = (status.ready, status.starting, status.draining, status.standby);
        assert_eq!(counts, (3, 3, 1, 1));
        assert_eq!((status.in_flight, status.queue_depth), (Some(7), None));
        let ids: Vec<u64> = status.replicas.iter().map(|replica| replica.id.0).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        // What was there before is gone.
        set_replicas(&mut status, [(Ready, listed(1, None, Some(0)))]);
        let counts = (status.ready, status.starting, status.draining, status.standby);
        assert_eq!((counts, status.replicas.len()), ((1, 0, 0, 0), 1));
        assert_eq!((status.in_flight, status.queue_depth), (None, Some(0)));
    }
}
