//! What can be wrong with a scenario file, and how it is shown: file, line, caret, as the
//! configuration's mistakes are.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_saphyr::{Location, SnippetMode};

/// A mistake in a scenario file, with its place.
#[derive(Debug)]
pub struct ScenarioError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    place: Option<Place>,
    message: String,
}

#[derive(Debug)]
struct Place {
    line: u64,
    column: u64,
    line_text: String,
}

impl ScenarioError {
    pub(crate) fn read(file: &Path, source: &std::io::Error) -> Self {
        let message = format!("can't be read: {source}");
        Self(Box::new(Inner { file: file.to_owned(), place: None, message }))
    }

    /// What is wrong, without its place.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Line and column, from 1; absent when the mistake has no place.
    pub fn line_and_column(&self) -> Option<(u64, u64)> {
        self.0.place.as_ref().map(|place| (place.line, place.column))
    }
}

impl std::error::Error for ScenarioError {}

/// `file:12:18: message`, then the line with a caret under the place.
impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { file, place, message } = &*self.0;
        let Some(Place { line, column, line_text }) = place else {
            return write!(f, "{}: {message}", file.display());
        };
        writeln!(f, "{}:{line}:{column}: {message}", file.display())?;
        let gutter = " ".repeat(line.to_string().len());
        // A tab before the caret must be as wide as the one above it.
        let column = usize::try_from(*column).unwrap_or(1);
        let before = line_text.chars().take(column.saturating_sub(1));
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(f, "{gutter} |\n{line} | {line_text}\n{gutter} | {indent}^")
    }
}

/// The text of a file, for errors to quote from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a Path,
}

/// A longer line is no longer read by people.
const LINE_CHARS_MAX: usize = 200;

impl Source<'_> {
    pub(crate) fn error(
        &self,
        location: Option<Location>,
        message: impl Into<String>,
    ) -> ScenarioError {
        let place = location.filter(|at| at.line() > 0).map(|at| {
            let index = usize::try_from(at.line() - 1).unwrap_or(usize::MAX);
            // The end of the file is one line past the last one.
            let line = self.text.lines().nth(index).unwrap_or_default();
            let line_text = line.trim_end().chars().take(LINE_CHARS_MAX).collect();
            Place { line: at.line(), column: at.column(), line_text }
        });
        let (file, message) = (self.file.to_owned(), message.into());
        ScenarioError(Box::new(Inner { file, place, message }))
    }

    pub(crate) fn require(
        &self,
        holds: bool,
        location: Option<Location>,
        message: impl FnOnce() -> String,
    ) -> Result<(), ScenarioError> {
        if holds { Ok(()) } else { Err(self.error(location, message())) }
    }

    /// What the parser says, without the place, which is shown anyway.
    pub(crate) fn malformed(&self, error: &serde_saphyr::Error) -> ScenarioError {
        let options = serde_saphyr::render_options! { snippets: SnippetMode::Off };
        let rendered = error.without_snippet().render_with_options(options);
        let message = rendered.rsplit_once(" at line ").map_or(&*rendered, |(message, _)| message);
        self.error(error.location(), message)
    }
}

/// `key` is not what it must be.
pub(crate) fn out_of_range(key: &str, value: impl fmt::Display, allowed: &str) -> String {
    format!("`{key}` is {value}; it must be {allowed}")
}
