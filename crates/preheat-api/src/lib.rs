//! Wire types: what the outside world writes to preheat and reads from it.
//!
//! **Invariant:** wire types lead inwards only through checks; an unchecked value never leaves this
//! crate.

pub mod config;
pub mod dialect;
pub mod import;
pub mod journal;
mod name;
pub mod policy_file;
pub mod pool_keys;
pub mod reconfiguration;
pub mod schedule;
pub mod status;
pub mod v1;
pub mod words;
pub mod yaml;
