//! `cache stats` and `cache verify`.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words as human,
};
use fyteclub_client::{CacheStats, CacheVerified, Client};

pub async fn stats(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&client.cache_stats().await?, |stats| match stats.pinned {
        0 => words(stats),
        pinned => format!("{}; {pinned} files are in use and stay", words(stats)),
    })?;
    Ok(Exit::Done)
}

pub async fn verify(client: &Client, page: &Page) -> Result<Exit, Failure> {
    let verified = client.cache_verify().await?;
    page.show(&verified, verdict)?;
    Ok(if verified.bad.is_empty() { Exit::Done } else { Exit::Damaged })
}

/// `950 files, 210.3 MB of at most 10.0 GB`.
pub fn words(stats: &CacheStats) -> String {
    let files = human::count(stats.files, "file");
    format!("{files}, {} of at most {}", human::bytes(stats.bytes), human::bytes(stats.limit))
}

fn verdict(verified: &CacheVerified) -> String {
    let read = format!("{} read, {}", human::count(verified.files, "file"), human::bytes(verified.bytes));
    match verified.bad.as_slice() {
        [] => format!("{read}: every one is what its name says."),
        bad => {
            let damaged = human::count(bad.len() as u64, "damaged file");
            let mut text =
                format!("{read}: {damaged} removed; they are fetched again when they are needed.\n");
            for hash in bad {
                text += &format!("  {hash}\n");
            }
            text
        }
    }
}
