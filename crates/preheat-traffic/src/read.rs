//! Reading a recording, plain or gzipped, line by line with bounded memory.
//!
//! **Invariant:** no line longer than [`LINE_BYTES_MAX`] and no more than [`REQUESTS_MAX`] lines
//! are held, whatever a small gzip file unpacks to.
//! **Invariant:** what is put right on the way (order, zero lengths) is said in a [`Note`].

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;

use crate::error::{Position, TrafficError};
use crate::formats::{FOUND_CHARS_MAX, Format, Row, RowParser};
use crate::rates::RateSeries;
use crate::trace::{self, ARRIVAL_MAX, REQUESTS_MAX, Trace, TraceRequest};

/// The longest line in bytes: a Mooncake request of 10 million tokens has 20,000 `hash_ids` of
/// at most 10 digits, a quarter of this.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Single requests.
    Requests(Trace),
    /// Only how many requests each bin of time had.
    Rates(RateSeries),
}

/// Something that was put right while reading and that its reader should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// Rows came before an earlier row's time; they were sorted.
    Sorted {
        /// How many rows.
        rows: u64,
        /// The line of the first.
        first_line: u64,
    },
    /// Rows had no input or no output tokens (failed requests in BurstGPT); those count as 1,
    /// because the request was offered all the same.
    RaisedToOne {
        /// How many rows.
        rows: u64,
        /// The line of the first.
        first_line: u64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sorted { rows, first_line } => {
                write!(f, "{rows} rows were out of order (the first in line {first_line}); sorted")
            }
            Self::RaisedToOne { rows, first_line } => write!(
                f,
                "{rows} rows had no tokens (the first in line {first_line}); counted as one token"
            ),
        }
    }
}

/// A file's traffic with what was noticed while reading it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// How it was written down.
    pub format: Format,
    /// What it holds.
    pub traffic: Traffic,
    /// What was put right.
    pub notes: Vec<Note>,
}

/// Reads a file; the format is told from its first line unless it is given, and gzip from its
/// first bytes.
///
/// # Errors
/// When the file cannot be read, is empty or too large, or a line is wrong.
pub fn read_file(path: &Path, format: Option<Format>) -> Result<Recording, TrafficError> {
    let file = File::open(path)
        .map_err(|source| TrafficError::Open { path: path.to_path_buf(), source })?;
    read(path, file, format)
}

/// Reads from `source`; `path` only names it in errors.
///
/// # Errors
/// As [`read_file`].
pub fn read(
    path: &Path,
    source: impl Read,
    format: Option<Format>,
) -> Result<Recording, TrafficError> {
    const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
    let mut buffered = BufReader::new(source);
    let at = Position { path: path.to_path_buf(), line: 1 };
    let start = buffered.fill_buf().map_err(|source| read_error(&at, source))?;
    if start.starts_with(&GZIP_MAGIC) {
        collect(Lines::new(path, BufReader::new(MultiGzDecoder::new(buffered))), format)
    } else {
        collect(Lines::new(path, buffered), format)
    }
}

fn collect<R: BufRead>(
    mut lines: Lines<R>,
    format: Option<Format>,
) -> Result<Recording, TrafficError> {
    if !lines.advance()? {
        return Err(TrafficError::Empty { path: lines.at.path });
    }
    let first = lines.text()?.trim_start_matches('\u{feff}').to_owned();
    let Some(parser) = RowParser::from_first_line(&first, format) else {
        let found = first.chars().take(FOUND_CHARS_MAX).collect();
        return Err(TrafficError::Header { at: lines.at, found, expected: format });
    };
    let mut rows = Rows::default();
    if !parser.has_header() {
        rows.add(parser.row(&first, &lines.at)?, &lines.at)?;
    }
    while lines.advance()? {
        let row = parser.row(lines.text()?, &lines.at)?;
        rows.add(row, &lines.at)?;
    }
    rows.finish(parser.format(), &lines.at.path)
}

/// The file's lines that hold something, without their ends.
struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    at: Position,
}

impl<R: BufRead> Lines<R> {
    fn new(path: &Path, reader: R) -> Self {
        Self { reader, buffer: Vec::new(), at: Position { path: path.to_path_buf(), line: 0 } }
    }

