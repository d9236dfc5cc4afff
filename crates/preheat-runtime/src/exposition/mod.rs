//! Prometheus text exposition, 0.0.4 and OpenMetrics 1.0: a streaming reader that borrows from the
//! body, and allocates only for a value that contains an escape.
//!
//! **Invariant:** knows no metric by name. A line that can't be read is counted and skipped; no
//! body, however hostile, makes it panic or give up early.

use std::borrow::Cow;

use memchr::memchr;

mod labels;
mod sample;
mod value;

pub use labels::{Label, Labels};
pub use sample::{Exemplar, SeriesSample};

/// Which of the two formats a body is in. They differ in what a timestamp means and in `# EOF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4: timestamps are whole milliseconds.
    Text,
    /// OpenMetrics 1.0: timestamps are seconds, and `# EOF` ends the body.
    OpenMetrics,
}

impl Format {
    /// The format that an answer's content type names; anything unknown is read as text.
    pub fn of_content_type(content_type: Option<&[u8]>) -> Self {
        const OPEN_METRICS: &[u8] = b"application/openmetrics-text";
        let head = content_type.and_then(|value| value.get(..OPEN_METRICS.len()));
        if head.is_some_and(|head| head.eq_ignore_ascii_case(OPEN_METRICS)) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// One line that says something.
#[derive(Clone, Debug, PartialEq)]
pub enum Line<'a> {
    /// A measured value.
    Sample(SeriesSample<'a>),
    /// `# TYPE`, `# HELP` or `# UNIT`.
    Metadata(Metadata<'a>),
    /// `# EOF` of an OpenMetrics body. Nothing comes after it.
    Eof,
}

/// What a `#` line tells about a metric family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata<'a> {
    /// Which of the three.
    pub kind: MetadataKind,
    /// The family's name.
    pub family: Cow<'a, str>,
    /// The rest of the line as it stands, escapes included.
    pub text: &'a str,
}

/// The three metadata lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataKind {
    /// `# TYPE family counter`
    Type,
    /// `# HELP family text`
    Help,
    /// `# UNIT family seconds`
    Unit,
}

/// Reads a body line by line. Comments and empty lines are passed over; lines that can't be read
/// are counted in [`Exposition::malformed`].
#[derive(Clone, Debug)]
pub struct Exposition<'a> {
    rest: &'a [u8],
    format: Format,
    malformed: u32,
}

impl<'a> Exposition<'a> {
    /// A reader at the start of `body`.
    pub const fn new(body: &'a [u8], format: Format) -> Self {
        Self { rest: body, format, malformed: 0 }
    }

    /// Lines that could not be read so far. With [`Exposition::next_sample_where`], unwanted lines
    /// are not looked at and so never counted.
    pub const fn malformed(&self) -> u32 {
        self.malformed
    }

    /// The next sample whose name is `wanted`. Of every other line only the name is looked at,
    /// which is what makes reading a few families out of a long body cheap. A name in quotes is
    /// given to `wanted` as it is written between them.
    pub fn next_sample_where(
        &mut self,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Option<SeriesSample<'a>> {
        while let Some(line) = self.next_line() {
            match line.first() {
                None => continue,
                Some(b'#') => {
                    if is_eof(line, self.format) {
                        self.rest = &[];
                    }
                }
                Some(_) if !wanted(sample::name_bytes(line)) => {}
                Some(_) => match sample::parse(line, self.format) {
                    Some(sample) => return Some(sample),
                    None => self.malformed = self.malformed.saturating_add(1),
                },
            }
        }
        None
    }

    /// The next line without its end and without the blanks around it.
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', self.rest) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        Some(trim(line))
    }
}

impl<'a> Iterator for Exposition<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        while let Some(line) = self.next_line() {
            match line.first() {
                None => {}
                Some(b'#') => match Comment::of(line, self.format) {
                    Some(Comment::Metadata(metadata)) => return Some(Line::Metadata(metadata)),
                    Some(Comment::Eof) => {
                        self.rest = &[];
                        return Some(Line::Eof);
                    }
                    None => {}
                },
                Some(_) => match sample::parse(line, self.format) {
                    Some(sample) => return Some(Line::Sample(sample)),
                    None => self.malformed = self.malformed.saturating_add(1),
                },
            }
        }
        None
    }
}

/// A `#` line with a meaning.
enum Comment<'a> {
    Metadata(Metadata<'a>),
    Eof,
}

impl<'a> Comment<'a> {
    /// `None` for a plain comment, which any text after `#` may be: it is never malformed.
    fn of(line: &'a [u8], format: Format) -> Option<Self> {
        if is_eof(line, format) {
            return Some(Self::Eof);
        }
        let text = trim(line.get(1..)?);
        let (keyword, rest) = split_word(text);
        let kind = match keyword {
            b"TYPE" => MetadataKind::Type,
            b"HELP" => MetadataKind::Help,
            b"UNIT" => MetadataKind::Unit,
            _ => return None,
        };
        let (family, text) = if rest.first() == Some(&b'"') {
            let end = labels::quoted_end(rest, 1)?;
            (labels::unescape(std::str::from_utf8(&rest[1..end]).ok()?), trim(&rest[end + 1..]))
        } else {
            let (family, text) = split_word(rest);
            (Cow::Borrowed(std::str::from_utf8(family).ok()?), text)
        };
        let text = std::str::from_utf8(text).ok()?;
        Some(Self::Metadata(Metadata { kind, family, text }))
    }
}

fn is_eof(line: &[u8], format: Format) -> bool {
    format == Format::OpenMetrics && line == b"# EOF"
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len());
    (&text[..end], trim(&text[end..]))
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Takes the blanks off both ends; `\r` is one of them, so that CRLF bodies read the same.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(*last)
    {
        text = rest;
    }
    text
}

fn skip_blanks(line: &[u8], mut at: usize) -> usize {
    while line.get(at).is_some_and(|&byte| is_blank(byte)) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
