//! What a pool has come to: since this process began to decide for it, or over a journal.
//!
//! **Invariant:** GPU-seconds never understate. A replica that is gone from one tick to the next is
//! charged until the second.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_api::journal::EntryBody;
use preheat_api::status::{DecisionCount, Direction, GatewayStatus, LatencyStatus, PoolTotals};
use preheat_core::{
    Action, Explanation, GatewayObservation, LatencyWindow, Observation, Plan, Reason,
    ReplicaObservation, ReplicaPhase, StopReason,
};

/// Running totals of one pool.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(super) gpus_per_replica: u32,
    pool: PoolTotals,
    decisions: BTreeMap<(Direction, Reason), u64>,
    gateway: Option<GatewayStatus>,
    /// The last direction other than hold.
    direction: Direction,
}

impl Totals {
    pub(crate) fn new(gpus_per_replica: u32) -> Self {
        Self {
            gpus_per_replica,
            pool: PoolTotals::default(),
            decisions: BTreeMap::new(),
            gateway: None,
            direction: Direction::Hold,
        }
    }

    pub(crate) fn status(&self) -> PoolTotals {
        let decisions = self.decisions.iter().map(|(&(direction, reason), &count)| DecisionCount {
            direction,
            reason,
            count,
        });
        PoolTotals { decisions: decisions.collect(), ..self.pool.clone() }
    }

    pub(crate) fn gateway(&self) -> Option<GatewayStatus> {
        self.gateway
    }

    /// Takes one entry in; a checkpoint adds nothing. `previous` is what the tick before saw.
    pub(crate) fn count(&mut self, previous: Option<&Observation>, body: &EntryBody) {
        let Some(observation) = body.observation() else { return };
        self.pool.ticks += 1;
        let existing =
            observation.replicas.iter().filter(|r| r.phase != ReplicaPhase::Stopped).count();
        let existing = u32::try_from(existing).unwrap_or(u32::MAX);
        self.pool.replicas_peak = self.pool.replicas_peak.max(existing);
        if let Some(previous) = previous {
            self.charge(previous, observation);
        }
        if let Some(gateway) = &observation.gateway {
            add_gateway(self.gateway.get_or_insert_default(), gateway);
        }
        if let (Some(plan), Some(explanation)) = (body.plan(), body.explanation()) {
            self.count_decision(plan, explanation);
        }
        if let Some(violation) = body.violation() {
            *self.pool.violations.entry(violation.id.clone()).or_default() += 1;
        }
    }

    fn count_decision(&mut self, plan: &Plan, explanation: &Explanation) {
        let direction = direction(plan);
        *self.decisions.entry((direction, explanation.reason)).or_default() += 1;
        if direction != Direction::Hold {
            let turned = self.direction != Direction::Hold && self.direction != direction;
            self.pool.direction_changes += u64::from(turned);
            self.direction = direction;
        }
        for action in &plan.actions {
            self.count_action(action, explanation.reason);
        }
    }

    fn count_action(&mut self, action: &Action, reason: Reason) {
        let pool = &mut self.pool;
        match action {
            Action::Start { count } => {
                pool.starts += u64::from(*count);
                let name = reason.name().to_owned();
                *pool.starts_by_reason.entry(name).or_default() += u64::from(*count);
            }
            Action::Wake { .. } => pool.wakes += 1,
            Action::Resume { .. } => pool.resumes += 1,
            Action::Drain { .. } => pool.drains += 1,
            Action::Sleep { .. } => pool.sleeps += 1,
            Action::Stop { because, .. } => {
                pool.stops += 1;
                let name = stop_reason_name(*because).to_owned();
                *pool.stops_by_reason.entry(name).or_default() += 1;
            }
        }
    }

    /// Charges the time between two ticks to the phases that replicas were in.
    fn charge(&mut self, previous: &Observation, observation: &Observation) {
        let (begin, now) = (previous.now, observation.now.max(previous.now));
        let before = |r: &ReplicaObservation| {
            let found = previous.replicas.binary_search_by_key(&r.id, |earlier| earlier.id);
            found.ok().map(|index| &previous.replicas[index])
        };
        for replica in &observation.replicas {
            let earlier = before(replica);
            let begin = match earlier {
                Some(_) => begin,
                None => replica.start_ordered_at.clamp(begin, now),
            };
            let turned = replica.phase_since.clamp(begin, now);
            let phase = earlier.map_or(ReplicaPhase::Pending, |earlier| earlier.phase);
            self.charge_phase(phase, turned.since(begin));
            self.charge_phase(replica.phase, now.since(turned));
        }
        let is_gone =
            |r: &&ReplicaObservation| !observation.replicas.iter().any(|later| later.id == r.id);
        for gone in previous.replicas.iter().filter(is_gone) {
            self.charge_phase(gone.phase, now.since(begin));
        }
    }

