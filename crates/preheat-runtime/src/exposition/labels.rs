//! The block between braces: checked once when its line is read, taken apart only when asked.

use std::borrow::Cow;

use memchr::memchr2;

use super::skip_blanks;

/// The labels of a sample, in the order they were written. Iterating reads them lazily.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels<'a> {
    block: &'a str,
}

/// One label, escapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

impl<'a> Labels<'a> {
    /// The value of the first label called `name`.
    pub fn get(mut self, name: &str) -> Option<Cow<'a, str>> {
        self.find(|label| label.name == name).map(|label| label.value)
    }
}

impl<'a> Iterator for Labels<'a> {
    type Item = Label<'a>;

    /// The block was checked when its line was read, so that what can't be read is its end.
    fn next(&mut self) -> Option<Label<'a>> {
        let bytes = self.block.as_bytes();
        let mut at = skip_blanks(bytes, 0);
        let name;
        if bytes.get(at) == Some(&b'"') {
            let end = quoted_end(bytes, at + 1)?;
            name = unescape(self.block.get(at + 1..end)?);
            at = end + 1;
        } else {
            let start = at;
            at = name_end(bytes, at)?;
            name = Cow::Borrowed(self.block.get(start..at)?);
        }
        at = expect(bytes, at, b'=')?;
        at = expect(bytes, at, b'"')?;
        let end = quoted_end(bytes, at)?;
        let value = unescape(self.block.get(at..end)?);
        at = skip_blanks(bytes, end + 1);
        let comma = usize::from(bytes.get(at) == Some(&b','));
        self.block = self.block.get(at + comma..)?;
        Some(Label { name, value })
    }
}

/// A block whose form is right.
pub(super) struct Block<'a> {
    /// A metric name in quotes that stood first.
    pub(super) quoted_name: Option<&'a str>,
    pub(super) labels: Labels<'a>,
    /// Where the line goes on after the closing brace.
    pub(super) end: usize,
}

/// Checks the block that opens just before `start`. `None` when its form is wrong, it doesn't end,
/// or it isn't UTF-8.
pub(super) fn scan(line: &[u8], start: usize) -> Option<Block<'_>> {
    let mut quoted_name = None;
    let mut labels_start = start;
    let mut at = start;
    loop {
        at = skip_blanks(line, at);
        let first = *line.get(at)?;
        if first == b'}' {
            break;
        }
        if first == b'"' {
            let end = quoted_end(line, at + 1)?;
            let after = skip_blanks(line, end + 1);
            if line.get(after) == Some(&b'=') {
                at = after;
            } else if quoted_name.is_none() && at == skip_blanks(line, start) {
                quoted_name = Some(std::str::from_utf8(&line[at + 1..end]).ok()?);
                at = after + usize::from(line.get(after) == Some(&b','));
                labels_start = at;
                // After the name there is a comma or the closing brace.
                if at == after && line.get(at) != Some(&b'}') {
                    return None;
                }
                continue;
            } else {
                return None;
            }
        } else {
            at = name_end(line, at)?;
        }
        at = expect(line, at, b'=')?;
        at = expect(line, at, b'"')?;
        at = skip_blanks(line, quoted_end(line, at)? + 1);
        match line.get(at)? {
            b',' => at += 1,
            b'}' => break,
            _ => return None,
        }
    }
    let block = std::str::from_utf8(&line[labels_start..at]).ok()?;
    Some(Block { quoted_name, labels: Labels { block }, end: at + 1 })
}

/// Where the quoted text that starts at `at` has its closing quote.
pub(super) fn quoted_end(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
    }
}

/// Resolves `\\`, `\"` and `\n`. An unknown escape stays as it is, as Prometheus keeps it.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find('\\') else { return Cow::Borrowed(text) };
    let (head, tail) = text.split_at(first);
    let mut out = String::with_capacity(text.len());
    out.push_str(head);
    let mut chars = tail.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some(escaped @ ('"' | '\\')) => out.push(escaped),
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    Cow::Owned(out)
}

/// The end of a bare name. `None` when there isn't one.
pub(super) fn name_end(text: &[u8], start: usize) -> Option<usize> {
    let first = *text.get(start)?;
    if !is_name_byte(first) || first.is_ascii_digit() {
        return None;
    }
    let length = text[start..].iter().position(|&byte| !is_name_byte(byte));
    Some(length.map_or(text.len(), |length| start + length))
}

fn is_name_byte(byte: u8) -> bool {
    const NAME_BYTES: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        loop {
            table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
            if byte == u8::MAX {
                break table;
            }
            byte += 1;
        }
    };
    NAME_BYTES[usize::from(byte)]
}

/// Blanks, then `byte`; returns where it goes on after that.
fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    let at = skip_blanks(text, at);
    (text.get(at) == Some(&byte)).then_some(at + 1)
}
