//! What a resource's status says after a tick.
//!
//! **Invariant:** pure. A condition's transition time changes when its status does, and only then.

use std::collections::BTreeMap;

use preheat_core::{Explanation, MachineExplanation, Plan, Reason, ReplicaId, ReplicaPhase};

use crate::ownership::{Conflict, Written};
use crate::publication::Follower;
use crate::resource::{
    ColdStartStatus, Condition, ConditionStatus, InferenceAutoscalerStatus, Mode, Settings,
    SettingsError,
};
use crate::roster::Replica;
use crate::selector::SelectorError;
use crate::standby::Availability;
use crate::writes::Withheld;

/// Longest summary, as the schema has it.
const SUMMARY_CHARS_MAX: usize = 1024;
/// Pods named in a message before "and 3 more".
const PODS_SHOWN: usize = 4;

/// Why there is nothing to decide on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The spec contradicts itself.
    #[error(transparent)]
    Spec(#[from] SettingsError),
    /// Those who share GPUs don't agree how many there are.
    #[error(
        "`spec.quota.gpuSlots` is {gpus}; it must be {theirs}, as the older InferenceAutoscaler \
         `{other}` says, which shares this quota"
    )]
    Quota {
        /// As given.
        gpus: u32,
        /// As the older one has it.
        theirs: u32,
        /// Its name.
        other: String,
    },
    /// The target does not exist.
    #[error("there is no {kind} `{name}` in this namespace")]
    TargetMissing {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The cluster knows no such kind, or it has no scale.
    #[error("{kind} of {api_version} can't be scaled: {problem}")]
    TargetKind {
        /// As given.
        api_version: String,
        /// As given.
        kind: String,
        /// What the apiserver says.
        problem: String,
    },
    /// The apiserver does not allow it.
    #[error("{0}; give preheat's service account that right (docs/kubernetes.md lists them)")]
    Forbidden(String),
    /// The target's pods can't be told from others.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The apiserver gave no answer that can be used.
    #[error("the apiserver can't be asked: {0}")]
    Unreachable(String),
}

impl Trouble {
    const fn reason(&self) -> &'static str {
        match self {
            Self::Spec(_) | Self::Quota { .. } => "InvalidSpec",
            Self::TargetMissing { .. } => "TargetMissing",
            Self::TargetKind { .. } => "TargetNotScalable",
            Self::Forbidden(_) => "Forbidden",
            Self::Selector(_) => "NoSelector",
            Self::Unreachable(_) => "Unreachable",
        }
    }
}

/// Everything that a status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The spec's generation.
    pub generation: i64,
    /// RFC 3339.
    pub now: &'a str,
    /// What preheat wrote last.
    pub written: Option<Written>,
    /// When, RFC 3339.
    pub written_at: Option<&'a str>,
    /// What is published.
    pub published: Option<u32>,
    /// Nodes where a replica has been ready.
    pub weights_nodes: &'a [String],
    /// Starts that became ready, a day.
    pub starts_per_day: Option<f64>,
    /// What came of the tick, or why there was none.
    pub seen: Result<&'a Seen<'a>, &'a Trouble>,
}

/// What was seen and decided at a tick.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The checked spec.
    pub settings: &'a Settings,
    /// The mode in force.
    pub mode: Mode,
    /// Who stands in the way.
    pub conflict: Option<&'a Conflict>,
    /// Who writes what is published.
    pub follower: Option<&'a Follower>,
    /// Why the plan is not carried out.
    pub withheld: Option<Withheld>,
    /// Whether pods can sleep, where the resource wants that.
    pub standby: Option<Availability>,
    /// Whether a request that finds no replica is seen, where the resource says who sees it.
    pub demand: Option<&'a DemandSeen>,
    /// Replicas that the target's scale asks for.
    pub asked: u32,
    /// Its selector.
    pub selector: &'a str,
    /// What there is.
    pub replicas: &'a [Replica],
    /// What somebody has to change before a replica's metrics can be read, as where an engine has
    /// renamed one.
    pub troubles: &'a BTreeMap<ReplicaId, String>,
    /// What was decided.
    pub plan: &'a Plan,
    /// Why; absent when the decision broke an invariant and everything is held.
    pub explanation: Option<&'a Explanation>,
    /// What was decided and why, as a sentence.
    pub headline: &'a str,
}

