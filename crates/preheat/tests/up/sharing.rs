//! Two pools, three GPUs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use preheat_api::v1::PoolSummary;
use tokio::task::JoinHandle;

use crate::common::Stage;
use crate::common::http;

/// Up to two replicas of one slot each, quick to start and quick to forget demand. Of four clients
/// whose answers take 12 s, each waits for 36 s at one replica and for 12 s at two: one is never
/// enough for them, and two always are.
const POOL: &str = "minReplicas: 1, maxReplicas: 2, slo: {ttft: 20s, quantile: 0.5}, \
                    arrivalWindow: 10s, serviceTime: 10s, coldStart: {p50: 10s, p90: 10s}, \
                    behavior: {scaleDown: {stabilizationWindow: 20s}}";
const ENGINE: &str = "emulated: {maxNumSeqs: 1}";

/// Clients that ask for one answer after the other, until they are told to stop.
struct Clients {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<usize>>,
}

impl Clients {
    fn start(stage: &Stage, model: &'static str, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let gateway = stage.gateway();
        let client = |_| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut answers = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = http::complete(gateway, model, 400).await.expect("an answer");
                    assert_eq!(answer.status, 200, "{answer:?}");
                    answers += 1;
                }
                answers
            })
        };
        let tasks = (0..count).map(client).collect();
        Self { stop, tasks }
    }

    /// Every request was answered in full.
    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert!(task.await.expect("no request failed") > 0);
        }
    }
}

/// Waits until so many of each pool are ready, `chat` first, and there never are more than GPUs.
async fn until_ready(stage: &Stage, expected: [u32; 2]) {
    let look = |pools: &[PoolSummary]| {
        let [chat, batch] = pools else { return None };
        let existing =
            |pool: &PoolSummary| pool.ready + pool.starting + pool.standby + pool.draining;
        let existing = existing(chat) + existing(batch);
        assert!(existing <= 3, "{existing} replicas on three GPUs: {pools:?}");
        ([chat.ready, batch.ready] == expected).then_some(())
    };
    stage.pools(&format!("{expected:?} ready"), look).await;
}

#[tokio::test]
async fn the_more_important_pool_gets_the_gpu_and_gives_it_back() {
    let stage = Stage::new();
    let important = format!("priority: 1, {POOL}");
    let pools = [("chat", "m", important.as_str(), ENGINE), ("batch", "n", POOL, ENGINE)];
    let mut up = stage.up(&stage.config_of(50.0, "gpuSlots: 3\n", &pools));
    until_ready(&stage, [1, 1]).await;
    let of_batch = Clients::start(&stage, "n", 4);
    until_ready(&stage, [1, 2]).await;

    let of_chat = Clients::start(&stage, "m", 4);
    until_ready(&stage, [2, 1]).await;
    let taken = |pools: &[PoolSummary]| {
        let quota = pools.last()?.quota.as_ref()?;
        (quota.replicas_allowed == 1 && quota.taken_by == ["chat"]).then_some(())
    };
    stage.pools("a word on who took it", taken).await;
    it_says_so(&stage).await;

    of_chat.stop().await;
    until_ready(&stage, [1, 2]).await;
    of_batch.stop().await;
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

async fn it_says_so(stage: &Stage) {
    let status = stage.run(&["status", "--admin", &stage.admin().to_string()]);
    let line = " are needed, but 1 may be held: chat comes first\n";
    assert!(status.stdout.contains(line), "{status:?}");
    let metrics = http::get(stage.admin(), "/metrics").await.expect("an answer");
    for line in [
        "preheat_allowed_replicas{pool=\"chat\"} 2\n",
        "preheat_allowed_replicas{pool=\"batch\"} 1\n",
    ] {
        assert!(metrics.body.contains(line), "{line} is not in {}", metrics.body);
    }
    let journal = stage.state().display().to_string();
    let why = stage.run(&["why", "--journal", &journal, "--pool", "batch", "--changes", "9"]);
    let line = ": the GPUs are needed elsewhere: chat comes first, and 1 may be held.\n";
    assert!(why.stdout.contains(line), "{why:?}");
    let now = stage.run(&["why", "--journal", &journal, "--pool", "batch"]);
    assert!(now.stdout.contains("  Quota: "), "{now:?}");
}
