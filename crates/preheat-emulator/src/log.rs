//! The engine's log: lines that look like vLLM's, stamped with model seconds since the start.
//!
//! **Invariant:** a reader that went away never stops the engine; lines are lost instead.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use preheat_core::Instant;
use preheat_runtime::clock::Clock;

/// Where lines go.
pub(crate) struct Log {
    clock: Clock,
    started_at: Instant,
    sink: Mutex<Box<dyn Write + Send>>,
}

impl Log {
    pub(crate) fn new(clock: Clock, sink: Box<dyn Write + Send>) -> Self {
        let started_at = clock.now();
        Self { clock, started_at, sink: Mutex::new(sink) }
    }

    /// One line at level INFO.
    pub(crate) fn line(&self, message: &str) {
        self.write("INFO", message);
    }

    /// One line at level ERROR.
    pub(crate) fn error(&self, message: &str) {
        self.write("ERROR", message);
    }

    fn write(&self, level: &str, message: &str) {
        let secs = self.clock.now().since(self.started_at).as_secs_f64();
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(sink, "{level} {secs:.3} [emulator] {message}");
        let _ = sink.flush();
    }
}
