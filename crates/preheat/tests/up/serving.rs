//! It starts, serves, tells, and stops.

use nix::sys::signal::Signal;
use preheat_api::v1::Pool;
use serde_json::Value;

use crate::common::http::{self, Ending};
use crate::common::{MODEL, Stage};

const POOL: &str = "minReplicas: 2, maxReplicas: 2, coldStart: {p50: 10s, p90: 10s}";
/// Takes about a minute of model time.
const LONG: u32 = 3000;

#[tokio::test]
async fn it_starts_serves_and_tells() {
    let stage = Stage::new();
    let mut up = stage.up(&stage.config(50.0, POOL, "emulated: {}"));
    stage.pool("two ready", both_ready).await;

    let streamed = http::stream(stage.gateway(), 20).await.expect("a stream");
    assert_eq!(streamed.ending().await, Ending::Done);
    let whole = http::complete(stage.gateway(), MODEL, 20).await.expect("an answer");
    assert_eq!((whole.status, &whole.json()["usage"]["completion_tokens"]), (200, &20.into()));
    let unknown = http::complete(stage.gateway(), "gpt-7", 20).await.expect("an answer");
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (404, &"model_not_found".into())
    );

    let served = |pool: &Pool| (pool.gateway.as_ref()?.completions == 2).then_some(());
    stage.pool("two completions", served).await;
    status_is_complete(&stage);
    metrics_are_an_exposition(&stage).await;
    why_tells_the_reasons(&stage);
    assert!(up.terminate().await.success());
    assert_eq!(stage.processes(), []);
    assert!(stage.replay_agrees() > 2);
}

/// Until it is so, every status must say the same in its counts as in its list.
fn both_ready(pool: &Pool) -> Option<()> {
    let ready = pool.replicas.iter().filter(|replica| replica.phase == "ready").count();
    let counted =
        (pool.summary.ready as usize, (pool.summary.ready + pool.summary.starting) as usize);
    assert_eq!(counted, (ready, pool.replicas.len()), "{pool:?}");
    (ready == 2).then_some(())
}

fn status_is_complete(stage: &Stage) {
    let admin = stage.admin().to_string();
    let ran = stage.run(&["status", "--json", "--admin", &admin]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let status: Value = serde_json::from_str(&ran.stdout).expect("one object");
    let (fleet, pool) = (&status["fleet"], &status["pools"][0]);
    assert_eq!(fleet["clock"]["scale"], 50.0);
    assert_eq!(fleet["journal"]["failure"], Value::Null);
    for (key, expected) in [
        ("pool", Value::from("chat")),
        ("model_names", vec![MODEL].into()),
        ("desired", 2.into()),
        ("replicas_min", 2.into()),
        ("replicas_max", 2.into()),
        ("ready", 2.into()),
        ("starting", 0.into()),
        ("violation", Value::Null),
    ] {
        assert_eq!(pool["summary"][key], expected, "{key}");
    }
    assert_eq!(pool["gateway"]["completions"], 2);
    // The one that asked for a model that nobody serves.
    assert_eq!(
        (&fleet["gateway"]["unroutable"], &fleet["gateway"]["cancelled"]),
        (&1.into(), &0.into())
    );
    let replicas = pool["replicas"].as_array().expect("a list");
    let pids: Vec<i32> =
        replicas.iter().filter_map(|r| i32::try_from(r["pid"].as_i64()?).ok()).collect();
    let engines = stage.engines();
    assert!(pids.len() == 2 && pids.iter().all(|pid| engines.contains(pid)), "{pids:?}");

    let text = stage.run(&["status", "--admin", &admin]);
    assert!(text.stdout.starts_with("chat       ready 2/2  arrivals"), "{text:?}");
    assert!(text.stdout.ends_with("\ngateway: 1 unroutable\n"), "{text:?}");
}

async fn metrics_are_an_exposition(stage: &Stage) {
    let answer = http::get(stage.admin(), "/metrics").await.expect("an answer");
    assert_eq!(answer.status, 200);
    let samples: Vec<(&str, f64)> = answer
        .body
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.rsplit_once(' ').expect("a value after a space"))
        .map(|(series, value)| (series, value.parse().expect("a number")))
        .collect();
    let of = |wanted: &str| samples.iter().find(|(series, _)| *series == wanted).map(|(_, v)| *v);
    assert_eq!(of("preheat_desired_replicas{pool=\"chat\"}"), Some(2.0), "{}", answer.body);
    assert_eq!(of("preheat_replicas{pool=\"chat\",phase=\"ready\"}"), Some(2.0), "{}", answer.body);
    assert_eq!(of("preheat_gateway_arrivals_total{pool=\"chat\"}"), Some(2.0), "{}", answer.body);
    assert_eq!(of("preheat_gateway_unroutable_requests_total"), Some(1.0), "{}", answer.body);
    assert_eq!(of("preheat_starts_total{pool=\"chat\",reason=\"BelowMinimum\"}"), Some(2.0));
}

