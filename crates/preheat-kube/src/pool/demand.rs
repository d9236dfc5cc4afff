//! Demand that finds no replica, and for how long nothing has been told, in the loop of their pool.

use std::time::Duration;

use kube::runtime::events::EventType;
use preheat_api::dialect::Expression;
use preheat_core::{Explanation, Instant, Observation, ReplicaPhase};
use preheat_runtime::prometheus::Prometheus;

use super::{Pool, Shared};
use crate::cluster::chain;
use crate::demand::{Round, Told};
use crate::report::DemandSeen;
use crate::resource::{ConditionStatus, InferenceAutoscaler, InferenceAutoscalerStatus, Settings};
use crate::roster::Replica;

/// Longest wait for what tells of demand: a tick goes on without it.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks what tells of demand, where the resource says.
pub(super) async fn ask(shared: &Shared, settings: &Settings) -> Round {
    let (Some(queries), Some(prometheus)) = (&settings.demand, &shared.demand) else {
        return Round::default();
    };
    let now = shared.clock.now();
    let (held, arrivals) = tokio::join!(
        one(prometheus, queries.held(), now),
        one(prometheus, queries.arrivals(), now)
    );
    Round { held, arrivals }
}

async fn one(prometheus: &Prometheus, query: Option<&Expression>, now: Instant) -> Told {
    let asked = prometheus.total(query?, now);
    Some(match tokio::time::timeout(DEMAND_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer within {DEMAND_TIMEOUT:?}")),
    })
}

impl Pool {
    /// Whether a request that finds no replica would be seen, where the resource says who sees it.
    pub(super) fn demand_seen(
        &self,
        settings: &Settings,
        observation: &Observation,
    ) -> Option<DemandSeen> {
        settings.demand.as_ref()?;
        let is_seen = observation.sees_demand(settings.policy.spec().staleness_max);
        let why_not = if is_seen { String::new() } else { self.demand.troubles(observation.now) };
        Some(DemandSeen { is_seen, why_not })
    }

    /// Tells once of demand that is not seen any more.
    pub(super) async fn tell_of_demand(
        &self,
        resource: &InferenceAutoscaler,
        status: &InferenceAutoscalerStatus,
    ) {
        let unseen = |status: &InferenceAutoscalerStatus| {
            let condition = status.conditions.iter().find(|c| c.type_ == "DemandSeen")?;
            (condition.status == ConditionStatus::False).then(|| condition.message.clone())
        };
        if let (None, Some(message)) = (unseen(&self.status), unseen(status)) {
            tracing::warn!(pool = %self.id, "{message}");
            let cluster = &self.shared.cluster;
            cluster.tell(resource, EventType::Warning, "DemandUnseen", &message).await;
        }
    }

    /// For how long no ready replica has told anything, nor anybody of demand where none is ready.
    pub(super) fn blind_for(
        &mut self,
        replicas: &[Replica],
        explanation: Option<&Explanation>,
        demand: Option<&DemandSeen>,
    ) -> Duration {
        let now = self.shared.clock.now();
        let ready = |replica: &&Replica| replica.observation.phase == ReplicaPhase::Ready;
        let blind = |replica: &Replica| {
            explanation.is_some_and(|why| why.replicas_blind.contains(&replica.observation.id))
        };
        let mut ready = replicas.iter().filter(ready).peekable();
        let none_is_ready = ready.peek().is_none();
        let is_dark = none_is_ready && demand.is_some_and(|demand| !demand.is_seen);
        if !is_dark && (none_is_ready || !ready.all(blind)) {
            self.told_at = Some(now);
        }
        now.since(*self.told_at.get_or_insert(now))
    }
}
