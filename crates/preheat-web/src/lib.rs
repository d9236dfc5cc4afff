//! The admin server: what preheat says about itself over HTTP. `/metrics` for Prometheus, `/healthz`
//! for probes, `/api/v1` for programs, and the dashboard's page for people.
//!
//! It is given a [`Source`] and asks nothing else: a running preheat and a journal after the fact
//! look the same from here.
//!
//! **Invariant:** nothing here but the controls, which need a token of their own, changes what is
//! scaled, and nothing holds a tick up. Simulations that somebody asks for are beside it, few at a
//! time.
//!
//! **Invariant:** whoever is not on this machine needs a token.

mod server;

mod access;
mod routes;

mod api;
mod history;
mod past;
mod simulations;
mod source;
mod spending;

mod openapi;
mod page;

pub use access::{Token, TokenError};
pub use openapi::document as openapi_document;
pub use server::Admin;
pub use source::{Source, StatusSource, journal_status};
