//! Plans as writes, table by table.

use preheat_core::{Instant, ReplicaCount, ReplicaPhase, ReplicaPhase::*, Rung};

use super::*;
use crate::resource::InferenceAutoscalerSpec;
use crate::roster::Roster;

const fn drain(id: u64) -> Action {
    Action::Drain { replica: ReplicaId(id) }
}

const fn stop(id: u64, because: StopReason) -> Action {
    Action::Stop { replica: ReplicaId(id), because }
}

const fn resume(id: u64) -> Action {
    Action::Resume { replica: ReplicaId(id) }
}

fn settings(more: &str) -> Settings {
    let text = format!(
        "targetRef: {{apiVersion: apps/v1, kind: Deployment, name: chat}}\nmaxReplicas: 4\n{more}"
    );
    let spec: InferenceAutoscalerSpec = serde_saphyr::from_str(&text).unwrap();
    Settings::of(&spec, "models").unwrap()
}

/// Replicas r0, r1, … in these phases, with these deletion costs; a scale that asks for `asked`.
fn fleet(phases: &[(ReplicaPhase, Option<i32>)], asked: u32) -> Vec<Replica> {
    let pods = phases.iter().enumerate().map(|(index, &(phase, deletion_cost))| {
        let created_at = Instant::from_nanos(index as u64);
        crate::pods::SeenPod {
            uid: format!("u{index}"),
            name: format!("p{index}"),
            phase,
            phase_since: created_at,
            created_at,
            passed: [None; 5],
            node: None,
            machine: preheat_core::MachineState::default(),
            restarts: 0,
            address: None,
            deletion_cost,
            of_replica_set: true,
            traffic: crate::traffic::Traffic::On,
            grace: None,
            waiting: None,
        }
    });
    Roster::default().take(pods.collect(), asked, Instant::from_nanos(100))
}

fn carried_out(more: &str, replicas: &[Replica], asked: u32, actions: &[Action]) -> Writes {
    carried_out_by((more, false), replicas, asked, actions)
}

/// The same, where what drains may be taken out of traffic by its label.
fn carried_out_by(
    (more, drains_aside): (&str, bool),
    replicas: &[Replica],
    asked: u32,
    actions: &[Action],
) -> Writes {
    let settings = settings(more);
    let situation = Situation {
        settings: &settings,
        mode: settings.mode,
        asked,
        replicas,
        blind: Duration::from_secs(60),
        drains_aside,
        idle: false,
    };
    let plan =
        Plan { desired: ReplicaCount(0), actions: actions.to_vec(), next_tick_at: Instant::ORIGIN };
    writes(&situation, &plan)
}

const UNMARKED: Option<i32> = None;

#[test]
fn the_scale_follows_what_is_there_and_the_plan() {
    use StopReason::{DrainDeadlinePassed, Drained, StartCancelled};
    let two = fleet(&[(Ready, UNMARKED), (Ready, UNMARKED)], 2);
    let ordered = fleet(&[(Ready, UNMARKED), (Ready, UNMARKED)], 3);
    let draining = fleet(&[(Ready, UNMARKED), (Draining, UNMARKED)], 1);
    let surge = fleet(&[(Ready, UNMARKED), (Ready, UNMARKED), (Loading, UNMARKED)], 2);
    let full: Vec<_> = (0..4).map(|n| (if n < 2 { Draining } else { Ready }, UNMARKED)).collect();
    let full = fleet(&full, 2);
    type Case<'a> = (&'a str, &'a [Replica], u32, &'a [Action], Option<u32>);
    let cases: [Case<'_>; 11] = [
        ("nothing to do", &two, 2, &[], None),
        ("start", &two, 2, &[Action::Start { count: 2 }], Some(4)),
        ("what was ordered counts", &ordered, 3, &[], None),
        ("an order is taken back", &ordered, 3, &[stop(2, StartCancelled)], Some(2)),
        ("drain", &two, 2, &[drain(1)], Some(1)),
        ("what drains is gone from the scale", &draining, 1, &[stop(1, Drained)], None),
        ("its deadline too", &draining, 1, &[stop(1, DrainDeadlinePassed)], None),
        ("what ends can't be resumed, so one is started", &draining, 1, &[resume(1)], Some(2)),
        ("but nothing beyond the bound", &full, 2, &[resume(0), resume(1)], None),
        ("a rollout's surplus is not given up", &surge, 2, &[drain(2)], None),
        ("nor does it count twice", &surge, 2, &[Action::Start { count: 1 }], Some(4)),
    ];
    for (case, replicas, asked, actions, expected) in cases {
        let written = carried_out("mode: Act\n", replicas, asked, actions);
        assert_eq!(written.replicas, expected, "{case}");
        // Carried out, it changes nothing more, as what was ordered counts from then on.
        assert_eq!(written.withheld, None, "{case}");
    }
}

