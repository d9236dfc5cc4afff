//! The formats of recorded traffic: how each is told from its first line, and what one row says.
//!
//! Nothing here reads files or knows how rows are put together; a row's arrival may be counted
//! from anywhere (Azure's are calendar times).

use serde::Deserialize;

use crate::error::{Position, TrafficError};
use crate::timestamp;
use crate::trace::ARRIVAL_MAX;

/// How a recording is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// CSV with `arrival_s,input_tokens,output_tokens`.
    Plain,
    /// Azure's LLM inference traces of 2023 and 2024.
    Azure,
    /// BurstGPT, with or without session columns.
    BurstGpt,
    /// Mooncake's JSON lines.
    Mooncake,
    /// CSV with `start_s,requests`: a count for each bin of time, no single requests.
    Rates,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] =
        [Self::Plain, Self::Azure, Self::BurstGpt, Self::Mooncake, Self::Rates];

    /// The name to select it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Azure => "azure",
            Self::BurstGpt => "burstgpt",
            Self::Mooncake => "mooncake",
            Self::Rates => "rates",
        }
    }

    /// The format with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The columns that tell it, as its header has them.
    #[must_use]
    pub fn header(self) -> &'static str {
        match self {
            Self::Plain => "arrival_s,input_tokens,output_tokens",
            Self::Azure => "TIMESTAMP,ContextTokens,GeneratedTokens",
            Self::BurstGpt => "Timestamp,Request tokens,Response tokens",
            Self::Mooncake => "{\"timestamp\": …, \"input_length\": …, \"output_length\": …}",
            Self::Rates => "start_s,requests",
        }
    }

    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Plain => &["arrival_s", "input_tokens", "output_tokens"],
            Self::Azure => &["TIMESTAMP", "ContextTokens", "GeneratedTokens"],
            Self::BurstGpt => &["Timestamp", "Request tokens", "Response tokens"],
            Self::Mooncake => &[],
            Self::Rates => &["start_s", "requests"],
        }
    }
}

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Row {
    Request { arrival_nanos: i128, input_tokens: u32, output_tokens: u32 },
    Bin { start_s: f64, requests: f64 },
}

/// Reads rows of one format, its columns found by name in the header.
#[derive(Clone, Debug)]
pub(crate) struct RowParser {
    format: Format,
    /// Where the format's columns are, in [`Format::columns`]' order.
    places: Vec<usize>,
}

impl RowParser {
    /// Tells the format from the first line; none when it is not `expected` or not known.
    pub(crate) fn from_first_line(line: &str, expected: Option<Format>) -> Option<Self> {
        let candidates = expected.map_or_else(|| Format::ALL.to_vec(), |format| vec![format]);
        candidates.into_iter().find_map(|format| Self::fit(format, line))
    }

    fn fit(format: Format, line: &str) -> Option<Self> {
        if format == Format::Mooncake {
            let is_object = line.trim_start().starts_with('{');
            return is_object.then_some(Self { format, places: Vec::new() });
        }
        let header: Vec<&str> = line.split(',').map(str::trim).collect();
        let place = |wanted: &&str| header.iter().position(|name| name == wanted);
        let places: Option<Vec<usize>> = format.columns().iter().map(place).collect();
        Some(Self { format, places: places? })
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether the first line is a header and not a row already.
    pub(crate) fn has_header(&self) -> bool {
        self.format != Format::Mooncake
    }

    pub(crate) fn row(&self, line: &str, at: &Position) -> Result<Row, TrafficError> {
        match self.format {
            Format::Plain | Format::BurstGpt => Ok(Row::Request {
                arrival_nanos: seconds_to_nanos(self.number(line, 0, at, SECONDS)?),
                input_tokens: self.tokens(line, 1, at)?,
                output_tokens: self.tokens(line, 2, at)?,
            }),
            Format::Azure => Ok(Row::Request {
                arrival_nanos: self.timestamp(line, at)?,
                input_tokens: self.tokens(line, 1, at)?,
                output_tokens: self.tokens(line, 2, at)?,
            }),
            Format::Mooncake => mooncake_row(line, at),
            Format::Rates => Ok(Row::Bin {
                start_s: self.number(line, 0, at, SECONDS)?,
                requests: self.number(line, 1, at, COUNT)?,
            }),
        }
    }

    fn field<'line>(
        &self,
        line: &'line str,
        column: usize,
        at: &Position,
    ) -> Result<(&'line str, &'static str), TrafficError> {
        let name = self.format.columns().get(column).copied().unwrap_or_default();
        let place = self.places.get(column).copied();
        let field = place.and_then(|place| line.split(',').nth(place));
        field
            .map(|field| (field.trim(), name))
            .ok_or_else(|| TrafficError::ColumnMissing { at: at.clone(), column: name })
    }

    fn number(
        &self,
        line: &str,
        column: usize,
        at: &Position,
        range: Range,
    ) -> Result<f64, TrafficError> {
        let (field, name) = self.field(line, column, at)?;
        let value: Option<f64> = field.parse().ok();
        value
            .filter(|value| (0.0..=range.max).contains(value))
            .ok_or_else(|| bad_number(at, name, field, range.expected))
    }

    fn tokens(&self, line: &str, column: usize, at: &Position) -> Result<u32, TrafficError> {
        let (field, name) = self.field(line, column, at)?;
        field.parse().map_err(|_| bad_number(at, name, field, TOKENS))
    }

    fn timestamp(&self, line: &str, at: &Position) -> Result<i128, TrafficError> {
        let (field, name) = self.field(line, 0, at)?;
        timestamp::parse_nanos(field)
            .ok_or_else(|| bad_number(at, name, field, "a time like 2023-11-16 18:15:46.68"))
    }
}

#[derive(Clone, Copy)]
struct Range {
    max: f64,
    expected: &'static str,
}

const SECONDS: Range =
    Range { max: ARRIVAL_MAX.as_secs() as f64, expected: "seconds, zero or more" };
/// 2^53: up to here every whole number is an `f64`.
const COUNT: Range = Range { max: 9_007_199_254_740_992.0, expected: "a count, zero or more" };
const TOKENS: &str = "a whole number of tokens, zero or more";

fn seconds_to_nanos(seconds: f64) -> i128 {
    libm::round(seconds * 1e9) as i128
}

fn bad_number(
    at: &Position,
    column: &'static str,
    found: &str,
    expected: &'static str,
) -> TrafficError {
    let found = found.chars().take(FOUND_CHARS_MAX).collect();
    TrafficError::Number { at: at.clone(), column, found, expected }
}

/// How much of a wrong field an error repeats: enough to find it in the line.
pub(crate) const FOUND_CHARS_MAX: usize = 80;

#[derive(Deserialize)]
struct MooncakeLine {
    timestamp: f64,
    input_length: u32,
    output_length: u32,
}

fn mooncake_row(line: &str, at: &Position) -> Result<Row, TrafficError> {
    let parsed: MooncakeLine = serde_json::from_str(line)
        .map_err(|source| TrafficError::Json { at: at.clone(), source })?;
    let seconds = parsed.timestamp / 1000.0;
    if !(0.0..=SECONDS.max).contains(&seconds) {
        let found = parsed.timestamp.to_string();
        return Err(bad_number(at, "timestamp", &found, "milliseconds, zero or more"));
    }
    Ok(Row::Request {
        arrival_nanos: seconds_to_nanos(seconds),
        input_tokens: parsed.input_length,
        output_tokens: parsed.output_length,
    })
}
