//! vLLM, on a CPU. A start takes minutes and 4 GB, so that few are made; `make test-vllm` asks for it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use preheat_api::v1::Pool;

use crate::common::http::{self, Ending};
use crate::common::{MODEL, Stage, eventually, totals};
use crate::skeleton::{own, skeleton};
use crate::steps::{
    SLOTS, a_crash_is_recovered_from, a_queue_brings_a_second, a_scale_down_cuts_no_stream,
    installed, scripts, starts_were_measured,
};

const ENGINE: &str = "vllm";
/// Set where it is asked for.
const ASKED: &str = "PREHEAT_TEST_VLLM";
const TOKEN: &str = "0123456789abcdef";
/// Starts of two minutes, a few times over on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(2400);
/// Patient with an engine that has to share two cores with another's start.
const POOL: &str = "maxConcurrency: 8, tickInterval: 500ms, staleness: 60s, arrivalWindow: 20s, serviceTime: 5s, \
                    coldStart: {p50: 2m, p90: 4m}, \
                    behavior: {scaleDown: {stabilizationWindow: 60s, limit: {period: 2s}}}";

/// The engine's part of a pool; `None` where nobody asked for it.
fn engine() -> Option<String> {
    if std::env::var_os(ASKED).is_none_or(|value| value != "1") {
        eprintln!("not run: vLLM was not asked for (make test-vllm)");
        return None;
    }
    let folder = installed(ENGINE).expect("e2e/engines/vllm/install has been run");
    let python = folder.join("venv/bin/python");
    let (folder, python) = (folder.display(), python.display());
    let serve = scripts(ENGINE).join("serve.py");
    let serve = serve.display();
    Some(format!(
        "command: ['{python}', '{serve}', '{folder}', '{{model}}', '{{port}}', '{SLOTS}'], \
         gpusPerReplica: 0, readiness: {{timeout: 30s}}, shutdownTimeout: 60s, \
         sleep: {{sleepPath: '/sleep?level=1', wakePath: /wake_up, statePath: /is_sleeping}}"
    ))
}

#[tokio::test]
async fn it_starts_queues_drains_and_crashes_as_preheat_takes_it_to() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new().patient(PATIENCE);
    let pool = format!("minReplicas: 1, maxReplicas: 2, {POOL}");
    let mut up = stage.up(&config(&stage, &pool, &engine));
    let first = stage.ready(1).await;
    its_metrics_are_the_emulators(&stage).await;
    give_way(first[0].1);
    a_queue_brings_a_second(&stage).await;
    let seen_inside = a_scale_down_cuts_no_stream(
        &stage,
        1500,
        async || pin_at_one(&stage).await,
        "one replica",
        |pool| totals(pool).drains >= 1 && pool.replicas.len() == 1,
    )
    .await;
    assert!(seen_inside, "no stream was inside the one that drained");

    // Its log tells when weights load and when it warms up.
    let pool = starts_were_measured(&stage);
    let phases: Vec<&str> = pool["phases"]
        .as_array()
        .expect("phases")
        .iter()
        .filter_map(|row| row["phase"].as_str())
        .collect();
    assert!(phases.contains(&"loading") && phases.contains(&"warming"), "{pool}");
    eprintln!("starts as they were measured: {pool}");

    a_crash_is_recovered_from(&stage, 1500).await;
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}

