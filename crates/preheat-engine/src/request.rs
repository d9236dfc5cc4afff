//! What a client asks of an engine, and why the engine may refuse at once. It knows nothing of
//! how requests are scheduled.

/// Identity of a request, chosen by the caller; unique among the requests inside one engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// One completion request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRequest {
    /// Its identity.
    pub id: RequestId,
    /// Tokens of the prompt; at least one.
    pub prompt_tokens: u32,
    /// Tokens it will generate before it ends; at least one.
    pub output_tokens: u32,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No prompt, or nothing to generate.
    #[error("a request needs at least one prompt token and one output token")]
    Empty,
    /// A request of this id is inside.
    #[error("request {} is inside the engine already", .0.0)]
    DuplicateId(RequestId),
    /// Prompt and output together are longer than the model's context.
    #[error("{tokens} tokens exceed the context of {max_model_len}")]
    ContextTooLong {
        /// Prompt and output tokens.
        tokens: u64,
        /// The engine's limit.
        max_model_len: u32,
    },
    /// Prompt and output together would not fit the KV cache even alone.
    #[error("{tokens} tokens exceed the KV cache of {kv_capacity_tokens}")]
    KvTooSmall {
        /// Prompt and output tokens.
        tokens: u64,
        /// The engine's limit.
        kv_capacity_tokens: u64,
    },
}
