//! What the events of pods tell of their starts: that no node was found, and when images were pulled.
//!
//! An apiserver keeps events for an hour, and whoever writes them may leave some out, so nothing rests
//! on them: where they are missing, a pod's own word counts.
//!
//! **Invariant:** pure, and bounded: of an event no more is kept than when it happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Event;
use kube::runtime::watcher;
use preheat_core::Instant;

use crate::pods::instant;

/// Which events are asked for: of pods, without those that come often and tell nothing of a start.
pub const SELECTOR: &str = "involvedObject.kind=Pod,reason!=Created,reason!=Started,\
                            reason!=BackOff,reason!=Unhealthy,reason!=Killing";
/// Pods whose events are kept: more than start within the hour that events last in a cluster of some
/// thousand nodes, and some ten megabytes.
const PODS_MAX: usize = 32_768;
/// Pulls kept of one pod: more than it has containers.
const PULLS_MAX: usize = 32;

/// What one pod's events tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodEvents {
    /// When the scheduler first found no node for it.
    pub unschedulable_at: Option<Instant>,
    /// Whether that it was scheduled is told: then what is not told before did not happen.
    pub is_scheduled: bool,
    /// Pulls by container.
    pulls: BTreeMap<String, ImagePull>,
}

/// One container's image on its way to the node: when each event first came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImagePull {
    began_at: Option<Instant>,
    ended_at: Option<Instant>,
    found_at: Option<Instant>,
}

impl PodEvents {
    /// The pulls, with their containers' names.
    pub fn pulls(&self) -> impl Iterator<Item = (&str, &ImagePull)> {
        self.pulls.iter().map(|(container, pull)| (container.as_str(), pull))
    }

    /// That the image of this container was on the node, where that is told. Nothing tells that it was
    /// not: one that is always pulled may have been there.
    pub fn had_image(&self, container: &str) -> Option<bool> {
        self.pulls.get(container).is_some_and(ImagePull::was_there).then_some(true)
    }

    /// Takes in one event. One that comes again keeps the time at which it came first.
    fn take(&mut self, event: &Event) {
        let Some(at) = first_at(event) else { return };
        match event.reason.as_deref() {
            Some("FailedScheduling") => note(Some(&mut self.unschedulable_at), at),
            Some("Scheduled") => self.is_scheduled = true,
            Some("Pulling") => note(self.pull(event).map(|pull| &mut pull.began_at), at),
            Some("Pulled") => {
                let message = event.message.as_deref().unwrap_or_default();
                let was_there = message.contains("already present on machine");
                let pull = self.pull(event);
                let time = pull.map(|pull| match was_there {
                    true => &mut pull.found_at,
                    false => &mut pull.ended_at,
                });
                note(time, at);
            }
            _ => {}
        }
    }

    /// The pull of the container that an event is of.
    fn pull(&mut self, event: &Event) -> Option<&mut ImagePull> {
        let container = container_of(event.involved_object.field_path.as_deref()?)?;
        if !self.pulls.contains_key(container) && self.pulls.len() >= PULLS_MAX {
            return None;
        }
        Some(self.pulls.entry(container.to_owned()).or_default())
    }
}

impl ImagePull {
    /// When it began, and when the image was there if it is: at once where the node had it. `None`
    /// where only its end is told.
    pub fn span(&self) -> Option<(Instant, Option<Instant>)> {
        match self.found_at {
            Some(at) if self.was_there() => Some((at, Some(at))),
            Some(_) | None => Some((self.began_at?, self.ended_at)),
        }
    }

    /// Whether the node had the image. A container that begins anew finds what was pulled before.
    pub fn was_there(&self) -> bool {
        self.found_at.is_some_and(|found| {
            [self.began_at, self.ended_at].into_iter().flatten().all(|at| found < at)
        })
    }
}

/// Keeps the first of several times.
fn note(kept: Option<&mut Option<Instant>>, at: Instant) {
    if let Some(kept) = kept {
        let first = kept.map_or(at, |before| before.min(at));
        *kept = Some(first);
    }
}

/// The container of `spec.containers{vllm}` or `spec.initContainers{weights}`.
fn container_of(path: &str) -> Option<&str> {
    path.strip_suffix('}')?.split_once('{').map(|(_, name)| name)
}

/// A kubelet writes the one, a scheduler the other.
fn first_at(event: &Event) -> Option<Instant> {
    let first = event.first_timestamp.as_ref().map(|time| time.0);
    instant(first.or(event.event_time.as_ref().map(|time| time.0)))
}

/// Events of all pods that are watched, by the pods' uids.
#[derive(Debug, Default)]
pub struct EventsSeen {
    known: BTreeMap<String, Arc<PodEvents>>,
    /// Those of a list that is being read.
    listed: BTreeMap<String, Arc<PodEvents>>,
}

impl EventsSeen {
    /// Takes in what a watch tells. A pod is forgotten with the first of its events.
    pub fn take(&mut self, told: watcher::Event<Event>) {
        match told {
            watcher::Event::Init => self.listed.clear(),
            watcher::Event::InitApply(event) => insert(&mut self.listed, &event),
            watcher::Event::InitDone => self.known = std::mem::take(&mut self.listed),
            watcher::Event::Apply(event) => insert(&mut self.known, &event),
            watcher::Event::Delete(event) => {
                let uid = event.involved_object.uid.unwrap_or_default();
                self.known.remove(&uid);
            }
        }
    }

    /// What is told of this pod.
    pub fn of(&self, uid: &str) -> Option<Arc<PodEvents>> {
        self.known.get(uid).map(Arc::clone)
    }
}

fn insert(pods: &mut BTreeMap<String, Arc<PodEvents>>, event: &Event) {
    let Some(uid) = &event.involved_object.uid else { return };
    if let Some(known) = pods.get_mut(uid) {
        Arc::make_mut(known).take(event);
    } else if pods.len() < PODS_MAX {
        let mut first = PodEvents::default();
        first.take(event);
        pods.insert(uid.clone(), Arc::new(first));
    }
}

#[cfg(test)]
mod tests;
