//! How a mistake in a YAML file is shown: file, line, caret; and what the parser's messages mean to
//! people. It knows no file's keys.

use std::fmt;
use std::path::Path;

use serde_saphyr::{Location, SnippetMode};

/// A longer line is no longer read by people.
const LINE_CHARS_MAX: usize = 200;

/// Where in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    line: u64,
    column: u64,
    line_text: String,
}

impl Place {
    /// A location in `text`; `None` for one that the parser doesn't know.
    pub fn of(text: &str, location: Location) -> Option<Self> {
        let (line, column) = (location.line(), location.column());
        let index = usize::try_from(line.checked_sub(1)?).unwrap_or(usize::MAX);
        // The end of the file is one line past the last one.
        let line_text = text.lines().nth(index).unwrap_or_default().trim_end();
        Some(Self { line, column, line_text: line_text.chars().take(LINE_CHARS_MAX).collect() })
    }

    /// Line and column, from 1.
    pub const fn line_and_column(&self) -> (u64, u64) {
        (self.line, self.column)
    }
}

/// Writes `file:12:18: message`, then the line with a caret under the place; without a place only
/// `file: message`.
///
/// # Errors
/// Those of the formatter.
pub fn show(
    f: &mut fmt::Formatter<'_>,
    file: &Path,
    place: Option<&Place>,
    message: &dyn fmt::Display,
) -> fmt::Result {
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

/// What the parser says, without the place, which is shown anyway, and without its own options.
pub fn message(error: &serde_saphyr::Error) -> String {
    let options = serde_saphyr::render_options! { snippets: SnippetMode::Off };
    let rendered = error.without_snippet().render_with_options(options);
    plain_message(&rendered)
}

fn plain_message(rendered: &str) -> String {
    let message = rendered.rsplit_once(" at line ").map_or(rendered, |(message, _)| message);
    let message = message
        .strip_suffix(", set DuplicateKeyPolicy in Options if acceptable")
        .unwrap_or(message);
    match message {
        "invalid u32" => "not a whole number from 0 to 4294967295".to_owned(),
        "invalid i32" => "not a whole number from -2147483648 to 2147483647".to_owned(),
        "invalid u64" => "not a whole number, not negative".to_owned(),
        "invalid floating point value" | "invalid f64" => "not a number".to_owned(),
        "expected string scalar" => "not a single value".to_owned(),
        "expected sequence start" => "not a list".to_owned(),
        "expected mapping start" => "not a mapping of keys to values".to_owned(),
        other => other.to_owned(),
    }
}

/// `did you mean …?` where a message is about a misspelt key.
pub fn hint(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (key, rest) = rest.split_once('`')?;
    let (_, known) = rest.split_once("expected ")?;
    let known = known.strip_prefix("one of ").unwrap_or(known);
    let names = known.split(", ").map(|name| name.trim_matches('`'));
    let nearest = nearest(key, names)?;
    Some(format!("did you mean `{nearest}`?"))
}

/// The name that was probably meant by `word`; `None` when none is near.
pub(crate) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let nearest = names.min_by_key(|name| edit_distance(word, name))?;
    (edit_distance(word, nearest) <= 3.min(word.len() / 2)).then_some(nearest)
}

/// Levenshtein distance, letter case ignored.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b_char) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(a_char != b_char);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}
