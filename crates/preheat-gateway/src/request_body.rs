//! Reads a request's body within its limits and finds the model it asks for. Knows nothing of
//! where the request goes.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;

use crate::config::GatewayConfig;
use crate::refusal::Refusal;

/// Longer bodies are parsed on a thread of their own: serde_json skips about 0.5 GB/s, so that this
/// much takes half a millisecond, for which other requests can wait.
const PARSE_INLINE_BYTES_MAX: usize = 256 << 10;

/// Bytes of bodies in memory, over the whole gateway.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    used: AtomicUsize,
    bytes_max: usize,
}

/// Part of the budget, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<BodyBudget>,
    bytes: usize,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used: AtomicUsize::new(0), bytes_max }
    }
}

impl Reserved {
    fn none(budget: &Arc<BodyBudget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let before = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > self.budget.bytes_max { Err(Refusal::MemoryFull) } else { Ok(()) }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Reads the whole body.
pub(crate) async fn read(
    body: Incoming,
    config: &GatewayConfig,
    budget: &Arc<BodyBudget>,
) -> Result<(Bytes, Reserved), Refusal> {
    // Before the first byte is read, so that a client that asks with `Expect` need not send it.
    if body.size_hint().lower() > config.body_bytes_max as u64 {
        return Err(Refusal::BodyTooLarge { bytes_max: config.body_bytes_max });
    }
    let collected = collect(body, config.body_bytes_max, Reserved::none(budget));
    match tokio::time::timeout(config.body_read_timeout, collected).await {
        Ok(read) => read,
        Err(_elapsed) => Err(Refusal::BodyTooSlow),
    }
}

async fn collect(
    mut body: Incoming,
    bytes_max: usize,
    mut reserved: Reserved,
) -> Result<(Bytes, Reserved), Refusal> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_broken| Refusal::BrokenBody)?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(Refusal::BodyTooLarge { bytes_max });
        }
        reserved.grow(data.len())?;
        if whole.is_empty() && body.is_end_stream() {
            return Ok((data, reserved));
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), reserved))
}

/// The only field that the gateway reads; serde skips the rest, but checks its syntax.
#[derive(Deserialize)]
struct Wanted<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

/// The model that a request asks for.
pub(crate) async fn model(body: &Bytes) -> Result<String, Refusal> {
    if body.len() <= PARSE_INLINE_BYTES_MAX {
        return parse_model(body);
    }
    let body = body.clone();
    let parsed = tokio::task::spawn_blocking(move || parse_model(&body)).await;
    parsed.unwrap_or(Err(Refusal::ShuttingDown))
}

fn parse_model(body: &[u8]) -> Result<String, Refusal> {
    // serde would also take an array for a struct.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::MalformedBody("it is not a JSON object".to_owned()));
    }
    let wanted: Wanted<'_> =
        serde_json::from_slice(body).map_err(|error| Refusal::MalformedBody(error.to_string()))?;
    wanted.model.map(Cow::into_owned).ok_or(Refusal::MissingModel)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: Result<&str, &str>) {
        let parsed = parse_model(body.as_bytes()).map_err(|refusal| {
            if refusal == Refusal::MissingModel {
                return "missing";
            }
            assert!(matches!(refusal, Refusal::MalformedBody(_)), "{refusal:?}");
            "malformed"
        });
        assert_eq!(parsed.as_deref().map_err(|kind| *kind), expected, "{body}");
    }

    #[test]
    fn finds_the_model_wherever_it_stands() {
        check(r#"{"model":"m"}"#, Ok("m"));
        check(r#" {"messages":[{"model":"no"}],"stream":true,"model":"a\u002fb"}"#, Ok("a/b"));
        check(r#"{"model":""}"#, Ok(""));
    }

    #[test]
    fn refuses_what_is_not_a_request() {
        check("", Err("malformed"));
        check("{", Err("malformed"));
        check(r#"["m"]"#, Err("malformed"));
        check(r#"{"model":7}"#, Err("malformed"));
        check(r#"{"model":"a","model":"b"}"#, Err("malformed"));
        check(r#"{"model":"m"} trailing"#, Err("malformed"));
        check("{}", Err("missing"));
        check(r#"{"model":null}"#, Err("missing"));
        check(&format!(r#"{{"x":{}"#, "[".repeat(100_000)), Err("malformed"));
    }

    #[test]
    fn the_budget_is_given_back() {
        let budget = Arc::new(BodyBudget::new(10));
        let mut one = Reserved::none(&budget);
        assert_eq!(one.grow(10), Ok(()));
        let mut two = Reserved::none(&budget);
        assert_eq!(two.grow(1), Err(Refusal::MemoryFull));
        drop((one, two));
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
