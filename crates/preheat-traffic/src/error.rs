//! What can be wrong with recorded traffic, and where.
//!
//! **Invariant:** an error about a file's content names the file and the line.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::formats::Format;

/// A line of a file; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file, as it was named by whoever asked for it.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

/// Why traffic could not be read or shaped.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The file could not be opened.
    #[error("cannot open {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file could not be read to its end.
    #[error("{at}: cannot read on")]
    Read {
        /// The line that was being read.
        at: Position,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A gzip file ends before its data does.
    #[error("{at}: the gzip data ends too early (is the download complete?)")]
    GzipTruncated {
        /// The line that was being read.
        at: Position,
    },
    /// The first line fits no known format, or not the one that was asked for.
    #[error("{at}: the header {found:?} is not that of {}", expected_names(*expected))]
    Header {
        /// The first line's place.
        at: Position,
        /// The start of the first line.
        found: String,
        /// The format that was asked for, or none when any would do.
        expected: Option<Format>,
    },
    /// A line has fewer columns than its header.
    #[error("{at}: column {column} is missing")]
    ColumnMissing {
        /// The line.
        at: Position,
        /// The column that the line lacks.
        column: &'static str,
    },
    /// A field is not a number of the expected kind: text, NaN, negative, or out of range.
    #[error("{at}: {column} is {found:?}, expected {expected}")]
    Number {
        /// The line.
        at: Position,
        /// The column.
        column: &'static str,
        /// What the field holds.
        found: String,
        /// What the column takes.
        expected: &'static str,
    },
    /// A line of a JSON-lines file is not the expected JSON object.
    #[error("{at}: not a request in JSON")]
    Json {
        /// The line.
        at: Position,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
    /// A line is not UTF-8 text.
    #[error("{at}: not UTF-8 text")]
    NotText {
        /// The line.
        at: Position,
    },
    /// A line is longer than any format needs.
    #[error("{at}: the line is longer than {limit} bytes")]
    LineTooLong {
        /// The line.
        at: Position,
        /// The limit in bytes.
        limit: usize,
    },
    /// The bins of a rate series are not evenly spaced and in order.
    #[error("{at}: a bin starts at {found_s} s, expected {expected}: bins are even and complete")]
    BinSpacing {
        /// The line.
        at: Position,
        /// Where the bin starts.
        found_s: f64,
        /// Where it should.
        expected: String,
    },
    /// A rate series has one bin, so that its width is unknown.
    #[error("{}: one bin alone does not tell its width", path.display())]
    BinAlone {
        /// The file.
        path: PathBuf,
    },
    /// The file has no request.
    #[error("{}: no requests", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The traffic has more requests, or the file more lines, than the limit.
    #[error("more than {limit} requests: take a window or a smaller rate scale")]
    TooLarge {
        /// The limit, [`crate::REQUESTS_MAX`].
        limit: usize,
    },
    /// Nothing is left after the window and the scaling.
    #[error("no request is left between {from_s} s and {until}", until = until_text(*until_s))]
    NothingLeft {
        /// The window's start.
        from_s: f64,
        /// The window's end, if it has one.
        until_s: Option<f64>,
    },
    /// The window ends before it starts.
    #[error("the window's end {until_s} s is not after its start {from_s} s")]
    Window {
        /// The window's start.
        from_s: f64,
        /// The window's end.
        until_s: f64,
    },
    /// The rate scale is not a usable number.
    #[error("the rate scale {found} is outside (0, {max}]", max = crate::RATE_SCALE_MAX)]
    RateScale {
        /// What was asked for.
        found: f64,
    },
}

fn expected_names(expected: Option<Format>) -> String {
    let headers = |format: Format| format!("{} ({})", format.name(), format.header());
    match expected {
        Some(format) => headers(format),
        None => Format::ALL.map(headers).join(", "),
    }
}

fn until_text(until_s: Option<f64>) -> String {
    until_s.map_or_else(|| String::from("the end"), |s| format!("{s} s"))
}