/// Whether a request that finds no replica would be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemandSeen {
    /// Whether anything fresh is told of it.
    pub is_seen: bool,
    /// Why not, query by query.
    pub why_not: String,
}

/// The status after a tick, from the one before it.
pub fn status(before: &InferenceAutoscalerStatus, facts: &Facts<'_>) -> InferenceAutoscalerStatus {
    let mut status = InferenceAutoscalerStatus {
        observed_generation: facts.generation,
        written_replicas: facts.written.map(|written| written.replicas),
        last_scale_time: facts.written_at.map(str::to_owned),
        published_replicas: facts.published,
        weights_nodes: facts.weights_nodes.to_vec(),
        // No more of it than makes a difference: each change is written.
        starts_per_day: facts.starts_per_day.map(tenths),
        cold_starts: before.cold_starts.clone(),
        published_at: facts.published.map(|_| facts.now.to_owned()),
        ..InferenceAutoscalerStatus::default()
    };
    match facts.seen {
        Ok(seen) => {
            status.summary = Some(summary(seen).chars().take(SUMMARY_CHARS_MAX).collect());
            status.mode = Some(seen.mode);
            status.reason = seen.explanation.map(|why| why.reason.name().to_owned());
            status.current_replicas = Some(seen.asked);
            status.desired_replicas = Some(seen.plan.desired.0);
            status.selector = Some(seen.selector.to_owned());
            if let Some(explanation) = seen.explanation {
                let kinds = explanation.cold_start.by_machine.iter();
                status.cold_starts = kinds.filter(|row| row.samples > 0).map(cold_start).collect();
            }
            let count = |holds: fn(ReplicaPhase) -> bool| {
                let matching = seen.replicas.iter().filter(|r| holds(r.observation.phase));
                u32::try_from(matching.count()).ok()
            };
            status.ready_replicas = count(|phase| phase == ReplicaPhase::Ready);
            status.starting_replicas = count(ReplicaPhase::is_starting);
            status.standby_replicas = count(|phase| matches!(phase, ReplicaPhase::Standby(_)));
            status.draining_replicas = count(|phase| phase == ReplicaPhase::Draining);
        }
        Err(trouble) => {
            status.summary = Some(trouble.to_string().chars().take(SUMMARY_CHARS_MAX).collect());
            status.reason = Some(trouble.reason().to_owned());
        }
    }
    let now = conditions(facts);
    status.conditions = now.into_iter().map(|new| timed(new, before, facts)).collect();
    status
}

