//! What is not as it should be: replicas that nobody can see into, that should have been ready, or
//! that are slow.

use preheat_core::{
    Explanation, Observation, ReplicaId, ReplicaObservation, Sample, SupplyExplanation,
};

use super::{IDS_SHOWN, ids};

/// What is not as it should be, each as a sentence.
pub(super) fn all(explanation: &Explanation, observation: &Observation) -> Vec<String> {
    let mut lines = Vec::new();
    let answers = |id: &ReplicaId| {
        observation.replicas.iter().any(|replica| replica.id == *id && answers(replica))
    };
    let (silent, other): (Vec<ReplicaId>, Vec<ReplicaId>) =
        explanation.replicas_blind.iter().partition(|id| !answers(id));
    if !silent.is_empty() {
        lines.push(format!("Blind: no fresh signal from {}.", ids(&silent)));
    }
    if !other.is_empty() {
        lines.push(format!(
            "Blind: {} answered, without how many requests run or wait, which may have other names \
             there (`preheat status` and the log say which).",
            ids(&other)
        ));
    }
    if !explanation.replicas_overdue.is_empty() {
        let overdue = ids(&explanation.replicas_overdue);
        lines.push(format!("Overdue: {overdue} should have been ready long ago; not counted on."));
    }
    lines.extend(slow(&explanation.supply));
    lines
}

/// Whether it told something after it told last what is inside it.
fn answers(replica: &ReplicaObservation) -> bool {
    let at = |sample: Option<Sample<u32>>| sample.map(|sample| sample.observed_at);
    let inside = at(replica.in_flight).min(at(replica.queue_depth));
    let rest = [
        replica.counters.map(|sample| sample.observed_at),
        replica.kv_utilization.map(|sample| sample.observed_at),
    ];
    rest.into_iter().max().flatten() > inside
}

fn slow(supply: &SupplyExplanation) -> Option<String> {
    let shown: Vec<String> = supply
        .slow
        .iter()
        .take(IDS_SHOWN)
        .map(|slow| format!("{} ({:.2})", slow.replica, slow.capacity.get()))
        .collect();
    let rest = supply.slow.len().saturating_sub(IDS_SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    (!shown.is_empty()).then(|| {
        format!(
            "Slow: {}{more} do so much of a whole replica's work; what is ready or on the way counts \
             as {:.1} whole ones.",
            shown.join(", "),
            supply.capacity
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use preheat_core::{Counters, Instant, Memory, PolicySpec, ReplicaPhase, TickId, decide};

    use super::*;

    #[test]
    fn what_answers_without_what_is_inside_is_told_apart_from_what_does_not_answer() {
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(600));
        let before = Instant::ORIGIN.saturating_add(Duration::from_secs(300));
        let ready = |id| ReplicaObservation::untold(ReplicaId(id), ReplicaPhase::Ready, before);
        let inside = |at| Some(Sample::new(3_u32, at));
        let counters = |at| Some(Sample::new(Counters::default(), at));
        let replicas = vec![
            // Never answered; answered and does so no more; answers with other names; all is well.
            ready(1),
            ReplicaObservation {
                in_flight: inside(before),
                queue_depth: inside(before),
                counters: counters(before),
                ..ready(2)
            },
            ReplicaObservation {
                in_flight: inside(before),
                queue_depth: inside(before),
                counters: counters(now),
                ..ready(3)
            },
            ReplicaObservation {
                in_flight: inside(now),
                queue_depth: inside(now),
                counters: counters(now),
                ..ready(4)
            },
        ];
        let observation = Observation::of(TickId(0), now, replicas);
        let policy = PolicySpec::default().validate().unwrap();
        let decision = decide(&policy, &Memory::default(), &observation);
        let told = all(&decision.explanation, &observation);
        assert_eq!(told[0], "Blind: no fresh signal from r1, r2.");
        assert!(told[1].starts_with("Blind: r3 answered, without how many requests"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
    }
}
