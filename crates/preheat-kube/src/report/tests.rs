//! Statuses, tick by tick.

use std::time::Duration;

use preheat_core::{Instant, Memory, Observation, ReplicaId, TickId, decide};

use super::*;
use crate::pods::SeenPod;
use crate::resource::InferenceAutoscalerSpec;
use crate::roster::Roster;
use crate::standby::{Doubt, Obstacle};

const MORNING: &str = "2026-11-24T09:00:00Z";
const NOON: &str = "2026-11-24T12:00:00Z";

fn settings(more: &str) -> Settings {
    let text = format!(
        "targetRef: {{apiVersion: apps/v1, kind: Deployment, name: chat}}\nmaxReplicas: 4\n{more}"
    );
    let spec: InferenceAutoscalerSpec = serde_saphyr::from_str(&text).unwrap();
    Settings::of(&spec, "models").unwrap()
}

/// Pods `chat-0`, `chat-1`, … in these phases, that get a grace period of ten minutes.
fn pods(phases: &[ReplicaPhase]) -> Vec<Replica> {
    let pod = |(index, &phase): (usize, &ReplicaPhase)| SeenPod {
        uid: format!("u{index}"),
        name: format!("chat-{index}"),
        phase,
        phase_since: Instant::ORIGIN,
        created_at: Instant::ORIGIN,
        passed: [None; 5],
        node: None,
        machine: preheat_core::MachineState::default(),
        restarts: 0,
        address: None,
        deletion_cost: None,
        of_replica_set: true,
        traffic: crate::traffic::Traffic::On,
        grace: Some(Duration::from_secs(600)),
        waiting: None,
    };
    let seen = phases.iter().enumerate().map(pod).collect();
    Roster::default().take(seen, u32::try_from(phases.len()).unwrap(), Instant::ORIGIN)
}

/// The status after a tick at which none of the pods told anything.
fn after(
    before: &InferenceAutoscalerStatus,
    now: &str,
    settings: &Settings,
    replicas: &[Replica],
    conflict: Option<&Conflict>,
    withheld: Option<Withheld>,
) -> InferenceAutoscalerStatus {
    in_trouble(before, now, settings, replicas, (conflict, withheld), &BTreeMap::new())
}

/// The same where something is wrong with the metrics of replicas.
fn in_trouble(
    before: &InferenceAutoscalerStatus,
    now: &str,
    settings: &Settings,
    replicas: &[Replica],
    (conflict, withheld): (Option<&Conflict>, Option<Withheld>),
    troubles: &BTreeMap<ReplicaId, String>,
) -> InferenceAutoscalerStatus {
    let observation = Observation::of(
        TickId(0),
        Instant::ORIGIN.saturating_add(Duration::from_secs(60)),
        replicas.iter().map(|replica| replica.observation.clone()).collect(),
    );
    let decision = decide(&settings.policy, &Memory::default(), &observation);
    let live = replicas.iter().filter(|r| r.observation.phase != ReplicaPhase::Draining);
    let seen = Seen {
        settings,
        mode: if conflict.is_some() { Mode::Observe } else { settings.mode },
        conflict,
        follower: None,
        withheld,
        standby: None,
        demand: None,
        asked: u32::try_from(live.count()).unwrap(),
        selector: "app=chat",
        replicas,
        troubles,
        plan: &decision.plan,
        explanation: Some(&decision.explanation),
        headline: "Changed nothing: as many as needed.",
    };
    let (written, published) = match settings.mode {
        Mode::Publish => (None, Some(2)),
        Mode::Act | Mode::Observe => (Some(Written::confirmed(2)), None),
    };
    let facts = Facts {
        generation: 7,
        now,
        written,
        written_at: None,
        published,
        weights_nodes: &[],
        starts_per_day: None,
        seen: Ok(&seen),
    };
    status(before, &facts)
}

fn condition<'a>(status: &'a InferenceAutoscalerStatus, type_: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == type_).unwrap()
}

/// `True Valid since …` of a condition.
fn shown(status: &InferenceAutoscalerStatus, type_: &str) -> String {
    let condition = condition(status, type_);
    let (state, reason) = (condition.status, &condition.reason);
    format!("{state:?} {reason} since {}", condition.last_transition_time)
}

