//! What if over HTTP: equal to what the library says of the same journal, bounded, and stoppable.

use preheat_compare::backtest::Past;
use preheat_compare::what_if::{Configured, STEP, WhatIfRequest};
use preheat_core::PolicySpec;
use preheat_core::ReplicaCount;
use preheat_runtime::journal::{JournalReader, Selection};
use preheat_web::Source;
use serde_json::{Value, json};

use crate::lab::{ended, post};
use crate::world::{Server, World};

const PATH: &str = "/api/v1/pools/chat/what-if";

fn world() -> World {
    let mut world = World::new();
    world.drive(300, 4);
    world.drive(300, 12);
    world
}

#[tokio::test]
async fn it_says_what_the_library_says_of_the_journal() {
    let world = world();
    let server = world.serve(None).await;
    let choices = server.json(PATH, 200).await;
    assert_eq!(
        (&choices["configured"]["replicas_max"], &choices["max_num_seqs"]),
        (&json!(6), &json!(8))
    );
    assert_eq!(choices["policies"][0], "preheat");

    let asked = json!({"last_s": 900, "alternatives": [
        {"policy": "keda-concurrency", "replicas_max": 9, "cold_start_s": 30}, {"slo_ttft_s": 1},
    ]});
    let (status, job) = post(&server, PATH, &asked).await;
    assert_eq!(status, 202, "{job}");
    let done = ended(&server, &job["id"]).await;
    assert_eq!((&done["state"], &done["progress"]), (&json!("done"), &json!(1.0)), "{done}");

    let reader = JournalReader::open_read_only(world.path()).unwrap();
    let ticks = || {
        let entries = reader.entries(Selection::default()).map(Result::unwrap);
        entries.filter_map(|stored| stored.entry.body.observation().cloned())
    };
    let last = ticks().last().unwrap();
    let from = last.now.saturating_sub(std::time::Duration::from_secs(900));
    let mut past = Past::new(STEP);
    ticks().filter(|observation| observation.now >= from).for_each(|tick| past.take(&tick));
    let spec = PolicySpec { replicas_max: ReplicaCount(6), ..PolicySpec::default() };
    let request: WhatIfRequest = serde_json::from_value(asked).unwrap();
    let what_if = request.check(&Configured::of("chat", spec, [&last])).unwrap();
    let answer = what_if.run(&past.end(), Vec::new(), &mut |_| true).unwrap();
    assert_eq!(done["result"], serde_json::to_value(&answer).unwrap());
    // Its gateway tells of no first tokens beside the SLO, which is not the same as none in time.
    assert_eq!(done["result"]["happened"]["attainment"], Value::Null);
}

#[tokio::test]
async fn what_can_not_be_answered_is_refused_or_fails_with_a_reason() {
    let world = world();
    let server = world.serve(None).await;
    let alternatives = json!([{"policy": "keda-waiting"}]);
    for (path, body, status, expected) in [
        ("/api/v1/pools/nobody/what-if", json!({"alternatives": alternatives}), 404, "no pool"),
        (PATH, json!({"alternatives": []}), 400, "there are 0 alternatives"),
        (PATH, json!({"alternatives": [{"policy": "crystal-ball"}]}), 400, "no policy is called"),
        (PATH, json!({"alternatives": [{"replicas_min": 7}]}), 400, "`replicas_min` is 7"),
        (PATH, json!({"last_s": 1e6, "alternatives": alternatives}), 400, "last_s is 1000000"),
        (PATH, json!({"alternatives": alternatives, "shell": "rm"}), 422, "shell"),
    ] {
        let (found, refusal) = post(&server, path, &body).await;
        let error = refusal["error"].as_str().unwrap_or_default();
        assert!(found == status && error.contains(expected), "{expected}: {found} {refusal}");
    }
    // Before the journal begins.
    let (_, job) = post(&server, PATH, &json!({"until_s": 60, "alternatives": alternatives})).await;
    let failed = ended(&server, &job["id"]).await;
    assert_eq!(failed["state"], "failed");
    assert!(failed["error"].as_str().unwrap().contains("no tick of this pool"), "{failed}");
    server.json("/api/v1/pools/nobody/what-if", 404).await;

    let mut idle = World::new();
    idle.drive(100, 0);
    let server = idle.serve(None).await;
    let (_, job) = post(&server, PATH, &json!({"alternatives": alternatives})).await;
    let failed = ended(&server, &job["id"]).await;
    assert!(failed["error"].as_str().unwrap().contains("no request is in the history"), "{failed}");
}

#[tokio::test]
async fn one_that_is_stopped_ends_without_a_result() {
    let world = world();
    let server = world.serve(None).await;
    let asked = json!({"alternatives": [{"policy": "static:6"}, {}, {}, {}]});
    let (_, job) = post(&server, PATH, &asked).await;
    server.ask(&format!("DELETE /api/v1/simulations/{}", job["id"]), "").await;
    let ended = ended(&server, &job["id"]).await;
    assert_eq!((&ended["state"], &ended["result"]), (&json!("cancelled"), &Value::Null));
}

#[tokio::test]
async fn where_no_journal_is_kept_there_is_no_past() {
    let status = std::sync::Arc::new(preheat_api::status::Status::default);
    let source = Source { status, journal: None, controls: None, figures: None, live: true };
    let server = Server::of(source, None).await;
    let refusal = server.json(PATH, 404).await;
    assert_eq!(refusal["error"], "no journal is kept");
}

/// It orders nothing, so who may read may ask, and nobody else.
#[tokio::test]
async fn who_may_read_may_ask() {
    let world = world();
    let server = world.serve(Some("0123456789abcdef")).await;
    let body = json!({"alternatives": [{}]});
    assert_eq!(post(&server, PATH, &body).await.0, 401);
    let text = body.to_string();
    let headers = format!(
        "Authorization: Bearer 0123456789abcdef\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        text.len()
    );
    let answer = server.ask_with_body(&format!("POST {PATH}"), &headers, &text).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
}
