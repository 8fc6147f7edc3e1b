//! All output: results to standard output, as text or JSON; progress and errors to standard error.

mod progress;

pub(crate) use progress::Progress;

use clap::error::ContextValue;
use fyteclub_client::escaped;
use serde::Serialize;
use std::{
    borrow::Cow,
    ffi::OsString,
    io::{self, Write},
};

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
    let is_plain = |typed: OsString| matches!(escaped(&typed.to_string_lossy(), false), Cow::Borrowed(_));
    if std::env::args_os().all(is_plain) {
        error.exit();
    }
    // What was typed is repeated, and may be another's words.
    escape_typed(&mut error);
    write!(io::stderr().lock(), "{}", lines(&error.render().to_string())).ok();
    std::process::exit(error.exit_code());
}

/// Escapes hidden characters in the typed text that an error repeats. The error's own line breaks stay, and clap would
/// drop an ESC with what follows it.
fn escape_typed(error: &mut clap::Error) {
    let shown = |text: &String| escaped(text, false).into_owned();
    let values: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    for (kind, value) in values {
        let value = match value {
            ContextValue::String(text) => ContextValue::String(shown(&text)),
            ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(shown).collect()),
            // Numbers, and what clap itself says.
            _ => continue,
        };
        error.insert(kind, value);
    }
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
