//! Pods that are set aside, out of traffic by their label: what they count as, and which are next to be
//! taken out, put to sleep or brought back.
//!
//! A pod is out of traffic before it sleeps and awake before it is in traffic again, so its label and
//! its engine together say how far it is, to this process as to one that takes over from it.
//!
//! **Invariant:** pure. An engine that does not say whether it sleeps is taken for neither: what was
//! known of it last stands.

mod availability;
mod carry;
mod steps;

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{Instant, ReplicaId, ReplicaObservation, ReplicaPhase, Rung};

use crate::roster::Replica;
use crate::traffic::Traffic;

pub use availability::{Availability, Doubt, Known, Obstacle};
pub(crate) use carry::{Standby, Told};
pub use steps::{Outlook, PodStep, Step};

/// A pod must have had nothing inside for this long before it sleeps. vLLM closes a connection that was
/// idle for 5 s, so whoever kept one to this pod has none any more; changed endpoints reach every node
/// within that, too.
pub const QUIET: Duration = Duration::from_secs(10);
/// How long a label that was written may take to come back from the apiserver. What it says after
/// that, somebody else has written.
const LAG_MAX: Duration = Duration::from_secs(10);
/// Before the first new try of what failed; doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// Never longer than this: a pod that does not wake is missed.
const RETRY_MAX: Duration = Duration::from_secs(60);

const STANDBY: ReplicaPhase = ReplicaPhase::Standby(Rung::Sleeping);
const WAKING: ReplicaPhase = ReplicaPhase::Waking(Rung::Sleeping);

/// What is known of the pods of one pool that are, or were, set aside.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    members: BTreeMap<String, Member>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    /// A label that was written, and when: the apiserver may not show it yet.
    written: Option<(Traffic, Instant)>,
    /// The phase that is not the pod's own, and since when.
    phase: Option<(ReplicaPhase, Instant)>,
    /// Since when it is to be brought back.
    wanted_since: Option<Instant>,
    /// When it was brought back last.
    back_at: Option<Instant>,
    /// When that was ordered.
    ordered_at: Option<Instant>,
    /// Whether its engine sleeps, as far as it said last.
    asleep: Option<bool>,
    /// When its engine first and last said that nothing is inside, with nothing else between.
    quiet: Option<(Instant, Instant)>,
    /// Since when it should sleep, and is not let.
    held_since: Option<Instant>,
    /// When its engine last fell asleep or woke by preheat: what it told before is over.
    moved_at: Instant,
    /// Whether something is being done to it.
    busy: bool,
    failures: u32,
    retry_at: Instant,
}

/// What is done about pods that are set aside, whatever is decided.
#[derive(Clone, Copy, Debug)]
pub struct Stance {
    /// Whether anything is done at all: then one that sleeps in traffic is woken.
    pub acts: bool,
    /// Whether all must come back: requests reach them all the same, or nobody is left to wake them.
    pub recall: bool,
    /// A signal older than this is not believed.
    pub staleness_max: Duration,
}

impl Aside {
    /// Gives replicas the phases that their labels and engines make: `asleep` has those whose engines
    /// say.
    pub fn place(
        &mut self,
        replicas: &mut [Replica],
        asleep: &BTreeMap<ReplicaId, bool>,
        stance: Stance,
        now: Instant,
    ) {
        let uids = |replicas: &[Replica], uid: &str| {
            replicas.iter().any(|r| r.pod.as_ref().is_some_and(|pod| pod.uid == uid))
        };
        self.members.retain(|uid, _| uids(replicas, uid));
        for replica in replicas.iter_mut().filter(|replica| !replica.ending) {
            let Some(pod) = &mut replica.pod else { continue };
            let asleep = asleep.get(&replica.observation.id).copied();
            let is_plain = pod.traffic != Traffic::Off && asleep != Some(true);
            if is_plain && !self.members.contains_key(&pod.uid) {
                continue;
            }
            let member = self.members.entry(pod.uid.clone()).or_default();
            pod.traffic = member.traffic(pod.traffic, now);
            member.asleep = asleep;
            if stance.recall && pod.traffic == Traffic::Off {
                member.wanted_since.get_or_insert(now);
            }
            let phase = phase(&Signs {
                own: replica.observation.phase,
                traffic: pod.traffic,
                asleep,
                is_wanted: member.wanted_since.is_some(),
                before: member.phase.map(|(phase, _)| phase),
                acts: stance.acts,
            });
            member.enter(phase, pod.traffic, now);
            member.listen(&replica.observation, stance.staleness_max, now);
            member.tell(&mut replica.observation);
        }
    }

    /// Whether what this pod's engine told at `at` is true of it still.
    pub fn believes(&self, uid: &str, at: Instant) -> bool {
        self.members.get(uid).is_none_or(|member| member.moved_at < at)
    }

    /// A label was written.
    pub fn wrote(&mut self, uid: &str, traffic: Traffic, now: Instant) {
        self.members.entry(uid.to_owned()).or_default().written = Some((traffic, now));
    }

    /// Something is being done to a pod.
    pub fn began(&mut self, uid: &str) {
        self.members.entry(uid.to_owned()).or_default().busy = true;
    }

