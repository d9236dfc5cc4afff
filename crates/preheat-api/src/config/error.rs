//! What can be wrong with a configuration file, and how it is shown: file, line, caret, hint.
//!
//! **Invariant:** no check shows an environment value, which may be a secret: the line that an error
//! points at is shown as it is, so none points there. (The parser may, at malformed YAML.)

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::{Location, Spanned};

use super::engine::PortRange;
use super::template;
use super::values::duration_text;
use crate::schedule::ScheduleMistake;
use crate::yaml::{self, Place};

/// A mistake in a configuration file, with its place.
#[derive(Debug)]
pub struct ConfigError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: PathBuf,
    place: Option<Place>,
    problem: Problem,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message documents it")]
pub enum Problem {
    #[error("can't be read: {0}")]
    Unreadable(String),
    #[error("{0}")]
    Malformed(String),
    #[error("`{key}` is {value}; it must be {allowed}")]
    OutOfRange { key: String, value: String, allowed: String },
    #[error("`pools` is empty; there must be at least one pool")]
    PoolsEmpty,
    #[error(
        "pool name `{0}` must be 1 to 63 letters, digits, `-`, `.` or `_`, a letter or digit first"
    )]
    PoolName(String),
    #[error("pool `{name}` is defined twice, first in line {first_line}")]
    PoolDuplicated { name: String, first_line: u64 },
    #[error("pool `{0}` has no model; it must have either `modelName` or `modelNames`")]
    ModelMissing(String),
    #[error("pool `{0}` has both `modelName` and `modelNames`; it must have one of them")]
    ModelTwice(String),
    #[error("`modelNames` has an empty name")]
    ModelEmpty,
    #[error("model `{model}` is served by pool `{pool}` already; it must be in one pool only")]
    ModelDuplicated { model: String, pool: String },
    #[error("`engine.ports` is `{0}`; it must be a range like 18100-18199, from 1024 to 65535")]
    Ports(String),
    #[error("`engine.ports` is {ports}, which overlaps {other_ports} of pool `{other}`")]
    PortsOverlap { ports: PortRange, other: String, other_ports: PortRange },
    #[error("`engine.ports` has {ports} ports; it must have at least maxReplicas, which is {max}")]
    PortsTooFew { ports: u32, max: u32 },
    #[error("`{key}` is {listen}, which is inside `engine.ports` {ports} of pool `{pool}`")]
    ListenInPorts { key: &'static str, listen: SocketAddr, pool: String, ports: PortRange },
    #[error("`standby` is given, and the pool has no `engine.sleep`")]
    StandbyWithoutSleep,
    #[error("`standby` has neither `price` nor `replicas`")]
    StandbyPriceMissing,
    #[error("`gpuSlots` is {slots}; it must be at least {needed}, {detail}")]
    GpuSlotsTooFew { slots: u32, needed: u64, detail: String },
    #[error(
        "`gateway.hold.timeout` is {}; it must be at least {}, the `coldStart.p90` of pool `{pool}`, \
         which starts from zero",
        duration_text(*timeout),
        duration_text(*p90)
    )]
    HoldShorterThanColdStart { pool: String, timeout: Duration, p90: Duration },
    #[error("`engine.command` is empty; its first word must be a program")]
    CommandEmpty,
    #[error("pool `{0}` has both `engine.command` and `engine.emulated`; it must have one of them")]
    CommandAndEmulated(String),
    #[error("both `engine.dialect` and `engine.metrics` are given; only one of them can be")]
    DialectAndMetrics,
    #[error("`{{{name}}}` in `{key}` is no placeholder; it must be one of {}", placeholders())]
    PlaceholderUnknown { key: String, name: String },
    #[error("`engine.command` has no `{{port}}`; replicas would all listen on the same port")]
    CommandWithoutPort,
    #[error(transparent)]
    Schedule(#[from] ScheduleMistake),
}

fn placeholders() -> String {
    template::NAMES.map(|name| format!("`{{{name}}}`")).join(", ")
}

impl Problem {
    pub(super) fn out_of_range(
        key: impl Into<String>,
        value: impl ToString,
        allowed: impl Into<String>,
    ) -> Self {
        Self::OutOfRange { key: key.into(), value: value.to_string(), allowed: allowed.into() }
    }
}

