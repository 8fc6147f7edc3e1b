//! All output: results to standard output, as text or JSON; progress and errors to standard error.

mod progress;

pub(crate) use progress::Progress;

use fyteclub_client::escaped;
use serde::Serialize;
use std::io::{self, Write};

/// Standard output, as text or JSON.
pub(crate) struct Page {
    json: bool,
}

impl Page {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: one JSON document on one line, or `text`. Others' text is at most one line of it:
    /// [`crate::words::table`] ensures that in tables.
    pub(crate) fn show<T: Serialize>(&self, result: &T, text: impl FnOnce(&T) -> String) -> io::Result<()> {
        let shown = if self.json {
            escaped(&serde_json::to_string(result)?, true).into_owned()
        } else {
            lines(text(result).trim_end())
        };
        Self::print(&shown)
    }

    /// As [`Self::show`], with `text` forced to one line.
    pub(crate) fn show_line<T: Serialize>(
        &self,
        result: &T,
        text: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        if self.json {
            self.show(result, text)
        } else {
            Self::print(&escaped(text(result).trim_end(), false))
        }
    }

    fn print(shown: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "{shown}")?;
        out.flush()
    }
}

/// Prints one sentence; errors of the stream are ignored.
pub(crate) fn complain(sentence: &str) {
    writeln!(io::stderr().lock(), "fyteclubctl: {}", escaped(&sentence.replace('\n', " "), false)).ok();
}

/// Ends the process: the command line is wrong, or asks for help.
pub(crate) fn refuse(mut error: clap::Error) -> ! {
    if let Some(told) = fyteclub_typed::shown(&mut error, std::env::args_os()) {
        writeln!(io::stderr().lock(), "{told}").ok();
        std::process::exit(error.exit_code());
    }
    error.exit()
}

/// On one line.
fn one_line(text: &str) -> String {
    escaped(text, false).into_owned()
}

/// Names and messages come from other machines: hidden characters do not reach the terminal.
fn lines(text: &str) -> String {
    text.split('\n').map(|line| escaped(line, false)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_in_output() {
        assert_eq!(lines("a\x1b[31mb\r\u{202e}\nc"), "a\\u{1b}[31mb\\u{d}\\u{202e}\nc");
    }
}
