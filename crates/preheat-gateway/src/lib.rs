//! The data plane: an OpenAI-compatible reverse proxy that routes by model, holds requests while a
//! pool has no replica, and measures what clients see.
//!
//! **Invariant:** nothing here decides how many replicas there should be, starts one or stops one.
//! The gateway reads a routing table and writes meters; it knows no engine's metrics and no world.
//!
//! **Invariant:** a request is sent to a second engine only while no engine has begun to answer
//! it, and after an engine broke off at most once: a request that kills engines kills two, not all.
//!
//! **Invariant:** every request that named a known model ends as exactly one of completed, failed,
//! rejected or cancelled.

mod aside;
mod body;
mod config;
mod forward;
mod handler;
mod headers;
mod hold;
mod idle;
mod outcome;
mod pick;
mod refusal;
mod request_body;
mod server;
mod sse;
mod stats;
mod upstream;

pub use config::GatewayConfig;
pub use server::{Gateway, ServeReport, serve};
pub use stats::{GatewayStats, GatewayTotals};
