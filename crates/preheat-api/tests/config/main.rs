//! The configuration file as people meet it: what is accepted, and how mistakes are shown.

mod accepted;
mod hostile;
mod out_of_range;
mod schedules;
mod together;

use std::path::Path;

use preheat_api::config::LocalConfig;

pub(crate) const BASE: &str = "\
timeScale: 1
pools:
  - name: chat
    modelName: m
    maxReplicas: 4
    engine:
      command: [serve, --port, \"{port}\"]
      ports: 18100-18109
";

pub(crate) fn parse(yaml: &str) -> String {
    match LocalConfig::parse(yaml, Path::new("preheat.yaml")) {
        Ok(_) => "valid".to_owned(),
        Err(error) => match error.hint() {
            Some(hint) => format!("{error}\nhint: {hint}"),
            None => error.to_string(),
        },
    }
}

/// Replaces `old` in [`BASE`] and expects this error.
#[track_caller]
pub(crate) fn check(old: &str, new: &str, expected: &[&str]) {
    assert!(BASE.contains(old), "{old}");
    let got = parse(&BASE.replace(old, new));
    assert_eq!(got, expected.join("\n"), "\n{got}");
}
