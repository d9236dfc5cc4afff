//! One sample line: name, labels, value, timestamp, exemplar.

use std::borrow::Cow;

use super::labels::{self, Labels, name_end, unescape};
use super::{Format, is_blank, skip_blanks, value};

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSample<'a> {
    /// Its name as written, `_bucket`, `_total` and so on included.
    pub name: Cow<'a, str>,
    /// Its labels.
    pub labels: Labels<'a>,
    /// Its value; may be NaN or infinite.
    pub value: f64,
    /// Milliseconds since the Unix epoch, by the exporter's clock. Hardly any exporter sets it.
    pub timestamp_ms: Option<i64>,
    /// An example measurement attached to it.
    pub exemplar: Option<Exemplar<'a>>,
}

/// An example of what was counted: a trace's id, most often.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// What identifies it.
    pub labels: Labels<'a>,
    /// What was measured.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch.
    pub timestamp_ms: Option<i64>,
}

/// The name's bytes, unchecked: enough to decide whether the line is worth reading. A name in
/// quotes is given without them.
pub(super) fn name_bytes(line: &[u8]) -> &[u8] {
    if line.first() == Some(&b'{') {
        let start = skip_blanks(line, 1) + 1;
        return labels::quoted_end(line, start).map_or(&[], |end| &line[start..end]);
    }
    let end = line.iter().position(|&byte| byte == b'{' || is_blank(byte)).unwrap_or(line.len());
    &line[..end]
}

/// Reads a trimmed line. `None` when it isn't a sample.
pub(super) fn parse(line: &[u8], format: Format) -> Option<SeriesSample<'_>> {
    let mut name = None;
    let mut at = 0;
    if line.first() != Some(&b'{') {
        at = name_end(line, 0)?;
        name = Some(Cow::Borrowed(std::str::from_utf8(&line[..at]).ok()?));
        let after = skip_blanks(line, at);
        if line.get(after) != Some(&b'{') && after == at {
            return None;
        }
        at = after;
    }
    let mut labels = Labels::default();
    if line.get(at) == Some(&b'{') {
        let block = labels::scan(line, at + 1)?;
        match (&name, block.quoted_name) {
            (Some(_), Some(_)) => return None,
            (None, quoted) => name = quoted.map(unescape),
            (Some(_), None) => {}
        }
        labels = block.labels;
        at = block.end;
    }
    let name = name.filter(|name| !name.is_empty())?;
    let (number, timestamp_ms, at) = number_and_timestamp(line, at, format)?;
    let exemplar = match line.get(at) {
        None => None,
        Some(_) => Some(parse_exemplar(line, at)?),
    };
    Some(SeriesSample { name, labels, value: number, timestamp_ms, exemplar })
}

/// `# {trace_id="x"} 0.5 123`; its timestamp is in seconds, as only OpenMetrics knows exemplars.
fn parse_exemplar(line: &[u8], at: usize) -> Option<Exemplar<'_>> {
    let open = skip_blanks(line, at + 1);
    if line.get(at) != Some(&b'#') || line.get(open) != Some(&b'{') {
        return None;
    }
    let block = labels::scan(line, open + 1)?;
    let (value, timestamp_ms, end) = number_and_timestamp(line, block.end, Format::OpenMetrics)?;
    let whole = block.quoted_name.is_none() && end == line.len();
    whole.then_some(Exemplar { labels: block.labels, value, timestamp_ms })
}

/// A value, and a timestamp when another number follows. Ends at the line's end or at a `#`.
fn number_and_timestamp(
    line: &[u8],
    at: usize,
    format: Format,
) -> Option<(f64, Option<i64>, usize)> {
    let (token, at) = token(line, at);
    let number = value::parse(token)?;
    if at == line.len() || line[at] == b'#' {
        return Some((number, None, at));
    }
    let (token, at) = self::token(line, at);
    let timestamp_ms = match format {
        Format::Text => value::parse_millis(token)?,
        Format::OpenMetrics => value::parse_seconds_as_millis(token)?,
    };
    let ended = at == line.len() || line[at] == b'#';
    ended.then_some((number, Some(timestamp_ms), at))
}

/// The next run of non-blanks, and where the one after it starts.
fn token(line: &[u8], at: usize) -> (&[u8], usize) {
    let start = skip_blanks(line, at);
    let length = line[start..].iter().position(|&byte| is_blank(byte));
    let end = length.map_or(line.len(), |length| start + length);
    (&line[start..end], skip_blanks(line, end))
}