impl ConfigError {
    pub(super) fn read(file: &Path, source: &std::io::Error) -> Self {
        let problem = Problem::Unreadable(source.to_string());
        Self(Box::new(Inner { file: file.to_owned(), place: None, problem }))
    }

    /// What is wrong, without its place.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Line and column, from 1; absent when the mistake has no place.
    pub fn line_and_column(&self) -> Option<(u64, u64)> {
        self.0.place.as_ref().map(Place::line_and_column)
    }

    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        let hint = match &self.0.problem {
            Problem::Malformed(message) => return yaml::hint(message),
            Problem::Schedule(mistake) => return mistake.hint(),
            Problem::Unreadable(_) => {
                "pass the path of a configuration file, as in `preheat up preheat.yaml`"
            }
            Problem::PortsTooFew { .. } => "widen `engine.ports`, or lower `maxReplicas`",
            Problem::PortsOverlap { .. } => "give each pool its own range",
            Problem::ListenInPorts { .. } => "move the listener or the range",
            Problem::GpuSlotsTooFew { .. } => {
                "lower `minReplicas` or `gpusPerReplica`; without `gpuSlots`, no GPUs are handed out"
            }
            Problem::HoldShorterThanColdStart { .. } => {
                "requests would be turned away before the first replica is ready: hold longer, or \
                 keep a replica with `minReplicas: 1`"
            }
            Problem::StandbyWithoutSleep => {
                "for vLLM, `sleep: {}` with `--enable-sleep-mode` and `VLLM_SERVER_DEV_MODE`"
            }
            Problem::StandbyPriceMissing => {
                "`price: 0.25` where a sleeping replica costs a quarter of one that is awake, 1 where \
                 it keeps its GPU for itself; or `replicas: 2` to keep two asleep whatever comes"
            }
            Problem::DialectAndMetrics => {
                "`dialect` is for engines whose metrics are known, `metrics` for all others"
            }
            Problem::CommandWithoutPort => "for example `--port`, `\"{port}\"`",
            Problem::PlaceholderUnknown { .. } => "for literal braces, double them: `{{name}}`",
            Problem::OutOfRange { .. }
            | Problem::PoolsEmpty
            | Problem::PoolName(_)
            | Problem::PoolDuplicated { .. }
            | Problem::ModelMissing(_)
            | Problem::ModelTwice(_)
            | Problem::ModelEmpty
            | Problem::ModelDuplicated { .. }
            | Problem::Ports(_)
            | Problem::CommandEmpty
            | Problem::CommandAndEmulated(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl std::error::Error for ConfigError {}

/// `file:12:18: message`, then the line with a caret under the place.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { file, place, problem } = &*self.0;
        yaml::show(f, file, place.as_ref(), problem)
    }
}

/// The text of a file, for errors to quote from.
pub(super) struct Source<'a> {
    pub(super) text: &'a str,
    pub(super) file: &'a Path,
}

impl Source<'_> {
    pub(super) fn error(&self, location: Option<Location>, problem: Problem) -> ConfigError {
        let place = location.and_then(|at| Place::of(self.text, at));
        ConfigError(Box::new(Inner { file: self.file.to_owned(), place, problem }))
    }

    pub(super) fn require(
        &self,
        holds: bool,
        location: Option<Location>,
        problem: impl FnOnce() -> Problem,
    ) -> Result<(), ConfigError> {
        if holds { Ok(()) } else { Err(self.error(location, problem())) }
    }

    pub(super) fn malformed(&self, error: &serde_saphyr::Error) -> ConfigError {
        self.error(error.location(), Problem::Malformed(yaml::message(error)))
    }

    pub(super) fn socket(
        &self,
        key: &'static str,
        value: Option<Spanned<String>>,
        default: &str,
    ) -> Result<SocketAddr, ConfigError> {
        let location = value.as_ref().map(|spanned| spanned.referenced);
        let text = value.map_or_else(|| default.to_owned(), |spanned| spanned.value);
        let allowed = "an address and a port, like 127.0.0.1:8080";
        text.parse().map_err(|_| self.error(location, Problem::out_of_range(key, text, allowed)))
    }
}
