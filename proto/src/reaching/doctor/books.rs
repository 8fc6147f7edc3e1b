//! Phone books, the registered name, and the clock.

use super::facts::{Facts, Findings};
use crate::local::reply::{FindingCode, PhonebookStatus, Severity, Sureness};
use Sureness::{Certain, Likely};

/// A smaller difference has no effect.
const CLOCK_OFF_SECS: u64 = 60;

pub(super) fn examine(facts: &Facts<'_>, found: &mut Findings) {
    let books = &facts.status.phonebooks;
    if books.is_empty() {
        found.add(
            FindingCode::NoPhoneBook,
            Severity::Blocks,
            Certain,
            "no phone book is configured, so players outside of the local network cannot find this one, or be found",
            Some("Start fyteclubd with --phonebook URL, with the same one as your friends.".to_owned()),
        );
    }
    for book in books {
        look_at(book, books, found);
    }
    if facts.status.player.is_none() {
        found.add(
            FindingCode::NoPlayerName,
            Severity::Hinders,
            Certain,
            "the daemon has no player name, so nobody can look this player up",
            Some("Start fyteclubd with --player \"Forename Surname@World\".".to_owned()),
        );
    }
    clock(facts.clocks, found);
}

fn look_at(book: &PhonebookStatus, all: &[PhonebookStatus], found: &mut Findings) {
    let PhonebookStatus { url, ok, live, error, .. } = book;
    let error = error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
    let worst_unless = |other: bool| if other { Severity::Hinders } else { Severity::Blocks };
    match (ok, live) {
        (true, true) => {}
        (true, false) => found.add(
            FindingCode::PhoneBookNotLive,
            worst_unless(all.iter().any(|book| book.live)),
            Certain,
            format!("the live connection to the phone book {url} is not open, so it introduces nobody{error}"),
            Some("It is tried again by itself. If it stays so, something between this machine and the phone book cuts long connections: try another network, and tell the phone book's operator.".to_owned()),
        ),
        (false, true) => found.add(
            FindingCode::PhoneBookRefuses,
            Severity::Hinders,
            Certain,
            format!("the phone book {url} does not register this player's name{error}"),
            None,
        ),
        (false, false) => found.add(
            FindingCode::PhoneBookSilent,
            worst_unless(all.iter().any(|book| book.ok || book.live)),
            Certain,
            format!("the phone book {url} cannot be used{error}"),
            Some("Check that this machine is online and that the address is right, and ask the phone book's operator whether it runs. It is tried again by itself.".to_owned()),
        ),
    }
}

fn clock(ahead: &[i64], found: &mut Findings) {
    // One phone book alone may be wrong.
    let Some(least) = ahead.iter().copied().min_by_key(|secs| secs.unsigned_abs()) else { return };
    if least.unsigned_abs() < CLOCK_OFF_SECS {
        return;
    }
    let way = if least > 0 { "ahead" } else { "behind" };
    let off = match least.unsigned_abs() {
        secs @ ..120 => format!("{secs} s"),
        secs @ ..7200 => format!("{} min", secs / 60),
        secs @ ..172_800 => format!("{} h", secs / 3600),
        secs => format!("{} days", secs / 86_400),
    };
    found.add(
        FindingCode::ClockOff,
        Severity::Hinders,
        Likely,
        format!("this machine's clock is {off} {way}, by the phone book's"),
        Some("Have the system set its clock from the Internet.".to_owned()),
    );
}
