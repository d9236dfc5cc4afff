//! Which replicas a pool has, and what they are called: pods, and what was ordered but no pod is
//! there for yet.
//!
//! A scale of five with three pods is five replicas: without the two that nobody has made yet, they
//! would be ordered again at every tick.
//!
//! **Invariant:** one pod has one id for life, and no id is given twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use preheat_core::{Instant, Memory, PhaseTimes, ReplicaId, ReplicaObservation, ReplicaPhase};

use crate::pods::SeenPod;
use crate::traffic::Traffic;
use crate::writes::COST_VICTIM;

/// The replicas of one pool.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    next: u64,
    pods: BTreeMap<String, Member>,
    /// Asked for and not made yet, oldest first.
    orders: VecDeque<Order>,
    /// Pods chosen to go, by uid. Their annotation may not have come back from the apiserver yet.
    victims: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    id: ReplicaId,
    ordered_at: Instant,
    /// When it was first told of, as an order or as a pod.
    followed_from: Instant,
    phase: ReplicaPhase,
    phase_since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    id: ReplicaId,
    at: Instant,
}

/// A replica, and its pod where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// What is known of it without asking its engine.
    pub observation: ReplicaObservation,
    /// Its pod.
    pub pod: Option<SeenPod>,
    /// Whether it is being deleted, or will be: the scale asks for it no more.
    pub ending: bool,
}

impl Replica {
    /// Whether its pod is out of traffic by its label.
    pub fn is_out(&self) -> bool {
        self.pod.as_ref().is_some_and(|pod| pod.traffic == Traffic::Off)
    }
}

impl Roster {
    /// A roster that gives no id which `memory` knows. After a restart pods get new ids: what is
    /// remembered of the old ones ends there, and starts go on with the times that their pods tell.
    pub fn after(memory: &Memory) -> Self {
        let next = memory.replicas.keys().last().map_or(0, |last| last.0.saturating_add(1));
        Self { next, ..Self::default() }
    }

    /// Takes in the pods that there are, of which the target's scale asks for `asked`; all replicas,
    /// sorted by id.
    pub fn take(&mut self, mut seen: Vec<SeenPod>, asked: u32, now: Instant) -> Vec<Replica> {
        self.pods.retain(|uid, _| seen.iter().any(|pod| pod.uid == *uid));
        self.victims.retain(|uid| seen.iter().any(|pod| pod.uid == *uid));
        seen.sort_by(|a, b| (a.created_at, &a.name).cmp(&(b.created_at, &b.name)));
        for pod in &seen {
            self.admit(pod);
        }
        let going = self.going(&seen, asked);
        let mut replicas: Vec<Replica> = Vec::new();
        for mut pod in seen {
            let Some(member) = self.pods.get_mut(&pod.uid) else { continue };
            if going.contains(&pod.uid) {
                (pod.phase, pod.phase_since) = (ReplicaPhase::Draining, now);
            }
            let entered = member.enter(&pod);
            let mut observation = observation(member, pod.restarts);
            observation.machine = pod.machine;
            // Once it has become ready nobody asks any more.
            if entered || pod.phase.is_starting() {
                observation.passed = member.passed(&pod);
            }
            let ending = observation.phase == ReplicaPhase::Draining;
            replicas.push(Replica { observation, pod: Some(pod), ending });
        }
        let live = replicas.iter().filter(|replica| !replica.ending);
        let live = u32::try_from(live.count()).unwrap_or(u32::MAX);
        self.keep_orders(asked.saturating_sub(live), now);
        replicas.extend(self.orders.iter().map(|order| {
            let member = Member {
                id: order.id,
                ordered_at: order.at,
                followed_from: order.at,
                phase: ReplicaPhase::Pending,
                phase_since: order.at,
            };
            Replica { observation: observation(&member, 0), pod: None, ending: false }
        }));
        replicas.sort_by_key(|replica| replica.observation.id);
        replicas
    }

