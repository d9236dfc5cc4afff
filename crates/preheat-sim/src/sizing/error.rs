//! Why there is no answer to a question of sizing.
//!
//! **Invariant:** every message says which figure is wrong and what it must be.

use std::time::Duration;

use preheat_engine::ConfigError;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SizingError {
    /// A figure is out of range.
    #[error("{name} is {value}; it must be {must}")]
    Figure {
        /// The field.
        name: &'static str,
        /// As given.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// The load is larger than anything that is sized here.
    #[error("the load takes {slots:.0} slots, more than {most}")]
    TooLarge {
        /// As it would be.
        slots: f64,
        /// The limit.
        most: u32,
    },
    /// The engine's settings can't be.
    #[error("the engine's settings: {0}")]
    Engine(#[from] ConfigError),
    /// The mean request is longer than the model's context.
    #[error("a mean request has {tokens:.0} tokens, and the model takes {max_model_len} at most")]
    BeyondContext {
        /// Prompt and output.
        tokens: f64,
        /// The limit.
        max_model_len: u32,
    },
    /// The mean request does not fit the KV cache.
    #[error("a mean request has {tokens:.0} tokens, and the KV cache of a replica holds {kv}")]
    BeyondKv {
        /// Prompt and output.
        tokens: f64,
        /// What there is.
        kv: u64,
    },
    /// Not even one request at a time is fast enough.
    #[error(
        "a token takes {least:.1?} even with one request at a time; the SLO on TPOT is {slo:?}"
    )]
    TpotSlo {
        /// As asked.
        slo: Duration,
        /// What is possible.
        least: Duration,
    },
    /// The first token is late without any queue.
    #[error(
        "the first token takes {least:.1?} without any queue, with {concurrency} requests at once; \
         the SLO on TTFT is {slo:?}"
    )]
    TtftSlo {
        /// As asked.
        slo: Duration,
        /// Without a queue.
        least: Duration,
        /// Requests at once.
        concurrency: u32,
    },
}

/// Whether `value` is finite and above zero.
pub(super) fn check_above_zero(name: &'static str, value: f64) -> Result<(), SizingError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(SizingError::Figure { name, value, must: "finite and above 0" })
}
