//! From a plan to what is written to the cluster: the scale, and which pods should go first.
//!
//! A pod that is deleted is out of its Services at once and gets its grace period to finish what is
//! in it: that is this world's drain, and it can't be taken back. So a plan's drains make the scale
//! smaller at once, its stops of what has drained are the cluster's own matter, and what it would
//! resume is started anew. Where pods can be set aside by their label (`standby`), a drain leaves the
//! scale as it is, and what has drained is given up when the plan stops it.
//!
//! **Invariant:** levels, not steps. The scale that is written follows from what is there and from
//! the plan; carrying a plan out twice changes nothing the second time.

use std::collections::BTreeSet;
use std::time::Duration;

use preheat_core::{Action, Plan, ReplicaId, StopReason};

use crate::resource::{Mode, Pause, Settings};
use crate::roster::Replica;
use crate::traffic::Traffic;

/// The deletion cost of a pod that is to go. No reasonable value of somebody else's is this low, and
/// by it preheat knows its own.
pub const COST_VICTIM: i32 = -2_000_000_000;

/// The deletion cost of a pod that is out of traffic: whoever shrinks the target, it goes before those
/// that serve.
pub const COST_ASIDE: i32 = -1_000_000_000;

/// What is known when a plan is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The checked spec.
    pub settings: &'a Settings,
    /// Whether anything may be written: `Observe` also while another writer is in the way.
    pub mode: Mode,
    /// Replicas that the target's scale asks for, or is taken to ask for soon.
    pub asked: u32,
    /// What there is.
    pub replicas: &'a [Replica],
    /// For how long no ready replica has told anything, or nobody of demand while none is ready; zero
    /// while one does, or none is ready and demand is not asked for.
    pub blind: Duration,
    /// Whether it was preheat that left the target with no replica.
    pub idle: bool,
    /// Whether what drains is taken out of traffic by its label, and stays a pod of the target.
    pub drains_aside: bool,
}

impl Situation<'_> {
    /// Whether nothing has been told for so long that the fallback is in force.
    pub fn falls_back(&self) -> bool {
        let after = self.settings.fallback.map(|fallback| fallback.after);
        after.is_some_and(|after| self.blind >= after && self.blind > Duration::ZERO)
    }
}

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// The scale, or what is published for others to write; absent when it stays.
    pub replicas: Option<u32>,
    /// Deletion costs, before the scale.
    pub costs: Vec<CostWrite>,
    /// The pods that will go, by uid.
    pub victims: Vec<String>,
    /// Why the scale stays although the plan says otherwise.
    pub withheld: Option<Withheld>,
}

/// One pod's deletion cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostWrite {
    /// The pod's name.
    pub pod: String,
    /// Its identity: another pod of that name is not meant.
    pub uid: String,
    /// The cost; `None` takes it away.
    pub cost: Option<i32>,
}

/// Why a plan is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// The mode is `Observe`.
    Observe,
    /// That direction is paused.
    Paused,
    /// Somebody scaled the target to zero, and that switches autoscaling off.
    Zero,
}

/// What a plan comes to.
pub fn writes(situation: &Situation<'_>, plan: &Plan) -> Writes {
    let asked = situation.asked;
    let wanted = level(situation, plan);
    if wanted == asked {
        return Writes::default();
    }
    if let Some(withheld) = withheld(situation, wanted) {
        return Writes { withheld: Some(withheld), ..Writes::default() };
    }
    let (costs, victims) =
        if wanted < asked { victims(situation, plan) } else { (Vec::new(), Vec::new()) };
    Writes { replicas: Some(wanted), costs, victims, withheld: None }
}

