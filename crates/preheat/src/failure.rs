//! How a command ends: its exit code, and an error as people read it.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// What a command that ran has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Exit code 0.
    Yes,
    /// Exit code 1: an SLO was missed, a replay differs.
    No,
}

/// What [`hinted`] makes.
#[derive(Debug)]
struct Hinted {
    message: String,
    hint: String,
}

/// An error with advice on what to do next.
pub(crate) fn hinted(message: impl fmt::Display, hint: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Hinted { message: message.to_string(), hint: hint.into() })
}

/// The same, where there may be no more to say than the message does.
pub(crate) fn hinted_if<E>(error: E, hint: Option<String>) -> anyhow::Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    match hint {
        Some(hint) => hinted(error, hint),
        None => error.into(),
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Reports an error on stderr and turns the result into an exit code.
pub(crate) fn exit_code(result: anyhow::Result<Answer>) -> ExitCode {
    match result {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(1),
        // Whoever read our output has had enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(2)
        }
    }
}

/// Help and version go to stdout and are no failure; a mistake in the arguments is one.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout or stderr leaves nobody to tell.
    let _printed = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
    })
}

fn report(error: &anyhow::Error) {
    let mut text = format!("error: {error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    let hint = error.chain().find_map(|cause| cause.downcast_ref::<Hinted>());
    if let Some(hinted) = hint {
        text.push_str(&format!("\nhint: {}\n", hinted.hint));
    }
    // A closed stderr leaves nobody to tell.
    let _written = io::stderr().write_all(text.as_bytes());
}
