//! The admin server through real sockets, on a journal that a control loop wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod answers;
mod events;
mod lab;
mod world;
