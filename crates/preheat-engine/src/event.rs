//! What an engine reports: events as they happen, and its state when asked. Data only.

use preheat_core::{Instant, Utilization};

use crate::request::RequestId;
use crate::sleep::SleepState;

/// How much an engine tells through [`crate::Engine::advance`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventDetail {
    /// Milestones of requests, and sleep and wake: for a simulator that counts requests.
    Requests,
    /// Also [`EngineEvent::Step`].
    Steps,
    /// Also [`EngineEvent::Tokens`], at a cost per call that grows with the batch: for a server
    /// that streams.
    Tokens,
}

/// Something that happened. Events come in order of time; those of one step in admission order,
/// except that [`EngineEvent::Tokens`] of requests still running come last in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineEvent {
    /// The request entered the batch for the first time.
    Scheduled {
        /// Which.
        id: RequestId,
        /// Start of the step it entered.
        at: Instant,
    },
    /// The request entered the batch again after a preemption; what it had is recomputed.
    Resumed {
        /// Which.
        id: RequestId,
        /// Start of the step it entered.
        at: Instant,
    },
    /// Its first token is there.
    FirstToken {
        /// Which.
        id: RequestId,
        /// End of the step that made it.
        at: Instant,
    },
    /// More tokens, the first one not counted: all since the last report of this request.
    Tokens {
        /// Which.
        id: RequestId,
        /// End of the step that made the last of them.
        at: Instant,
        /// How many.
        count: u32,
    },
    /// The request generated its last token.
    Finished {
        /// Which.
        id: RequestId,
        /// End of the step that made it.
        at: Instant,
        /// Tokens generated in all.
        tokens: u32,
    },
    /// The request was thrown out of the batch for want of KV blocks; it waits, first in line.
    Preempted {
        /// Which.
        id: RequestId,
        /// Start of the step that needed the blocks.
        at: Instant,
    },
    /// The request was dropped because the engine was sent to sleep.
    Aborted {
        /// Which.
        id: RequestId,
        /// When.
        at: Instant,
    },
    /// Steps in a row with the same batch ended.
    Step {
        /// Start of the first.
        started_at: Instant,
        /// End of the last.
        at: Instant,
        /// How many steps.
        steps: u32,
        /// Tokens computed in each of them.
        tokens: u32,
        /// Sequences that decoded in each of them.
        decode_seqs: u32,
    },
    /// The engine is asleep.
    Slept {
        /// Since when.
        at: Instant,
    },
    /// The engine is awake again; requests that hung in it go on.
    Woke {
        /// Since when.
        at: Instant,
    },
}

impl EngineEvent {
    /// When it happened.
    pub const fn at(&self) -> Instant {
        match *self {
            Self::Scheduled { at, .. }
            | Self::Resumed { at, .. }
            | Self::FirstToken { at, .. }
            | Self::Tokens { at, .. }
            | Self::Finished { at, .. }
            | Self::Preempted { at, .. }
            | Self::Aborted { at, .. }
            | Self::Step { at, .. }
            | Self::Slept { at }
            | Self::Woke { at } => at,
        }
    }
}

/// What an engine's metrics would say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineStats {
    /// Requests in the batch (`vllm:num_requests_running`).
    pub running: u32,
    /// Requests waiting for it (`vllm:num_requests_waiting`). Zero while asleep, whatever hangs.
    pub waiting: u32,
    /// Requests that hang because the engine is not awake. No engine exports this.
    pub hanging: u32,
    /// Share of KV blocks in use (`vllm:kv_cache_usage_perc`).
    pub kv_utilization: Utilization,
    /// KV blocks in use, those of the step under way included.
    pub kv_blocks_used: u64,
    /// KV blocks there are.
    pub kv_blocks_total: u64,
    /// Requests submitted and taken.
    pub submitted_total: u64,
    /// Requests that generated their last token.
    pub finished_total: u64,
    /// Requests whose client hung up.
    pub cancelled_total: u64,
    /// Requests dropped because the engine was sent to sleep.
    pub aborted_total: u64,
    /// Requests thrown out of the batch (`vllm:num_preemptions_total`).
    pub preemptions_total: u64,
    /// Prompt tokens of the requests that got their first token (`vllm:prompt_tokens_total`).
    pub prompt_tokens_total: u64,
    /// Tokens generated (`vllm:generation_tokens_total`).
    pub generation_tokens_total: u64,
    /// Steps ended.
    pub steps_total: u64,
    /// Tokens computed in them, recomputed ones included (sum of `vllm:iteration_tokens_total`).
    pub step_tokens_total: u64,
    /// Tokens in the step under way; zero when idle.
    pub step_tokens: u32,
    /// Whether it sleeps, and how deep.
    pub sleep_state: SleepState,
}

impl EngineStats {
    /// As `/is_sleeping` answers: true until a wake is complete.
    pub const fn is_asleep(&self) -> bool {
        !matches!(self.sleep_state, SleepState::Awake)
    }
}
