//! What the gateway does with requests whose pool has engines.

use crate::common::{Engine, World, assert_error, assert_status, until};
use preheat_gateway::GatewayConfig;
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn routes_by_the_model_in_the_body() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[one.address]);
    world.route("other", &[two.address]);

    let client = world.post_to("/v1/embeddings?x=1", r#"{"input":"a","model":"other"}"#).await;
    let seen = two.request().await;
    assert_eq!(seen.head.uri, "/v1/embeddings?x=1");
    assert_eq!(&seen.body[..], br#"{"input":"a","model":"other"}"#);
    seen.answer(200, r#"{"two":2}"#);
    let answer = client.read_all().await;
    assert_status(&answer, 200);
    assert!(answer.contains(r#"{"two":2}"#), "{answer}");

    let client = world.post("").await;
    one.request().await.answer(400, "no");
    assert_status(&client.read_all().await, 400);
    world.settled((1, 0, 0, 0)).await;
}

#[tokio::test]
async fn headers_of_one_hop_stay_there_and_a_request_id_is_added() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let mut client = world.client().await;
    let body = r#"{"model":"m"}"#;
    client
        .send(&format!(
            "POST http://elsewhere/v1/completions HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer k\r\n\
             connection: close, x-secret\r\nx-secret: 1\r\nte: trailers\r\n\
             transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ))
        .await;
    let seen = engine.request().await;
    assert_eq!(seen.head.uri, "/v1/completions");
    assert_eq!(seen.header("authorization"), Some("Bearer k"));
    assert_eq!(seen.header("host"), Some("gw"));
    assert_eq!(seen.header("content-length"), Some("13"));
    for name in ["x-secret", "te", "connection", "transfer-encoding"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let id = seen.header("x-request-id").unwrap().to_owned();
    seen.answer(200, "{}");
    assert!(client.read_all().await.contains(&format!("x-request-id: {id}\r\n")));
}

#[tokio::test]
async fn the_least_outstanding_engine_is_chosen() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let world = World::with_engines(&[&one, &two]).await;
    let mut clients = Vec::new();
    let (mut at_one, mut at_two) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        clients.push(world.post("").await);
        clients.push(world.post("").await);
        at_one.push(one.request().await);
        at_two.push(two.request().await);
    }
    at_two.remove(0).answer(200, "{}");
    world.settled((1, 0, 0, 0)).await;
    clients.push(world.post("").await);
    at_two.push(two.request().await);
    assert!(one.is_idle());
    for seen in at_one.into_iter().chain(at_two) {
        seen.answer(200, "{}");
    }
    for client in clients {
        assert_status(&client.read_all().await, 200);
    }
    world.settled((5, 0, 0, 0)).await;
}

#[tokio::test]
async fn events_are_passed_on_before_the_stream_ends() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let mut client = world.post(r#","stream":true"#).await;
    let stream = engine.request().await.stream();
    for event in ["data: {\"t\":1}\n\n", "data: {\"t\":2}\n\n", "data: {\"t\":3}\n\n"] {
        stream.send(event);
        client.read_until(event).await;
    }
    stream.send("data: [DONE]\n\n");
    stream.end();
    assert!(client.ends_properly().await);
    world.settled((1, 0, 0, 0)).await;
    let seen = world.meter().take(preheat_core::Instant::ORIGIN);
    assert_eq!(seen.ttft.unwrap().count, 1);
    assert_eq!(seen.itl.unwrap().count, 2);
    assert_eq!(seen.engine_time.unwrap().count, 1);
}

#[tokio::test]
async fn an_error_event_counts_as_failure_though_it_ends_with_done() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let client = world.post(r#","stream":true"#).await;
    let stream = engine.request().await.stream();
    let error = "data: {\"error\": {\"code\": 500}}\n\n";
    stream.send("data: {\"t\":1}\n\n");
    stream.send(error);
    stream.send("data: [DONE]\n\n");
    stream.end();
    let answer = client.read_all().await;
    assert!(answer.contains(error) && answer.contains("[DONE]"), "{answer}");
    world.settled((0, 1, 0, 0)).await;
}

#[tokio::test]
async fn a_stream_that_ends_without_done_counts_as_failure() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let client = world.post(r#","stream":true"#).await;
    let stream = engine.request().await.stream();
    stream.send("data: {\"t\":1}\n\n");
    stream.end();
    assert!(client.ends_properly().await);
    world.settled((0, 1, 0, 0)).await;
}

#[tokio::test]
async fn after_the_first_byte_a_failure_reaches_the_client_and_is_not_retried() {
    let (mut one, mut two) = (Engine::start().await, Engine::start().await);
    let world = World::with_engines(&[&one, &two]).await;
    let mut client = world.post(r#","stream":true"#).await;
    let (seen, other) = tokio::select! {
        seen = one.request() => (seen, &mut two),
        seen = two.request() => (seen, &mut one),
    };
    let stream = seen.stream();
    stream.send("data: {\"t\":1}\n\n");
    client.read_until("{\"t\":1}").await;
    stream.cut();
    let answer = client.read_all().await;
    assert!(!answer.ends_with("0\r\n\r\n") && !answer.contains("[DONE]"), "{answer}");
    world.settled((0, 1, 0, 0)).await;
    assert!(other.is_idle());
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let client = world.post("").await;
    let seen = engine.request().await;
    drop(client);
    seen.abandoned().await;
    world.settled((0, 0, 0, 1)).await;

    let mut client = world.post(r#","stream":true"#).await;
    let stream = engine.request().await.stream();
    stream.send("data: {\"t\":1}\n\n");
    client.read_until("{\"t\":1}").await;
    drop(client);
    stream.abandoned().await;
    world.settled((0, 0, 0, 2)).await;

    // Closing only the sending side counts as leaving, too.
    let mut client = world.post("").await;
    let seen = engine.request().await;
    client.stream.shutdown().await.unwrap();
    seen.abandoned().await;
    world.settled((0, 0, 0, 3)).await;
    until(|| world.meter().replica(replica_of(&engine)).outstanding() == 0).await;
}

fn replica_of(engine: &Engine) -> preheat_core::ReplicaId {
    preheat_core::ReplicaId(u64::from(engine.address.port()))
}

#[tokio::test]
async fn a_replica_that_left_the_table_gets_nothing_more() {
    let (mut leaving, mut staying) = (Engine::start().await, Engine::start().await);
    let mut world = World::with_engines(&[&leaving]).await;
    let mut client = world.post(r#","stream":true"#).await;
    let stream = leaving.request().await.stream();
    stream.send("data: {\"t\":1}\n\n");
    client.read_until("{\"t\":1}").await;

    world.route("m", &[staying.address]);
    for _ in 0..4 {
        let next = world.post("").await;
        staying.request().await.answer(200, "{}");
        assert_status(&next.read_all().await, 200);
    }
    assert!(leaving.is_idle());
    stream.send("data: [DONE]\n\n");
    stream.end();
    assert!(client.ends_properly().await);
    world.settled((5, 0, 0, 0)).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mut engine = Engine::start().await;
    let world = World::with_engines(&[&engine]).await;
    let mut client = world.client().await;
    let body = r#"{"model":"m"}"#;
    let open = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: gw\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = crate::common::post_text("/v1/completions", body);
    client.send(&format!("{open}GET /health HTTP/1.1\r\nhost: gw\r\n\r\n{last}")).await;
    engine.request().await.answer(200, "first");
    client.read_until("first").await;
    client.read_until("{\"status\":\"ok\"}").await;
    engine.request().await.answer(200, "third");
    assert!(client.read_all().await.contains("third"));
    world.settled((2, 0, 0, 0)).await;
}

#[tokio::test]
async fn a_shutdown_lets_running_streams_end() {
    let mut engine = Engine::start().await;
    let mut world = World::with_engines(&[&engine]).await;
    let mut client = world.post(r#","stream":true"#).await;
    let idle = world.client().await;
    let stream = engine.request().await.stream();
    stream.send("data: {\"t\":1}\n\n");
    client.read_until("{\"t\":1}").await;
    until(|| world.stats.totals().connections == 2).await;
    world.begin_shutdown();
    assert_eq!(idle.read_all().await, "");
    stream.send("data: [DONE]\n\n");
    stream.end();
    assert!(client.ends_properly().await);
    world.settled((1, 0, 0, 0)).await;
    assert_eq!(world.ended().await.connections_cut_off, 0);
}

#[tokio::test]
async fn a_shutdown_is_bounded_and_what_it_cuts_off_counts_as_failed() {
    let mut engine = Engine::start().await;
    let shutdown_timeout = std::time::Duration::from_millis(10);
    let mut world =
        World::start(GatewayConfig { shutdown_timeout, ..GatewayConfig::default() }).await;
    world.route("m", &[engine.address]);
    let client = world.post("").await;
    let _running = engine.request().await;
    world.begin_shutdown();
    let meter = std::sync::Arc::clone(world.meter());
    assert_eq!(world.ended().await.connections_cut_off, 1);
    assert_eq!(meter.totals().failures, 1);
    assert_eq!(client.read_all().await, "");
}

#[tokio::test]
async fn answers_for_itself_without_an_engine() {
    let mut world = World::start(GatewayConfig::default()).await;
    world.route("m", &[]);
    let get = async |path: &str, method: &str| {
        let mut client = world.client().await;
        client
            .send(&format!("{method} {path} HTTP/1.1\r\nhost: gw\r\nconnection: close\r\n\r\n"))
            .await;
        client.read_all().await
    };
    assert_status(&get("/health", "GET").await, 200);
    assert!(get("/v1/models", "GET").await.contains(r#""id":"m","object":"model""#));
    assert!(get("/v1/models/m", "GET").await.contains(r#""id":"m","object":"model""#));
    assert_error(&get("/v1/models/n", "GET").await, 404, "model_not_found");
    assert!(get("/v1/models", "HEAD").await.ends_with("\r\n\r\n"));
    assert_error(&get("/metrics", "GET").await, 404, "not_found");
}
