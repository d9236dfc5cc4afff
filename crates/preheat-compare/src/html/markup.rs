//! Markup that can't come out unbalanced or unescaped: elements are closures inside closures.
//!
//! **Invariant:** text and attribute values are escaped; only [`Markup::verbatim`] isn't, and it
//! takes only what was written in this crate.

/// Attributes of an element, in order.
pub(super) type Attributes<'a> = &'a [(&'a str, &'a str)];

/// A document as it grows.
#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
}

impl Markup {
    /// An element with whatever `inside` writes.
    pub(super) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        self.text.push('>');
        inside(self);
        self.text.push_str("</");
        self.text.push_str(name);
        self.text.push('>');
    }

    /// An element that holds text and nothing else.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(name, attributes, |markup| markup.text(text));
    }

    /// An element with nothing inside.
    pub(super) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.open(name, attributes);
        self.text.push_str("/>");
    }

    /// Text.
    pub(super) fn text(&mut self, text: &str) {
        escape_into(&mut self.text, text);
    }

    /// A new line between blocks, so that the source can be read.
    pub(super) fn line_break(&mut self) {
        self.text.push('\n');
    }

    /// What is markup already, or a style sheet or script.
    pub(super) fn verbatim(&mut self, text: &'static str) {
        self.text.push_str(text);
    }

    /// All of it.
    pub(super) fn finish(self) -> String {
        self.text
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.text.push('<');
        self.text.push_str(name);
        for (key, value) in attributes {
            self.text.push(' ');
            self.text.push_str(key);
            self.text.push_str("=\"");
            escape_into(&mut self.text, value);
            self.text.push('"');
        }
    }
}

fn escape_into(text: &mut String, raw: &str) {
    for character in raw.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            // Browsers would replace it; so would a reader that stops at it be misled.
            '\0' => text.push('\u{fffd}'),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_stays_text() {
        let mut markup = Markup::default();
        markup.element("p", &[("title", "\"><script>'&")], |p| p.text("a < b & c > d\0"));
        assert_eq!(
            markup.finish(),
            "<p title=\"&quot;&gt;&lt;script&gt;&#39;&amp;\">a &lt; b &amp; c &gt; d\u{fffd}</p>"
        );
    }

    #[test]
    fn elements_close_in_order() {
        let mut markup = Markup::default();
        markup.element("g", &[], |g| {
            g.empty("line", &[("x1", "0")]);
            g.leaf("text", &[], "t");
        });
        assert_eq!(markup.finish(), "<g><line x1=\"0\"/><text>t</text></g>");
    }
}