fn why_tells_the_reasons(stage: &Stage) {
    let journal = stage.state().display().to_string();
    let changes = stage.run(&["why", "--journal", &journal, "--changes", "5"]);
    assert_eq!(changes.code, Some(0), "{changes:?}");
    assert_eq!(changes.stdout.lines().count(), 1, "{changes:?}");
    let started = "  chat  Started 2 replicas: fewer than the lower bound.\n";
    assert!(changes.stdout.ends_with(started), "{changes:?}");
    let last = stage.run(&["why", "--journal", &journal, "--pool", "chat"]);
    assert!(last.stdout.contains("  chat  Changed nothing: "), "{last:?}");
    assert!(last.stdout.contains("\n  Supply: 2 ready"), "{last:?}");
    let unknown = stage.run(&["why", "--journal", &journal, "--pool", "batch"]);
    let expected = "error: the journal has no pool \"batch\"\n\nhint: it has: chat\n";
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(2), expected));
    let early = stage.run(&["why", "--journal", &journal, "--at", "30d"]);
    assert_eq!(early.code, Some(2), "{early:?}");
    assert!(early.stderr.contains("the journal of chat has nothing as early as"), "{early:?}");
}

#[tokio::test]
async fn sigterm_under_load_cuts_no_stream_and_leaves_no_process() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let stage = Stage::new();
        let mut up = stage.up(&stage.config(50.0, POOL, "emulated: {}"));
        stage.ready(2).await;
        let mut streams = Vec::new();
        for _ in 0..8 {
            streams.push(http::stream(stage.gateway(), LONG).await.expect("a stream"));
        }
        up.signal(signal);
        for stream in streams {
            assert_eq!(stream.ending().await, Ending::Done);
        }
        assert_eq!(up.ended().await.code(), Some(0));
        assert_eq!(stage.processes(), []);
        assert!(http::get(stage.gateway(), "/v1/models").await.is_err());
        stage.replay_agrees();
    }
}

#[tokio::test]
async fn sigterm_before_anything_is_ready_turns_held_requests_away_and_leaves_no_process() {
    let stage = Stage::new();
    let pool = "maxReplicas: 1, coldStart: {p50: 1h, p90: 1h}";
    let mut up = stage.up(&stage.config(50.0, pool, "emulated: {}"));
    stage.fleet().await;
    let request = tokio::spawn(http::complete(stage.gateway(), MODEL, 5));
    let held = |pool: &Pool| {
        (pool.gateway.as_ref()?.held == 1 && pool.summary.starting == 1).then_some(())
    };
    stage.pool("a held request", held).await;
    assert_eq!(up.terminate().await.code(), Some(0));
    let answer = request.await.expect("no panic").expect("an answer");
    let code = &answer.json()["error"]["code"];
    assert_eq!((answer.status, code), (503, &"shutting_down".into()), "{answer:?}");
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
}