    /// It is done, or has failed: how often in a row.
    pub fn ended(&mut self, uid: &str, succeeded: bool, now: Instant) -> u32 {
        // A pod that is gone needs nothing.
        let Some(member) = self.members.get_mut(uid) else { return 0 };
        member.busy = false;
        if succeeded {
            (member.failures, member.retry_at, member.moved_at) = (0, now, now);
        } else {
            member.failures = member.failures.saturating_add(1);
            let doublings = member.failures.saturating_sub(1).min(16);
            let delay = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
            member.retry_at = now.saturating_add(delay);
        }
        member.failures
    }
}

impl Member {
    /// The label, as it will be seen.
    fn traffic(&mut self, seen: Traffic, now: Instant) -> Traffic {
        let Some((written, at)) = self.written else { return seen };
        if seen == written || now.since(at) > LAG_MAX {
            self.written = None;
            return seen;
        }
        written
    }

    fn enter(&mut self, phase: Option<ReplicaPhase>, traffic: Traffic, now: Instant) {
        match (self.phase, phase) {
            (Some((before, _)), Some(phase)) if before == phase => {}
            (_, Some(phase)) => {
                self.phase = Some((phase, now));
                if phase == WAKING {
                    self.ordered_at = Some(self.wanted_since.unwrap_or(now));
                }
            }
            (Some(_), None) => (self.phase, self.back_at) = (None, Some(now)),
            (None, None) => {}
        }
        match (traffic, phase) {
            // It starts anew, and is counted on.
            (Traffic::Off, None) => {
                self.wanted_since.get_or_insert(now);
            }
            (Traffic::Off, Some(_)) => {}
            (Traffic::On | Traffic::Unlabelled, Some(_)) => {
                self.wanted_since.get_or_insert(now);
            }
            (Traffic::On | Traffic::Unlabelled, None) => self.wanted_since = None,
        }
    }

    /// Since when nothing is inside: no request at any look, and none that came and went between two.
    fn listen(&mut self, seen: &ReplicaObservation, staleness_max: Duration, now: Instant) {
        let draining = self.phase.is_some_and(|(phase, _)| phase == ReplicaPhase::Draining);
        let empty = seen.requests_inside(now, staleness_max) == Some(0);
        let passed = seen.counters.is_some_and(|counters| {
            let counted = counters.value;
            counted.completions > 0 || counted.prompt_tokens > 0 || counted.generation_tokens > 0
        });
        // When it was so: who is asked in the engines' place tells what was.
        self.quiet = match seen.in_flight.map(|sample| sample.observed_at) {
            Some(at) if draining && empty && !passed => {
                Some((self.quiet.map_or(at, |(first, _)| first), at))
            }
            Some(_) | None => None,
        };
        if !draining {
            self.held_since = None;
        }
    }

    /// Says it in the observation.
    fn tell(&self, observation: &mut ReplicaObservation) {
        match self.phase {
            Some((phase, since)) => (observation.phase, observation.phase_since) = (phase, since),
            None => {
                let back_at = self.back_at.unwrap_or(observation.phase_since);
                if observation.phase == ReplicaPhase::Ready {
                    observation.phase_since = observation.phase_since.max(back_at);
                }
            }
        }
        let ordered_at = self.ordered_at.unwrap_or(observation.start_ordered_at);
        observation.start_ordered_at = observation.start_ordered_at.max(ordered_at);
    }

    fn is_quiet(&self) -> bool {
        self.quiet.is_some_and(|(first, last)| last.since(first) >= QUIET)
    }
}

/// All that a phase follows from.
struct Signs {
    /// The pod's own phase.
    own: ReplicaPhase,
    traffic: Traffic,
    /// What its engine says, where it says.
    asleep: Option<bool>,
    /// Whether it is to be brought back.
    is_wanted: bool,
    /// The phase before, where it was not the pod's own.
    before: Option<ReplicaPhase>,
    acts: bool,
}

/// The phase of a pod that is not being deleted; `None` where it is the pod's own.
fn phase(signs: &Signs) -> Option<ReplicaPhase> {
    use ReplicaPhase::{Draining, Ready, Warming};
    if signs.traffic != Traffic::Off {
        // Requests that reach it hang, so it is woken, whatever was planned.
        let in_force = if signs.acts { WAKING } else { STANDBY };
        return (signs.asleep == Some(true)).then_some(in_force);
    }
    // An engine that is started again has forgotten that it slept.
    let has_stayed = matches!(signs.own, Ready | Warming);
    let before = signs.before.filter(|_| has_stayed);
    match (signs.asleep, before) {
        (Some(true), _) => Some(if signs.is_wanted { WAKING } else { STANDBY }),
        (None, Some(before)) if before == STANDBY && signs.is_wanted => Some(WAKING),
        (None, Some(before)) => Some(before),
        (Some(false) | None, _) if signs.own != Ready => None,
        (Some(false) | None, before) if signs.is_wanted && before != Some(Draining) => Some(WAKING),
        (Some(false) | None, _) => Some(Draining),
    }
}

#[cfg(test)]
mod tests;
