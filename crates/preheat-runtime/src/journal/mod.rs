//! The journal: every tick and its decision in one SQLite file, written beside the control loop and
//! read by whoever wants to know why.
//!
//! [`Journal`] writes: from a thread of its own, so that a tick never waits for a disk.
//! [`JournalReader`] reads, also while another process writes. [`replay`] decides every tick once
//! more and compares; [`restore`] does the same to find the memory that a process ended with.
//!
//! **Invariant:** what can't be written is counted and told, and scaling goes on.
//!
//! **Invariant:** a file that is damaged, foreign or from a newer preheat is never changed.

mod latest;
mod reader;
mod replay;
mod tally;
mod writer;

mod store;

mod body;
mod error;

#[cfg(test)]
mod tests;

pub use error::{BodyError, JournalError};
pub use latest::{latest_moment, latest_status};
pub use reader::{Entries, JournalReader, Selection, StoredEntry};
pub use replay::{Difference, ReplayReport, Restored, replay, restore};
pub use tally::tally;
pub use writer::{Journal, JournalOptions};