/// An operator orders one, while there is a stream in each of two. Starts take minutes here, so that by
/// itself preheat holds what it once needed for an hour.
async fn pin_at_one(stage: &Stage) {
    let both = |pool: &Pool| {
        let mut ready = pool.replicas.iter().filter(|replica| replica.phase == "ready");
        ready.all(|replica| replica.outstanding == Some(1)).then_some(())
    };
    stage.pool("a stream in each", both).await;
    let now = stage.pool("a tick", |pool| pool.summary.last_tick_s).await;
    let until_s = now + 6.0 * 3_600.0;
    let body = format!(r#"{{"pinned": {{"replicas": 1, "until_s": {until_s}}}}}"#);
    let path = "/api/v1/pools/chat/controls";
    let taken = http::put(stage.admin(), path, TOKEN, &body).await.expect("answers");
    assert_eq!(taken.status, 200, "{taken:?}");
}

/// A configuration whose pool an operator may pin, and whose gateway is as patient as the test.
fn config(stage: &Stage, pool: &str, engine: &str) -> String {
    let token = stage.file("control.token", TOKEN);
    let config = stage.config(1.0, pool, engine);
    let config = config.replace("gateway: {", "gateway: {hold: {timeout: 40m}, ");
    config.replace("admin: {", &format!("admin: {{controlTokenFile: '{token}', "))
}

/// What serves lets what starts go first: side by side on two cores, a start would take many times as
/// long, for as long as there is a queue.
fn give_way(process_group: i32) {
    let ran = Command::new("renice").args(["-n", "19", "-g", &process_group.to_string()]).output();
    assert!(ran.expect("renice runs").status.success());
}

/// Where the first ready replica listens.
async fn address(stage: &Stage, phase: &str) -> SocketAddr {
    let address = |pool: &Pool| {
        let replica = pool.replicas.iter().find(|replica| replica.phase == phase)?;
        replica.address.as_deref()?.parse().ok()
    };
    stage.pool("an address", address).await
}

/// Families with their types, labels, and bounds: the emulated engine beside the real one, each after
/// an answer.
async fn its_metrics_are_the_emulators(stage: &Stage) {
    let real = address(stage, "ready").await;
    let emulated = stage.engine_beside();
    let port = emulated.port().to_string();
    let arguments = ["engine", "--model", MODEL, "--max-model-len", "2048", "--dev-mode", "--port"];
    let more = ["--time-scale", "100", "--cold-start-p50", "1s"];
    let mut engine = stage.start("engine", &[&arguments[..], &[port.as_str()], &more].concat());
    let ready = async || {
        let answer = http::complete(emulated, MODEL, 5).await.ok()?;
        (answer.status == 200).then_some(())
    };
    eventually("an answer of the emulated engine", ready).await;
    let answer = http::complete(real, MODEL, 5).await.expect("an answer");
    assert_eq!(answer.status, 200);
    let families = async |address| {
        let body = http::get(address, "/metrics").await.expect("metrics").body;
        families(&skeleton(own(&body)))
    };
    let (real, emulated) = (families(real).await, families(emulated).await);
    engine.terminate().await;
    let of_one = |a: &BTreeSet<String>, b: &BTreeSet<String>| -> Vec<String> {
        a.difference(b).cloned().collect()
    };
    assert_eq!(of_one(&real, &emulated), [""; 0], "families that the emulated engine lacks");
    assert_eq!(of_one(&emulated, &real), [""; 0], "families that it has beyond the real one");
    assert!(real.len() > 40, "{real:?}");
}

/// vLLM's own families, each with its series. Those of HTTP depend on who asked for what.
fn families(skeleton: &str) -> BTreeSet<String> {
    let mut families: Vec<String> = Vec::new();
    for row in skeleton.lines() {
        match families.last_mut() {
            Some(family) if row.starts_with(' ') => {
                family.push('\n');
                family.push_str(row);
            }
            _ => families.push(row.to_owned()),
        }
    }
    families.into_iter().filter(|family| family.starts_with("vllm:")).collect()
}

#[tokio::test]
async fn it_sleeps_and_wakes() {
    let Some(engine) = engine() else { return };
    let stage = Stage::new().patient(PATIENCE);
    let pool =
        format!("minReplicas: 0, maxReplicas: 1, standby: {{replicas: 1, wake: 5s}}, {POOL}");
    let mut up = stage.up(&config(&stage, &pool, &engine));
    let asleep = address(&stage, "standby").await;
    let is_sleeping = async || {
        let answer = http::get(asleep, "/is_sleeping").await.expect("an answer");
        answer.json()["is_sleeping"].as_bool()
    };
    assert_eq!(is_sleeping().await, Some(true));
    let body = http::get(asleep, "/metrics").await.expect("metrics").body;
    let offloaded = body.lines().find(|line| {
        line.starts_with("vllm:engine_sleep_state{") && line.contains("\"weights_offloaded\"")
    });
    assert!(offloaded.is_some_and(|line| line.ends_with(" 1.0")), "{offloaded:?}");

    // What is sent to it now would hang in it: the gateway holds it until it has been woken.
    let woken = http::complete(stage.gateway(), MODEL, 5).await.expect("an answer");
    assert_eq!((woken.status, is_sleeping().await), (200, Some(false)), "{woken:?}");

    let stream = http::stream(stage.gateway(), 500).await.expect("a stream");
    assert_eq!(stream.ending().await, Ending::Done);
    let pool = starts_were_measured(&stage);
    assert_eq!((&pool["starts"], &pool["wakes"]), (&1.into(), &1.into()), "{pool}");
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
