//! A preheat that is killed, and the next one on the same state directory. Dropping a world does
//! to its engines what killing it does: nothing.

use preheat_core::{Action, ReplicaId, ReplicaPhase, Rung};
use preheat_local::{ShutdownMode, StateDir};

use crate::fixture::{Setup, eventually, lives};

const R0: ReplicaId = ReplicaId(0);

#[tokio::test]
async fn a_ready_replica_is_adopted_as_it_was() {
    let mut setup = Setup::new("");
    setup.file_keys = "gpuSlots: 2\n".to_owned();
    let first = setup.start().await;
    first.start_replicas(1).await;
    let before = first.ready(0).await;
    setup.recorded("r0", "\"ready\"").await;
    let (pid, address) = (first.pid(0), first.address(0));
    drop(first);

    let second = setup.start().await;
    assert_eq!(second.routed(), [0], "routed to from the first moment on");
    let adopted = second.observe().await.replicas.remove(0);
    assert_eq!(adopted.phase, ReplicaPhase::Ready);
    assert_eq!(adopted.phase_since, before.phase_since);
    assert_eq!(adopted.start_ordered_at, before.start_ordered_at);
    assert_eq!((second.pid(0), second.address(0)), (pid, address));
    // Its number, its port and its GPU are not given again.
    second.start_replicas(1).await;
    second.ready(1).await;
    assert_ne!(second.address(1), address);
    assert_eq!(setup.mark("r1.env").await, "1");
    // It is watched although it is not a child.
    second.crash(0).await;
    second.shows(0, |replica| (replica.restarts == 1).then_some(())).await;
    second.ready(0).await;
    second.stop().await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_replica_that_was_starting_goes_on_starting() {
    let setup = Setup::new("waits");
    let first = setup.start().await;
    first.start_replicas(1).await;
    let before = first.reaches(0, ReplicaPhase::Loading).await;
    setup.recorded("r0", "\"loading\"").await;
    drop(first);
    let second = setup.start().await;
    let adopted = second.observe().await.replicas.remove(0);
    assert_eq!(adopted.phase, ReplicaPhase::Loading);
    assert_eq!(adopted.start_ordered_at, before.start_ordered_at);
    setup.open("loaded");
    setup.open("open");
    second.ready(0).await;
    second.stop().await;
}

#[tokio::test]
async fn draining_and_sleeping_replicas_stay_so() {
    let mut setup = Setup::new("");
    setup.engine_keys = "      sleep: {}\n".to_owned();
    let first = setup.start().await;
    first.start_replicas(2).await;
    first.ready(0).await;
    first.ready(1).await;
    let r1 = ReplicaId(1);
    first
        .apply(&[
            Action::Drain { replica: R0 },
            Action::Drain { replica: r1 },
            Action::Sleep { replica: r1, rung: Rung::Sleeping },
        ])
        .await;
    setup.recorded("r0", "\"draining\"").await;
    setup.recorded("r1", "{").await;
    drop(first);

    let second = setup.start().await;
    assert_eq!(second.routed(), [0; 0]);
    let replicas = second.observe().await.replicas;
    let phases: Vec<ReplicaPhase> = replicas.iter().map(|replica| replica.phase).collect();
    assert_eq!(phases, [ReplicaPhase::Draining, ReplicaPhase::Standby(Rung::Sleeping)]);
    let outstanding = replicas[0].outstanding.map(|sample| sample.value);
    assert_eq!(outstanding, Some(0), "its old gateway is gone");
    second.apply(&[Action::Resume { replica: R0 }, Action::Wake { replica: r1 }]).await;
    second.ready(1).await;
    assert_eq!(second.routed(), [0, 1]);
    second.stop().await;
}

#[tokio::test]
async fn an_engine_that_ended_meanwhile_is_forgotten_and_its_number_is_not_reused() {
    let setup = Setup::new("");
    let first = setup.start().await;
    first.start_replicas(1).await;
    first.ready(0).await;
    setup.recorded("r0", "\"ready\"").await;
    let (pid, address) = (first.pid(0), first.address(0));
    drop(first);
    crash(address).await;
    eventually("ended", || (!lives(pid)).then_some(())).await;
    let second = setup.start().await;
    assert_eq!(second.observe().await.replicas, []);
    assert_eq!(setup.records(), 0);
    second.start_replicas(1).await;
    second.ready(1).await;
    second.stop().await;
}

#[tokio::test]
async fn an_engine_of_another_command_is_ended() {
    let mut setup = Setup::new("");
    let first = setup.start().await;
    first.start_replicas(1).await;
    first.ready(0).await;
    setup.recorded("r0", "\"ready\"").await;
    let pid = first.pid(0);
    drop(first);
    setup.traits = "something-else".to_owned();
    // It has requests in it by its own account, so it is given time.
    let second = setup.start().await;
    assert_eq!((second.routed(), second.observe().await.replicas), (vec![], vec![]));
    assert_eq!(second.world.status().retiring[0].pid, pid);
    assert!(lives(pid));
    // Once its metrics stop, nothing speaks for waiting any longer.
    setup.open("no-metrics");
    eventually("retired", || second.world.status().retiring.is_empty().then_some(())).await;
    assert!(!lives(pid));
    assert_eq!(setup.records(), 0);
    second.stop().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_retiring_engines_to_be_empty() {
    let mut setup = Setup::new("");
    let first = setup.start().await;
    first.start_replicas(1).await;
    first.ready(0).await;
    setup.recorded("r0", "\"ready\"").await;
    let pid = first.pid(0);
    drop(first);
    setup.traits = "something-else".to_owned();
    setup.start().await.stop().await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn engines_that_are_left_running_are_adopted_and_records_are_not_believed_blindly() {
    let setup = Setup::new("");
    let first = setup.start().await;
    first.start_replicas(1).await;
    first.ready(0).await;
    setup.recorded("r0", "\"ready\"").await;
    let pid = first.pid(0);
    first.world.shutdown(std::time::Duration::ZERO, ShutdownMode::LeaveRunning).await;
    assert!(lives(pid));
    // The same pid with another start is someone else's process: this test's own.
    let path = setup.state().join("replicas/p-r0.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let own = text.replace(&format!("\"pid\": {pid}"), &format!("\"pid\": {}", std::process::id()));
    std::fs::write(
        setup.state().join("replicas/p-r7.json"),
        own.replace("\"replica\": 0", "\"replica\": 7"),
    )
    .unwrap();
    std::fs::write(setup.state().join("replicas/p-r8.json"), "{").unwrap();
    let second = setup.start().await;
    let ids: Vec<u64> = second.observe().await.replicas.iter().map(|r| r.id.0).collect();
    assert_eq!(ids, [0]);
    second.stop().await;
    assert!(!lives(pid));
}

#[tokio::test]
async fn two_worlds_cannot_share_a_state_directory() {
    let setup = Setup::new("");
    let run = setup.start().await;
    let error = StateDir::open(&setup.state()).unwrap_err();
    let pid = std::process::id();
    assert!(error.to_string().starts_with(&format!("another preheat (pid {pid}) uses")), "{error}");
    run.stop().await;
    // A process that another test is starting just now holds our lock until it has executed.
    eventually("the state directory is free", || StateDir::open(&setup.state()).ok()).await;
}

async fn crash(address: std::net::SocketAddr) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST /crash HTTP/1.1\r\n\r\n").await.unwrap();
    let _ = stream.read(&mut [0; 16]).await;
}
