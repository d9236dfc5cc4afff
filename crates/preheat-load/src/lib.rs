//! Open-loop load: replays a trace against an OpenAI-compatible server and reports what its
//! clients saw.
//!
//! Every request is sent when the trace says, whatever became of the others: a server that
//! falls behind gets no mercy from clients that wait for it. A request that fails, is rejected
//! or never ends misses its SLO.
//!
//! ```text
//! Trace ─► run: send at arrival ─► exchange: attempts, retries, timeout ─► Outcome ─► LoadReport
//!                                    └► sse ─► piece ─► answer (first token, gaps, verdict)
//! ```
//!
//! **Invariant:** every duration in [`LoadConfig`], [`LoadProgress`] and [`LoadReport`] is in
//! model time: wall time × [`LoadConfig::time_scale`].
//! **Invariant:** TTFT counts from the moment the trace asked for the request, through lateness
//! of this program, refused attempts and back-off.
//! **Invariant:** nothing here knows of preheat: any server will do.

mod answer;
mod clock;
mod config;
mod exchange;
mod outcome;
mod piece;
mod progress;
mod prompt;
mod report;
mod run;
mod sse;

pub use config::{AnswerMode, Endpoint, LoadConfig, LoadError, TIME_SCALE_MAX, Target};
pub use progress::LoadProgress;
pub use prompt::PROMPT_WORDS_MAX;
pub use report::{LoadReport, Quantiles};
pub use run::run;
pub use sse::{EVENT_BYTES_MAX, SseError, SseEvent, SseParser};
