//! What replicas do when all goes well.

use std::time::Duration;

use preheat_core::{Action, ReplicaId, ReplicaPhase, Rung, Sample, StopReason};
use preheat_local::{ActionRefused, ShutdownMode};

use crate::fixture::{Setup, lives};

const R0: ReplicaId = ReplicaId(0);
const DRAINED: Action = Action::Stop { replica: R0, because: StopReason::Drained };

#[tokio::test]
async fn a_start_passes_its_phases_and_is_routed_to_only_when_ready() {
    let setup = Setup::new("waits");
    let run = setup.start().await;
    assert_eq!(run.routed(), [0; 0]);
    run.start_replicas(1).await;
    let loading = run.reaches(0, ReplicaPhase::Loading).await;
    assert_eq!((loading.in_flight, loading.outstanding), (None, None));
    setup.open("loaded");
    let warming = run.reaches(0, ReplicaPhase::Warming).await;
    assert_eq!(run.routed(), [0; 0]);
    assert_eq!(run.observe().await.replicas_placeable, Some(8));
    setup.open("open");
    let ready = run.ready(0).await;
    assert_eq!(run.routed(), [0]);
    assert_eq!(ready.start_ordered_at, loading.start_ordered_at);
    assert!(warming.phase_since <= ready.phase_since);
    // The phase was read after that observation's scrape, so the next one has samples.
    let scraped = run.observe().await.replicas.remove(0);
    assert_eq!(scraped.in_flight.map(|sample| sample.value), Some(3));
    assert_eq!(scraped.queue_depth.map(|sample| sample.value), Some(2));
    assert_eq!(scraped.outstanding.map(|Sample { value, .. }| value), Some(0));
    run.stop().await;
    assert_eq!(setup.records(), 0);
}

#[tokio::test]
async fn a_drained_replica_gets_nothing_until_it_is_resumed() {
    let setup = Setup::new("");
    let run = setup.start().await;
    run.start_replicas(2).await;
    run.ready(0).await;
    run.ready(1).await;
    assert_eq!(run.routed(), [0, 1]);
    run.apply(&[Action::Drain { replica: R0 }]).await;
    assert_eq!(run.routed(), [1]);
    let draining = run.reaches(0, ReplicaPhase::Draining).await;
    assert!(lives(run.pid(0)));
    let scraped = run.observe().await.replicas.remove(0);
    assert_eq!(scraped.in_flight.map(|sample| sample.value), Some(3), "still asked");
    run.apply(&[Action::Resume { replica: R0 }]).await;
    assert_eq!(run.routed(), [0, 1]);
    let resumed = run.ready(0).await;
    assert!(resumed.phase_since >= draining.phase_since);
    run.stop().await;
}

#[tokio::test]
async fn a_stop_ends_the_whole_group_and_frees_its_port_and_gpus() {
    let mut setup = Setup::new("has-helper");
    setup.file_keys = "gpuSlots: 2\n".to_owned();
    setup.engine_keys = "      gpusPerReplica: 2\n".to_owned();
    let run = setup.start().await;
    assert_eq!(run.observe().await.replicas_placeable, Some(1));
    run.start_replicas(1).await;
    run.ready(0).await;
    assert_eq!(run.observe().await.replicas_placeable, Some(0));
    assert_eq!(setup.mark("r0.env").await, "0,1");
    let helper: u32 = setup.mark("r0.helper").await.parse().unwrap();
    let (pid, address) = (run.pid(0), run.address(0));
    assert!(lives(pid) && lives(helper));

    // A second one waits for the GPUs.
    run.start_replicas(1).await;
    let waiting = run.shows(1, |replica| replica.last_error.clone()).await;
    assert_eq!(waiting, "no 2 free GPU slots");
    run.reaches(1, ReplicaPhase::Pending).await;

    run.apply(&[Action::Drain { replica: R0 }, DRAINED]).await;
    let replicas = run.observe().await.replicas;
    assert!(replicas.iter().all(|r| r.id != R0 || r.phase == ReplicaPhase::Stopped));
    let again = run.observe().await.replicas;
    assert!(again.iter().all(|r| r.id != R0), "told once at most: {again:?}");
    run.gone(0).await;
    assert!(!lives(pid) && !lives(helper));
    run.ready(1).await;
    assert_eq!(run.address(1), address);
    assert_eq!(setup.mark("r1.env").await, "0,1");
    run.stop().await;
}

