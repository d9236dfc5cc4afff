//! Demand that finds no replica, and for how long nothing has been told, in the loop of their pool.

use std::time::Duration;

use futures_util::future::join_all;
use kube::runtime::events::EventType;
use preheat_api::dialect::Expression;
use preheat_core::{Explanation, Instant, Observation, ReplicaPhase, Sample};
use preheat_runtime::prometheus::Prometheus;
use preheat_runtime::scrape::ScrapeError;

use super::{Pool, Shared};
use crate::cluster::chain;
use crate::demand::{Round, Told};
use crate::picker;
use crate::report::DemandSeen;
use crate::resource::{ConditionStatus, InferenceAutoscaler, InferenceAutoscalerStatus, Settings};
use crate::roster::Replica;

/// Longest wait for what tells of demand: a tick goes on without it.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks what tells of demand, where the resource says.
pub(super) async fn ask(shared: &Shared, settings: &Settings, namespace: &str) -> Round {
    let Some(queries) = &settings.demand else { return Round::default() };
    let now = shared.clock.now();
    let Some(prometheus) = &shared.demand else {
        let Some(pool) = &settings.inference_pool else { return Round::default() };
        let asked = ask_pickers(shared, namespace, pool);
        let answer = tokio::time::timeout(DEMAND_TIMEOUT, asked).await;
        let held = answer.unwrap_or_else(|_| Err(format!("no answer within {DEMAND_TIMEOUT:?}")));
        return Round { held: Some(held), arrivals: None };
    };
    let (held, arrivals) = tokio::join!(
        one(prometheus, queries.held(), now),
        one(prometheus, queries.arrivals(), now)
    );
    Round { held, arrivals }
}

/// What the endpoint pickers of an InferencePool hold, all of those that are ready: of fewer the rest
/// would be missing.
async fn ask_pickers(
    shared: &Shared,
    namespace: &str,
    pool: &str,
) -> Result<Option<Sample<f64>>, String> {
    let now = shared.clock.now();
    let pickers = shared.cluster.pickers(namespace, pool, now).await?;
    let asked = pickers.iter().map(|(_, address)| {
        shared.scraper.read(*address, "/metrics", |body, format| picker::held(body, format, pool))
    });
    let mut total = 0.0;
    for ((pod, _), answer) in pickers.iter().zip(join_all(asked).await) {
        let held = answer.map_err(|error| {
            if matches!(error, ScrapeError::Status(401 | 403)) {
                return format!(
                    "the endpoint picker {pod} asks for a token: start it with \
                     --metrics-endpoint-auth=false, or have a Prometheus scrape it and start preheat \
                     with --prometheus"
                );
            }
            format!("the endpoint picker {pod}: {}", chain(&error))
        })?;
        total += held.ok_or_else(|| {
            format!(
                "the endpoint picker {pod} tells nothing of flow control for `{pool}`: turn it on"
            )
        })?;
    }
    Ok(Some(Sample::new(total, now)))
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