#[test]
fn the_chosen_pod_goes_and_no_other() {
    let replicas = fleet(&[(Ready, Some(COST_VICTIM)), (Ready, Some(100)), (Ready, UNMARKED)], 3);
    let written = carried_out("mode: Act\n", &replicas, 3, &[drain(1)]);
    let cost =
        |index: u32, cost| CostWrite { pod: format!("p{index}"), uid: format!("u{index}"), cost };
    assert_eq!(written.costs, [cost(0, None), cost(1, Some(COST_VICTIM))]);
    assert_eq!((written.replicas, written.victims), (Some(2), vec!["u1".to_owned()]));
    // A StatefulSet heeds no costs.
    let mut replicas = replicas;
    for replica in &mut replicas {
        replica.pod.as_mut().unwrap().of_replica_set = false;
    }
    let written = carried_out("mode: Act\n", &replicas, 3, &[drain(1)]);
    assert_eq!((written.replicas, written.costs), (Some(2), vec![]));
}

#[test]
fn observe_and_pause_withhold() {
    let two = fleet(&[(Ready, UNMARKED), (Ready, UNMARKED)], 2);
    let (up, down) = (Action::Start { count: 1 }, drain(0));
    for (more, action, expected) in [
        ("", up, Err(Withheld::Observe)),
        ("", down, Err(Withheld::Observe)),
        ("mode: Act\npause: All\n", up, Err(Withheld::Paused)),
        ("mode: Act\npause: ScaleUp\n", up, Err(Withheld::Paused)),
        ("mode: Act\npause: ScaleUp\n", down, Ok(1)),
        ("mode: Act\npause: ScaleDown\n", down, Err(Withheld::Paused)),
        ("mode: Act\npause: ScaleDown\n", up, Ok(3)),
        ("mode: Publish\n", up, Ok(3)),
        ("mode: Publish\n", down, Ok(1)),
        ("mode: Publish\npause: All\n", down, Err(Withheld::Paused)),
    ] {
        let written = carried_out(more, &two, 2, &[action]);
        let got = written.replicas.ok_or(written.withheld);
        assert_eq!(got, expected.map_err(Some), "{more:?} {action:?}");
        if got.is_err() {
            assert_eq!((written.costs, written.victims), (vec![], vec![]), "{more:?} {action:?}");
        }
    }
}

#[test]
fn what_somebody_scaled_to_zero_stays_there() {
    let written = carried_out("mode: Act\n", &[], 0, &[Action::Start { count: 1 }]);
    assert_eq!((written.replicas, written.withheld), (None, Some(Withheld::Zero)));
    // Where none is within the bounds, it is idle, whoever left it so.
    let none = "mode: Act\nminReplicas: 0\ndemand: {queries: {held: sum(q)}}\n";
    let started = carried_out(none, &[], 0, &[Action::Start { count: 1 }]);
    assert_eq!((started.replicas, started.withheld), (Some(1), None));
    // Who reads a count decides that by himself.
    let published = carried_out("mode: Publish\n", &[], 0, &[Action::Start { count: 1 }]);
    assert_eq!(published.replicas, Some(1));
}

/// As where the lower bound is raised while there is none.
#[test]
fn what_preheat_left_at_zero_is_its_own_to_bring_back() {
    let settings = settings("mode: Act\n");
    let situation = |idle| Situation {
        settings: &settings,
        mode: settings.mode,
        asked: 0,
        replicas: &[],
        blind: Duration::ZERO,
        idle,
        drains_aside: false,
    };
    let plan = Plan {
        desired: ReplicaCount(1),
        actions: vec![Action::Start { count: 1 }],
        next_tick_at: Instant::ORIGIN,
    };
    assert_eq!(writes(&situation(false), &plan).withheld, Some(Withheld::Zero));
    assert_eq!(writes(&situation(true), &plan).replicas, Some(1));
}