    /// Reads up to the next line that is not blank; false at the end.
    fn advance(&mut self) -> Result<bool, TrafficError> {
        loop {
            self.buffer.clear();
            self.at.line += 1;
            // Blank lines count too, so that an endless run of them ends.
            if self.at.line > REQUESTS_MAX as u64 + 1 {
                return Err(TrafficError::TooLarge { limit: REQUESTS_MAX });
            }
            let limit = LINE_BYTES_MAX as u64 + 1;
            let length = (&mut self.reader)
                .take(limit)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| read_error(&self.at, source))?;
            if length == 0 {
                return Ok(false);
            }
            if length > LINE_BYTES_MAX {
                return Err(TrafficError::LineTooLong {
                    at: self.at.clone(),
                    limit: LINE_BYTES_MAX,
                });
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn text(&self) -> Result<&str, TrafficError> {
        str::from_utf8(self.buffer.trim_ascii())
            .map_err(|_| TrafficError::NotText { at: self.at.clone() })
    }
}

fn read_error(at: &Position, source: io::Error) -> TrafficError {
    if source.kind() == io::ErrorKind::UnexpectedEof {
        return TrafficError::GzipTruncated { at: at.clone() };
    }
    TrafficError::Read { at: at.clone(), source }
}

/// The rows so far: of one file either all requests or all bins.
#[derive(Default)]
struct Rows {
    requests: Vec<(i128, u32, u32)>,
    bins: Vec<(f64, f64)>,
    latest_nanos: Option<i128>,
    unsorted: Counted,
    raised: Counted,
}

#[derive(Clone, Copy, Default)]
struct Counted {
    rows: u64,
    first_line: u64,
}

impl Counted {
    fn add(&mut self, line: u64) {
        if self.rows == 0 {
            self.first_line = line;
        }
        self.rows += 1;
    }
}

impl Rows {
    fn add(&mut self, row: Row, at: &Position) -> Result<(), TrafficError> {
        match row {
            Row::Request { arrival_nanos, input_tokens, output_tokens } => {
                if self.latest_nanos.is_some_and(|latest| arrival_nanos < latest) {
                    self.unsorted.add(at.line);
                } else {
                    self.latest_nanos = Some(arrival_nanos);
                }
                if input_tokens == 0 || output_tokens == 0 {
                    self.raised.add(at.line);
                }
                self.requests.push((arrival_nanos, input_tokens.max(1), output_tokens.max(1)));
                Ok(())
            }
            Row::Bin { start_s, requests } => {
                check_spacing(&self.bins, start_s, at)?;
                self.bins.push((start_s, requests));
                Ok(())
            }
        }
    }

    fn finish(self, format: Format, path: &Path) -> Result<Recording, TrafficError> {
        let empty = || TrafficError::Empty { path: PathBuf::from(path) };
        let traffic = if format == Format::Rates {
            let width_s = match self.bins.as_slice() {
                [] => return Err(empty()),
                [_] => return Err(TrafficError::BinAlone { path: PathBuf::from(path) }),
                [first, second, ..] => second.0 - first.0,
            };
            let counts = self.bins.iter().map(|(_, requests)| *requests).collect();
            Traffic::Rates(RateSeries { bin: trace::seconds(width_s), counts })
        } else if self.requests.is_empty() {
            return Err(empty());
        } else {
            Traffic::Requests(self.trace(format))
        };
        Ok(Recording { format, traffic, notes: self.notes() })
    }

    fn notes(&self) -> Vec<Note> {
        let sorted = |c: Counted| Note::Sorted { rows: c.rows, first_line: c.first_line };
        let raised = |c: Counted| Note::RaisedToOne { rows: c.rows, first_line: c.first_line };
        let mut notes = Vec::new();
        if self.unsorted.rows > 0 {
            notes.push(sorted(self.unsorted));
        }
        if self.raised.rows > 0 {
            notes.push(raised(self.raised));
        }
        notes
    }

    /// Calendar times are counted from the first one; all others already have an origin.
    fn trace(&self, format: Format) -> Trace {
        let first = self.requests.iter().map(|(nanos, _, _)| *nanos).min().unwrap_or(0);
        let origin = if format == Format::Azure { first } else { 0 };
        let requests = self
            .requests
            .iter()
            .map(|&(nanos, input_tokens, output_tokens)| TraceRequest {
                arrival: nanos_to_duration(nanos - origin),
                input_tokens,
                output_tokens,
            })
            .collect();
        Trace::new(requests)
    }
}

fn nanos_to_duration(nanos: i128) -> Duration {
    u64::try_from(nanos).map_or(ARRIVAL_MAX, |nanos| Duration::from_nanos(nanos).min(ARRIVAL_MAX))
}

/// Bins follow each other at one width, which the first two set.
fn check_spacing(bins: &[(f64, f64)], start_s: f64, at: &Position) -> Result<(), TrafficError> {
    /// Room for starts that were rounded to milliseconds when they were written.
    const SLACK_S: f64 = 0.001;
    let (fits, expected) = match bins {
        [] => return Ok(()),
        [first] => (start_s > first.0, format!("after {} s", first.0)),
        [first, second, ..] => {
            let expected_s = first.0 + (second.0 - first.0) * bins.len() as f64;
            ((start_s - expected_s).abs() <= SLACK_S, format!("at {expected_s} s"))
        }
    };
    if fits {
        return Ok(());
    }
    Err(TrafficError::BinSpacing { at: at.clone(), found_s: start_s, expected })
}
