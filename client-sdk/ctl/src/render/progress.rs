//! Progress: a bar where standard error is a terminal, a line now and then elsewhere, if it differs from the last.

use super::one_line;
use crate::words;
use console::Term;
use fyteclub_client::TransferStatus;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

/// Between two plain lines, so that a log stays short.
const QUIET: Duration = Duration::from_secs(1);

/// Vanishes when it is dropped, so that the next line starts clean.
pub(crate) enum Progress {
    Bar(ProgressBar),
    Lines(Lines),
    Silent,
}

/// What was written last.
#[derive(Default)]
pub(crate) struct Lines {
    text: String,
    /// Of the last line that is due now and then.
    at: Option<Instant>,
}

impl Lines {
    /// Whether a line is to be written: it differs from the last one.
    fn is_news(&mut self, text: &str) -> bool {
        let differs = self.text != text;
        if differs {
            text.clone_into(&mut self.text);
        }
        differs
    }

    /// As [`Lines::is_news`], of one that is due now and then.
    fn is_due(&mut self, now: Instant, text: &str) -> bool {
        let due = self.at.is_none_or(|at| now.saturating_duration_since(at) >= QUIET) && self.is_news(text);
        if due {
            self.at = Some(now);
        }
        due
    }
}

impl Progress {
    /// With `json` silent without a terminal: scripts that join both streams still read JSON.
    pub(crate) fn new(json: bool) -> Self {
        match (io::stderr().is_terminal(), json) {
            (true, _) => Self::Bar(bar()),
            (false, false) => Self::Lines(Lines::default()),
            (false, true) => Self::Silent,
        }
    }

    /// Shows a text before there are numbers.
    pub(crate) fn say(&mut self, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(one_line(text)),
            Self::Lines(lines) => {
                if lines.is_news(text) {
                    note(text);
                }
            }
            Self::Silent => {}
        }
    }

    pub(crate) fn show(&mut self, now: &TransferStatus) {
        // Read each time: windows are resized. The spinner and its space come before.
        let width = || Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns));
        match self {
            Self::Bar(bar) => bar.set_message(one_line(&words::progress(now, width().saturating_sub(2)))),
            _ => self.line(&words::transfer(now)),
        }
    }

    /// Shows a part of a whole, and its text.
    pub(crate) fn count(&mut self, done: u64, total: u64, text: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(one_line(&format!("{}, {text}", words::percent(done, total)))),
            _ => self.line(text),
        }
    }

    /// A plain line now and then, without a bar.
    fn line(&mut self, text: &str) {
        if let Self::Lines(lines) = self
            && lines.is_due(Instant::now(), text)
        {
            note(text);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn note(line: &str) {
    writeln!(io::stderr().lock(), "{}", one_line(line)).ok();
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style.tick_chars("|/-\\ "));
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_that_says_nothing_new_is_not_written() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        let offer = "Alice Ashe@Gilgamesh: 3 files";
        assert_eq!([offer, offer, offer].map(|text| lines.is_news(text)), [true, false, false]);
        assert!(lines.is_due(start, "10 %"));
        assert!(!lines.is_due(start + QUIET / 2, "20 %"), "too soon");
        assert!(!lines.is_due(start + QUIET, "10 %"), "the same");
        assert!(lines.is_due(start + 2 * QUIET, "20 %"));
        assert!(lines.is_news(offer), "another came between");
    }
}