#[tokio::test]
async fn a_start_can_be_cancelled_in_any_phase() {
    let setup = Setup::new("waits");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.reaches(0, ReplicaPhase::Loading).await;
    let pid = run.pid(0);
    run.apply(&[Action::Stop { replica: R0, because: StopReason::StartCancelled }]).await;
    run.gone(0).await;
    assert!(!lives(pid));
    run.stop().await;
}

#[tokio::test]
async fn a_replica_sleeps_and_wakes() {
    let mut setup = Setup::new("");
    setup.engine_keys = "      sleep: {}\n".to_owned();
    let run = setup.start().await;
    run.start_replicas(1).await;
    let ready = run.ready(0).await;
    let sleep = Action::Sleep { replica: R0, rung: Rung::Sleeping };
    run.apply(&[Action::Drain { replica: R0 }, sleep]).await;
    assert_eq!(run.routed(), [0; 0]);
    run.reaches(0, ReplicaPhase::Standby(Rung::Sleeping)).await;
    setup.mark("r0.asleep").await;
    let pid = run.pid(0);
    run.apply(&[Action::Wake { replica: R0 }]).await;
    let woken = run.ready(0).await;
    setup.mark("r0.awake").await;
    assert_eq!((run.routed(), run.pid(0), woken.restarts), (vec![0], pid, 0));
    assert!(woken.start_ordered_at > ready.start_ordered_at, "a wake is an order of its own");
    run.stop().await;
}

#[tokio::test]
async fn a_replica_may_be_woken_before_it_is_asleep() {
    let mut setup = Setup::new("");
    setup.engine_keys = "      sleep: {}\n".to_owned();
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let sleep = Action::Sleep { replica: R0, rung: Rung::Sleeping };
    run.apply(&[Action::Drain { replica: R0 }, sleep, Action::Wake { replica: R0 }]).await;
    run.ready(0).await;
    assert_eq!(run.routed(), [0]);
    run.stop().await;
}

#[tokio::test]
async fn an_action_that_comes_too_late_is_refused_and_the_others_are_carried_out() {
    let setup = Setup::new("");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let actions = [
        Action::Resume { replica: R0 },
        Action::Wake { replica: ReplicaId(9) },
        Action::Drain { replica: R0 },
        Action::Sleep { replica: R0, rung: Rung::Sleeping },
    ];
    let refused = run.world.apply(&run.pool, &actions).await.unwrap();
    let expected = [
        ActionRefused::WrongPhase { replica: R0, phase: ReplicaPhase::Ready },
        ActionRefused::NoSuchReplica(ReplicaId(9)),
        ActionRefused::CannotSleep(R0),
    ];
    assert_eq!(refused, expected);
    assert_eq!(run.routed(), [0; 0]);
    run.stop().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_requests_and_leaves_no_orphan() {
    let setup = Setup::new("has-helper");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let (pid, helper) = (run.pid(0), setup.mark("r0.helper").await.parse().unwrap());
    let meter = run.world.meter(&run.pool).unwrap();
    let request = meter.replica(R0).begin();
    let waits = tokio::spawn(run.world.shutdown(Duration::from_secs(3600), ShutdownMode::Drain));
    tokio::task::yield_now().await;
    assert!(lives(pid), "a request is still in it");
    drop(request);
    assert_eq!(waits.await.unwrap().requests_abandoned, 0);
    assert!(!lives(pid) && !lives(helper));
    assert_eq!(setup.records(), 0);
}

#[tokio::test]
async fn a_shutdown_that_runs_out_of_time_says_what_it_abandoned() {
    let setup = Setup::new("");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let pid = run.pid(0);
    let _request = run.world.meter(&run.pool).unwrap().replica(R0).begin();
    let report = run.world.shutdown(Duration::from_millis(1), ShutdownMode::Drain).await;
    assert_eq!(report.requests_abandoned, 1);
    assert!(!lives(pid));
}
