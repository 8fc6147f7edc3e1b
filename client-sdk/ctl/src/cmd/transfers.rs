//! `transfers`: running transfers in both directions, and fetches that wait for a turn; `cancel`: ends a fetch.

use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{Client, PlayerName, Reason, TransferStatus, Transfers, UploadStatus, WaitingStatus};
use serde_json::json;

pub(crate) async fn list(client: &Client, page: &Page) -> Result<Exit, Failure> {
    page.show(&client.transfer_list().await?, table)?;
    Ok(Exit::Done)
}

pub(crate) async fn cancel(client: &Client, page: &Page, player: PlayerName) -> Result<Exit, Failure> {
    client.peer_cancel(&player).await?;
    page.show(&json!({}), |_| {
        format!("The fetch of {player} has ended; its verified chunks are kept for the next one.")
    })?;
    Ok(Exit::Done)
}

/// Player, bytes, rate, time left and reason; one line for each direction and player.
pub(crate) fn table(transfers: &Transfers) -> String {
    let rate = |rate: u64| if rate > 0 { format!("{}/s", words::bytes(rate)) } else { String::new() };
    let down = |now: &TransferStatus| {
        [
            "from".to_owned(),
            now.player.to_string(),
            words::percent(now.bytes_done, now.bytes_total),
            words::part(now.bytes_done, now.bytes_total),
            rate(now.rate),
            format!("{} of {}", now.files_done, words::count(now.files_total, "file")),
            now.remaining_seconds.map(words::left).unwrap_or_default(),
            words::reason(now.reason).to_owned(),
        ]
    };
    let next = |next: &WaitingStatus| {
        let none = String::new;
        let why = match (next.reason, next.distance) {
            (Reason::Near, Some(distance)) => format!("near, {}", words::distance(distance)),
            (reason, _) => words::reason(reason).to_owned(),
        };
        ["next".to_owned(), next.player.to_string(), none(), none(), none(), none(), none(), why]
    };
    let up = |now: &UploadStatus| {
        let name = now.player.as_ref().map_or_else(|| now.peer_id.to_string(), ToString::to_string);
        let none = String::new;
        ["to".to_owned(), name, none(), words::bytes(now.bytes), rate(now.rate), none(), none(), none()]
    };
    let moving = transfers.downloads.iter().map(down).chain(transfers.uploads.iter().map(up));
    let rows: Vec<_> = moving.chain(transfers.waiting.iter().map(next)).collect();
    if rows.is_empty() { "No transfers at the moment.".to_owned() } else { words::table(0, &rows) }
}
