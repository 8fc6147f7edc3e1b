//! Numbers, times and tables as a person reads them. Pure: the time is an argument.

use fyteclub_client::{PathKind, PeerState, Standing, TransferStatus};
use std::time::Duration;

/// `512 B`, `4.1 kB`, `210.3 MB`: powers of ten, as disks and networks are sold.
pub fn bytes(bytes: u64) -> String {
    let (divisor, unit) = unit(bytes);
    format!("{} {unit}", scaled(bytes, divisor))
}

/// `132.8 of 210.3 MB`, both in the unit of the whole.
pub fn part(done: u64, total: u64) -> String {
    let (divisor, unit) = unit(total);
    format!("{} of {} {unit}", scaled(done, divisor), scaled(total, divisor))
}

fn scaled(bytes: u64, divisor: f64) -> String {
    match divisor > 1.0 {
        true => format!("{:.1}", bytes as f64 / divisor),
        false => bytes.to_string(),
    }
}

fn unit(bytes: u64) -> (f64, &'static str) {
    let mut chosen = (1.0, "B");
    for (divisor, unit) in [(1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"), (1e15, "PB")] {
        // What would round to 1000.0 of the smaller unit is 1.0 of this one.
        if bytes >= 1000 && bytes as f64 >= divisor * 0.99995 {
            chosen = (divisor, unit);
        }
    }
    chosen
}

/// `1 file`, `950 files`.
pub fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// `12 s`, `3 min`, `5 h`, `2 days`.
pub fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => count(seconds / 86_400, "day"),
    }
}

/// `12 s ago`, both in Unix milliseconds. Clocks that disagree about the order mean now.
pub fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..1000 => "just now".to_owned(),
        millis => format!("{} ago", duration(Duration::from_millis(millis))),
    }
}

/// `1.5 ms`, `38 ms`.
pub fn rtt(millis: f64) -> String {
    match millis < 10.0 {
        true => format!("{millis:.1} ms"),
        false => format!("{millis:.0} ms"),
    }
}

/// `600 of 950 files, 120.0 of 210.3 MB, 35.0 MB/s, 3 s left`: with the bar in front it fits 80 columns.
pub fn transfer(now: &TransferStatus) -> String {
    let files = count(now.files_total, "file");
    let mut words = format!("{} of {files}, {}", now.files_done, part(now.bytes_done, now.bytes_total));
    if now.rate > 0 {
        words += &format!(", {}/s", bytes(now.rate));
        let left = now.bytes_total.saturating_sub(now.bytes_done) / now.rate;
        if left > 0 {
            words += &format!(", {} left", duration(Duration::from_secs(left)));
        }
    }
    words
}

/// Why transfers wait.
pub fn low_disk(free: u64, min_free: u64) -> String {
    format!(
        "transfers wait for room on the disk: {} are free, and {} stay so (min_free)",
        bytes(free),
        bytes(min_free)
    )
}

pub fn path(path: PathKind) -> &'static str {
    match path {
        PathKind::Loopback => "this machine",
        PathKind::Lan => "local network",
        PathKind::Direct => "direct",
        PathKind::Unknown => "a path that this program is too old to know",
    }
}

pub fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Disconnected => "not connected",
        PeerState::Connecting => "connecting",
        PeerState::Authenticating => "checking the key",
        PeerState::Connected => "connected",
        PeerState::Reconnecting => "reconnecting",
        PeerState::FailingOver => "changing the path",
        PeerState::Unknown => "in a state that this program is too old to know",
    }
}

pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Requested => "asked by you",
        Standing::Asking => "asks you",
        Standing::Paired => "contact",
        Standing::Blocked => "blocked",
        Standing::Unknown => "in a standing that this program is too old to know",
    }
}

/// Rows with their columns aligned, each line indented by `indent`; the last column is as long as it likes.
pub fn table<const N: usize>(indent: usize, rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for (width, cell) in widths.iter().zip(row).filter(|(width, _)| **width > 0) {
            line += cell;
            line += &" ".repeat(width - columns(cell) + 2);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Columns on a terminal: East Asian letters, which names of some regions have, take two.
fn columns(text: &str) -> usize {
    text.chars().map(|letter| if is_wide(letter) { 2 } else { 1 }).sum()
}

fn is_wide(letter: char) -> bool {
    matches!(letter,
        '\u{1100}'..='\u{115f}' // Hangul's beginnings
        | '\u{2e80}'..='\u{a4cf}' // CJK, kana
        | '\u{ac00}'..='\u{d7a3}' // Hangul
        | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ff60}' // compatibility and full-width forms
        | '\u{20000}'..='\u{3fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_human_units() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (4096, "4.1 kB"),
            (999_949, "999.9 kB"),
            (999_960, "1.0 MB"),
            (210_300_000, "210.3 MB"),
            (u64::MAX, "18446.7 PB"),
        ] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(part(132_800_000, 210_300_000), "132.8 of 210.3 MB");
        assert_eq!(part(5, 900), "5 of 900 B");
        assert_eq!((count(1, "file"), count(0, "file")), ("1 file".into(), "0 files".into()));
    }

    #[test]
    fn times_are_relative() {
        for (then, text) in [
            (100_000_000, "just now"),
            (100_000_500, "just now"),
            (99_988_000, "12 s ago"),
            (99_820_000, "3 min ago"),
            (82_000_000, "5 h ago"),
            (1, "1 day ago"),
        ] {
            assert_eq!(ago(then, 100_000_000), text);
        }
    }

    #[test]
    fn columns_line_up_and_empty_ones_vanish() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let rows = [row("光の", "", "x"), row("Bob", "", "y")];
        assert_eq!(table(2, &rows), "  光の  x\n  Bob   y\n");
    }
}
