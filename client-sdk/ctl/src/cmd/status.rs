//! `status`: the whole state.

use super::{cache, peers};
use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, NetworkStatus, PhonebookStatus, Status};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) async fn show(client: &Client, page: &Page) -> Result<Exit, Failure> {
    let status = client.status().await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    page.show(&status, |status| text(status, u64::try_from(now.as_millis()).unwrap_or(u64::MAX)))?;
    Ok(Exit::Done)
}

fn text(status: &Status, now: u64) -> String {
    let player =
        status.player.as_ref().map_or("none: start fyteclubd with --player".to_owned(), ToString::to_string);
    let look = match (status.appearance, &status.appearance_trouble) {
        (Some(look), None) => look.to_string(),
        (Some(look), Some(why)) => format!("{look}; its mod could not be read again: {why}"),
        (None, Some(why)) => format!("nothing now, until the mod can be read again: {why}"),
        (None, None) => "nothing yet".to_owned(),
    };
    let line = |label: &str, value: String| [label.to_owned(), value];
    let mut text = words::table(
        0,
        &[
            line("Player", player),
            line("Key", status.peer_id.to_string()),
            line("Listening at", status.listen.clone()),
            line("Network", network(&status.network)),
            line("Port mapping", mapping_words(status)),
            line("Published", look),
            line("Cache", cache_words(status)),
            line("Daemon", format!("fyteclubd {}", status.version)),
        ],
    );
    let books: Vec<_> = status.phonebooks.iter().map(|book| phone_book(book, now)).collect();
    let transfers: Vec<_> = status
        .transfers
        .iter()
        .map(|transfer| [format!("from {}", transfer.player), words::transfer(transfer)])
        .collect();
    let none = |what: &str| format!("  {what}\n");
    text += "\nPhone books\n";
    text += &if books.is_empty() {
        none("none: start fyteclubd with --phonebook to be found by others")
    } else {
        words::table(2, &books)
    };
    text += "\nPlayers\n";
    text += &if status.peers.is_empty() { none("none so far") } else { peers::table(2, &status.peers) };
    text += "\nTransfers\n";
    text += &if transfers.is_empty() { none("none") } else { words::table(2, &transfers) };
    text
}

fn network(NetworkStatus { address, meaning, .. }: &NetworkStatus) -> String {
    match address {
        Some(address) => format!("{address} from outside: {meaning}"),
        None if meaning.is_empty() => "unknown".to_owned(),
        None => meaning.clone(),
    }
}

fn cache_words(status: &Status) -> String {
    if status.cache.low_disk || status.cache.away {
        format!("{}; {}", cache::words(&status.cache), cache::disk(&status.cache))
    } else {
        cache::words(&status.cache)
    }
}

/// A daemon of before says nothing.
fn mapping_words(status: &Status) -> String {
    let words = if status.port_mapping.is_empty() { "off" } else { &status.port_mapping };
    match &status.mapping.hint {
        Some(hint) => format!("{words}. {hint}"),
        None => words.to_owned(),
    }
}

fn phone_book(book: &PhonebookStatus, now: u64) -> [String; 2] {
    let last = book.last_answer.map(|then| words::ago(then, now));
    let state = match (book.ok, last, &book.error) {
        (true, Some(last), Some(trouble)) => format!("answered {last}, but introductions fail: {trouble}"),
        (true, Some(last), None) => format!("answered {last}"),
        (true, None, _) => "answers".to_owned(),
        (false, last, Some(error)) => {
            format!("not registered: {error}; last answer: {}", last.as_deref().unwrap_or("never"))
        }
        (false, Some(last), None) => format!("does not answer; last answer: {last}"),
        (false, None, None) => "not asked yet".to_owned(),
    };
    [book.url.clone(), state]
}
