//! The answers that the gateway gives itself, in the shape of OpenAI's errors. Knows nothing of how
//! they come about.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use crate::body::GatewayBody;

/// More of a client's own words than this is not repeated to it.
const ECHO_CHARS_MAX: usize = 128;

/// Why a request got no engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such path here.
    NotFound,
    /// The body is not a JSON object, or its `model` is not a string.
    MalformedBody(String),
    /// The body could not be read.
    BrokenBody,
    /// The body has no `model`.
    MissingModel,
    /// No pool serves this model.
    UnknownModel { model: String, known: Vec<String> },
    /// The body is longer than allowed.
    BodyTooLarge { bytes_max: usize },
    /// The body did not come in time.
    BodyTooSlow,
    /// Too many bytes of bodies are in memory already.
    MemoryFull,
    /// Too many requests are held already.
    HoldFull,
    /// Held for as long as a request may be, and no replica became ready.
    HoldTimeout,
    /// The gateway is shutting down.
    ShuttingDown,
    /// No backend could be reached.
    Unreachable,
    /// Every engine that was given the request broke off before it began to answer.
    EngineClosed,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownModel { .. } => StatusCode::NOT_FOUND,
            Self::MalformedBody(_) | Self::BrokenBody | Self::MissingModel => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::HoldFull => StatusCode::TOO_MANY_REQUESTS,
            Self::MemoryFull | Self::HoldTimeout | Self::ShuttingDown | Self::Unreachable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::EngineClosed => StatusCode::BAD_GATEWAY,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::MalformedBody(_) => "malformed_body",
            Self::BrokenBody => "broken_body",
            Self::MissingModel => "missing_model",
            Self::UnknownModel { .. } => "model_not_found",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTooSlow => "body_too_slow",
            Self::MemoryFull => "memory_full",
            Self::HoldFull => "hold_full",
            Self::HoldTimeout => "hold_timeout",
            Self::ShuttingDown => "shutting_down",
            Self::Unreachable => "engine_unreachable",
            Self::EngineClosed => "engine_closed",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotFound => "there is no such path".to_owned(),
            Self::MalformedBody(why) => format!("the body is not a valid request: {why}"),
            Self::BrokenBody => "the body could not be read".to_owned(),
            Self::MissingModel => "the body must name a `model`".to_owned(),
            Self::UnknownModel { model, known } => {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let model: String = model.chars().take(ECHO_CHARS_MAX).collect();
                format!("the model `{model}` does not exist; models: {known}")
            }
            Self::BodyTooLarge { bytes_max } => {
                format!("the body is longer than {bytes_max} bytes")
            }
            Self::BodyTooSlow => "the body did not come in time".to_owned(),
            Self::MemoryFull => "too many bytes of requests are under way".to_owned(),
            Self::HoldFull => "too many requests wait for a replica".to_owned(),
            Self::HoldTimeout => "no replica became ready in time".to_owned(),
            Self::ShuttingDown => "the gateway is shutting down".to_owned(),
            Self::Unreachable => "no replica could be reached".to_owned(),
            Self::EngineClosed => {
                "the replica broke off before it began to answer, and so did the next".to_owned()
            }
        }
    }

    fn is_clients_fault(&self) -> bool {
        self.status().is_client_error() && *self != Self::HoldFull
    }

    /// Whether the request's body may not have been read to its end.
    fn leaves_body_unread(&self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge { .. } | Self::BodyTooSlow | Self::BrokenBody | Self::MemoryFull
        )
    }

    /// The answer; `retry_after` is wall time.
    pub(crate) fn response(&self, retry_after: Duration) -> Response<GatewayBody> {
        let kind = if self.is_clients_fault() { "invalid_request_error" } else { "server_error" };
        let param = matches!(self, Self::MissingModel | Self::UnknownModel { .. });
        let error = json!({"error": {
            "message": self.message(),
            "type": kind,
            "param": if param { Some("model") } else { None },
            "code": self.code(),
        }});
        let mut response = json_response(self.status(), &error);
        let headers = response.headers_mut();
        if matches!(self.status().as_u16(), 429 | 503) {
            let secs = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs.max(1)));
        }
        if self.leaves_body_unread() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A response with a JSON body.
pub(crate) fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<GatewayBody> {
    let mut response = Response::new(GatewayBody::from(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds_rounded_up() {
        let after = |refusal: Refusal, millis| {
            let response = refusal.response(Duration::from_millis(millis));
            response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(after(Refusal::HoldFull, 5001).as_deref(), Some("6"));
        assert_eq!(after(Refusal::HoldTimeout, 250).as_deref(), Some("1"));
        assert_eq!(after(Refusal::HoldTimeout, 0).as_deref(), Some("1"));
        assert_eq!(after(Refusal::MissingModel, 5000), None);
    }

    #[test]
    fn a_long_model_name_is_not_repeated_in_full() {
        let refusal = Refusal::UnknownModel { model: "é".repeat(9000), known: vec!["m".into()] };
        assert!(refusal.message().len() < 2 * ECHO_CHARS_MAX + 64);
        assert!(refusal.message().ends_with("models: m"));
    }
}
