//! Pods that are set aside, in the loop of their pool.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::events::EventType;
use preheat_core::Plan;

use super::Pool;
use crate::cluster::ReadScale;
use crate::resource::{InferenceAutoscaler, Mode, Settings};
use crate::roster::Replica;
use crate::standby::{Outlook, Stance};
use crate::traffic::Reach;
use crate::writes::Situation;

impl Pool {
    /// Gives replicas whose pods are out of traffic, or sleep, their phases.
    pub(super) async fn set_aside(
        &mut self,
        namespace: &str,
        settings: &Settings,
        (read, pods): (&ReadScale, &[Arc<Pod>]),
        replicas: &mut [Replica],
        (acts, recall): (bool, bool),
    ) {
        let wants =
            settings.policy.spec().standby.is_some() || replicas.iter().any(Replica::is_out);
        let services = if wants { self.shared.cluster.services(namespace) } else { None };
        let labels = || pods.iter().filter_map(|pod| pod.metadata.labels.as_ref());
        let services = services.as_ref();
        let reach = services.map(|all| Reach::of(all.iter().map(Arc::as_ref), labels()));
        let is_reached = reach.as_ref().is_some_and(|reach| reach.blind.is_some());
        let stance = Stance {
            acts,
            recall: recall || (acts && is_reached),
            staleness_max: settings.policy.spec().staleness_max,
        };
        let signals = (&self.signals, reach.as_ref());
        let now = self.shared.clock.now();
        self.standby.observe(settings, &read.selector, replicas, signals, stance, now).await;
    }

    /// Takes pods out of traffic, puts them to sleep and brings them back, as far as that is due.
    pub(super) async fn move_pods(
        &mut self,
        resource: &InferenceAutoscaler,
        situation: &Situation<'_>,
        plan: &Plan,
    ) {
        let (settings, acts) = (situation.settings, situation.mode != Mode::Observe);
        let availability = self.standby.availability.as_ref();
        let outlook = Outlook {
            mode: situation.mode,
            pause: settings.pause,
            replicas: situation.replicas,
            possible: availability.is_some_and(|availability| availability.is_possible()),
            // What is feared to be needed is no use asleep.
            recall: self.standby.recalls || (acts && situation.falls_back()),
        };
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let place = (namespace, settings);
        let told = self.standby.carry_out(&self.shared, place, &outlook, plan).await;
        for told in told {
            match told.type_ {
                EventType::Normal => tracing::info!(pool = %self.id, "{}", told.note),
                EventType::Warning => tracing::warn!(pool = %self.id, "{}", told.note),
            }
            self.shared.cluster.tell_of_pod(resource, told).await;
        }
    }
}
