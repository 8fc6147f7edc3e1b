//! `fetch`: a player's look, with progress and a summary.

use super::events;
use crate::{
    exit::{Exit, Failure},
    render::{Page, Progress},
    words,
};
use fyteclub_client::{Client, Error, Event, Fetched, PlayerName};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) async fn fetch(
    client: &Client,
    page: &Page,
    player: PlayerName,
    out: Option<PathBuf>,
) -> Result<Exit, Failure> {
    let fetched = with_progress(client, page, &player, out.as_deref()).await?;
    page.show(&fetched, text)?;
    Ok(Exit::Done)
}

async fn with_progress(
    client: &Client,
    page: &Page,
    player: &PlayerName,
    out: Option<&Path>,
) -> Result<Fetched, Error> {
    let mut progress = Progress::new(page.is_json());
    progress.say(&format!("looking for {player}"));
    // Without events it works too, only without progress.
    let mut events = client.watch().await.ok();
    let fetch = client.peer_fetch(player, out);
    tokio::pin!(fetch);
    loop {
        tokio::select! {
            fetched = &mut fetch => return fetched,
            event = events::next(&mut events) => tell(&mut progress, player, event),
        }
    }
}

fn tell(progress: &mut Progress, player: &PlayerName, event: Event) {
    match event {
        Event::AppearanceOffered { player: of, files, bytes, missing_files, missing_bytes, .. }
            if of == *player =>
        {
            progress.say(&format!(
                "{player}: {}, {}; {}, {} to fetch",
                words::count(files, "file"),
                words::bytes(bytes),
                words::count(missing_files, "file"),
                words::bytes(missing_bytes)
            ));
        }
        Event::TransferProgress(now) if now.player == *player => progress.show(&now),
        Event::CacheLowDisk { free, min_free } => progress.say(&words::low_disk(free, min_free)),
        _ => {}
    }
}

fn text(fetched: &Fetched) -> String {
    let files = words::count_of(fetched.files.len(), "file");
    let mut rows = vec![
        ["Player", &fetched.player.to_string()].map(ToOwned::to_owned),
        ["Look".to_owned(), format!("{files}, {}, all verified", words::bytes(fetched.bytes_total))],
        ["Fetched".to_owned(), travelled(fetched)],
        ["Appearance".to_owned(), fetched.appearance.to_string()],
    ];
    if let Some(folder) = fetched.files.first().and_then(|file| Path::new(&file.path).parent()) {
        rows.push(["Files".to_owned(), folder.display().to_string()]);
    }
    if let Some(out) = &fetched.out {
        rows.push(["Mod folder".to_owned(), out.clone()]);
    }
    words::table(0, &rows)
}

/// Bytes on the wire, rate and path.
fn travelled(fetched: &Fetched) -> String {
    if fetched.bytes_fetched == 0 {
        return "nothing was transferred: all files were here already".to_owned();
    }
    let mut text = words::bytes(fetched.bytes_fetched);
    if fetched.bytes_transferred < fetched.bytes_fetched {
        text += &format!(" (compressed to {})", words::bytes(fetched.bytes_transferred));
    }
    text += &match fetched.seconds {
        seconds if seconds < 60.0 => format!(" in {seconds:.1} s"),
        seconds => {
            format!(" in {}", words::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default()))
        }
    };
    if fetched.seconds > 0.0 {
        text += &format!(", {}/s", words::bytes(words::rate(fetched.bytes_fetched, fetched.seconds)));
    }
    if let Some(path) = fetched.path {
        text += &format!(", {}", words::path(path));
    }
    text
}
