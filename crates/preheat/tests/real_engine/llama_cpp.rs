//! llama.cpp's own server.

use std::path::PathBuf;

use crate::common::{Stage, totals};
use crate::steps::{
    SLOTS, a_crash_is_recovered_from, a_queue_brings_a_second, a_scale_down_cuts_no_stream,
    installed, scripts, starts_were_measured,
};

pub(crate) const ENGINE: &str = "llama-cpp";
/// Quick to decide, and quick to forget demand: where half may be late, little headroom is held, and
/// not for long.
const POOL: &str = "minReplicas: 1, maxReplicas: 2, slo: {ttft: 2s, quantile: 0.5}, \
                    maxConcurrency: 8, tickInterval: 200ms, staleness: 10s, \
                    arrivalWindow: 3s, serviceTime: 2s, coldStart: {p50: 20s, p90: 30s}, \
                    behavior: {scaleDown: {stabilizationWindow: 3s, limit: {period: 1s}}}";

/// Its streams are short: one that drains may be between two of them, so it is asked again.
const SCALE_DOWNS: usize = 5;

/// Where it is installed; `None` where it is not, and need not be.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = installed(ENGINE);
    if folder.is_none() {
        let in_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
        assert!(!in_ci, "llama.cpp's server is not installed: run e2e/engines/llama-cpp/install");
        eprintln!("not run: llama.cpp's server is not installed (e2e/engines/llama-cpp/install)");
    }
    folder
}

/// The engine's part of a pool.
fn engine() -> Option<String> {
    let folder = folder()?;
    let (python, model) = (folder.join("venv/bin/python"), folder.join("tiny.gguf"));
    let (python, model) = (python.display(), model.display());
    let serve = scripts(ENGINE).join("serve.py");
    let serve = serve.display();
    Some(format!(
        "command: ['{python}', '{serve}', '{model}', '{{model}}', '{{port}}', '{SLOTS}'], \
         gpusPerReplica: 0"
    ))
}

#[tokio::test]
async fn queueing_scales_it_up_and_a_scale_down_cuts_no_stream() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new();
    let mut up = stage.up(&stage.config(1.0, POOL, &engine));
    stage.ready(1).await;
    let mut seen_inside = false;
    for _ in 0..SCALE_DOWNS {
        a_queue_brings_a_second(&stage).await;
        // It is not needed any more.
        seen_inside = a_scale_down_cuts_no_stream(
            &stage,
            3500,
            async || {},
            "one replica",
            |pool| totals(pool).stops >= 1 && pool.replicas.len() == 1,
        )
        .await;
        if seen_inside {
            break;
        }
    }
    assert!(seen_inside, "no stream was inside one that drained");

    starts_were_measured(&stage);
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

#[tokio::test]
async fn a_crash_of_it_is_recovered_from() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new();
    let pool = "minReplicas: 1, maxReplicas: 1, tickInterval: 200ms, coldStart: {p50: 2s, p90: 3s}";
    let mut up = stage.up(&stage.config(1.0, pool, &engine));
    a_crash_is_recovered_from(&stage, 4000).await;
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
