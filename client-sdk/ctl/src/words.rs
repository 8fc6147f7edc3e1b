//! Formats numbers, times and tables for people. Pure: the time is an argument.

use fyteclub_client::{Distance, PathKind, PeerState, Reason, Standing, TransferStatus, escaped};
use std::time::Duration;

/// `512 B`, `4.1 kB`, `210.3 MB`: powers of ten.
pub(crate) fn bytes(bytes: u64) -> String {
    let (divisor, unit) = unit(bytes);
    format!("{} {unit}", scaled(bytes, divisor))
}

/// `132.8 of 210.3 MB`, both in the unit of the whole.
pub(crate) fn part(done: u64, total: u64) -> String {
    let (divisor, unit) = unit(total);
    format!("{} of {} {unit}", scaled(done, divisor), scaled(total, divisor))
}

fn scaled(bytes: u64, divisor: f64) -> String {
    if divisor > 1.0 { format!("{:.1}", float(bytes) / divisor) } else { bytes.to_string() }
}

fn unit(bytes: u64) -> (f64, &'static str) {
    let mut chosen = (1.0, "B");
    for (divisor, unit) in [(1e3, "kB"), (1e6, "MB"), (1e9, "GB"), (1e12, "TB"), (1e15, "PB")] {
        // A number that would round to 1000.0 of the smaller unit is 1.0 of this one.
        if bytes >= 1000 && float(bytes) >= divisor * 0.99995 {
            chosen = (divisor, unit);
        }
    }
    chosen
}

/// `1 file`, `950 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {one}s"),
    }
}

/// [`count`] of a length.
pub(crate) fn count_of(number: usize, one: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), one)
}

/// To reckon with: exact up to 2^53, and close above it.
#[expect(clippy::as_conversions, reason = "std has no other way")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Bytes a second, without the fraction. `seconds` is above 0.
#[expect(clippy::as_conversions, reason = "std has no other way")]
pub(crate) fn rate(bytes: u64, seconds: f64) -> u64 {
    (float(bytes) / seconds) as u64
}

/// `12 s`, `3 min`, `5 h`, `2 days`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => count(seconds / 86_400, "day"),
    }
}

/// `12 s ago`, both in Unix milliseconds. A later `then` counts as now.
pub(crate) fn ago(then: u64, now: u64) -> String {
    match now.saturating_sub(then) {
        0..1000 => "just now".to_owned(),
        millis => format!("{} ago", duration(Duration::from_millis(millis))),
    }
}

/// `1.5 ms`, `38 ms`.
pub(crate) fn rtt(millis: f64) -> String {
    if millis < 10.0 { format!("{millis:.1} ms") } else { format!("{millis:.0} ms") }
}

/// `600 of 950 files, 120.0 of 210.3 MB, 35.0 MB/s, 3 s left`: with the bar in front it fits 80 columns.
pub(crate) fn transfer(now: &TransferStatus) -> String {
    let files = count(now.files_total, "file");
    let mut words = format!("{} of {files}, {}", now.files_done, part(now.bytes_done, now.bytes_total));
    if now.rate > 0 {
        words += &format!(", {}/s", bytes(now.rate));
    }
    if let Some(seconds) = now.remaining_seconds.filter(|seconds| *seconds > 0) {
        words += &format!(", {}", left(seconds));
    }
    words
}

/// Why transfers wait.
pub(crate) fn low_disk(free: u64, min_free: u64) -> String {
    format!(
        "transfers wait for disk space: {} are free, and {} are kept free (min_free)",
        bytes(free),
        bytes(min_free)
    )
}

/// `3 s left`.
pub(crate) fn left(seconds: u64) -> String {
    format!("{} left", duration(Duration::from_secs(seconds)))
}

/// `63 %`; 100 only if complete.
pub(crate) fn percent(done: u64, total: u64) -> String {
    format!("{} %", (u128::from(done) * 100).checked_div(u128::from(total)).unwrap_or(100).min(100))
}

/// One line of a fetch for a terminal of this width: name, bar, and as many figures as fit, the most important first.
/// The name is cut before the figures are.
pub(crate) fn progress(now: &TransferStatus, width: usize) -> String {
    const BAR: u8 = 16;
    let figures = [
        Some(percent(now.bytes_done, now.bytes_total)),
        (now.rate > 0).then(|| format!("{}/s", bytes(now.rate))),
        now.remaining_seconds.filter(|seconds| *seconds > 0).map(left),
        Some(part(now.bytes_done, now.bytes_total)),
        Some(format!("{} of {}", now.files_done, count(now.files_total, "file"))),
    ];
    let name = cut(now.player.as_str(), (width / 3).clamp(8, 32));
    let full = (u128::from(now.bytes_done) * u128::from(BAR)).checked_div(u128::from(now.bytes_total));
    let full = full.and_then(|full| u8::try_from(full).ok()).map_or(BAR, |full| full.min(BAR));
    let repeated = |letter: &str, times: u8| letter.repeat(times.into());
    let mut line = format!("{name} [{}{}]", repeated("=", full), repeated(" ", BAR - full));
    if columns(&line) + 6 > width {
        line = name;
    }
    let mut gap = " ";
    for figure in figures.into_iter().flatten() {
        if columns(&line) + gap.len() + columns(&figure) > width {
            break;
        }
        line = line + gap + &figure;
        gap = ", ";
    }
    cut(&line, width)
}

