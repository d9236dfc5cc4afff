//! Simulations and sizing over HTTP: equal to what the libraries say, bounded, and stoppable.

use std::path::Path;

use preheat_api::policy_file::PolicyFile;
use preheat_lab::LESSON;
use preheat_scenario::Scenario;
use serde_json::{Value, json};

use crate::world::{Server, World};

const SMALL: &str = "name: small
about: Little happens.
engine: {profile: llama3.1-8b-bf16-h100}
replicas: {max: 4, initial: 1}
coldStart: {fixed: 60s}
lengths: {input: {fixed: 100}, output: {fixed: 20}}
traffic: [{constant: {rate: 1}, lasts: 5m}]
expect: {preheat: {failed: {max: 0}}}
";
/// As large as is allowed: it is not done within a test.
const LARGE: &str = "name: large
about: Much happens.
engine: {profile: qwen-27b-fp8-h100, maxNumSeqs: 256}
replicas: {max: 200}
coldStart: {fixed: 60s}
lengths: {input: {fixed: 4000}, output: {fixed: 2000}}
traffic: [{constant: {rate: 9}, lasts: 9h}]
";

fn request(scenario: &str, policy: &str) -> Value {
    json!({"scenario": scenario, "policy": policy, "series": true})
}

/// Status and body of a `POST`.
pub(crate) async fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let body = body.to_string();
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let answer = server.ask_with_body(&format!("POST {path}"), &headers, &body).await;
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub(crate) async fn ended(server: &Server, id: &Value) -> Value {
    loop {
        let simulation = server.json(&format!("/api/v1/simulations/{id}"), 200).await;
        if !["queued", "running"].contains(&simulation["state"].as_str().unwrap()) {
            return simulation;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_simulation_says_what_the_scenario_says() {
    let server = World::new().serve(None).await;
    for policy in ["preheat", "keda-concurrency", "static:2"] {
        let (status, asked) = post(&server, "/api/v1/simulations", &request(SMALL, policy)).await;
        assert_eq!(status, 202, "{asked}");
        let done = ended(&server, &asked["id"]).await;
        assert_eq!((&done["state"], &done["progress"]), (&json!("done"), &json!(1.0)), "{done}");
        let scenario = Scenario::parse(SMALL, Path::new("small.yaml")).unwrap();
        let ran = scenario.ran(&PolicyFile::of(policy), true, |_| true).unwrap();
        assert_eq!(done["result"], serde_json::to_value(&ran).unwrap());
    }
    let mut tuned = request(SMALL, "keda-concurrency");
    tuned["knobs"] = json!({"threshold_of_slots": 0.3});
    let (status, asked) = post(&server, "/api/v1/simulations", &tuned).await;
    assert_eq!(status, 202);
    assert_eq!(ended(&server, &asked["id"]).await["state"], "done");
}

#[tokio::test]
async fn one_that_is_stopped_ends_and_too_many_are_refused() {
    let server = World::new().serve(None).await;
    let large = request(LARGE, "static:200");
    let mut ids = Vec::new();
    let refused = loop {
        let (status, body) = post(&server, "/api/v1/simulations", &large).await;
        if status != 202 {
            break (status, body);
        }
        ids.push(body["id"].clone());
    };
    assert!(refused.0 == 503 && ids.len() >= 16, "{}", refused.1);
    assert!(refused.1["hint"].as_str().unwrap().contains("ask again"));
    for id in &ids {
        let answer = server.ask(&format!("DELETE /api/v1/simulations/{id}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    for id in ids.last_chunk::<8>().unwrap() {
        let ended = ended(&server, id).await;
        assert_eq!((&ended["state"], &ended["result"]), (&json!("cancelled"), &Value::Null));
    }
    ended(&server, &ids[0]).await;
    // There is room again.
    let (status, _) = post(&server, "/api/v1/simulations", &request(SMALL, "preheat")).await;
    assert_eq!(status, 202);
    server.json("/api/v1/simulations/9999", 404).await;
    server.json("/api/v1/simulations/x", 400).await;
}

/// Whatever simulates takes its turn: beside a control loop, one at a time.
#[tokio::test]
async fn sizing_waits_for_what_runs() {
    let server = World::new().serve(None).await;
    let (_, running) = post(&server, "/api/v1/simulations", &request(LARGE, "static:200")).await;
    let path = format!("/api/v1/simulations/{}", running["id"]);
    while server.json(&path, 200).await["state"] == "queued" {
        tokio::task::yield_now().await;
    }
    let asked = json!({"qps": 40, "latency_s": 8, "max_num_seqs": 64});
    let mut sizing = std::pin::pin!(post(&server, "/api/v1/sizing", &asked));
    let looks = async {
        for _ in 0..50 {
            assert_eq!(server.json(&path, 200).await["state"], "running");
        }
    };
    tokio::select! {
        answer = &mut sizing => panic!("it was sized beside a simulation: {answer:?}"),
        () = looks => {}
    }
    server.ask(&format!("DELETE {path}"), "").await;
    assert_eq!(sizing.await.0, 200);
}

#[tokio::test]
async fn what_is_beyond_a_limit_or_makes_no_sense_is_refused_before_it_runs() {
    let server = World::new().serve(None).await;
    let with = |from: &str, to: &str| SMALL.replace(from, to);
    let file = "[{trace: {file: /etc/hostname}}]";
    let trace = "[{trace: {name: azure-code, rateScale: 1000}}]";
    let traffic = "[{constant: {rate: 1}, lasts: 5m}]";
    for (scenario, policy, expected) in [
        (with("rate: 1}", "rate: 9000}"), "preheat", "at most 300000 are run here"),
        (with("lasts: 5m", "lasts: 2d"), "preheat", "scenario.yaml:7"),
        (with("lasts: 5m", "from: 10d, lasts: 5m"), "preheat", "`traffic.from` is"),
        (with("max: 4", "max: 4000000000"), "preheat", "`replicas.max` is 4000000000"),
        (with("max: 4", "max: 4\ngpus: {nodes: 201, gpusEach: 1}"), "preheat", "scenario.yaml:"),
        (with(traffic, file), "preheat", "`trace.file` is not read here"),
        (with(traffic, trace), "preheat", "`trace.rateScale` is 1000"),
        (SMALL.to_owned(), "crystal-ball", "no policy is called `crystal-ball`"),
        ("name: [".to_owned(), "preheat", "scenario.yaml:1"),
        (" ".repeat(70_000), "preheat", "the scenario has 70000 bytes"),
    ] {
        let (status, body) =
            post(&server, "/api/v1/simulations", &request(&scenario, policy)).await;
        let error = body["error"].as_str().unwrap_or_default();
        assert!(status == 400 && error.contains(expected), "{expected}: {status} {body}");
    }
    let mut knobs = request(SMALL, "preheat");
    knobs["knobs"] = json!({"aim": 0.5});
    assert_eq!(post(&server, "/api/v1/simulations", &knobs).await.0, 400);
    let unknown = json!({"scenario": SMALL, "policy": "preheat", "shell": "rm"});
    assert_eq!(post(&server, "/api/v1/simulations", &unknown).await.0, 422);
    let long = request(&" ".repeat(300_000), "preheat");
    assert_eq!(post(&server, "/api/v1/simulations", &long).await.0, 413);
}

#[tokio::test]
async fn a_body_that_a_page_from_elsewhere_could_send_is_refused() {
    let server = World::new().serve(None).await;
    let body = request(SMALL, "preheat").to_string();
    let headers = format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", body.len());
    let answer = server.ask_with_body("POST /api/v1/simulations", &headers, &body).await;
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    let guarded = World::new().serve(Some("0123456789abcdef")).await;
    assert_eq!(post(&guarded, "/api/v1/simulations", &request(SMALL, "preheat")).await.0, 401);
}

#[tokio::test]
async fn sizing_and_the_lesson_are_the_libraries() {
    let server = World::new().serve(None).await;
    let asked = json!({"qps": 40, "latency_s": 8, "max_num_seqs": 64, "quiet_qps": 4});
    let (status, sized) = post(&server, "/api/v1/sizing", &asked).await;
    assert_eq!((status, &sized["with_headroom"]["replicas"]), (200, &json!(6)), "{sized}");
    assert!(sized["plan"]["config"].as_str().unwrap().contains("maxReplicas: 8"), "{sized}");
    let (status, refused) = post(&server, "/api/v1/sizing", &json!({"qps": 40})).await;
    assert!(status == 400 && refused["hint"].is_string(), "{refused}");
    let lesson = server.json("/api/v1/lab", 200).await;
    assert_eq!(lesson, serde_json::to_value(LESSON).unwrap());
}

#[tokio::test]
async fn a_pools_past_has_the_figures_for_sizing() {
    let mut world = World::new();
    // A quarter of an hour at half a request per second, and another at four.
    world.drive(451, 1);
    world.drive(450, 8);
    let server = world.serve(None).await;
    assert_eq!(server.json("/api/v1/lab/figures", 200).await, json!(["chat"]));
    let figures = server.json("/api/v1/lab/figures/chat", 200).await;
    let told = ["qps", "quiet_qps", "growth_qps_per_min"].map(|name| figures[name].clone());
    assert_eq!(told, [json!(4.0), json!(0.5), json!(3.5)], "{figures}");
    let pool = server.json("/api/v1/pools/chat", 200).await;
    let decision = &pool["summary"]["decision"];
    for (figure, known) in [
        ("latency_s", "service_time_s"),
        ("max_num_seqs", "concurrency_cap"),
        ("cold_start_s", "cold_start_p50_s"),
    ] {
        assert_eq!(figures[figure], decision[known], "{figures}");
    }
    // Its engines count no tokens.
    assert_eq!(figures["input_tokens"], Value::Null);
    assert!(figures["notes"].to_string().contains("tokens: this past does not tell"));
    let unknown = server.json("/api/v1/lab/figures/other", 404).await;
    assert_eq!(unknown["hint"], "there are: chat");
}
