//! The only place that prints: results to standard output, as text or JSON; progress and complaints to standard error.

mod progress;

pub use progress::Progress;

use serde::Serialize;
use std::io::{self, Write};

/// Standard output, in the form that was asked for.
pub struct Page {
    json: bool,
}

impl Page {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    /// A result: one JSON document on one line, or what `text` makes of it.
    pub fn show<T: Serialize>(&self, result: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        let shown = match self.json {
            true => serde_json::to_string(result)?,
            false => tame(text(result).trim_end()),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{shown}")?;
        out.flush()
    }
}

/// One sentence to a person, whatever becomes of it.
pub fn complain(sentence: &str) {
    let _ = writeln!(io::stderr().lock(), "fyteclubctl: {}", tame(sentence).replace('\n', " "));
}

/// Names and messages come from other machines: no control character of theirs reaches a terminal.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_writes_to_this_terminal() {
        assert_eq!(tame("a\x1b[31mb\r\x07\nc"), "a\u{fffd}[31mb\u{fffd}\u{fffd}\nc");
    }
}