/// The scale that the plan asks for.
fn level(situation: &Situation<'_>, plan: &Plan) -> u32 {
    let replicas = situation.replicas;
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (mut live, mut starts, mut resumes) =
        (count(replicas.iter().filter(|replica| is_live(replica)).count()), 0, 0);
    for action in &plan.actions {
        match action {
            Action::Start { count } => starts += count,
            // What ends can't be taken back.
            Action::Resume { replica } if is_ending(situation, *replica) => resumes += 1,
            Action::Drain { .. } | Action::Stop { .. } => {
                live = live.saturating_sub(u32::from(given_up(situation, action).is_some()));
            }
            // These pods are there, and stay.
            Action::Resume { .. } | Action::Wake { .. } | Action::Sleep { .. } => {}
        }
    }
    // Nothing beyond the upper bound, what is still ending included.
    let max = situation.settings.policy.spec().replicas_max.0;
    let room = max.saturating_sub(count(replicas.len()).saturating_add(starts));
    let level = live.saturating_add(starts).saturating_add(resumes.min(room));
    match situation.settings.fallback.filter(|_| situation.falls_back()) {
        Some(fallback) => level.max(situation.asked).max(fallback.replicas.0),
        None => level,
    }
}

const fn is_live(replica: &Replica) -> bool {
    !replica.ending
}

/// Whether the scale asks for it no more.
fn is_ending(situation: &Situation<'_>, id: ReplicaId) -> bool {
    let replica = situation.replicas.iter().find(|replica| replica.observation.id == id);
    replica.is_none_or(|replica| replica.ending)
}

fn withheld(situation: &Situation<'_>, wanted: u32) -> Option<Withheld> {
    if situation.mode == Mode::Observe {
        return Some(Withheld::Observe);
    }
    // Where none is within the bounds, a target without a replica is idle and not switched off. A count
    // is published whether or not anybody reads it.
    let is_idle = situation.idle || situation.settings.policy.spec().replicas_min.0 == 0;
    if situation.asked == 0 && !is_idle && situation.mode == Mode::Act {
        return Some(Withheld::Zero);
    }
    let paused = match situation.settings.pause? {
        Pause::All => true,
        Pause::ScaleUp => wanted > situation.asked,
        Pause::ScaleDown => wanted < situation.asked,
    };
    paused.then_some(Withheld::Paused)
}

/// Costs to be written, and the pods that are to go. A pod that was chosen before and is not now
/// loses its cost, or it would go instead.
fn victims(situation: &Situation<'_>, plan: &Plan) -> (Vec<CostWrite>, Vec<String>) {
    let given_up = |action| given_up(situation, action);
    let chosen: BTreeSet<ReplicaId> = plan.actions.iter().filter_map(given_up).collect();
    let (mut costs, mut victims) = (Vec::new(), Vec::new());
    for replica in situation.replicas.iter().filter(|replica| is_live(replica)) {
        let Some(pod) = replica.pod.as_ref().filter(|pod| pod.of_replica_set) else { continue };
        let is_chosen = chosen.contains(&replica.observation.id);
        let marked = pod.deletion_cost == Some(COST_VICTIM);
        if is_chosen {
            victims.push(pod.uid.clone());
        }
        if is_chosen != marked {
            let otherwise = (pod.traffic == Traffic::Off).then_some(COST_ASIDE);
            let cost = if is_chosen { Some(COST_VICTIM) } else { otherwise };
            costs.push(CostWrite { pod: pod.name.clone(), uid: pod.uid.clone(), cost });
        }
    }
    (costs, victims)
}

/// The replica that an action gives up, and the scale with it.
fn given_up(situation: &Situation<'_>, action: &Action) -> Option<ReplicaId> {
    match action {
        Action::Drain { replica } => (!situation.drains_aside).then_some(*replica),
        Action::Stop {
            replica,
            because: StopReason::StartCancelled | StopReason::StandbySurplus,
        } => Some(*replica),
        // What ends by its deletion is given up already; what is out of traffic is not.
        Action::Stop {
            replica,
            because: StopReason::Drained | StopReason::DrainDeadlinePassed,
        } => (!is_ending(situation, *replica)).then_some(*replica),
        Action::Start { .. }
        | Action::Wake { .. }
        | Action::Resume { .. }
        | Action::Sleep { .. } => None,
    }
}

#[cfg(test)]
mod tests;
