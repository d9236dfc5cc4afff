//! Command words with `{port}`, `{model}` and `{replica}` in them.
//!
//! Braces around anything but a name are left alone, so that JSON arguments need no escaping:
//! `{"level": 3}` stays as it is. `{{port}}` is a literal `{port}`.

use std::collections::BTreeSet;

/// One word of a command, or one environment value, whose placeholders are all known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
}

/// What placeholders stand for.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders<'a> {
    /// The port that the replica must listen on.
    pub port: u16,
    /// The first model name of its pool.
    pub model: &'a str,
    /// The replica's name, `r7`.
    pub replica: &'a str,
}

/// Every placeholder there is.
pub(super) const NAMES: [&str; 3] = ["port", "model", "replica"];

impl Template {
    /// The first unknown name is the error.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        for piece in pieces(text) {
            if let Piece::Name(name) = piece
                && !NAMES.contains(&name)
            {
                return Err(name.to_owned());
            }
        }
        Ok(Self { text: text.to_owned() })
    }

    /// The text with every placeholder filled in.
    pub fn render(&self, placeholders: &Placeholders<'_>) -> String {
        let mut rendered = String::with_capacity(self.text.len());
        for piece in pieces(&self.text) {
            match piece {
                Piece::Text(text) => rendered.push_str(text),
                Piece::Name("port") => rendered.push_str(&placeholders.port.to_string()),
                Piece::Name("model") => rendered.push_str(placeholders.model),
                Piece::Name(_) => rendered.push_str(placeholders.replica),
            }
        }
        rendered
    }

    /// As written in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn names(&self) -> BTreeSet<&str> {
        let name = |piece| match piece {
            Piece::Name(name) => Some(name),
            Piece::Text(_) => None,
        };
        pieces(&self.text).into_iter().filter_map(name).collect()
    }
}

enum Piece<'a> {
    Text(&'a str),
    Name(&'a str),
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, from_brace) = rest.split_at(open);
        pieces.push(Piece::Text(before));
        let doubled = from_brace.starts_with("{{");
        let inner = &from_brace[if doubled { 2 } else { 1 }..];
        let name_end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let name = &inner[..name_end.unwrap_or(inner.len())];
        let after = &inner[name.len()..];
        let close = if doubled { "}}" } else { "}" };
        if name.is_empty() || !after.starts_with(close) {
            pieces.push(Piece::Text("{"));
            rest = &from_brace[1..];
            continue;
        }
        if doubled {
            // `{{port}}` without its outer braces.
            pieces.push(Piece::Text(&from_brace[1..name.len() + 3]));
        } else {
            pieces.push(Piece::Name(name));
        }
        rest = &after[close.len()..];
    }
    pieces.push(Piece::Text(rest));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let got = Template::parse(text).map_or_else(
            |unknown| format!("unknown: {unknown}"),
            |t| t.render(&Placeholders { port: 81, model: "m", replica: "r7" }),
        );
        assert_eq!(got, expected, "{text}");
    }

    #[test]
    fn placeholders_are_filled_and_json_is_left_alone() {
        check("--port={port}", "--port=81");
        check("{model}@{replica}:{port}", "m@r7:81");
        check(r#"{"level": 3, "m": "{model}"}"#, r#"{"level": 3, "m": "m"}"#);
        check("{{port}}", "{port}");
        check("{{}} {} {", "{{}} {} {");
        check("a{{port}", "a{81");
        check("{host}", "unknown: host");
        check("é{port}é", "é81é");
    }
}