    /// Remembers that these pods are to go, and no others.
    pub fn choose(&mut self, uids: impl IntoIterator<Item = String>) {
        self.victims = uids.into_iter().collect();
    }

    /// A pod that is new takes the oldest order.
    fn admit(&mut self, pod: &SeenPod) {
        if self.pods.contains_key(&pod.uid) {
            return;
        }
        let draining = pod.phase == ReplicaPhase::Draining;
        let order = if draining { None } else { self.orders.pop_front() };
        let (id, followed_from) = match order {
            Some(order) => (order.id, order.at),
            None => (self.new_id(), pod.created_at),
        };
        let ordered_at = followed_from.min(pod.created_at);
        let (phase, phase_since) = (pod.phase, pod.phase_since);
        let member = Member { id, ordered_at, followed_from, phase, phase_since };
        self.pods.insert(pod.uid.clone(), member);
    }

    /// Pods that are there although the scale asks for fewer, and that will be the ones deleted. A
    /// surplus that nobody chose is a rollout's, and serves.
    fn going(&self, seen: &[SeenPod], asked: u32) -> BTreeSet<String> {
        let mut live: Vec<&SeenPod> =
            seen.iter().filter(|pod| pod.phase != ReplicaPhase::Draining).collect();
        let surplus = live.len().saturating_sub(asked as usize);
        if live.iter().any(|pod| pod.of_replica_set) {
            live.retain(|pod| {
                self.victims.contains(&pod.uid) || pod.deletion_cost == Some(COST_VICTIM)
            });
        } else {
            // A StatefulSet ends its highest ordinals.
            live.sort_by_key(|pod| std::cmp::Reverse(ordinal(&pod.name)));
        }
        live.into_iter().take(surplus).map(|pod| pod.uid.clone()).collect()
    }

    fn keep_orders(&mut self, missing: u32, now: Instant) {
        self.orders.truncate(missing as usize);
        while self.orders.len() < missing as usize {
            let id = self.new_id();
            self.orders.push_back(Order { id, at: now });
        }
    }

    fn new_id(&mut self) -> ReplicaId {
        let id = ReplicaId(self.next);
        self.next = self.next.saturating_add(1);
        id
    }
}

impl Member {
    /// A phase begins when it was first seen, or earlier where the pod tells, but never before the
    /// one before it; whether this one is new. A pod pulls and loads more than once where it has
    /// init containers, and what was in between may have been seen by nobody.
    fn enter(&mut self, pod: &SeenPod) -> bool {
        let entered = pod.phase != self.phase;
        let again = matches!(pod.phase, ReplicaPhase::Pulling | ReplicaPhase::Loading);
        if entered || again {
            self.phase = pod.phase;
            self.phase_since = pod.phase_since.max(self.phase_since);
        }
        entered
    }

    /// As the pod tells, but from its order on: from before it was made, or, as the apiserver cuts
    /// times to whole seconds, from a little after.
    fn passed(&self, pod: &SeenPod) -> PhaseTimes {
        let mut passed = pod.passed;
        let [Some(pending), ..] = &mut passed else { return passed };
        *pending = pending.saturating_add(pod.created_at.since(self.followed_from));
        let mut early = self.followed_from.since(pod.created_at);
        for took in passed.iter_mut().flatten() {
            let cut = early.min(*took);
            *took = took.saturating_sub(cut);
            early = early.saturating_sub(cut);
        }
        passed
    }
}

fn observation(member: &Member, restarts: u32) -> ReplicaObservation {
    ReplicaObservation {
        start_ordered_at: member.ordered_at,
        restarts,
        ..ReplicaObservation::untold(member.id, member.phase, member.phase_since)
    }
}

/// The number that a StatefulSet's pods end in.
fn ordinal(name: &str) -> Option<u64> {
    name.rsplit_once('-').and_then(|(_, ordinal)| ordinal.parse().ok())
}

#[cfg(test)]
mod tests;
