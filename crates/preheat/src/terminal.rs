//! Drawing on a terminal: a line, or a block of lines, that is drawn over itself. Where stderr is no
//! terminal, nothing is drawn over: what is worth keeping is printed as plain lines.

use std::io::{self, IsTerminal, Write};

/// A place on stderr that is drawn over itself.
pub(crate) struct Line {
    is_terminal: bool,
    lines_drawn: usize,
}

impl Line {
    pub(crate) fn stderr() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), lines_drawn: 0 }
    }

    /// Whether drawing shows.
    pub(crate) const fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Draws `text`, one or more lines, over what was drawn before.
    pub(crate) fn draw(&mut self, text: &str) {
        if !self.is_terminal {
            return;
        }
        let mut out = self.erase();
        out.push_str(text);
        self.lines_drawn = text.matches('\n').count() + 1;
        write(&out);
    }

    /// Prints a line that stays, above what is drawn.
    pub(crate) fn print(&mut self, text: &str) {
        let mut out = self.erase();
        self.lines_drawn = 0;
        out.push_str(text);
        out.push('\n');
        write(&out);
    }

    /// Takes away what is drawn.
    pub(crate) fn clear(&mut self) {
        let out = self.erase();
        self.lines_drawn = 0;
        write(&out);
    }

    /// Moves to the start of what is drawn and erases from there on.
    fn erase(&self) -> String {
        match self.lines_drawn {
            0 => String::new(),
            1 => "\r\x1b[J".to_owned(),
            lines => format!("\r\x1b[{}A\x1b[J", lines - 1),
        }
    }
}

fn write(text: &str) {
    // A closed stderr leaves nobody to tell.
    let _written = io::stderr().write_all(text.as_bytes());
}
