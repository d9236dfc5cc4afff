//! What is answered.

use serde_json::{Map, Value, json};

use crate::world::{BEGIN_S, TICK_S, World};

/// Keys and kinds of values instead of values, which a change of policy may change; of a list, the
/// first.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("string"),
        Value::Array(items) => Value::Array(items.iter().take(1).map(shape).collect()),
        Value::Object(fields) => {
            let shapes = fields.iter().map(|(key, value)| (key.clone(), shape(value)));
            Value::Object(shapes.collect::<Map<_, _>>())
        }
    }
}

#[tokio::test]
async fn answers_have_the_shape_that_is_promised() {
    let mut world = World::new();
    world.drive(30, 20);
    world.reconfigure(7);
    world.drive(30, 20);
    let server = world.serve(None).await;
    crate::spent::known(&server).await;
    let fleet = server.json("/api/v1/fleet", 200).await;
    insta::assert_json_snapshot!("fleet", shape(&fleet));
    let pool = server.json("/api/v1/pools/chat", 200).await;
    insta::assert_json_snapshot!("pool", shape(&pool));
    let history = "/api/v1/pools/chat/history?from_s=6000&until_s=6120";
    let history = server.json(history, 200).await;
    insta::assert_json_snapshot!("history", shape(&history));
    let log = server.json("/api/v1/pools/chat/decisions", 200).await;
    insta::assert_json_snapshot!("decisions", shape(&log));
    let seq = &log["decisions"][0]["seq"];
    let mut decision = server.json(&format!("/api/v1/pools/chat/decisions/{seq}"), 200).await;
    // These are as in journals, whose own tests say what is in them.
    for part in ["plan", "explanation"] {
        let fields = decision[part].as_object().unwrap().len();
        assert!(fields > 2, "{part}");
        decision[part] = json!("as in the journal");
    }
    insta::assert_json_snapshot!("decision", shape(&decision));
}

#[tokio::test]
async fn a_history_says_what_was_recorded() {
    let mut world = World::new();
    world.drive(90, 20);
    let server = world.serve(None).await;
    let until_s = BEGIN_S + 90 * TICK_S;
    // One more minute than there is, before and after.
    let path = |from, until, points| {
        format!("/api/v1/pools/chat/history?from_s={from}&until_s={until}&points={points}")
    };
    let fine = server.json(&path(BEGIN_S - 60, until_s + 60, 2000), 200).await;
    assert_eq!((&fine["width_s"], &fine["from_s"]), (&json!(1.0), &json!(5940.0)));
    assert_eq!(fine["complete_from_s"], fine["from_s"]);
    let series = &fine["series"];
    assert_eq!(series["ticks"].as_array().unwrap().len(), 300);
    // Nothing is known before the first tick, nor between two.
    assert_eq!((&series["desired"][0], &series["ticks"][0]), (&Value::Null, &json!(0)));
    assert_eq!((&series["ticks"][60], &series["ticks"][61]), (&json!(1), &json!(0)));
    assert_eq!(series["ttft_p99_s"][60], json!(1.02));
    assert_eq!(series["replicas"]["ready"][60], json!(0.0));

    // Wide steps, from minutes that are kept, add up to the same.
    let wide = server.json(&path(BEGIN_S, until_s, 3), 200).await;
    assert_eq!(wide["width_s"], json!(60.0));
    let sum = |history: &Value, column: &str| -> u64 {
        history["series"][column].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).sum()
    };
    for column in ["ticks", "started", "given_up"] {
        assert_eq!(sum(&wide, column), sum(&fine, column), "{column}");
    }
    assert_eq!(sum(&wide, "ticks"), 90);
    assert!(sum(&wide, "started") > 0);
    assert_eq!(server.json(&path(BEGIN_S, until_s, 3), 200).await, wide);

    // What is added later is seen.
    world.drive(30, 20);
    let later = server.json(&path(BEGIN_S, until_s + 60, 4), 200).await;
    assert_eq!(sum(&later, "ticks"), 120);
}

#[tokio::test]
async fn a_request_reads_so_much_of_a_long_journal_and_no_more() {
    let mut world = World::new();
    world.drive(100, 1);
    let server = world.serve(None).await;
    // A week, of which only the end is recorded: what is not there is not read.
    let path = "/api/v1/pools/chat/history?from_s=0&until_s=604800&points=100";
    let history = server.json(path, 200).await;
    assert_eq!((&history["complete_from_s"], &history["width_s"]), (&json!(0.0), &json!(7200.0)));
    assert_eq!(history["series"]["ticks"][0], json!(100));
}