fn cold_start(row: &MachineExplanation) -> ColdStartStatus {
    ColdStartStatus {
        image: row.machine.image,
        weights: row.machine.weights,
        seen: row.samples,
        p50_seconds: tenths(row.p50.as_secs_f64()),
        p90_seconds: tenths(row.p90.as_secs_f64()),
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What is done and why, in one line.
pub fn summary(seen: &Seen<'_>) -> String {
    let headline = seen.headline;
    match (seen.conflict, seen.withheld) {
        (Some(conflict), _) => format!("Standing back: {}.", conflict.message()),
        (None, Some(Withheld::Observe)) => format!("Observing, nothing is written. {headline}"),
        (None, Some(Withheld::Paused)) => format!("Paused, nothing is written. {headline}"),
        (None, Some(Withheld::Zero)) => {
            "Somebody scaled the target to zero, and so it stays until somebody scales it up."
                .to_owned()
        }
        (None, None) if seen.mode == Mode::Publish => {
            format!("Publishing, the scale is others' to write. {headline}")
        }
        (None, None) => headline.to_owned(),
    }
}

struct New {
    type_: &'static str,
    status: ConditionStatus,
    reason: &'static str,
    message: String,
}

fn conditions(facts: &Facts<'_>) -> Vec<New> {
    match facts.seen {
        Ok(seen) => [
            new("Ready", true, "Valid", "the spec is valid and its target can be scaled"),
            metrics(seen),
            active(seen),
            limited(seen),
            conflicted(seen.conflict),
            drain_covered(seen),
        ]
        .into_iter()
        .chain(seen.standby.as_ref().map(standby))
        .chain(seen.demand.map(|demand| demand_seen(seen, demand)))
        .collect(),
        Err(trouble) => vec![
            new("Ready", false, trouble.reason(), trouble.to_string()),
            new("ScalingActive", false, trouble.reason(), "nothing is written"),
        ],
    }
}

fn new(type_: &'static str, holds: bool, reason: &'static str, message: impl Into<String>) -> New {
    let status = if holds { ConditionStatus::True } else { ConditionStatus::False };
    New { type_, status, reason, message: message.into() }
}

fn metrics(seen: &Seen<'_>) -> New {
    const TYPE: &str = "MetricsAvailable";
    let ready = seen.replicas.iter().any(|r| r.observation.phase == ReplicaPhase::Ready);
    let Some(explanation) = seen.explanation.filter(|_| ready) else {
        let message = "no replica is ready to be asked".to_owned();
        return New { type_: TYPE, status: ConditionStatus::Unknown, reason: "NoneReady", message };
    };
    if let Some(message) = untold(seen) {
        return new(TYPE, false, "Untold", message);
    }
    let blind = &explanation.replicas_blind;
    if blind.is_empty() {
        return new(TYPE, true, "Fresh", "every ready replica tells its metrics");
    }
    let blind = seen.replicas.iter().filter(|r| blind.contains(&r.observation.id));
    let engine = &seen.settings.engine;
    let message = format!(
        "nothing fresh from {} at port {}, path {}; nothing is given up meanwhile",
        names(blind),
        engine.metrics_port,
        engine.metrics_path
    );
    new(TYPE, false, "Stale", message)
}

/// What is wrong with the metrics of replicas, and of which: that of the first, where there are
/// several.
fn untold(seen: &Seen<'_>) -> Option<String> {
    let trouble = |replica: &Replica| seen.troubles.get(&replica.observation.id);
    let first = seen.replicas.iter().find_map(trouble)?;
    Some(format!(
        "{}: {first}",
        names(seen.replicas.iter().filter(|it| trouble(it) == Some(first)))
    ))
}

fn active(seen: &Seen<'_>) -> New {
    const TYPE: &str = "ScalingActive";
    match (seen.conflict, seen.mode, seen.withheld) {
        (Some(conflict), ..) => new(TYPE, false, conflict.reason(), "another writer is in the way"),
        (None, Mode::Observe, _) => new(TYPE, false, "Observe", "the mode is Observe"),
        (None, Mode::Act | Mode::Publish, Some(Withheld::Paused)) => {
            new(TYPE, false, "Paused", "spec.pause is set")
        }
        (None, Mode::Act, Some(Withheld::Zero)) => {
            new(TYPE, false, "ReplicasZero", "somebody scaled the target to zero")
        }
        (None, Mode::Act | Mode::Publish, _) if seen.explanation.is_none() => {
            new(TYPE, false, "Unsound", "the decision broke an invariant; everything is held")
        }
        (None, Mode::Publish, _) => followed(seen.follower),
        (None, Mode::Act, _) => new(TYPE, true, "Acting", "the target's scale is written"),
    }
}

fn followed(follower: Option<&Follower>) -> New {
    const TYPE: &str = "ScalingActive";
    match follower {
        None => new(
            TYPE,
            false,
            "NobodyFollows",
            "no HorizontalPodAutoscaler of this target reads preheat-desired-replicas",
        ),
        Some(Follower { name, inexact: Some(why) }) => new(
            TYPE,
            true,
            "Inexact",
            format!("the HorizontalPodAutoscaler {name} follows, but not exactly: {why}"),
        ),
        Some(Follower { name, inexact: None }) => new(
            TYPE,
            true,
            "Publishing",
            format!("the HorizontalPodAutoscaler {name} writes what is published"),
        ),
    }
}

fn limited(seen: &Seen<'_>) -> New {
    const TYPE: &str = "ScalingLimited";
    let spec = seen.settings.policy.spec();
    match seen.explanation.map(|explanation| (explanation.reason, explanation.target)) {
        Some((Reason::Capped, target)) => {
            let message = format!(
                "{target} are needed; maxReplicas is {} and maxStarts {}",
                spec.replicas_max, spec.starts_max
            );
            new(TYPE, true, "Capped", message)
        }
        _ => new(TYPE, false, "WithinBounds", "what is needed is within the bounds"),
    }
}

fn conflicted(conflict: Option<&Conflict>) -> New {
    const TYPE: &str = "Conflicted";
    match conflict {
        Some(conflict) => new(TYPE, true, conflict.reason(), conflict.message()),
        None => new(TYPE, false, "OnlyWriter", "nobody else is seen to write the target's scale"),
    }
}

fn drain_covered(seen: &Seen<'_>) -> New {
    const TYPE: &str = "DrainCovered";
    let drain_timeout = seen.settings.policy.spec().drain_timeout;
    let short = |replica: &&Replica| {
        let grace = replica.pod.as_ref().and_then(|pod| pod.grace);
        grace.is_some_and(|grace| grace < drain_timeout)
    };
    let mut short = seen.replicas.iter().filter(short).peekable();
    if short.peek().is_none() {
        return new(TYPE, true, "GraceSuffices", "pods get drainTimeout to finish their requests");
    }
    let message = format!(
        "terminationGracePeriodSeconds of {} is shorter than drainTimeout, which is {}s: requests \
         may be cut off when the target shrinks",
        names(short),
        drain_timeout.as_secs()
    );
    new(TYPE, false, "GraceTooShort", message)
}

fn standby(availability: &Availability) -> New {
    let (status, reason, message) = availability.told();
    New { type_: "StandbyAvailable", status, reason, message }
}

fn demand_seen(seen: &Seen<'_>, demand: &DemandSeen) -> New {
    const TYPE: &str = "DemandSeen";
    if demand.is_seen {
        return new(TYPE, true, "Fresh", "requests that find no replica are seen");
    }
    let meanwhile = match seen.settings.fallback {
        _ if seen.asked > 0 => "the last replica stays meanwhile".to_owned(),
        Some(fallback) if fallback.replicas.0 > 0 => format!(
            "the scale is raised to {} when that has lasted {}s",
            fallback.replicas,
            fallback.after.as_secs()
        ),
        Some(_) | None => "nothing is started meanwhile".to_owned(),
    };
    let why_not = &demand.why_not;
    new(TYPE, false, "Unseen", format!("nothing fresh is told of demand ({why_not}); {meanwhile}"))
}

fn names<'a>(replicas: impl Iterator<Item = &'a Replica>) -> String {
    let pods: Vec<&str> =
        replicas.filter_map(|replica| Some(replica.pod.as_ref()?.name.as_str())).collect();
    let shown = pods.get(..PODS_SHOWN.min(pods.len())).unwrap_or_default().join(", ");
    match pods.len().saturating_sub(PODS_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn timed(new: New, before: &InferenceAutoscalerStatus, facts: &Facts<'_>) -> Condition {
    let same = |old: &&Condition| old.type_ == new.type_ && old.status == new.status;
    let since = before.conditions.iter().find(same).map(|old| old.last_transition_time.clone());
    Condition {
        type_: new.type_.to_owned(),
        status: new.status,
        reason: new.reason.to_owned(),
        message: new.message,
        last_transition_time: since.unwrap_or_else(|| facts.now.to_owned()),
        observed_generation: facts.generation,
    }
}

/// Whether the status must be written now. What only rewords the summary can wait.
pub fn is_urgent(before: &InferenceAutoscalerStatus, after: &InferenceAutoscalerStatus) -> bool {
    let bare = |status: &InferenceAutoscalerStatus| {
        let mut bare = InferenceAutoscalerStatus {
            summary: None,
            published_at: None,
            starts_per_day: None,
            cold_starts: Vec::new(),
            ..status.clone()
        };
        for condition in &mut bare.conditions {
            condition.message.clear();
        }
        bare
    };
    bare(before) != bare(after)
}

#[cfg(test)]
mod tests;
