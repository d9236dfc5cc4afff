//! Pods and orders as replicas, tick by tick.

use std::time::Duration;

use preheat_core::{ReplicaMemory, ReplicaPhase::*};

use super::*;

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
}

fn pod(uid: &str, phase: ReplicaPhase, created: u64) -> SeenPod {
    SeenPod {
        uid: uid.to_owned(),
        name: format!("chat-{uid}"),
        phase,
        phase_since: at(created),
        created_at: at(created),
        passed: [None; 5],
        node: None,
        machine: preheat_core::MachineState::default(),
        restarts: 0,
        address: None,
        deletion_cost: None,
        of_replica_set: true,
        traffic: crate::traffic::Traffic::On,
        grace: None,
        waiting: None,
    }
}

/// Each replica as `id uid phase`, where a pod is there.
fn shown(replicas: &[Replica]) -> Vec<String> {
    let show = |replica: &Replica| {
        let uid = replica.pod.as_ref().map_or("-", |pod| pod.uid.as_str());
        format!("{} {uid} {}", replica.observation.id, replica.observation.phase.name())
    };
    replicas.iter().map(show).collect()
}

#[test]
fn what_is_asked_for_and_not_made_yet_is_pending_and_keeps_its_name() {
    let mut roster = Roster::default();
    assert_eq!(
        shown(&roster.take(vec![pod("b", Ready, 2), pod("a", Ready, 1)], 2, at(10))),
        ["r0 a ready", "r1 b ready"]
    );
    let pods = || vec![pod("a", Ready, 1), pod("b", Ready, 2)];
    let replicas = roster.take(pods(), 4, at(12));
    assert_eq!(shown(&replicas), ["r0 a ready", "r1 b ready", "r2 - pending", "r3 - pending"]);
    assert_eq!(replicas[2].observation.start_ordered_at, at(12));
    let mut made = pods();
    made.push(pod("c", Pulling, 13));
    let replicas = roster.take(made, 4, at(14));
    assert_eq!(shown(&replicas), ["r0 a ready", "r1 b ready", "r2 c pulling", "r3 - pending"]);
    // Its start began with its order, not with its pod.
    assert_eq!(replicas[2].observation.start_ordered_at, at(12));
    // The order is taken back.
    let mut made = pods();
    made.push(pod("c", Pulling, 13));
    assert_eq!(roster.take(made, 3, at(16)).len(), 3);
}

#[test]
fn a_name_is_never_given_twice() {
    let mut roster = Roster::default();
    roster.take(vec![pod("a", Ready, 1)], 1, at(10));
    assert_eq!(shown(&roster.take(vec![], 0, at(12))), [""; 0]);
    assert_eq!(shown(&roster.take(vec![pod("b", Ready, 13)], 1, at(14))), ["r1 b ready"]);
    let mut memory = Memory::default();
    memory.replicas.insert(ReplicaId(6), ReplicaMemory::default());
    let mut restarted = Roster::after(&memory);
    assert_eq!(shown(&restarted.take(vec![pod("b", Ready, 13)], 1, at(20))), ["r7 b ready"]);
}

#[test]
fn chosen_pods_drain_as_soon_as_the_scale_is_smaller() {
    let mut roster = Roster::default();
    let pods = || vec![pod("a", Ready, 1), pod("b", Ready, 2), pod("c", Ready, 3)];
    roster.take(pods(), 3, at(10));
    roster.choose(["b".to_owned()]);
    // Not yet written.
    assert_eq!(shown(&roster.take(pods(), 3, at(12)))[1], "r1 b ready");
    let replicas = roster.take(pods(), 2, at(14));
    assert_eq!(shown(&replicas), ["r0 a ready", "r1 b draining", "r2 c ready"]);
    assert_eq!(replicas[1].observation.phase_since, at(14));
    // After a restart the annotation tells.
    let mut marked = pods();
    marked[1].deletion_cost = Some(COST_VICTIM);
    assert_eq!(shown(&Roster::default().take(marked, 2, at(16)))[1], "r1 b draining");
}

#[test]
fn a_rollouts_surplus_serves() {
    let mut roster = Roster::default();
    let pods = vec![pod("a", Ready, 1), pod("b", Ready, 2), pod("new", Loading, 3)];
    assert_eq!(
        shown(&roster.take(pods, 2, at(10))),
        ["r0 a ready", "r1 b ready", "r2 new loading"]
    );
}

#[test]
fn a_stateful_set_gives_up_its_highest_ordinal() {
    let of_set = |ordinal: u32| {
        let mut pod = pod(&ordinal.to_string(), Ready, u64::from(10 - ordinal));
        pod.of_replica_set = false;
        pod
    };
    let replicas = Roster::default().take((0..11).map(of_set).collect(), 10, at(20));
    let draining = replicas.iter().find(|replica| replica.observation.phase == Draining);
    let pod = draining.and_then(|replica| replica.pod.as_ref());
    assert_eq!(pod.map(|pod| pod.name.as_str()), Some("chat-10"));
}

#[test]
fn phases_never_begin_before_the_one_before() {
    let mut roster = Roster::default();
    let mut loading = pod("a", Loading, 1);
    loading.phase_since = at(9);
    roster.take(vec![loading], 1, at(10));
    let mut ready = pod("a", Ready, 1);
    // Written by a node whose clock is behind.
    ready.phase_since = at(7);
    assert_eq!(roster.take(vec![ready.clone()], 1, at(12))[0].observation.phase_since, at(9));
    ready.phase = Draining;
    ready.phase_since = at(15);
    assert_eq!(roster.take(vec![ready], 0, at(16))[0].observation.phase_since, at(15));
}

#[test]
fn a_pod_tells_of_phases_that_no_tick_saw() {
    let mut roster = Roster::default();
    // Ordered at 10, made at 13, first seen while its weights are fetched.
    assert_eq!(shown(&roster.take(Vec::new(), 1, at(10))), ["r0 - pending"]);
    let secs = |seconds| Some(Duration::from_secs(seconds));
    let told =
        |phase, since, passed| SeenPod { phase_since: at(since), passed, ..pod("a", phase, 13) };
    let before = [secs(0), secs(30), secs(20), None, None];
    let loading = told(Loading, 63, before);
    let seen = roster.take(vec![loading], 1, at(70));
    let expected = [secs(3), secs(30), secs(20), None, None];
    assert_eq!((seen[0].observation.phase_since, seen[0].observation.passed), (at(63), expected));
    // It has pulled again meanwhile, and loads again.
    let again = told(Loading, 90, [secs(0), secs(30), secs(25), secs(22), None]);
    let seen = roster.take(vec![again], 1, at(92));
    assert_eq!(seen[0].observation.phase_since, at(90));
    // It tells when it has become ready, and not again.
    let ready = || told(Ready, 120, before);
    assert_eq!(roster.take(vec![ready()], 1, at(122))[0].observation.passed, expected);
    assert_eq!(roster.take(vec![ready()], 1, at(124))[0].observation.passed, [None; 5]);
}
