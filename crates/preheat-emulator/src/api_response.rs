//! Answers in the shapes of the OpenAI API, as bytes.
//!
//! What repeats in a stream is made once per request: an event is prefix, text, suffix.
//!
//! **Invariant:** nothing here waits, or knows where tokens come from.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::json;

use crate::api_error::ApiError;
use crate::api_request::{Delivery, Generation, Route};
use crate::engine_metrics::FinishReason;

/// The text of one token.
const TOKEN_TEXT: &str = " tok";

/// [`TOKEN_TEXT`] as often as one copy should take: no JSON escape is needed in it.
const TOKENS_TEXT: &str = " tok tok tok tok tok tok tok tok tok tok tok tok tok tok tok tok";

/// Ends every stream, also one that failed.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// What identifies one answer.
#[derive(Clone, Debug)]
pub(crate) struct AnswerIdentity {
    pub(crate) id: String,
    /// Unix seconds, in the model's time.
    pub(crate) created: u64,
}

/// Writes the events of one stream.
#[derive(Debug)]
pub(crate) struct EventWriter {
    route: Route,
    /// `data: {…` up to `"choices":`.
    head: Bytes,
    /// From there to the text of a token event.
    text_open: &'static str,
    /// From the text to the finish reason.
    text_close: &'static str,
    /// From the finish reason to the end of the event.
    tail: &'static str,
    with_usage: bool,
    prompt_tokens: u32,
    output_tokens: u32,
    has_begun: bool,
}

