//! `cache stats`, `verify`, `gc` and `move`.

use super::events;
use crate::{
    exit::{Exit, Failure},
    render::{Page, Progress},
    words as human,
};
use fyteclub_client::{
    BlobHash, CacheGc, CacheGced, CacheMoved, CacheObstacle, CacheStats, CacheVerified, CacheWork, Client,
    Error, Event,
};
use std::{future::Future, path::Path};

pub(crate) async fn stats(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&client.cache_stats().await?, |stats| {
        let mut text = words(stats);
        if stats.pinned > 0 {
            text += &format!("; {} in use stay", human::count(stats.pinned, "file"));
        }
        text.push('\n');
        if !stats.dir.is_empty() {
            text += &format!("in {}\n", stats.dir);
        }
        text + &disk(stats)
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn verify(client: &Client, page: &Page) -> Result<Exit, Failure> {
    let verified = with_progress(client, page, CacheWork::Verify, client.cache_verify()).await?;
    page.show(&verified, verdict)?;
    Ok(match (verified.bad.is_empty() && verified.obstacles.is_empty(), verified.unread) {
        (true, 0) => Exit::Done,
        (true, _) => Exit::Refused,
        (false, _) => Exit::Damaged,
    })
}

pub(crate) async fn gc(
    client: &Client,
    page: &Page,
    to: Option<u64>,
    older_than: Option<u32>,
) -> Result<Exit, Failure> {
    let wish = CacheGc { to, older_than_secs: older_than.map(|days| u64::from(days) * 86_400) };
    page.show(&client.cache_gc(wish).await?, |collected| what_went(collected, to))?;
    Ok(Exit::Done)
}

pub(crate) async fn move_to(client: &Client, page: &Page, dir: &Path) -> Result<Exit, Failure> {
    let moved = with_progress(client, page, CacheWork::Move, client.cache_move(dir)).await?;
    page.show(&moved, where_to)?;
    Ok(if moved.bad.is_empty() { Exit::Done } else { Exit::Damaged })
}

/// Waits for a long request, and shows its progress.
async fn with_progress<T>(
    client: &Client,
    page: &Page,
    kind: CacheWork,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let mut progress = Progress::new(page.is_json());
    // Without events it works too, only without progress.
    let mut events = client.watch().await.ok();
    tokio::pin!(work);
    loop {
        tokio::select! {
            // Progress that arrived before the answer is shown before it.
            biased;
            event = events::next(&mut events) => match event {
                Event::CacheProgress { work, files, files_total, bytes, bytes_total } if work == kind => {
                    let files = format!("{files} of {}", human::count(files_total, "file"));
                    progress.count(bytes, bytes_total, &format!("{files}, {}", human::part(bytes, bytes_total)));
                }
                _ => {}
            },
            done = &mut work => return done,
        }
    }
}

/// `950 files, 210.3 MB of at most 10.0 GB`.
pub(crate) fn words(stats: &CacheStats) -> String {
    let files = human::count(stats.files, "file");
    format!("{files}, {} of at most {}", human::bytes(stats.bytes), human::bytes(stats.limit))
}

/// The disk's free space; empty if unknown.
pub(crate) fn disk(stats: &CacheStats) -> String {
    if stats.away {
        return format!("its disk is away: {} is missing; mount it again", stats.dir);
    }
    let Some(free) = stats.free else { return String::new() };
    let (free, floor) = (human::bytes(free), human::bytes(stats.min_free));
    if stats.low_disk {
        format!(
            "transfers wait: the disk has only {free} free, and {floor} are kept free (min_free); free some, or fyteclubctl cache move"
        )
    } else {
        format!("{free} free on its disk, of which {floor} are kept free")
    }
}

fn verdict(verified: &CacheVerified) -> String {
    let mut text = format!("{} read, {}", human::count(verified.files, "file"), human::bytes(verified.bytes));
    if verified.unread > 0 {
        text += &format!("; {} could not be read", verified.unread);
    }
    if verified.missing > 0 {
        text += &format!("; {} missing, fetched again when needed", verified.missing);
    }
    text = match verified.bad.as_slice() {
        [] if verified.obstacles.is_empty() && verified.unread == 0 => {
            return format!("{text}: all are right.");
        }
        [] => format!("{text}: what was read is right.\n"),
        bad => format!("{text}: {}", damaged(bad)),
    };
    text += &unreadable(&verified.unreadable);
    if !verified.obstacles.is_empty() {
        text += "In the way of cached files; remove it yourself, or run fyteclubctl cache move DIR:\n";
    }
    text + &listed(&verified.obstacles)
}

/// Empty without such files.
fn unreadable(files: &[CacheObstacle]) -> String {
    let text = match files {
        [] => "",
        _ => "Not read, so neither right nor damaged; they are fetched again when they are needed:\n",
    };
    text.to_owned() + &listed(files)
}

fn listed(files: &[CacheObstacle]) -> String {
    files.iter().map(|CacheObstacle { path, cause }| format!("  {path} ({cause})\n")).collect()
}

fn damaged(bad: &[BlobHash]) -> String {
    let damaged = human::count_of(bad.len(), "damaged file");
    let mut text = format!("{damaged} removed; they are fetched again when they are needed.\n");
    for hash in bad {
        text += &format!("  {hash}\n");
    }
    text
}

fn what_went(collected: &CacheGced, to: Option<u64>) -> String {
    let mut text =
        format!("{} removed, {}", human::count(collected.files, "file"), human::bytes(collected.bytes));
    if collected.unfinished > 0 {
        text += &format!("; {} of them were incomplete", collected.unfinished);
    }
    text += &format!("\n{} left", human::bytes(collected.bytes_left));
    if to.is_some_and(|to| collected.bytes_left > to) {
        text += &format!(": {} are in use and stay", human::bytes(collected.in_use));
    }
    text
}

fn where_to(moved: &CacheMoved) -> String {
    let files = human::count(moved.files, "file");
    let mut text = format!("The cache is in {} now: {files}, {}.\n", moved.to, human::bytes(moved.bytes));
    if moved.kept > 0 {
        let kept = human::count(moved.kept, "file");
        text += &format!("Also still in {}, until the daemon restarts: {kept} in use.\n", moved.from);
    }
    if !moved.bad.is_empty() {
        text += &damaged(&moved.bad);
    }
    text + &unreadable(&moved.unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_file_is_told_with_its_cause() {
        let unreadable = vec![CacheObstacle { path: "/c/aa.tex".into(), cause: "denied".into() }];
        let (bad, obstacles) = (Vec::new(), Vec::new());
        let (files, bytes, missing, unread) = (2, 10, 0, 1);
        let shown = verdict(&CacheVerified { files, bytes, bad, missing, unread, unreadable, obstacles });
        assert!(shown.contains("what was read is right") && shown.contains("/c/aa.tex (denied)"), "{shown}");
        assert!(!shown.contains("damaged file") && !shown.contains("In the way"), "{shown}");
    }
}