#[tokio::test]
async fn decisions_are_told_newest_first_and_in_pages() {
    let mut world = World::new();
    world.drive(60, 60);
    world.drive(900, 0);
    let server = world.serve(None).await;
    let all = server.json("/api/v1/pools/chat/decisions?limit=200", 200).await;
    let all = all["decisions"].as_array().unwrap().clone();
    assert!(all.len() > 2, "{all:?}");
    let mut paged = Vec::new();
    let mut before = String::new();
    loop {
        let page = server.json(&format!("/api/v1/pools/chat/decisions?limit=1{before}"), 200).await;
        paged.extend(page["decisions"].as_array().unwrap().clone());
        let Some(next) = page["next_before"].as_u64() else { break };
        before = format!("&before={next}");
    }
    assert_eq!(paged, all);
    let seqs: Vec<u64> = all.iter().map(|one| one["seq"].as_u64().unwrap()).collect();
    assert!(seqs.windows(2).all(|pair| pair[0] > pair[1]), "{seqs:?}");
    let directions: Vec<&Value> = all.iter().map(|one| &one["direction"]).collect();
    assert!(directions.contains(&&json!("up")) && directions.contains(&&json!("down")));
    // With those that did nothing, there are as many as ticks.
    let every = server.json("/api/v1/pools/chat/decisions?all=true&limit=200", 200).await;
    assert_eq!(every["decisions"].as_array().unwrap().len(), 200);
    // A decision is told as `preheat why` does.
    let one = server.json(&format!("/api/v1/pools/chat/decisions/{}", seqs[0]), 200).await;
    assert_eq!(one["summary"], all[0]);
    let details = one["details"].as_array().unwrap();
    assert!(details.iter().any(|line| line.as_str().unwrap().starts_with("Demand: ")));
}

#[tokio::test]
async fn what_can_not_be_answered_says_why() {
    let mut world = World::new();
    world.drive(2, 0);
    let server = world.serve(None).await;
    for (path, status, expected) in [
        ("/api/v1/pools/x", 404, "there is no pool \"x\""),
        ("/api/v1/pools/x/decisions", 404, "there is no pool \"x\""),
        ("/api/v1/pools/x/history?from_s=0&until_s=9", 404, "there is no pool \"x\""),
        ("/api/v1/pools/x/events", 404, "there is no pool \"x\""),
        ("/api/v1/pools/chat/history", 400, "from_s"),
        ("/api/v1/pools/chat/history?from_s=9&until_s=0", 400, "from_s the smaller"),
        ("/api/v1/pools/chat/history?from_s=NaN&until_s=9", 400, "from_s"),
        ("/api/v1/pools/chat/history?from_s=0&until_s=9&x=1", 400, "x"),
        ("/api/v1/pools/chat/decisions?before=x", 400, "before"),
        ("/api/v1/pools/chat/decisions/999", 404, "no decision 999"),
        ("/api/v1/pools/chat/decisions/x", 400, "x"),
        ("/api/v1/pools/%ff", 400, "UTF-8"),
    ] {
        let answer = server.json(path, status).await;
        let error = answer["error"].as_str().unwrap();
        assert!(error.contains(expected), "{path}: {error}");
    }
}

#[tokio::test]
async fn everything_that_is_described_is_there() {
    let mut world = World::new();
    world.drive(2, 0);
    let server = world.serve(None).await;
    let document = server.json("/api/v1/openapi.json", 200).await;
    let paths = document["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 15);
    // Streams, what is asked with a body, and what must have been asked for have tests of their own.
    let is_plain = |path: &str| !path.ends_with("/events") && !path.ends_with("/{id}");
    let asked = paths.iter().filter(|(path, item)| is_plain(path) && item["get"].is_object());
    for (path, _) in asked {
        let path = path.replace("{pool}", "chat").replace("{seq}", "2");
        let query = if path.ends_with("/history") { "?from_s=0&until_s=9" } else { "" };
        server.json(&format!("{path}{query}"), 200).await;
    }
}

#[tokio::test]
async fn a_journal_after_the_fact_is_told_like_a_running_preheat() {
    let mut world = World::new();
    world.drive(60, 20);
    // What is remembered is told by the journal's last checkpoint.
    world.end();
    let status = preheat_web::journal_status(&world.path()).unwrap();
    let source = preheat_web::Source {
        status: std::sync::Arc::new(move || status.clone()),
        journal: Some(world.path()),
        controls: None,
        figures: None,
        live: false,
    };
    let of_journal = crate::world::Server::of(source, None).await;
    let running = world.serve(None).await;
    let (mut a, mut b) = (
        of_journal.json("/api/v1/pools/chat", 200).await,
        running.json("/api/v1/pools/chat", 200).await,
    );
    assert_eq!((&a["live"], &b["live"]), (&json!(false), &json!(true)));
    assert_eq!(a["summary"]["gpu_seconds"], Value::Null);
    assert_eq!((&a["gateway"], &a["totals"]), (&Value::Null, &Value::Null));
    assert_eq!(b["gateway"]["completions"], json!(60 * 20));
    assert_eq!(b["totals"]["ticks"], json!(60));
    let starts = a["cold_starts"].as_array().unwrap();
    assert_eq!(
        starts[0],
        json!({"took_s": 20.0, "phases_s": starts[0]["phases_s"], "given_up_in": null})
    );
    assert_eq!(starts[0]["phases_s"]["loading"], json!(20.0));
    for answer in [&mut a, &mut b] {
        for known_to_one in ["live", "clock", "controls", "gateway", "totals"] {
            answer[known_to_one] = Value::Null;
        }
        for known_to_one in ["gpu_seconds", "spent"] {
            answer["summary"][known_to_one] = Value::Null;
        }
    }
    assert_eq!(a, b);
}
