//! KEDA's external scaler: `contract` in, counts out.
//!
//! **Invariant:** all that is told of one resource at one moment comes from one count, so that
//! `GetMetrics` and the `IsActive` that KEDA asks right after it agree.

mod service;
mod translate;

pub(crate) use service::handler;