#[test]
fn a_status_counts_and_says_why() {
    use ReplicaPhase::{Draining, Loading, Ready};
    let replicas = pods(&[Ready, Loading, Draining]);
    let settings = settings("mode: Act\n");
    let status = after(&Default::default(), MORNING, &settings, &replicas, None, None);
    let counts = [status.ready_replicas, status.starting_replicas, status.draining_replicas];
    // The scale asks for three; the pod that follows the draining one is not made yet.
    assert_eq!(counts, [Some(1), Some(2), Some(1)]);
    assert_eq!((status.current_replicas, status.written_replicas), (Some(3), Some(2)));
    assert_eq!(status.summary.as_deref(), Some("Changed nothing: as many as needed."));
    assert_eq!((status.observed_generation, status.mode), (7, Some(Mode::Act)));
    for (type_, expected) in [
        ("Ready", "True Valid"),
        ("MetricsAvailable", "False Stale"),
        ("ScalingActive", "True Acting"),
        ("ScalingLimited", "False WithinBounds"),
        ("Conflicted", "False OnlyWriter"),
        ("DrainCovered", "True GraceSuffices"),
    ] {
        assert_eq!(shown(&status, type_), format!("{expected} since {MORNING}"), "{type_}");
    }
    assert_eq!(
        condition(&status, "MetricsAvailable").message,
        "nothing fresh from chat-0 at port 8000, path /metrics; nothing is given up meanwhile"
    );
}

#[test]
fn an_engine_that_has_renamed_a_metric_is_told_of_with_its_names() {
    use ReplicaPhase::Ready;
    let replicas = pods(&[Ready, Ready, Ready]);
    let settings = settings("mode: Act\n");
    let renamed = "its vllm metrics do not tell requests running any more, which \
                   `vllm:num_requests_running` told before, but have `vllm:requests_running`";
    let troubles = [&replicas[0], &replicas[2]].map(|it| (it.observation.id, renamed.to_owned()));
    let before = Default::default();
    let status = in_trouble(&before, MORNING, &settings, &replicas, (None, None), &troubles.into());
    assert_eq!(shown(&status, "MetricsAvailable"), format!("False Untold since {MORNING}"));
    let message = &condition(&status, "MetricsAvailable").message;
    assert_eq!(*message, format!("chat-0, chat-2: {renamed}"));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let (acting, paused) = (settings("mode: Act\n"), settings("mode: Act\npause: All\n"));
    let replicas = pods(&[ReplicaPhase::Ready]);
    let before = after(&Default::default(), MORNING, &acting, &replicas, None, None);
    let withheld = Some(Withheld::Paused);
    let status = after(&before, NOON, &paused, &replicas, None, withheld);
    assert_eq!(shown(&status, "Ready"), format!("True Valid since {MORNING}"));
    assert_eq!(shown(&status, "ScalingActive"), format!("False Paused since {NOON}"));
    assert!(is_urgent(&before, &status));
    let reworded = InferenceAutoscalerStatus { summary: None, ..status.clone() };
    assert!(!is_urgent(&status, &reworded));
}

#[test]
fn each_way_of_writing_nothing_is_told() {
    let settings = settings("drainTimeout: 11m\n");
    let replicas = pods(&[ReplicaPhase::Ready]);
    let conflict = Conflict::Autoscaler { name: "chat-hpa".to_owned() };
    for (conflict, withheld, expected) in [
        (None, Some(Withheld::Observe), "Observing, nothing is written. Changed nothing: "),
        (None, Some(Withheld::Paused), "Paused, nothing is written. Changed nothing: "),
        (None, Some(Withheld::Zero), "Somebody scaled the target to zero, "),
        (Some(&conflict), None, "Standing back: the HorizontalPodAutoscaler chat-hpa has "),
    ] {
        let status = after(&Default::default(), NOON, &settings, &replicas, conflict, withheld);
        let summary = status.summary.clone().unwrap();
        assert!(summary.starts_with(expected), "{summary}");
        let conflicted = condition(&status, "Conflicted").status;
        assert_eq!(conflicted == ConditionStatus::True, conflict.is_some());
        assert_eq!(condition(&status, "ScalingActive").status, ConditionStatus::False);
        assert_eq!(condition(&status, "DrainCovered").reason, "GraceTooShort");
    }
}

#[test]
fn a_published_count_is_confirmed_and_its_followers_are_named() {
    let settings = settings("mode: Publish\n");
    let replicas = pods(&[ReplicaPhase::Ready]);
    let before = after(&Default::default(), MORNING, &settings, &replicas, None, None);
    assert_eq!(shown(&before, "ScalingActive"), format!("False NobodyFollows since {MORNING}"));
    assert_eq!((before.published_replicas, before.written_replicas), (Some(2), None));
    let summary = before.summary.as_deref().unwrap();
    assert_eq!(
        summary,
        "Publishing, the scale is others' to write. Changed nothing: as many as needed."
    );
    // Confirming it again is worth writing, and can wait.
    let status = after(&before, NOON, &settings, &replicas, None, None);
    assert_eq!(status.published_at.as_deref(), Some(NOON));
    assert!(status != before && !is_urgent(&before, &status));
    for (inexact, expected) in [(None, "Publishing"), (Some("why"), "Inexact")] {
        let follower = Follower { name: "chat".to_owned(), inexact };
        let new = followed(Some(&follower));
        assert_eq!((new.status, new.reason), (ConditionStatus::True, expected));
    }
}

