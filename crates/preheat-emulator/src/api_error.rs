//! Error answers in the shape of vLLM's OpenAI server:
//! `{"error":{"message":…,"type":…,"param":…,"code":…}}`.
//!
//! **Invariant:** nothing here knows of sockets; it says status and body.

use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

/// Why a request gets no answer from the model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The body is not what the route takes.
    #[error("{message}")]
    Invalid { message: String, param: Option<&'static str> },
    /// Prompt and output don't fit the context.
    #[error(
        "This model's maximum context length is {max_model_len} tokens. However, you requested \
         {output} output tokens and your prompt contains at least {input} input tokens, for a \
         total of at least {total} tokens. Please reduce the length of the input prompt or the \
         number of requested output tokens. (parameter=input_tokens, value={input})",
        total = u64::from(*input) + u64::from(*output)
    )]
    ContextTooLong { max_model_len: u32, output: u32, input: u32 },
    /// No such served name.
    #[error("The model `{0}` does not exist.")]
    UnknownModel(String),
    /// No such path.
    #[error("Not Found")]
    NoRoute,
    /// The path takes another method.
    #[error("Method Not Allowed")]
    Method,
    /// Too many requests are inside.
    #[error("The number of in-flight requests has reached max_num_queued_reqs ({0}).")]
    QueueFull(u32),
    /// A request came during the drain.
    #[error("cannot schedule new futures after shutdown")]
    ShuttingDown,
    /// A request was cut off by the shutdown.
    #[error("Internal server error")]
    Aborted,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Detail<'a>,
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: u16,
}

impl ApiError {
    /// A 400 that blames no parameter.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), param: None }
    }

    /// A 400 that blames `param`; `value` is repeated as vLLM does.
    pub(crate) fn invalid_param(param: &'static str, value: i64, message: &str) -> Self {
        let message = format!("{message} (parameter={param}, value={value})");
        Self::Invalid { message, param: Some(param) }
    }

    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::Invalid { .. } | Self::ContextTooLong { .. } => StatusCode::BAD_REQUEST,
            Self::UnknownModel(_) | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::QueueFull(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::ShuttingDown | Self::Aborted => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The JSON body; also the payload of a stream's error event.
    pub(crate) fn body(&self) -> Bytes {
        let (r#type, param) = match self {
            Self::Invalid { param, .. } => ("BadRequestError", *param),
            Self::ContextTooLong { .. } => ("BadRequestError", Some("input_tokens")),
            Self::UnknownModel(_) => ("NotFoundError", Some("model")),
            Self::NoRoute => ("Not Found", None),
            Self::Method => ("Method Not Allowed", None),
            Self::QueueFull(_) => ("ServiceUnavailableError", None),
            Self::ShuttingDown | Self::Aborted => ("InternalServerError", None),
        };
        let message = self.to_string();
        let code = self.status().as_u16();
        let envelope = Envelope { error: Detail { message: &message, r#type, param, code } };
        serde_json::to_vec(&envelope).unwrap_or_default().into()
    }
}
