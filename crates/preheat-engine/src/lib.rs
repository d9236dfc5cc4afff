//! A pure model of one LLM inference engine: continuous batching after vLLM V1's scheduler, step
//! times from calibrated profiles, start-up phases, sleep and wake.
//!
//! A caller owns the clock: it submits requests, asks [`Engine::next_event_at`], and calls
//! [`Engine::advance`], which appends what happened to a vector of [`EngineEvent`]s.
//!
//! **Invariant:** nothing here does I/O, reads a clock, logs, or is async. Time comes in as
//! [`preheat_core::Instant`], randomness as a seed.
//!
//! **Invariant:** equal calls give equal results on every platform: the engine computes in
//! integers only, and start-up draws take their transcendental functions from `libm`.
//!
//! What is not modelled: prefix caching, speculative decoding, LoRA and grammar limits, KV
//! transfer and offload, the `priority` policy, tokenizer and HTTP time, and pipeline parallelism.

mod config;
mod engine;
mod event;
mod request;

mod decode;
mod fine;
mod jump;
mod plan;
mod profiles;
mod sleep;
mod step;
mod store;

mod distribution;
mod startup;

pub use config::{ConfigError, EngineConfig};
pub use distribution::ShiftedLogNormal;
pub use engine::{Engine, Stepping};
pub use event::{EngineEvent, EngineStats, EventDetail};
pub use profiles::EngineProfile;
pub use request::{EngineRequest, RequestId, SubmitError};
pub use sleep::{SleepLevel, SleepProfile, SleepState};
pub use startup::{
    CompileCache, ImageSource, StartupInputs, StartupOutcome, StartupPlan, StartupProfile,
    WeightsSource,
};
pub use step::{HostTime, KNOT_TOKENS, StepLoad, StepProfile};