/// `carried_out` is asked after a minute at which nobody told anything.
#[test]
fn at_zero_the_fallback_starts_one_when_demand_is_not_told() {
    let none = "mode: Act\nminReplicas: 0\ndemand: {queries: {held: sum(q)}}\n";
    for (fallback, expected) in [
        ("fallback: {after: 1m, replicas: 2}\n", Some(2)),
        ("fallback: {after: 61s, replicas: 2}\n", None),
        ("fallback: {after: 1m, replicas: 0}\n", None),
        ("", None),
    ] {
        let written = carried_out(&format!("{none}{fallback}"), &[], 0, &[]);
        assert_eq!((written.replicas, written.withheld), (expected, None), "{fallback}");
    }
}

#[test]
fn the_fallback_grows_and_never_shrinks() {
    let two = fleet(&[(Ready, UNMARKED), (Ready, UNMARKED)], 2);
    let fallback = |after: &str, replicas: u32| {
        format!("mode: Act\nfallback: {{after: {after}, replicas: {replicas}}}\n")
    };
    for (case, more, expected) in [
        ("long enough", fallback("1m", 3), Some(3)),
        ("not yet", fallback("61s", 3), None),
        ("more are there", fallback("1m", 1), None),
    ] {
        assert_eq!(carried_out(&more, &two, 2, &[]).replicas, expected, "{case}");
    }
}

/// Pods that are out of traffic are the target's, until the plan stops them.
#[test]
fn what_is_set_aside_stays_in_the_scale_until_it_is_stopped() {
    use StopReason::{DrainDeadlinePassed, Drained, StandbySurplus};
    const ASIDE: Option<i32> = Some(COST_ASIDE);
    let standby = Standby(Rung::Sleeping);
    let mut replicas = fleet(&[(Ready, UNMARKED), (Ready, ASIDE), (Ready, ASIDE)], 3);
    for (index, phase) in [(1, Draining), (2, standby)] {
        replicas[index].observation.phase = phase;
        replicas[index].pod.as_mut().unwrap().traffic = Traffic::Off;
    }
    let sleep = Action::Sleep { replica: ReplicaId(1), rung: Rung::Sleeping };
    let wake = Action::Wake { replica: ReplicaId(2) };
    type Case<'a> = (&'a str, &'a [Action], Option<u32>, &'a [&'a str]);
    let cases: [Case<'_>; 8] = [
        ("nothing to do", &[], None, &[]),
        ("taken out", &[drain(0)], None, &[]),
        ("put to sleep", &[sleep], None, &[]),
        ("woken, and taken back", &[wake, resume(1)], None, &[]),
        ("drained", &[stop(1, Drained)], Some(2), &["u1"]),
        ("drained for too long", &[stop(1, DrainDeadlinePassed)], Some(2), &["u1"]),
        ("asleep for nothing", &[stop(2, StandbySurplus)], Some(2), &["u2"]),
        ("both", &[stop(1, Drained), stop(2, StandbySurplus)], Some(1), &["u1", "u2"]),
    ];
    for (case, actions, expected, victims) in cases {
        let written = carried_out_by(("mode: Act\n", true), &replicas, 3, actions);
        assert_eq!(written.replicas, expected, "{case}");
        assert_eq!(written.victims, victims, "{case}");
    }
    // Chosen before and not now, it is among the first to go all the same.
    replicas[1].pod.as_mut().unwrap().deletion_cost = Some(COST_VICTIM);
    let written = carried_out_by(("mode: Act\n", true), &replicas, 3, &[stop(2, StandbySurplus)]);
    let costs: Vec<_> = written.costs.iter().map(|cost| (cost.uid.as_str(), cost.cost)).collect();
    assert_eq!(costs, [("u1", ASIDE), ("u2", Some(COST_VICTIM))]);
    // Where drains are deletions, one goes at once.
    let written = carried_out("mode: Act\n", &replicas, 3, &[drain(0)]);
    assert_eq!((written.replicas, written.victims), (Some(2), vec!["u0".to_owned()]));
}
