//! Shared views of what the apiserver holds, kept up to date by watches.
//!
//! **Invariant:** a watch that fails is tried again for as long as this process lives.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Container, Event, Pod, ResourceRequirements};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::chain;
use crate::events::{self, EventsSeen};

pub(super) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Keeps a shared view of all objects of a kind up to date, and counts their changes.
pub(super) fn watched<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    changes: watch::Sender<u64>,
    slim: fn(&mut K),
) -> Store<K>
where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let stream = watcher(api, watcher::Config::default()).default_backoff();
    let stream = stream.modify(slim).reflect(writer);
    tasks.spawn(async move {
        let mut stream = pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => changes.send_modify(|count| *count = count.wrapping_add(1)),
                Err(error) => tell_failure::<K>(&error),
            }
        }
    });
    store
}

/// Keeps what the events of pods tell up to date. There are more of them than of anything else, so
/// they are not kept themselves.
pub(super) fn watched_events(tasks: &mut JoinSet<()>, api: Api<Event>) -> Arc<Mutex<EventsSeen>> {
    let seen = Arc::new(Mutex::new(EventsSeen::default()));
    let kept = Arc::clone(&seen);
    let config = watcher::Config::default().fields(events::SELECTOR);
    let stream = watcher(api, config).default_backoff();
    tasks.spawn(async move {
        let mut stream = pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => kept.lock().unwrap_or_else(PoisonError::into_inner).take(event),
                Err(error) => tell_failure::<Event>(&error),
            }
        }
    });
    seen
}

fn tell_failure<K: Resource<DynamicType = ()>>(error: &watcher::Error) {
    let kind = K::kind(&());
    tracing::warn!(%kind, error = %chain(error), "watching failed; trying again");
}

/// Drops what nobody here reads, which is most of a pod.
pub(super) fn slim(pod: &mut Pod) {
    pod.metadata.managed_fields = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
        spec.affinity = None;
        let inits = spec.init_containers.iter_mut().flatten();
        for container in spec.containers.iter_mut().chain(inits) {
            let Container { name, image, restart_policy, resources, .. } =
                std::mem::take(container);
            let resources =
                resources.map(|resources| ResourceRequirements { claims: None, ..resources });
            *container =
                Container { name, image, restart_policy, resources, ..Container::default() };
        }
    }
}