impl EventWriter {
    pub(crate) fn new(identity: &AnswerIdentity, generation: &Generation) -> Self {
        let AnswerIdentity { id, created } = identity;
        let model = json!(generation.model);
        let (object, text_open, text_close) = match generation.route {
            Route::Completions => {
                ("text_completion", r#"[{"index":0,"text":""#, r#"","logprobs":null"#)
            }
            Route::Chat => (
                "chat.completion.chunk",
                r#"[{"index":0,"delta":{"content":""#,
                r#""},"logprobs":null"#,
            ),
        };
        let mut head = format!(r#"data: {{"id":"{id}","object":"{object}","created":{created},"#);
        head += &format!(r#""model":{model},"choices":"#);
        let with_usage = generation.delivery == Delivery::StreamWithUsage;
        let tail = if with_usage {
            ",\"stop_reason\":null}],\"usage\":null}\n\n"
        } else {
            ",\"stop_reason\":null}]}\n\n"
        };
        Self {
            route: generation.route,
            head: head.into(),
            text_open,
            text_close,
            tail,
            with_usage,
            prompt_tokens: generation.prompt_tokens,
            output_tokens: 0,
            has_begun: false,
        }
    }

    /// An event with `tokens` tokens; in a chat the role comes before the first.
    pub(crate) fn tokens(&mut self, tokens: u32) -> Bytes {
        let mut out = self.buffer(tokens);
        self.push_tokens(&mut out, tokens, None);
        out.freeze()
    }

    /// The last events: tokens with the finish reason, usage if wanted, `[DONE]`.
    pub(crate) fn finish(&mut self, tokens: u32, reason: FinishReason) -> Bytes {
        let mut out = self.buffer(tokens);
        self.push_tokens(&mut out, tokens, Some(reason));
        if self.with_usage {
            out.put_slice(&self.head);
            let usage = usage(self.prompt_tokens, self.output_tokens);
            out.put_slice(format!("[],\"usage\":{usage}}}\n\n").as_bytes());
        }
        out.put_slice(DONE);
        out.freeze()
    }

    /// The last events of a stream that the server cut: an error and `[DONE]`, no finish reason.
    pub(crate) fn cut(&mut self, tokens: u32) -> Bytes {
        let mut out = self.buffer(tokens);
        if tokens > 0 {
            self.push_tokens(&mut out, tokens, None);
        }
        out.put_slice(b"data: ");
        out.put_slice(&ApiError::Aborted.body());
        out.put_slice(b"\n\n");
        out.put_slice(DONE);
        out.freeze()
    }

    fn buffer(&self, tokens: u32) -> BytesMut {
        // Room for a role event, a token event, a usage event and `[DONE]`.
        const REST: usize = 512;
        BytesMut::with_capacity(3 * self.head.len() + TOKEN_TEXT.len() * tokens as usize + REST)
    }

    fn push_tokens(&mut self, out: &mut BytesMut, tokens: u32, reason: Option<FinishReason>) {
        if self.route == Route::Chat && !self.has_begun {
            out.put_slice(&self.head);
            out.put_slice(br#"[{"index":0,"delta":{"role":"assistant","content":""},"#);
            out.put_slice(br#""logprobs":null,"finish_reason":null"#);
            out.put_slice(self.tail.as_bytes());
        }
        self.has_begun = true;
        self.output_tokens += tokens;
        out.put_slice(&self.head);
        out.put_slice(self.text_open.as_bytes());
        push_text(out, tokens);
        out.put_slice(self.text_close.as_bytes());
        out.put_slice(br#","finish_reason":"#);
        match reason {
            None => out.put_slice(b"null"),
            Some(reason) => {
                out.put_u8(b'"');
                out.put_slice(reason.as_str().as_bytes());
                out.put_u8(b'"');
            }
        }
        out.put_slice(self.tail.as_bytes());
    }
}

/// The body of an answer that is not streamed.
pub(crate) fn whole(
    identity: &AnswerIdentity,
    generation: &Generation,
    tokens: u32,
    reason: FinishReason,
) -> Bytes {
    let mut text = BytesMut::with_capacity(TOKEN_TEXT.len() * tokens as usize);
    push_text(&mut text, tokens);
    let text = String::from_utf8_lossy(&text);
    let AnswerIdentity { id, created } = identity;
    let (model, reason) = (&generation.model, reason.as_str());
    let usage = usage(generation.prompt_tokens, tokens);
    let body = match generation.route {
        Route::Completions => json!({
            "id": id, "object": "text_completion", "created": created, "model": model,
            "choices": [{
                "index": 0, "text": text, "logprobs": null, "finish_reason": reason,
                "stop_reason": null, "prompt_logprobs": null,
            }],
            "usage": usage, "system_fingerprint": null,
        }),
        Route::Chat => json!({
            "id": id, "object": "chat.completion", "created": created, "model": model,
            "choices": [{
                "index": 0,
                "message": {
                    "role": "assistant", "content": text, "refusal": null, "tool_calls": [],
                },
                "logprobs": null, "finish_reason": reason, "stop_reason": null,
            }],
            "usage": usage, "system_fingerprint": null,
        }),
    };
    body.to_string().into()
}

/// `/v1/models`.
pub(crate) fn models(names: &[String], max_model_len: u32, created: u64) -> Bytes {
    let root = names.first();
    let cards: Vec<_> = (names.iter())
        .map(|name| {
            json!({
                "id": name, "object": "model", "created": created, "owned_by": "vllm",
                "root": root, "parent": null, "max_model_len": max_model_len, "permission": [],
            })
        })
        .collect();
    json!({ "object": "list", "data": cards }).to_string().into()
}

fn usage(prompt_tokens: u32, output_tokens: u32) -> serde_json::Value {
    json!({
        "prompt_tokens": prompt_tokens,
        "total_tokens": u64::from(prompt_tokens) + u64::from(output_tokens),
        "completion_tokens": output_tokens,
        "prompt_tokens_details": null,
    })
}

fn push_text(out: &mut BytesMut, tokens: u32) {
    let mut bytes = TOKEN_TEXT.len() * tokens as usize;
    while bytes > 0 {
        let part = bytes.min(TOKENS_TEXT.len());
        out.put_slice(&TOKENS_TEXT.as_bytes()[..part]);
        bytes -= part;
    }
}
