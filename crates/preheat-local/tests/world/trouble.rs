//! What goes wrong, and what becomes of it.

use std::net::{Ipv4Addr, TcpListener};

use preheat_core::{Action, ReplicaId, ReplicaPhase, Rung, StopReason};

use crate::fixture::{Setup, lives};

const R0: ReplicaId = ReplicaId(0);

#[tokio::test]
async fn a_command_that_does_not_exist_is_told_and_tried_again() {
    let mut setup = Setup::new("");
    setup.command = Some("[/nonexistent/engine, '{port}']".to_owned());
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.shows(0, |replica| (replica.restarts >= 2).then_some(())).await;
    let error = run.process(0).unwrap().last_error;
    assert_eq!(error.as_deref(), Some("command not found: `/nonexistent/engine`"));
    let pending = run.reaches(0, ReplicaPhase::Pending).await;
    assert!(pending.restarts >= 2);
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_ends_at_its_start_is_started_again_under_its_id() {
    let setup = Setup::new("ends-at-start");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.shows(0, |replica| (replica.restarts >= 2).then_some(())).await;
    let error = run.shows(0, |replica| replica.last_error.clone()).await;
    assert_eq!(error, "engine ended (exit status: 3); its last words: RuntimeError: no memory");
    assert_eq!(run.observe().await.replicas.len(), 1);
    run.apply(&[Action::Stop { replica: R0, because: StopReason::StartCancelled }]).await;
    run.gone(0).await;
    run.stop().await;
}

#[tokio::test]
async fn a_crash_takes_a_replica_out_of_routing_and_it_comes_back_under_its_id() {
    let setup = Setup::new("has-helper");
    let mut run = setup.start().await;
    run.start_replicas(1).await;
    let before = run.ready(0).await;
    let helper: u32 = setup.mark("r0.helper").await.parse().unwrap();
    let pid = run.pid(0);
    run.routing.mark_unchanged();
    run.crash(0).await;
    run.routing.changed().await.unwrap();
    assert_eq!(run.routed(), [0; 0]);
    let after = run.ready(0).await;
    assert_eq!((after.id, after.restarts), (before.id, 1));
    assert!(after.phase_since > before.phase_since);
    assert_ne!(run.pid(0), pid);
    assert!(!lives(helper), "what the crashed engine left behind is gone");
    assert_eq!(run.routed(), [0]);
    run.stop().await;
}

#[tokio::test]
async fn a_draining_replica_that_crashes_is_gone() {
    let setup = Setup::new("");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    run.apply(&[Action::Drain { replica: R0 }]).await;
    run.crash(0).await;
    run.gone(0).await;
    assert_eq!(run.observe().await.replicas, []);
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_is_never_ready_keeps_starting_and_says_why() {
    for (traits, why) in [
        ("never-ready", "/v1/models: answered with status 503"),
        ("other-model", "/v1/models: lists `other`, but not `m`"),
        ("no-token", "/v1/completions: answered with status 500"),
    ] {
        let setup = Setup::new(traits);
        let run = setup.start().await;
        run.start_replicas(1).await;
        let said = run.shows(0, |replica| replica.last_error.clone()).await;
        assert_eq!(said, why);
        let observed = run.observe().await.replicas.remove(0);
        assert!(observed.phase.is_starting());
        assert_eq!(run.routed(), [0; 0]);
        run.stop().await;
    }
}

#[tokio::test]
async fn an_engine_that_ignores_sigterm_is_killed() {
    let mut setup = Setup::new("ignores-sigterm");
    setup.engine_keys = "      shutdownTimeout: 1s\n".to_owned();
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let pid = run.pid(0);
    run.apply(&[
        Action::Drain { replica: R0 },
        Action::Stop { replica: R0, because: StopReason::Drained },
    ])
    .await;
    run.gone(0).await;
    assert!(!lives(pid));
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_cannot_sleep_is_stopped() {
    let mut setup = Setup::new("insomniac");
    setup.engine_keys = "      sleep: {}\n".to_owned();
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let pid = run.pid(0);
    let sleep = Action::Sleep { replica: R0, rung: Rung::Sleeping };
    run.apply(&[Action::Drain { replica: R0 }, sleep]).await;
    run.gone(0).await;
    assert!(!lives(pid));
    run.stop().await;
}

#[tokio::test]
async fn an_engine_that_does_not_wake_is_started_anew() {
    let mut setup = Setup::new("never-wakes");
    setup.engine_keys = "      sleep: {}\n".to_owned();
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let pid = run.pid(0);
    let sleep = Action::Sleep { replica: R0, rung: Rung::Sleeping };
    run.apply(&[Action::Drain { replica: R0 }, sleep]).await;
    setup.mark("r0.asleep").await;
    run.apply(&[Action::Wake { replica: R0 }]).await;
    run.shows(0, |replica| (replica.restarts == 1).then_some(())).await;
    run.ready(0).await;
    assert!(!lives(pid));
    assert_ne!(run.pid(0), pid);
    run.stop().await;
}

#[tokio::test]
async fn a_port_that_someone_else_uses_is_skipped() {
    let setup = Setup::new("");
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, setup.first_port)).unwrap();
    let run = setup.start().await;
    run.start_replicas(2).await;
    run.ready(0).await;
    run.ready(1).await;
    let mut ports = [run.address(0).port(), run.address(1).port()];
    ports.sort_unstable();
    assert_eq!(ports, [setup.first_port + 1, setup.first_port + 2]);
    run.stop().await;
}

#[tokio::test]
async fn metrics_that_hang_or_make_no_sense_are_absent() {
    for traits in ["metrics-hang", "metrics-garbage"] {
        let setup = Setup::new(traits);
        let run = setup.start().await;
        run.start_replicas(1).await;
        run.ready(0).await;
        let observed = run.observe().await.replicas.remove(0);
        assert_eq!((observed.phase, observed.in_flight), (ReplicaPhase::Ready, None), "{traits}");
        assert_eq!(observed.outstanding.map(|sample| sample.value), Some(0));
        run.stop().await;
    }
}

#[tokio::test]
async fn samples_grow_old_when_metrics_stop() {
    let setup = Setup::new("");
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let fresh = run.observe().await.replicas.remove(0).in_flight.unwrap();
    setup.open("no-metrics");
    let old = run.observe().await.replicas.remove(0).in_flight.unwrap();
    assert_eq!(old, fresh);
    run.stop().await;
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_a_warning() {
    let setup = Setup::new("");
    // Root may write anywhere, but not into a file as if it were a folder.
    std::fs::write(setup.state(), "").unwrap();
    let run = setup.start().await;
    run.start_replicas(1).await;
    run.ready(0).await;
    let warnings = run.world.status().warnings;
    for kind in ["clock.json", "lock", "logs/p-r0.log", "pools/p.json", "replicas/p-r0.json"] {
        assert!(warnings.iter().any(|text| text.contains(kind)), "{kind}: {warnings:?}");
    }
    let pid = run.pid(0);
    run.stop().await;
    assert!(!lives(pid));
}
