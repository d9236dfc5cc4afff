//! Reads the tables in `tests/data`: comma separated, a line of names, `#` for remarks.

use std::fmt;
use std::str::FromStr;

/// A table that can't be read.
#[derive(Debug)]
pub(crate) struct RowError(String);

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RowError {}

/// One line and the names of its values.
pub(crate) struct Row<'a> {
    names: &'a str,
    line: &'a str,
}

/// The rows of `text` whose first value is `first`.
pub(crate) fn of<'a>(text: &'a str, first: &str) -> Result<Vec<Row<'a>>, RowError> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.next().ok_or_else(|| RowError("the table is empty".to_owned()))?;
    let of_first = |line: &&str| line.split(',').next() == Some(first);
    Ok(lines.filter(of_first).map(|line| Row { names, line }).collect())
}

impl Row<'_> {
    pub(crate) fn number<N: FromStr>(&self, name: &str) -> Result<N, RowError> {
        let index = self.names.split(',').position(|column| column == name);
        let value = index.and_then(|index| self.line.split(',').nth(index));
        let number = value.and_then(|value| value.parse().ok());
        number.ok_or_else(|| RowError(format!("no number in column {name} of {}", self.line)))
    }
}
