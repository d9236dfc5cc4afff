//! Engines and disks that misbehave.

use std::fs;

use nix::sys::signal::Signal;
use preheat_api::v1::Pool;
use preheat_core::Reason;

use crate::common::http::{self, Ending};
use crate::common::{MODEL, PROGRAM, Stage, eventually, kill, totals};

/// An engine run by a command, as a user's own would be, with a fault.
fn faulty(fault: &str, cold_start: &str) -> String {
    format!(
        "command: ['{PROGRAM}', engine, --port, '{{port}}', --model, '{{model}}', \
         --cold-start-p50, {cold_start}, --max-num-seqs, '4', --fault, {fault}]"
    )
}

/// One slot each, so that a second request waits inside an engine, of which nothing is answered yet.
#[tokio::test]
async fn an_engine_killed_mid_stream_loses_only_what_had_begun() {
    let stage = Stage::new();
    let pool = "minReplicas: 2, maxReplicas: 2, coldStart: {p50: 20s, p90: 20s}";
    let mut up = stage.up(&stage.config(50.0, pool, "emulated: {maxNumSeqs: 1}"));
    let before = stage.ready(2).await;
    let streams = [
        http::stream(stage.gateway(), 2000).await.expect("a stream"),
        http::stream(stage.gateway(), 2000).await.expect("a stream"),
    ];
    let gateway = stage.gateway();
    let waiting: Vec<_> =
        (0..4).map(|_| tokio::spawn(http::complete(gateway, MODEL, 10))).collect();
    let queued = |pool: &Pool| {
        let mut outstanding = pool.replicas.iter().filter_map(|replica| replica.outstanding);
        outstanding.all(|n| n == 3).then_some(())
    };
    stage.pool("three inside each", queued).await;
    kill(before[0].1, Signal::SIGKILL);

    let mut endings = Vec::new();
    for stream in streams {
        endings.push(stream.ending().await);
    }
    endings.sort_by_key(|ending| *ending != Ending::Done);
    assert_eq!(endings[0], Ending::Done, "the other engine's");
    assert_ne!(endings[1], Ending::Done, "a cut answer must not look whole");
    for request in waiting {
        let answer = request.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let restarted = |pool: &Pool| {
        let replica = pool.replicas.iter().find(|replica| replica.id.0 == before[0].0)?;
        (replica.restarts == 1 && replica.phase == "ready").then_some(replica.pid)
    };
    let pid = stage.pool("a restart", restarted).await;
    assert_ne!(pid, u32::try_from(before[0].1).ok());
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

#[tokio::test]
async fn an_engine_that_keeps_crashing_is_started_again_and_requests_get_through() {
    let stage = Stage::new();
    let pool = "minReplicas: 1, maxReplicas: 1, coldStart: {p50: 2s, p90: 2s}";
    // The canary is its first request, and the third kills it.
    let mut up = stage.up(&stage.config(50.0, pool, &faulty("crash-after=2", "2s")));
    stage.ready(1).await;
    for _ in 0..3 {
        let answer = http::complete(stage.gateway(), MODEL, 5).await.expect("an answer");
        assert_eq!(answer.status, 200, "held until the engine is back: {answer:?}");
    }
    let restarts = |pool: &Pool| {
        let restarts = pool.replicas.first()?.restarts;
        (restarts >= 2).then_some(restarts)
    };
    stage.pool("restarts", restarts).await;
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

/// The gateway's own counts stand in for the engine's: what is running is seen, and not cut.
#[tokio::test]
async fn metrics_that_cannot_be_read_stop_neither_serving_nor_growing() {
    for fault in ["metrics-hang", "metrics-garbage", "metrics-huge"] {
        let stage = Stage::new();
        let pool = "maxReplicas: 2, maxConcurrency: 4, coldStart: {p50: 5s, p90: 5s}, \
                    serviceTime: 60s, arrivalWindow: 30s, \
                    behavior: {scaleDown: {stabilizationWindow: 10s}}";
        let mut up = stage.up(&stage.config(50.0, pool, &faulty(fault, "5s")));
        stage.ready(1).await;
        let mut streams = Vec::new();
        for _ in 0..6 {
            let gateway = stage.gateway();
            streams.push(tokio::spawn(async move {
                http::stream(gateway, 3000).await.expect("a stream").ending().await
            }));
        }
        stage.ready(2).await;
        let unread = |pool: &Pool| {
            let absent = pool.summary.in_flight.is_none() && pool.summary.queue_depth.is_none();
            let counted: u32 = pool.replicas.iter().filter_map(|r| r.outstanding).sum();
            (absent && counted > 0).then_some(())
        };
        stage.pool("absent, not zero", unread).await;
        for stream in streams {
            assert_eq!(stream.await.expect("no panic"), Ending::Done, "{fault}");
        }
        assert!(up.terminate().await.success());
        assert_eq!(stage.processes(), []);
        stage.replay_agrees();
    }
}

/// As after an upgrade under a running preheat: the old names are told from one answer to the next by
/// others, which nobody knows.
#[tokio::test]
async fn an_engine_that_renames_its_metrics_is_told_of_once_and_is_not_idle() {
    let stage = Stage::new();
    let pool = "minReplicas: 2, maxReplicas: 2, coldStart: {p50: 5s, p90: 5s}";
    let mut up = stage.up(&stage.config(50.0, pool, &faulty("metrics-renamed=10", "5s")));
    stage.ready(2).await;
    let told = |pool: &Pool| pool.summary.in_flight.filter(|_| pool.summary.queue_depth.is_some());
    assert_eq!(stage.pool("names that are known", told).await, 0);
    let renamed = |pool: &Pool| {
        let errors: Option<Vec<String>> =
            pool.replicas.iter().map(|replica| replica.last_error.clone()).collect();
        errors.filter(|_| pool.summary.in_flight.is_none() && pool.summary.queue_depth.is_none())
    };
    let errors = stage.pool("absent, not zero", renamed).await;
    for part in [
        "requests running any more, which `vllm:num_requests_running` told before, but have \
         `vllm:requests_running`",
        "requests waiting any more, which `vllm:num_requests_waiting` told before",
    ] {
        assert!(errors.iter().all(|error| error.contains(part)), "{errors:?}");
    }
    let ticks = stage.pool("a tick", |pool| Some(totals(pool).ticks)).await;
    let later = |pool: &Pool| (totals(pool).ticks >= ticks + 20).then_some(pool.summary.ready);
    assert_eq!(stage.pool("twenty ticks later", later).await, 2);
    let log = fs::read_to_string(stage.path("up.log")).expect("a log");
    assert_eq!(log.matches("`vllm:num_requests_running` told before").count(), 1, "{log}");
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

/// Stopped by a signal, it still has its process and its connections, and says nothing.
#[tokio::test]
async fn an_engine_that_falls_silent_while_it_drains_keeps_its_stream() {
    let stage = Stage::new();
    let pool = "minReplicas: 0, maxReplicas: 1, arrivalWindow: 10s, \
                coldStart: {p50: 5s, p90: 5s}, drainTimeout: 24h, \
                behavior: {scaleDown: {stabilizationWindow: 10s}}";
    let mut up = stage.up(&stage.config(50.0, pool, "emulated: {}"));
    stage.fleet().await;
    let stream = http::stream(stage.gateway(), 5000).await.expect("a stream");
    let engine = stage.engines()[0];
    kill(engine, Signal::SIGSTOP);
    let drains = |pool: &Pool| (pool.summary.draining == 1).then_some(totals(pool).ticks);
    let since = stage.pool("a drain", drains).await;
    let later = |pool: &Pool| (totals(pool).ticks >= since + 20).then_some(pool.clone());
    let pool = stage.pool("forty seconds later", later).await;
    assert_eq!((pool.summary.draining, totals(&pool).stops), (1, 0), "a request is inside");
    kill(engine, Signal::SIGCONT);
    assert_eq!(stream.ending().await, Ending::Done);
    let gone = |pool: &Pool| (totals(pool).stops == 1).then_some(());
    stage.pool("a stop once it is empty", gone).await;
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

#[tokio::test]
async fn an_engine_that_never_gets_ready_is_overdue_and_not_started_without_end() {
    let stage = Stage::new();
    let pool = "minReplicas: 1, maxReplicas: 2, coldStart: {p50: 5s, p90: 8s}";
    let mut up = stage.up(&stage.config(50.0, pool, &faulty("never-ready", "5s")));
    let overdue = |pool: &Pool| {
        (pool.summary.reason.as_deref()? == Reason::Capped.name()).then_some(totals(pool).ticks)
    };
    let since = stage.pool("as many as are allowed", overdue).await;
    let later = |pool: &Pool| (totals(pool).ticks >= since + 50).then_some(pool.clone());
    let pool = stage.pool("a hundred seconds later", later).await;
    assert_eq!((pool.summary.ready, pool.summary.starting, totals(&pool).starts), (0, 2, 2));
    assert_eq!(stage.engines().len(), 2);
    let why = stage.run(&["why", "--journal", &stage.state().display().to_string()]);
    let overdue = "Overdue: r0, r1 should have been ready long ago; not counted on.";
    assert!(why.stdout.contains(overdue), "{why:?}");
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

/// As on a disk that is full or read-only, but also for root.
#[tokio::test]
async fn a_journal_that_cannot_be_written_stops_nothing() {
    let stage = Stage::new();
    fs::create_dir_all(stage.state().join("journal.db")).expect("a folder");
    let pool = "minReplicas: 0, maxReplicas: 1, coldStart: {p50: 5s, p90: 5s}";
    let mut up = stage.up(&stage.config(50.0, pool, "emulated: {}"));
    stage.fleet().await;
    let answer = http::complete(stage.gateway(), MODEL, 5).await.expect("an answer");
    assert_eq!(answer.status, 200, "scaled from zero: {answer:?}");
    let failure = async || stage.fleet_now().await?.journal?.failure;
    eventually("a failing journal in the status", failure).await;
    let text = stage.run(&["status", "--admin", &stage.admin().to_string()]);
    assert!(text.stdout.contains("\njournal: not being written: "), "{text:?}");
    let metrics = http::get(stage.admin(), "/metrics").await.expect("an answer");
    assert!(metrics.body.contains("\npreheat_journal_failing 1\n"), "{}", metrics.body);
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
}
