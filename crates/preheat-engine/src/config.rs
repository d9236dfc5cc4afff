//! How an engine is set up. Limits are checked here once; the scheduler relies on them.

use preheat_core::Concurrency;

use crate::profiles::EngineProfile;
use crate::sleep::SleepProfile;
use crate::step::StepProfile;

/// Tokens in a KV block, as vLLM has it.
const BLOCK_SIZE: u32 = 16;
/// Largest block size: the scheduler keeps a counter per place in a block.
const BLOCK_SIZE_MAX: u32 = 1024;

/// Settings of one engine, named as vLLM names them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// Step times.
    pub profile: StepProfile,
    /// Requests in the batch at most.
    pub max_num_seqs: Concurrency,
    /// Tokens in a step at most; no less than `max_num_seqs`.
    pub max_num_batched_tokens: u32,
    /// Tokens that fit the KV cache; the part of a block that is left over is not used.
    pub kv_capacity_tokens: u64,
    /// Tokens in a KV block.
    pub block_size: u32,
    /// Prompt and output tokens of a request at most.
    pub max_model_len: u32,
    /// Whether a step is planned while the one before it runs, so that arrivals and ends are
    /// seen one step late. vLLM's default.
    pub async_scheduling: bool,
    /// How long it takes to sleep and to wake.
    pub sleep: SleepProfile,
}

/// Why settings can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Some running request would get no token in a step.
    #[error(
        "max_num_batched_tokens is {max_num_batched_tokens}, below max_num_seqs ({max_num_seqs})"
    )]
    BatchedTokensBelowSeqs {
        /// As set.
        max_num_batched_tokens: u32,
        /// As set.
        max_num_seqs: u32,
    },
    /// No block, or a counter per token of a block would be too many.
    #[error("block_size is {0}; it must be from 1 to {BLOCK_SIZE_MAX}")]
    BlockSize(u32),
    /// Not one block.
    #[error("kv_capacity_tokens is {kv_capacity_tokens}, below block_size ({block_size})")]
    KvCapacity {
        /// As set.
        kv_capacity_tokens: u64,
        /// As set.
        block_size: u32,
    },
    /// No request could be taken.
    #[error("max_model_len is {0}; it must be at least 2 (one prompt token, one output token)")]
    ModelLen(u32),
}

impl EngineConfig {
    /// The settings that stock vLLM 0.33 would choose for `profile`.
    pub const fn for_profile(profile: &EngineProfile) -> Self {
        Self {
            profile: profile.step.with_host(profile.host),
            max_num_seqs: profile.max_num_seqs,
            max_num_batched_tokens: profile.max_num_batched_tokens,
            kv_capacity_tokens: profile.kv_capacity_tokens,
            block_size: BLOCK_SIZE,
            max_model_len: profile.max_model_len,
            async_scheduling: true,
            sleep: SleepProfile::for_weights(profile.weights_bytes, profile.gpus),
        }
    }

    /// Whether an engine can be built from this.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    pub const fn check(&self) -> Result<(), ConfigError> {
        let max_num_seqs = self.max_num_seqs.get();
        if self.max_num_batched_tokens < max_num_seqs {
            let max_num_batched_tokens = self.max_num_batched_tokens;
            return Err(ConfigError::BatchedTokensBelowSeqs {
                max_num_batched_tokens,
                max_num_seqs,
            });
        }
        if self.block_size == 0 || self.block_size > BLOCK_SIZE_MAX {
            return Err(ConfigError::BlockSize(self.block_size));
        }
        if self.kv_capacity_tokens < self.block_size as u64 {
            let (kv_capacity_tokens, block_size) = (self.kv_capacity_tokens, self.block_size);
            return Err(ConfigError::KvCapacity { kv_capacity_tokens, block_size });
        }
        if self.max_model_len < 2 {
            return Err(ConfigError::ModelLen(self.max_model_len));
        }
        Ok(())
    }
}
