//! From a plan to what is done to single pods, beside what is written to the scale.
//!
//! **Invariant:** as many pods stay ready and in traffic as the plan desires.
//!
//! **Invariant:** a pod is put to sleep only out of traffic, after a while with nothing inside; one
//! that sleeps in traffic is woken whatever was planned.

use std::net::IpAddr;

use preheat_core::{Action, Instant, Plan, ReplicaId, ReplicaPhase};

use super::{Aside, QUIET, WAKING};
use crate::resource::{Mode, Pause};
use crate::roster::Replica;
use crate::traffic::Traffic;

/// What is done to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take it out of traffic.
    TakeOut,
    /// Put its engine to sleep.
    Sleep,
    /// Wake its engine where it sleeps, see that it is awake, and put it back into traffic.
    BringBack,
}

/// One step on one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodStep {
    /// Which.
    pub step: Step,
    /// The pod's name.
    pub pod: String,
    /// Its identity.
    pub uid: String,
    /// Where its engine listens; only taking it out does without.
    pub address: Option<IpAddr>,
    /// What its label says.
    pub traffic: Traffic,
    /// Whether its engine says that it sleeps.
    pub asleep: bool,
}

/// What holds when the steps are taken.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// The mode in force.
    pub mode: Mode,
    /// The directions in which nothing is done.
    pub pause: Option<Pause>,
    /// What there is.
    pub replicas: &'a [Replica],
    /// Whether pods may be taken out and put to sleep.
    pub possible: bool,
    /// Whether all that is set aside must come back, whatever is decided.
    pub recall: bool,
}

impl Aside {
    /// What is to be done now. What was begun and has not ended is not begun again, and what failed
    /// only after a while.
    pub fn steps(&mut self, outlook: &Outlook<'_>, plan: &Plan, now: Instant) -> Vec<PodStep> {
        let acts = outlook.mode != Mode::Observe;
        if !acts && !outlook.recall {
            return Vec::new();
        }
        let paused =
            |direction| matches!(outlook.pause, Some(p) if p == direction || p == Pause::All);
        let grows = !paused(Pause::ScaleUp);
        let shrinks = acts && outlook.possible && !outlook.recall && !paused(Pause::ScaleDown);
        let serving = |replica: &&Replica| replica.observation.phase == ReplicaPhase::Ready;
        let serving = outlook.replicas.iter().filter(serving).count();
        let mut spare = serving.saturating_sub(plan.desired.0 as usize);
        let mut steps = Vec::new();
        for replica in outlook.replicas.iter().filter(|replica| !replica.ending) {
            let Some(pod) = &replica.pod else { continue };
            let ordered = ordered(plan, replica.observation.id);
            let is_out = pod.traffic == Traffic::Off;
            // Most pods are in traffic and awake, and stay there.
            if !is_out && ordered != Some(Step::TakeOut) && replica.observation.phase != WAKING {
                continue;
            }
            let member = self.members.entry(pod.uid.clone()).or_default();
            let wakes = outlook.recall || (acts && grows && ordered == Some(Step::BringBack));
            if is_out && wakes {
                member.wanted_since.get_or_insert(now);
            }
            let wanted = member.wanted_since.is_some();
            let hangs = !is_out && replica.observation.phase == WAKING;
            let step = if hangs || (is_out && wanted && (grows || outlook.recall)) {
                Step::BringBack
            } else if shrinks && ordered == Some(Step::TakeOut) && !is_out {
                Step::TakeOut
            } else if shrinks && ordered == Some(Step::Sleep) && is_out {
                member.held_since.get_or_insert(now);
                Step::Sleep
            } else {
                continue;
            };
            // What is only on its way takes no requests yet in its place.
            let waits = match step {
                Step::Sleep => !member.is_quiet(),
                Step::TakeOut => spare == 0,
                Step::BringBack => false,
            };
            let lost = step != Step::TakeOut && pod.address.is_none();
            if member.busy || now < member.retry_at || waits || lost {
                continue;
            }
            spare -= usize::from(step == Step::TakeOut);
            steps.push(PodStep {
                step,
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                address: pod.address,
                traffic: pod.traffic,
                asleep: member.asleep == Some(true),
            });
        }
        steps
    }

    /// The pods that should sleep and have not been quiet for long: something sends them requests
    /// although they are out of traffic.
    pub fn disturbed<'a>(&self, replicas: &'a [Replica], now: Instant) -> Vec<&'a Replica> {
        let disturbed = |replica: &&Replica| {
            let uid = replica.pod.as_ref().map(|pod| pod.uid.as_str()).unwrap_or_default();
            let member = self.members.get(uid).filter(|member| !member.is_quiet());
            let since = member.and_then(|member| member.held_since);
            replica.observation.phase == ReplicaPhase::Draining
                && since.is_some_and(|since| now.since(since) > QUIET * 3)
        };
        replicas.iter().filter(disturbed).collect()
    }
}

/// What the plan says of a replica, as far as its pod goes on.
fn ordered(plan: &Plan, id: ReplicaId) -> Option<Step> {
    plan.actions.iter().find_map(|action| match action {
        Action::Drain { replica } if *replica == id => Some(Step::TakeOut),
        Action::Sleep { replica, .. } if *replica == id => Some(Step::Sleep),
        Action::Wake { replica } | Action::Resume { replica } if *replica == id => {
            Some(Step::BringBack)
        }
        Action::Drain { .. }
        | Action::Sleep { .. }
        | Action::Wake { .. }
        | Action::Resume { .. }
        | Action::Start { .. }
        | Action::Stop { .. } => None,
    })
}
