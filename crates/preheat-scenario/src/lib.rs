//! Scenarios: a file that says which traffic meets which pool, what goes wrong, and what is expected
//! of the run under each autoscaler.
//!
//! [`Scenario::read`] and [`Scenario::parse`] are the only ways in. What comes out is checked,
//! complete (every default is filled in), and has its traffic drawn.
//!
//! **Invariant:** a contradiction is an error that names file, line, key, value and what is allowed;
//! it is never repaired silently.
//!
//! **Invariant:** no async, no HTTP, no clock; the only I/O is reading a scenario and the trace files
//! that it names.

mod error;
mod expect;
mod faults;
mod limits;
mod pool;
mod ran;
mod run;
mod schedule;
mod traffic;
mod values;
mod wire;

use std::path::Path;

use preheat_core::Policy;
use preheat_sim::run::SimulationConfig;
use preheat_traffic::Trace;

pub use error::ScenarioError;
pub use expect::{Expectation, Outcome};
pub use limits::Limits;
pub use ran::{Checked, Ran};
pub use run::{RunError, check_policy};

use error::Source;
use wire::ScenarioWire;

/// A checked scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What it shows, in one sentence.
    pub about: String,
    /// The pool and what goes wrong in it.
    pub config: SimulationConfig,
    /// What preheat decides by.
    pub policy: Policy,
    /// The requests.
    pub trace: Trace,
    /// What is expected, under whom.
    pub expectations: Vec<Expectation>,
}

/// A longer scenario file is no scenario.
const BYTES_MAX: u64 = 1024 * 1024;

impl Scenario {
    /// Reads and checks a file, and the trace files that it names, which are looked for beside it.
    ///
    /// # Errors
    /// When it can't be read, or the first mistake in it.
    pub fn read(file: &Path) -> Result<Self, ScenarioError> {
        let size =
            std::fs::metadata(file).map_err(|error| ScenarioError::read(file, &error))?.len();
        if size > BYTES_MAX {
            let message = format!("has {size} bytes; a scenario has at most {BYTES_MAX}");
            return Err(Source { text: "", file }.error(None, message));
        }
        let text =
            std::fs::read_to_string(file).map_err(|error| ScenarioError::read(file, &error))?;
        Self::parse(&text, file)
    }

    /// As [`Self::parse_within`], without limits.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ScenarioError> {
        Self::parse_within(text, file, &Limits::NONE)
    }

    /// Reads and checks `text`; `file` is what errors call it, and trace files are looked for beside
    /// it, where `limits` allow them.
    ///
    /// # Errors
    /// The first mistake, with its place; what is beyond `limits` counts as one, and is refused
    /// before it costs time or memory.
    pub fn parse_within(text: &str, file: &Path, limits: &Limits) -> Result<Self, ScenarioError> {
        let source = Source { text, file };
        let wire: ScenarioWire =
            serde_saphyr::from_str(text).map_err(|error| source.malformed(&error))?;
        source.require(is_name(&wire.name.value), Some(wire.name.referenced), || {
            let name = &wire.name.value;
            format!("`name` is `{name}`; it must be 1 to 63 lower-case letters, digits or `-`")
        })?;
        let is_sentence = !wire.about.value.trim().is_empty() && !wire.about.value.contains('\n');
        source.require(is_sentence, Some(wire.about.referenced), || {
            "`about` must be one sentence in one line".to_owned()
        })?;
        let seed = wire.seed.as_ref().map_or(1, |seed| seed.value);
        limits.check_pool(&wire, &source)?;
        let (mut config, policy) = pool::resolve(&wire, seed, &source)?;
        config.faults = faults::resolve(wire.faults.unwrap_or_default(), &source)?;
        config.scheduled = schedule::resolve(wire.schedule, &config.bounds, &source)?;
        let lengths = wire.lengths.as_ref();
        let drawing = traffic::Drawing { lengths, engine: &config.engine, seed, limits };
        let trace = traffic::resolve(&wire.traffic, drawing, &source)?;
        let expectations = expect::resolve(wire.expect, &config.bounds, &source)?;
        config.series = expectations.iter().any(Expectation::looks_at_minutes);
        let scenario = Self {
            name: wire.name.value,
            about: wire.about.value,
            config,
            policy,
            trace,
            expectations,
        };
        // What a key alone can't show: the engine's settings among themselves, for one.
        let checked = scenario.simulation();
        checked.map(|_| ()).map_err(|error| source.error(None, error.to_string()))?;
        Ok(scenario)
    }
}

/// Names go into file names and tables.
fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.len() <= 63 && name.bytes().all(fits)
}
