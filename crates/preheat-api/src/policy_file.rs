//! A policy file: which autoscaler a simulation runs under, and what its knobs are set to.
//!
//! ```yaml
//! policy: keda-concurrency
//! knobs: { threshold_of_slots: 0.6, down_window_s: 300 }
//! ```
//!
//! It knows no policy: whether the name and the knobs exist is its reader's matter.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::yaml::{self, Place};

/// A policy and its knobs.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// The policy's name on the command line.
    pub policy: String,
    /// Values for some of its knobs, by their names, which end in their units.
    #[serde(default)]
    pub knobs: BTreeMap<String, f64>,
}

/// What is wrong with a policy file, and where.
#[derive(Debug)]
pub struct PolicyFileError {
    path: PathBuf,
    place: Option<Place>,
    reason: String,
}

impl PolicyFileError {
    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        yaml::hint(&self.reason)
    }
}

impl std::error::Error for PolicyFileError {}

impl fmt::Display for PolicyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        yaml::show(f, &self.path, self.place.as_ref(), &self.reason)
    }
}

impl PolicyFile {
    /// A policy as its project ships it.
    pub fn of(policy: &str) -> Self {
        Self { policy: policy.to_owned(), knobs: BTreeMap::new() }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it can't be read or is no policy file.
    pub fn read(path: &Path) -> Result<Self, PolicyFileError> {
        let failed =
            |place, reason: String| PolicyFileError { path: path.to_owned(), place, reason };
        let text = fs::read_to_string(path)
            .map_err(|error| failed(None, format!("can't be read: {error}")))?;
        let file: Self = serde_saphyr::from_str(&text).map_err(|error| {
            let place = error.location().and_then(|at| Place::of(&text, at));
            failed(place, yaml::message(&error))
        })?;
        match file.knobs.iter().find(|(_, value)| !value.is_finite()) {
            Some((knob, value)) => {
                Err(failed(None, format!("`{knob}` is {value}; it must be a finite number")))
            }
            None => Ok(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PolicyFile, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.yaml");
        fs::write(&path, text).unwrap();
        PolicyFile::read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_policy_file_names_a_policy_and_its_knobs() {
        let file = read("policy: hpa-queue\nknobs: { average_value: 5 }\n").unwrap();
        assert_eq!(file.policy, "hpa-queue");
        assert_eq!(file.knobs, BTreeMap::from([("average_value".to_owned(), 5.0)]));
        assert!(read("policy: hpa-queue\n").unwrap().knobs.is_empty());
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("knobs: {}\n", "policy"),
            ("policy: a\nknob: {}\n", "knob"),
            ("policy: a\nknobs: { x: .nan }\n", "`x` is NaN; it must be a finite number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("policy.yaml") && error.contains(expected), "{error}");
        }
    }
}
