//! What a pool's loop tells: its status, and events where something changed.
//!
//! **Invariant:** a status that only rewords its sentences is not written at every tick.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::EventType;

use super::Pool;
use crate::cluster::{WriteError, chain};
use crate::report::{self, Facts, Seen, Trouble};
use crate::resource::{ConditionStatus, InferenceAutoscaler, InferenceAutoscalerStatus};

/// Between two writes of a status that only rewords its sentences.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

impl Pool {
    pub(super) async fn announce(
        &self,
        resource: &InferenceAutoscaler,
        from: u32,
        to: u32,
        seen: &Seen<'_>,
    ) {
        let reason = if to > from { "ScaledUp" } else { "ScaledDown" };
        let note = format!("{from} → {to} replicas. {}", seen.headline);
        tracing::info!(pool = %self.id, from, to, "{}", seen.headline);
        self.shared.cluster.tell(resource, EventType::Normal, reason, &note).await;
    }

    /// Writes the status if it says anything new, or has not been refreshed for long.
    pub(super) async fn report(
        &mut self,
        resource: &InferenceAutoscaler,
        seen: Result<&Seen<'_>, &Trouble>,
    ) {
        let status = self.new_status(resource, seen);
        let due = self.status_at.saturating_add(STATUS_INTERVAL) <= self.shared.clock.now();
        let urgent = report::is_urgent(&self.status, &status);
        if (urgent || (due && status != self.status))
            && let Err(error) = self.write_status(resource, status).await
        {
            tracing::warn!(pool = %self.id, error = %chain(&error), "the status is not written");
        }
    }

    pub(super) async fn report_now(
        &mut self,
        resource: &InferenceAutoscaler,
        seen: Result<&Seen<'_>, &Trouble>,
    ) -> Result<(), WriteError> {
        let status = self.new_status(resource, seen);
        self.write_status(resource, status).await
    }

    fn new_status(
        &self,
        resource: &InferenceAutoscaler,
        seen: Result<&Seen<'_>, &Trouble>,
    ) -> InferenceAutoscalerStatus {
        let facts = Facts {
            generation: resource.metadata.generation.unwrap_or_default(),
            now: &Timestamp::now().to_string(),
            written: self.written,
            published: self.order.filter(|_| seen.is_ok()).map(|order| order.replicas),
            written_at: self.written_at.as_deref(),
            weights_nodes: &self.ground.weights_nodes(),
            starts_per_day: self.ground.starts_per_day(self.shared.clock.now()),
            seen,
        };
        report::status(&self.status, &facts)
    }

    async fn write_status(
        &mut self,
        resource: &InferenceAutoscaler,
        status: InferenceAutoscalerStatus,
    ) -> Result<(), WriteError> {
        self.shared.cluster.write_status(resource, &status).await?;
        let conflict = |status: &InferenceAutoscalerStatus| {
            let conflicted = status.conditions.iter().find(|c| c.type_ == "Conflicted").cloned();
            conflicted.filter(|condition| condition.status == ConditionStatus::True)
        };
        if let (None, Some(new)) = (conflict(&self.status), conflict(&status)) {
            tracing::warn!(pool = %self.id, reason = new.reason, "{}", new.message);
            self.shared
                .cluster
                .tell(resource, EventType::Warning, "Conflicted", &new.message)
                .await;
        }
        self.tell_of_demand(resource, &status).await;
        self.status = status;
        self.status_at = self.shared.clock.now();
        Ok(())
    }
}