#[test]
fn trouble_is_named_and_nothing_is_invented() {
    let (kind, name) = ("Deployment".to_owned(), "chat".to_owned());
    let trouble = Trouble::TargetMissing { kind, name };
    let facts = Facts {
        generation: 2,
        now: NOON,
        written: None,
        written_at: None,
        published: None,
        weights_nodes: &["n1".to_owned()],
        starts_per_day: Some(12.34),
        seen: Err(&trouble),
    };
    let status = status(&InferenceAutoscalerStatus::default(), &facts);
    assert_eq!(status.summary.as_deref(), Some("there is no Deployment `chat` in this namespace"));
    assert_eq!((status.ready_replicas, status.desired_replicas), (None, None));
    // What is known of nodes is kept for whoever goes on from there.
    assert_eq!(status.weights_nodes, ["n1"]);
    assert_eq!(status.starts_per_day, Some(12.3));
    assert_eq!(shown(&status, "Ready"), format!("False TargetMissing since {NOON}"));
}

#[test]
fn whether_pods_can_sleep_is_told_where_it_is_wanted() {
    let settings = settings("mode: Act\n");
    let mut replicas = pods(&[ReplicaPhase::Ready, ReplicaPhase::Ready]);
    replicas[1].observation.phase = ReplicaPhase::Standby(preheat_core::Rung::Sleeping);
    let status = after(&Default::default(), NOON, &settings, &replicas, None, None);
    assert_eq!((status.ready_replicas, status.standby_replicas), (Some(1), Some(1)));
    assert!(status.conditions.iter().all(|condition| condition.type_ != "StandbyAvailable"));
    let service = "chat".to_owned();
    for (availability, expected) in [
        (Availability::Possible { disturbed: vec![] }, (ConditionStatus::True, "Possible")),
        (
            Availability::Possible { disturbed: vec!["chat-1".to_owned()] },
            (ConditionStatus::True, "Disturbed"),
        ),
        (
            Availability::Impossible(Obstacle::BlindService { service }),
            (ConditionStatus::False, "BlindService"),
        ),
        (Availability::Unknown(Doubt::Engines), (ConditionStatus::Unknown, "EnginesUnknown")),
    ] {
        let told = standby(&availability);
        assert_eq!((told.type_, (told.status, told.reason)), ("StandbyAvailable", expected));
    }
}

#[test]
fn long_lists_are_cut_short() {
    let replicas = pods(&[ReplicaPhase::Ready; 7]);
    assert_eq!(names(replicas.iter()), "chat-0, chat-1, chat-2, chat-3 and 3 more");
    assert_eq!(replicas[6].observation.id, ReplicaId(6));
}

#[test]
fn demand_that_is_not_seen_is_said_with_what_follows() {
    let none = "mode: Act\nminReplicas: 0\ndemand: {queries: {held: sum(q)}}\n";
    let unseen = DemandSeen { is_seen: false, why_not: "`held` is 60 s old".to_owned() };
    for (asked, fallback, expected) in [
        (1, "", "the last replica stays meanwhile"),
        (0, "", "the scale is raised to 1 when that has lasted 300s"),
        (
            0,
            "fallback: {after: 30s, replicas: 2}\n",
            "the scale is raised to 2 when that has lasted 30s",
        ),
        (0, "fallback: {after: 30s, replicas: 0}\n", "nothing is started meanwhile"),
    ] {
        let settings = settings(&format!("{none}{fallback}"));
        let seen = Seen {
            settings: &settings,
            mode: settings.mode,
            conflict: None,
            follower: None,
            withheld: None,
            standby: None,
            demand: Some(&unseen),
            asked,
            selector: "app=chat",
            replicas: &[],
            troubles: &BTreeMap::new(),
            plan: &Plan {
                desired: preheat_core::ReplicaCount(asked),
                actions: Vec::new(),
                next_tick_at: Instant::ORIGIN,
            },
            explanation: None,
            headline: "",
        };
        let new = demand_seen(&seen, &unseen);
        let message = format!("nothing fresh is told of demand (`held` is 60 s old); {expected}");
        assert_eq!(
            (new.status, new.reason, new.message),
            (ConditionStatus::False, "Unseen", message)
        );
        let seen_again = DemandSeen { is_seen: true, why_not: String::new() };
        assert_eq!(demand_seen(&seen, &seen_again).status, ConditionStatus::True);
    }
}