    fn charge_phase(&mut self, phase: ReplicaPhase, time: Duration) {
        if phase == ReplicaPhase::Stopped || time.is_zero() {
            return;
        }
        let gpu_seconds = f64::from(self.gpus_per_replica) * time.as_secs_f64();
        self.pool.gpu_seconds += gpu_seconds;
        *self.pool.gpu_seconds_by_phase.entry(phase.name().to_owned()).or_default() += gpu_seconds;
    }
}

/// What a plan does to the number of replicas that serve or will.
fn direction(plan: &Plan) -> Direction {
    let mut direction = Direction::Hold;
    for action in &plan.actions {
        match action {
            Action::Start { .. } | Action::Wake { .. } | Action::Resume { .. } => {
                return Direction::Up;
            }
            Action::Drain { .. } | Action::Stop { because: StopReason::StartCancelled, .. } => {
                direction = Direction::Down;
            }
            // These only finish what an earlier plan began.
            Action::Sleep { .. } | Action::Stop { .. } => {}
        }
    }
    direction
}

const fn stop_reason_name(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Drained => "Drained",
        StopReason::DrainDeadlinePassed => "DrainDeadlinePassed",
        StopReason::StartCancelled => "StartCancelled",
        StopReason::StandbySurplus => "StandbySurplus",
    }
}

fn add_gateway(status: &mut GatewayStatus, seen: &GatewayObservation) {
    status.held = seen.held;
    status.held_oldest_s = seen.held_oldest.map(|age| age.as_secs_f64());
    status.arrivals += seen.arrivals;
    status.completions += seen.completions;
    status.failures += seen.failures;
    status.rejections += seen.rejections;
    add_latency(&mut status.ttft, seen.ttft.as_ref());
    add_latency(&mut status.itl, seen.itl.as_ref());
}

fn add_latency(status: &mut LatencyStatus, window: Option<&LatencyWindow>) {
    let Some(window) = window else { return };
    status.count += window.count;
    status.sum_s += window.mean.as_secs_f64() * window.count as f64;
    status.p50_s = Some(window.p50.as_secs_f64());
    status.p90_s = Some(window.p90.as_secs_f64());
    status.p99_s = Some(window.p99.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use preheat_core::{Instant, ReplicaId, Rung, TickId};

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
    }

    fn replica(id: u64, phase: ReplicaPhase, since: u64, ordered: u64) -> ReplicaObservation {
        ReplicaObservation {
            start_ordered_at: at(ordered),
            ..ReplicaObservation::untold(ReplicaId(id), phase, at(since))
        }
    }

    #[track_caller]
    fn check(
        before: &[ReplicaObservation],
        after: &[ReplicaObservation],
        expected: &[(&str, f64)],
    ) {
        let seen = |now, replicas: &[ReplicaObservation]| {
            Observation::of(TickId(0), at(now), replicas.to_vec())
        };
        let mut totals = Totals::new(2);
        totals.charge(&seen(100, before), &seen(110, after));
        let expected: BTreeMap<String, f64> =
            expected.iter().map(|(phase, seconds)| ((*phase).to_owned(), *seconds)).collect();
        assert_eq!(totals.pool.gpu_seconds_by_phase, expected);
        assert_eq!(totals.pool.gpu_seconds, expected.values().sum::<f64>());
    }

    #[test]
    fn time_is_charged_to_the_phase_it_was_spent_in() {
        use ReplicaPhase::{Draining, Loading, Ready, Standby, Stopped};
        let ready = replica(1, Ready, 50, 20);
        check(&[], &[], &[]);
        check(std::slice::from_ref(&ready), std::slice::from_ref(&ready), &[("ready", 20.0)]);
        // Became ready four seconds ago.
        let loading = replica(1, Loading, 60, 20);
        check(&[loading], &[replica(1, Ready, 106, 20)], &[("loading", 12.0), ("ready", 8.0)]);
        // Ordered since; loading for the last five seconds.
        check(&[], &[replica(1, Loading, 105, 103)], &[("pending", 4.0), ("loading", 10.0)]);
        // Gone without a word; stopped three seconds after the first tick.
        let standby = replica(1, Standby(Rung::Sleeping), 50, 20);
        check(&[standby], &[], &[("standby", 20.0)]);
        check(
            &[replica(1, Draining, 50, 20)],
            &[replica(1, Stopped, 103, 20)],
            &[("draining", 6.0)],
        );
    }
}
