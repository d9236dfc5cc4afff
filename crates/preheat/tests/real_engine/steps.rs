//! What is asked of every engine, step by step.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use preheat_api::v1::Pool;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::common::http::{self, Ending};
use crate::common::{MODEL, Stage, kill};

/// Requests that one engine decodes at a time; others wait in it.
pub(crate) const SLOTS: usize = 8;

/// The folder of an engine's scripts.
pub(crate) fn scripts(engine: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/engines").join(engine)
}

/// Where an engine is installed; `None` where it is not.
pub(crate) fn installed(engine: &str) -> Option<PathBuf> {
    let check = Command::new(scripts(engine).join("install")).arg("--check").output();
    let output = check.expect("the script runs");
    let folder = String::from_utf8(output.stdout).expect("a path");
    output.status.success().then(|| PathBuf::from(folder.trim()))
}

/// Clients that ask for one stream after the other until they are told to stop.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<usize>,
}

impl Load {
    pub(crate) fn start(stage: &Stage, clients: usize, tokens: u32) -> Self {
        let (stop, stopped) = watch::channel(false);
        let gateway = stage.gateway();
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let stopped = stopped.clone();
            set.spawn(async move {
                let mut streams = 0;
                while !*stopped.borrow() {
                    let stream = http::stream(gateway, tokens).await.expect("a stream");
                    assert_eq!(stream.ending().await, Ending::Done);
                    streams += 1;
                }
                streams
            });
        }
        Self { stop, clients: set }
    }

    /// Waits for the streams that are under way; how many there were in all. Any that was cut fails.
    pub(crate) async fn end(self) -> usize {
        self.stop.send_replace(true);
        self.clients.join_all().await.into_iter().sum()
    }
}

fn count(pool: &Pool, phase: &str) -> usize {
    pool.replicas.iter().filter(|replica| replica.phase == phase).count()
}

/// Three times what one can decode queues in it, until a second is ready.
pub(crate) async fn a_queue_brings_a_second(stage: &Stage) {
    let load = Load::start(stage, 3 * SLOTS, 200);
    let queued = |pool: &Pool| {
        let waiting = pool.replicas.iter().filter_map(|replica| replica.queue_depth);
        (waiting.sum::<u32>() > 0).then_some(())
    };
    stage.pool("a queue in the engine", queued).await;
    stage.ready(2).await;
    assert!(load.end().await >= 3 * SLOTS);
}

/// One stream at a time in each of the two, of which one has room for both: after `order` one drains,
/// and then `is_gone` holds. Whether a stream was seen inside while it drained: it may have been
/// between two, or gone between two looks.
pub(crate) async fn a_scale_down_cuts_no_stream(
    stage: &Stage,
    tokens: u32,
    order: impl AsyncFnOnce(),
    what: &str,
    is_gone: impl Fn(&Pool) -> bool,
) -> bool {
    let load = Load::start(stage, 2, tokens);
    order().await;
    let inside = Cell::new(false);
    let look = |pool: &Pool| {
        let mut draining = pool.replicas.iter().filter(|replica| replica.phase == "draining");
        let now = draining.any(|replica| replica.outstanding.is_some_and(|n| n > 0));
        inside.set(inside.get() || now);
        (count(pool, "ready") == 1 && is_gone(pool)).then_some(())
    };
    stage.pool(what, look).await;
    assert!(load.end().await >= 2);
    inside.get()
}

/// The one replica is killed while it decodes: what comes is held until it is back.
pub(crate) async fn a_crash_is_recovered_from(stage: &Stage, tokens: u32) {
    let before = stage.ready(1).await;
    let whole = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!((whole.status, &whole.json()["usage"]["completion_tokens"]), (200, &20.into()));

    // More than one can decode: some have begun when it is killed, others wait in it.
    let streams: Vec<_> = (0..SLOTS).map(|_| http::stream(stage.gateway(), tokens)).collect();
    let mut begun = Vec::new();
    for stream in streams {
        begun.push(stream.await.expect("a stream"));
    }
    kill(before[0].1, Signal::SIGKILL);
    for stream in begun {
        // One that was quick enough to end is whole; of the others none may look so.
        let _ending = stream.ending().await;
    }
    let answer = http::complete(stage.gateway(), MODEL, 5).await.expect("an answer");
    assert_eq!(answer.status, 200, "held until the engine is back: {answer:?}");
    let restarted = |pool: &Pool| {
        let replica = pool.replicas.first()?;
        (replica.restarts == 1 && replica.phase == "ready").then_some(replica.pid)
    };
    assert_ne!(stage.pool("a restart", restarted).await, u32::try_from(before[0].1).ok());
}

/// The journal has starts, with the time that the engine took for them: one that was over before the
/// first look at it is not among them. What it has of them.
pub(crate) fn starts_were_measured(stage: &Stage) -> Value {
    let journal = stage.state().display().to_string();
    let ran = stage.run(&["coldstart", "--journal", &journal, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("one object");
    let pool = &report["pools"][0];
    assert!(pool["starts"].as_u64() >= Some(1), "{pool}");
    assert!(pool["mean_s"].as_f64() > Some(0.0), "{pool}");
    let why = stage.run(&["why", "--journal", &journal]);
    assert!(why.stdout.contains(" at p90 (from "), "{why:?}");
    pool.clone()
}
