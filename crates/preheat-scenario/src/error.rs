//! What can be wrong with a scenario file, and how it is shown: file, line, caret, as the
//! configuration's mistakes are.

use std::fmt;
use std::path::{Path, PathBuf};

use preheat_api::yaml::{self, Place};
use serde_saphyr::Location;

/// A mistake in a scenario file, with its place.
#[derive(Debug)]
pub struct ScenarioError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    place: Option<Place>,
    message: String,
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

    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        yaml::hint(&self.0.message)
    }

    /// Line and column, from 1; absent when the mistake has no place.
    pub fn line_and_column(&self) -> Option<(u64, u64)> {
        self.0.place.as_ref().map(Place::line_and_column)
    }
}

impl std::error::Error for ScenarioError {}

/// `file:12:18: message`, then the line with a caret under the place.
impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { file, place, message } = &*self.0;
        yaml::show(f, file, place.as_ref(), message)
    }
}

/// The text of a file, for errors to quote from.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    pub(crate) file: &'a Path,
}

impl Source<'_> {
    pub(crate) fn error(
        &self,
        location: Option<Location>,
        message: impl Into<String>,
    ) -> ScenarioError {
        let place = location.and_then(|at| Place::of(self.text, at));
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
        self.error(error.location(), yaml::message(error))
    }
}

/// `key` is not what it must be.
pub(crate) fn out_of_range(key: &str, value: impl fmt::Display, allowed: &str) -> String {
    format!("`{key}` is {value}; it must be {allowed}")
}
