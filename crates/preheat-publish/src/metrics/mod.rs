//! `external.metrics.k8s.io/v1beta1`, as an aggregated apiserver.

mod delegate;
mod identity;
mod routes;
mod server;

pub(crate) use delegate::{Delegate, Trust, read_trust};
pub(crate) use server::handler;
