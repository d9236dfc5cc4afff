//! The admin server through real sockets, on a journal that a control loop wrote.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod answers;
mod controls;
mod events;
mod lab;
mod reconfigured;
mod spent;
mod what_if;
mod world;
