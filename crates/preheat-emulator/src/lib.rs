//! The emulated engine: `preheat-engine`'s model behind vLLM's HTTP API, metrics, log and
//! signals, on a model clock that may run faster than real time.
//!
//! [`run`] is one engine process: it starts up (the port refuses connections meanwhile), serves,
//! and shuts down when its `shutdown` future is ready.
//!
//! What is not emulated: what tokens say (each is the word `tok`), sampling, stop strings, tools,
//! several answers or prompts per request, prefix and multi-modal caches (their families are
//! there, at zero), LoRA, several engines per server, `/tokenize`, `/pause`, and sleep with
//! `level=0`, `mode=keep` or `tags`.
//!
//! **Invariant:** nothing here scales, routes or decides, and nothing here knows how an engine
//! schedules: that is `preheat-engine`'s matter.

mod options;
mod server;
mod step_times;

mod body;
mod routes;
mod startup;
mod tickets;

mod api_error;
mod api_request;
mod api_response;
mod prompt;

mod answer;
mod engine_task;

mod cache_config;
mod engine_metrics;
mod exposition;
mod http_metrics;
mod log;

pub use options::{EmulatorOptions, Fault, FaultError, OptionsError, OutputLength, find_profile};
pub use server::{EmulatorError, run};
pub use step_times::StepTimes;
