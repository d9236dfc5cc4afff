//! Counts for whoever publishes them: read from the resources' status, so that every preheat tells
//! the same, whether or not it leads.
//!
//! **Invariant:** how long a count has stood unconfirmed is told by this process's own clock, from
//! when it saw it confirmed last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kube::runtime::reflector::{ObjectRef, Store};
use preheat_core::Instant;
use preheat_publish::Counts;
use preheat_runtime::clock::Clock;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::publication::answer;
use crate::resource::InferenceAutoscaler;

/// When each resource's count was last seen confirmed, and by which time of its own.
type Confirmed = Mutex<HashMap<ObjectRef<InferenceAutoscaler>, (Option<String>, Instant)>>;

/// Begins to keep an eye on how old counts are.
pub(crate) fn counts(
    store: Store<InferenceAutoscaler>,
    changes: watch::Receiver<u64>,
    clock: Clock,
    tasks: &mut JoinSet<()>,
) -> Counts {
    let confirmed: Arc<Confirmed> = Arc::default();
    let watching =
        watch_confirmations(store.clone(), changes.clone(), clock.clone(), Arc::clone(&confirmed));
    tasks.spawn(watching);
    let ask = move |namespace: &str, name: &str| {
        let key = ObjectRef::new(name).within(namespace);
        let resource = store.get(&key);
        let confirmed = confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = confirmed.get(&key);
        // What is not noted yet has just come.
        let noted =
            last.filter(|(by, _)| Some(by) == resource.as_deref().map(published_at).as_ref());
        let age = noted.map(|(_, at)| clock.now().since(*at)).unwrap_or_default();
        answer(namespace, name, resource.as_deref(), age)
    };
    Counts::new(ask, changes)
}

async fn watch_confirmations(
    store: Store<InferenceAutoscaler>,
    mut changes: watch::Receiver<u64>,
    clock: Clock,
    confirmed: Arc<Confirmed>,
) {
    while changes.changed().await.is_ok() {
        let now = clock.now();
        let mut confirmed = confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        confirmed.retain(|key, _| store.get(key).is_some());
        for resource in store.state() {
            let by = published_at(&resource);
            let entry = confirmed.entry(ObjectRef::from_obj(&*resource));
            let last = entry.or_insert_with(|| (by.clone(), now));
            if last.0 != by {
                *last = (by, now);
            }
        }
    }
}

fn published_at(resource: &InferenceAutoscaler) -> Option<String> {
    resource.status.as_ref()?.published_at.clone()
}