/// At most so many columns; a cut text ends with a mark.
fn cut(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for letter in text.chars() {
        if columns(&cut) + columns(letter.encode_utf8(&mut [0; 4])) + 1 > width {
            break;
        }
        cut.push(letter);
    }
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// Why a look is fetched; empty if a client asked for it.
pub(crate) fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Asked => "",
        Reason::Near => "near",
        Reason::Prefetch => "in advance",
        Reason::Unknown => "for a reason that this program does not know",
    }
}

/// `12.5`, in the game's unit.
pub(crate) fn distance(distance: Distance) -> String {
    format!("{:.1}", f64::from(distance))
}

pub(crate) fn path(path: PathKind) -> &'static str {
    match path {
        PathKind::Loopback => "this machine",
        PathKind::Lan => "local network",
        PathKind::Direct => "direct",
        PathKind::Mapped => "direct, by a forwarded port",
        PathKind::Punched => "direct, by hole punching",
        PathKind::Relay => "over the relay",
        PathKind::RelayTcp => "over the relay, by a WebSocket",
        PathKind::Unknown => "a path that this program does not know",
    }
}

pub(crate) fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Disconnected => "not connected",
        PeerState::Connecting => "connecting",
        PeerState::Authenticating => "checking the key",
        PeerState::Connected => "connected",
        PeerState::Reconnecting => "reconnecting",
        PeerState::FailingOver => "changing the path",
        PeerState::Unknown => "in a state that this program does not know",
    }
}

pub(crate) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Requested => "asked by you",
        Standing::Asking => "asks you",
        Standing::Paired => "contact",
        Standing::Blocked => "blocked",
        Standing::Unknown => "with a status that this program does not know",
    }
}

/// Rows with aligned columns, each line indented by `indent`; the last column is not padded. Each cell is on one line.
pub(crate) fn table<const N: usize>(indent: usize, rows: &[[String; N]]) -> String {
    let shown = |row: &[String; N]| row.each_ref().map(|cell| escaped(cell, false).into_owned());
    let rows: Vec<[String; N]> = rows.iter().map(shown).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(cell).max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
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

/// Columns on a terminal: East Asian letters take two.
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
    fn a_line_of_progress_fits_its_terminal() {
        let now = |player: &str| TransferStatus {
            player: player.parse().expect("a name"),
            peer_id: fyteclub_client::PeerId::from_bytes([1; 32]),
            appearance: format!("b3:{}", "0".repeat(64)).parse().expect("a hash"),
            files_done: 600,
            files_total: 950,
            bytes_done: 132_800_000,
            bytes_total: 210_300_000,
            rate: 35_000_000,
            sources: Vec::new(),
            remaining_seconds: Some(3),
            reason: Reason::Asked,
        };
        let alice = now("Alice Ashe@Gilgamesh");
        assert_eq!(
            progress(&alice, 110),
            "Alice Ashe@Gilgamesh [==========      ] 63 %, 35.0 MB/s, 3 s left, 132.8 of 210.3 MB, 600 of 950 files"
        );
        assert_eq!(progress(&alice, 60), "Alice Ashe@Gilgamesh [==========      ] 63 %, 35.0 MB/s");
        assert_eq!(progress(&alice, 30), "Alice Ash… 63 %, 35.0 MB/s");
        for player in ["Alice Ashe@Gilgamesh", "光の戦士 光の戦士@Gilgamesh"] {
            for width in 0..130 {
                let line = progress(&now(player), width);
                assert!(columns(&line) <= width, "{width}: {line}");
            }
        }
        let empty =
            TransferStatus { bytes_done: 0, bytes_total: 0, rate: 0, remaining_seconds: None, ..alice };
        assert!(progress(&empty, 80).contains("[================] 100 %"));
        assert_eq!((percent(999, 1000), percent(u64::MAX, u64::MAX)), ("99 %".into(), "100 %".into()));
    }

    #[test]
    fn columns_line_up_and_empty_ones_vanish() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let rows = [row("光の", "", "x"), row("Bob", "", "y")];
        assert_eq!(table(2, &rows), "  光の  x\n  Bob   y\n");
    }

    #[test]
    fn a_cause_forges_no_row() {
        let cause = "bye\nCarol Cole@Cactuar  connected  direct\u{202e}".to_owned();
        let text = table(0, &[["Evan Eel@Exodus".to_owned(), "not connected".to_owned(), cause]]);
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with("bye\\nCarol Cole@Cactuar  connected  direct\\u{202e}\n"), "{text}");
    }
}
