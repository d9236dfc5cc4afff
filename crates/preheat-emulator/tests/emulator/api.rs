//! Shapes of answers and errors, as an OpenAI client reads them.

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::{Emulator, FAST, FOREVER, REAL, Reply, options, send_on};

const COMPLETIONS: &str = "/v1/completions";
const CHAT: &str = "/v1/chat/completions";

/// Tokens in `text`: each is one word.
fn words(text: &Value) -> usize {
    text.as_str().unwrap().split_whitespace().count()
}

fn usage(prompt: u32, completion: u32) -> Value {
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion,
        "total_tokens": prompt + completion, "prompt_tokens_details": null,
    })
}

#[tokio::test]
async fn a_whole_completion() {
    let emulator = Emulator::serving(options(), FAST).await;
    let body = json!({"model": "tiny-b", "prompt": "one two three", "max_tokens": 70});
    let reply = emulator.post(COMPLETIONS, body).await;
    assert_eq!(reply.status, 200);
    let json = reply.json();
    assert!(json["id"].as_str().unwrap().starts_with("cmpl-"));
    assert_eq!(json["object"], "text_completion");
    assert_eq!(json["model"], "tiny-b");
    assert!(json["created"].is_u64());
    let choice = &json["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"]), (&json!(0), &json!("length")));
    assert_eq!(words(&choice["text"]), 70);
    assert_eq!(json["usage"], usage(3, 70));
}

#[tokio::test]
async fn a_whole_chat() {
    let mut options = options();
    options.output_length = preheat_emulator::OutputLength::UpTo(5);
    let emulator = Emulator::serving(options, FAST).await;
    let messages =
        json!([{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]);
    let body = json!({"model": "tiny", "messages": messages, "max_completion_tokens": 9});
    let json = emulator.post(CHAT, body).await.json();
    assert!(json["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(json["object"], "chat.completion");
    let choice = &json["choices"][0];
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(words(&choice["message"]["content"]), 5);
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(json["usage"], usage(3 + 2 * 4 + 3, 5));
}

#[tokio::test]
async fn a_streamed_completion() {
    let emulator = Emulator::serving(options(), FAST).await;
    let events = emulator.completion(1000).await.rest().await;
    let (last, events) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(last["usage"], usage(8, 1000));
    let mut tokens = 0;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["object"], "text_completion");
        assert_eq!(event["id"], last["id"]);
        assert_eq!(event["usage"], Value::Null);
        let choice = &event["choices"][0];
        tokens += words(&choice["text"]);
        let is_last = index + 1 == events.len();
        let reason = if is_last { json!("length") } else { Value::Null };
        assert_eq!(choice["finish_reason"], reason);
    }
    assert_eq!(tokens, 1000);
}

#[tokio::test]
async fn a_streamed_chat() {
    let emulator = Emulator::serving(options(), FAST).await;
    let body = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 50,
        "stream": true,
    });
    let events = emulator.stream(CHAT, body).await.rest().await;
    let first = &events[0];
    assert_eq!(first["object"], "chat.completion.chunk");
    assert_eq!(first["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert!(first.get("usage").is_none());
    let tokens = events[1..].iter().map(|event| words(&event["choices"][0]["delta"]["content"]));
    assert_eq!(tokens.sum::<usize>(), 50);
    let reasons = events.iter().map(|event| event["choices"][0]["finish_reason"].clone());
    let (last, others): (Vec<_>, Vec<_>) =
        reasons.enumerate().partition(|(index, _)| index + 1 == events.len());
    assert_eq!(last[0].1, "length");
    assert!(others.iter().all(|(_, reason)| reason.is_null()));
}

#[tokio::test]
async fn models_version_and_probes() {
    let emulator = Emulator::serving(options(), FAST).await;
    let models = emulator.get("/v1/models").await.json();
    assert_eq!(models["object"], "list");
    let ids: Vec<&Value> = models["data"].as_array().unwrap().iter().map(|m| &m["id"]).collect();
    assert_eq!(ids, ["tiny", "tiny-b"]);
    assert_eq!(models["data"][1]["root"], "tiny");
    assert_eq!(models["data"][0]["max_model_len"], 40_000);
    assert_eq!(emulator.get("/version").await.json(), json!({"version": "0.32.0"}));
    assert_eq!(emulator.get("/load").await.json(), json!({"server_load": 0}));
    for path in ["/health", "/ping"] {
        let reply = emulator.get(path).await;
        assert_eq!((reply.status.as_u16(), reply.body.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn errors_have_vllms_shape() {
    let emulator = Emulator::serving(options(), FAST).await;
    let post = |body| emulator.post(COMPLETIONS, body);
    let reply = post(json!({"model": "other", "prompt": "a"})).await;
    reply.check_error(404, "NotFoundError", "The model `other` does not exist.");
    assert_eq!(reply.json()["error"]["param"], "model");
    let reply = post(json!({"model": "tiny", "prompt": "a", "max_tokens": -1})).await;
    reply.check_error(400, "BadRequestError", "max_tokens must be at least 1, got -1.");
    let reply = post(json!({"model": "tiny", "prompt": vec![7; 39_990], "max_tokens": 20})).await;
    let message = "This model's maximum context length is 40000 tokens. However, you requested \
                   20 output tokens and your prompt contains at least 39981 input tokens, for a \
                   total of at least 40001 tokens.";
    reply.check_error(400, "BadRequestError", message);
    let reply = post(json!({"model": "tiny", "prompt": {"no": "prompt"}})).await;
    reply.check_error(400, "BadRequestError", "");
    emulator.get(COMPLETIONS).await.check_error(405, "Method Not Allowed", "Method Not Allowed");
    emulator.get("/nowhere").await.check_error(404, "Not Found", "Not Found");
    emulator.post("/sleep", json!({})).await.check_error(404, "Not Found", "Not Found");
}

#[tokio::test]
async fn a_body_must_be_json() {
    let emulator = Emulator::serving(options(), FAST).await;
    let ask = async |content_type: &str, body: &'static str| {
        let request = Request::builder().method("POST").uri(COMPLETIONS);
        let request = request.header("content-type", content_type).header("host", "emulator");
        let request = request.body(Full::new(body.into())).unwrap();
        let stream = TcpStream::connect(emulator.address).await.unwrap();
        Reply::read(send_on(stream, request).await.unwrap()).await
    };
    let reply = ask("text/plain", r#"{"prompt":"a"}"#).await;
    reply.check_error(400, "BadRequestError", "Only 'application/json' is allowed");
    ask("application/json", "{\"prompt\":").await.check_error(400, "BadRequestError", "EOF");
    let reply = ask("application/json; charset=utf-8", r#"{"prompt":"a"}"#).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn a_full_queue_rejects() {
    let mut options = options();
    options.max_num_queued_reqs = Some(3);
    let emulator = Emulator::serving(options, REAL).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(emulator.completion(FOREVER).await);
    }
    let reply = emulator.post(COMPLETIONS, json!({"model": "tiny", "prompt": "a"})).await;
    reply.check_error(503, "ServiceUnavailableError", "max_num_queued_reqs (3)");
    assert_eq!(emulator.get("/load").await.json(), json!({"server_load": 3}));
    let metrics = emulator.metrics().await;
    let rejected = "vllm:admission_rejections_total";
    assert_eq!(metrics.value_of(rejected, "reason=\"max_num_queued_reqs\""), 1.0);
}
