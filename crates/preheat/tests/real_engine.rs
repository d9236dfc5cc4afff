//! `preheat up` on an engine of other people's making: llama.cpp's own server, with a tiny model.
//!
//! `e2e/engines/llama-cpp/install` puts it there, which `make test` does where it can. Where it is
//! not there these tests say so and pass, but in CI, where they fail.
//!
//! Nothing here depends on how fast the engine is: load is kept up until what it must bring about is
//! there.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use preheat_api::status::PoolStatus;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use common::http::{self, Ending};
use common::{MODEL, Stage, kill};

/// Requests that one engine decodes at a time; others wait in it.
const SLOTS: usize = 8;
/// Quick to decide, and quick to forget demand.
const POOL: &str = "minReplicas: 1, maxReplicas: 2, maxConcurrency: 8, tickInterval: 200ms, staleness: 10s, \
                    arrivalWindow: 3s, serviceTime: 2s, coldStart: {p50: 20s, p90: 30s}, \
                    behavior: {scaleDown: {stabilizationWindow: 3s, limit: {period: 1s}}}";

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/engines/llama-cpp")
}

/// The engine's part of a pool; `None` where it is not installed, and need not be.
fn engine() -> Option<String> {
    let check = Command::new(scripts().join("install")).arg("--check").output();
    let output = check.expect("the script runs");
    if !output.status.success() {
        let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!in_ci, "llama.cpp's server is not installed: run e2e/engines/llama-cpp/install");
        eprintln!("not run: llama.cpp's server is not installed (e2e/engines/llama-cpp/install)");
        return None;
    }
    let folder = String::from_utf8(output.stdout).expect("a path");
    let folder = Path::new(folder.trim());
    let (python, model) = (folder.join("venv/bin/python"), folder.join("tiny.gguf"));
    let (python, model) = (python.display(), model.display());
    let serve = scripts().join("serve.py");
    let serve = serve.display();
    Some(format!(
        "command: ['{python}', '{serve}', '{model}', '{{model}}', '{{port}}', '{SLOTS}'], \
         gpusPerReplica: 0"
    ))
}

/// Clients that ask for one stream after the other until they are told to stop.
struct Load {
    stop: watch::Sender<bool>,
    clients: JoinSet<usize>,
}

impl Load {
    fn start(stage: &Stage, clients: usize, tokens: u32) -> Self {
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
    async fn end(self) -> usize {
        self.stop.send_replace(true);
        self.clients.join_all().await.into_iter().sum()
    }
}

fn count(pool: &PoolStatus, phase: &str) -> usize {
    pool.replicas.iter().filter(|replica| replica.phase == phase).count()
}

#[tokio::test]
async fn queueing_scales_it_up_and_a_scale_down_cuts_no_stream() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new();
    let mut up = stage.up(&stage.config(1.0, POOL, &engine));
    stage.ready(1).await;
    // Three times what one can decode.
    let load = Load::start(&stage, 3 * SLOTS, 200);
    let queued = |pool: &PoolStatus| {
        let waiting = pool.replicas.iter().filter_map(|replica| replica.queue_depth);
        (waiting.sum::<u32>() > 0).then_some(())
    };
    stage.pool("a queue in the engine", queued).await;
    stage.ready(2).await;
    assert!(load.end().await >= 3 * SLOTS);

    // One stream at a time in each of the two, of which one has room for both.
    let load = Load::start(&stage, 2, 1500);
    let drains = |pool: &PoolStatus| {
        let mut draining = pool.replicas.iter().filter(|replica| replica.phase == "draining");
        draining.any(|replica| replica.outstanding.is_some_and(|n| n > 0)).then_some(())
    };
    stage.pool("a drain with a stream inside", drains).await;
    let one_left = |pool: &PoolStatus| {
        (pool.totals.stops >= 1 && count(pool, "ready") == 1 && pool.replicas.len() == 1)
            .then_some(())
    };
    stage.pool("one replica", one_left).await;
    assert!(load.end().await >= 2);

    starts_were_measured(&stage);
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

/// The journal has starts, with the time that the engine took for them: one that was over before the
/// first look at it is not among them.
fn starts_were_measured(stage: &Stage) {
    let journal = stage.state().display().to_string();
    let ran = stage.run(&["coldstart", "--journal", &journal, "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: Value = serde_json::from_str(&ran.stdout).expect("one object");
    let pool = &report["pools"][0];
    assert!(pool["starts"].as_u64() >= Some(1), "{pool}");
    assert!(pool["mean_s"].as_f64() > Some(0.0), "{pool}");
    let why = stage.run(&["why", "--journal", &journal]);
    assert!(why.stdout.contains(" at p90 (from "), "{why:?}");
}

#[tokio::test]
async fn a_crash_is_recovered_from() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new();
    let pool = "minReplicas: 1, maxReplicas: 1, tickInterval: 200ms, coldStart: {p50: 2s, p90: 3s}";
    let mut up = stage.up(&stage.config(1.0, pool, &engine));
    let before = stage.ready(1).await;
    let whole = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!((whole.status, &whole.json()["usage"]["completion_tokens"]), (200, &20.into()));

    // More than one can decode: some have begun when it is killed, others wait in it.
    let streams: Vec<_> = (0..SLOTS).map(|_| http::stream(stage.gateway(), 4000)).collect();
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
    let restarted = |pool: &PoolStatus| {
        let replica = pool.replicas.first()?;
        (replica.restarts == 1 && replica.phase == "ready").then_some(replica.pid)
    };
    assert_ne!(stage.pool("a restart", restarted).await, u32::try_from(before[0].1).ok());
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
