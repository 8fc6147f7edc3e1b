//! `watch`: one line for each event, until the daemon stops.

use super::contacts;
use crate::{
    exit::{Exit, Failure},
    render::Page,
    words,
};
use fyteclub_client::{CacheWork, Client, Event, PeerId, PlayerName, Status};

pub(crate) async fn watch(client: &Client, page: &Page) -> Result<Exit, Failure> {
    let mut events = client.watch().await?;
    while let Some(event) = events.next().await {
        page.show_line(&event?, line)?;
    }
    Ok(Exit::Done)
}

fn line(event: &Event) -> String {
    match event {
        Event::State(status) => state(status),
        Event::PhonebookChanged { url, ok: true, .. } => format!("phone book {url} answers"),
        Event::PhonebookChanged { url, error, .. } => {
            format!("phone book {url}, not registered: {}", error.as_deref().unwrap_or("no reason is known"))
        }
        Event::PeerConnected { peer_id, player, path } => {
            format!("{} connected, {}", name(player, peer_id), words::path(*path))
        }
        Event::PeerDisconnected { peer_id, player, cause } => {
            format!("{} disconnected: {cause}", name(player, peer_id))
        }
        Event::PeerSilent { peer_id, player, silent: true } => {
            format!("{} does not answer; looking for another path", name(player, peer_id))
        }
        Event::PeerSilent { peer_id, player, silent: false } => {
            format!("{} answers again", name(player, peer_id))
        }
        Event::PeerLook { player, appearance: Some(_), .. } => format!("{player} publishes a look"),
        Event::PeerLook { player, appearance: None, .. } => format!("{player} publishes nothing"),
        Event::PeerKeyChanged { player, offered, .. } => format!(
            "{player} has another key than before; ask them, and if it is theirs: fyteclubctl peers trust \"{player}\" {offered}"
        ),
        Event::ContactDisputed { player, keys } => format!(
            "several keys answer to {player}: ask them for theirs, and run fyteclubctl contacts add \"{player}\" KEY with one of {}",
            contacts::keys(keys)
        ),
        Event::InvitationOver { player, peer_id } => {
            format!(
                "the invitation of {} was used up or too old: ask them for a new one",
                name(player, peer_id)
            )
        }
        Event::InvitationTooLate { player, .. } => {
            format!(
                "somebody with the name {player} used an invitation that was used up or too old: send a new one if you want them"
            )
        }
        Event::ContactRequest { contact } => {
            let name = contacts::name(contact);
            let doubt = contacts::doubt(contact).map(|doubt| format!(" ({doubt})")).unwrap_or_default();
            let who = contact.peer_id.map_or_else(|| name.clone(), |key| key.to_string());
            format!("{name} asks to be a contact{doubt}; to accept: fyteclubctl contacts accept {who}")
        }
        Event::ContactChanged { contact, removed: true } => {
            format!("{} is forgotten", contacts::name(contact))
        }
        Event::ContactChanged { contact, removed: false } => {
            format!("{}: {}", contacts::name(contact), words::standing(contact.standing))
        }
        Event::AppearancePublished { appearance: None, .. } => "nothing is published now".to_owned(),
        Event::AppearancePublished { files, bytes, .. } => format!("published {}", size(*files, *bytes)),
        Event::AppearanceOffered { player, files, bytes, missing_files, missing_bytes, .. } => format!(
            "{player} has a look of {}; {} to fetch",
            size(*files, *bytes),
            size(*missing_files, *missing_bytes)
        ),
        Event::TransferProgress(now) => format!("{}: {}", now.player, words::transfer(now)),
        Event::TransferSuspect { player, source, .. } => {
            format!("{player}: {source} sent wrong bytes; they are fetched elsewhere")
        }
        Event::PeerUploading(now) => match now.rate {
            0 => format!("{} has been sent {}", name(&now.player, &now.peer_id), words::bytes(now.bytes)),
            rate => format!(
                "{} is being sent files: {}, {}/s",
                name(&now.player, &now.peer_id),
                words::bytes(now.bytes),
                words::bytes(rate)
            ),
        },
        Event::TransferFailed { player, error } => format!("{player}: {error}"),
        Event::AppearanceReady { player, files, bytes, .. } => {
            format!("the look of {player} is here: {}, all verified", size(*files, *bytes))
        }
        Event::CacheEvicted { files, bytes } => {
            format!("the cache freed space: {} removed", size(*files, *bytes))
        }
        Event::CacheLowDisk { free, min_free } => words::low_disk(*free, *min_free),
        Event::CacheDiskOk { free, .. } => {
            format!("the disk has free space again, {}: transfers continue", words::bytes(*free))
        }
        Event::CacheDamaged { hashes, missing, players, published } => {
            damaged([hashes.len(), missing.len()], players, *published)
        }
        Event::CacheProgress { work, files, files_total, .. } => {
            let what = match work {
                CacheWork::Verify => "checking the cache",
                CacheWork::Move => "moving the cache",
                CacheWork::Unknown => "maintaining the cache",
            };
            format!("{what}: {files} of {}", words::count(*files_total, "file"))
        }
        Event::CacheMoved { from, to } => format!("the cache was moved from {from} to {to}"),
        _ => "an event that this version does not know; --json shows it".to_owned(),
    }
}

fn state(status: &Status) -> String {
    let player = status.player.as_ref().map_or("no player".to_owned(), ToString::to_string);
    format!(
        "fyteclubd {} runs for {player}: {} known, {} under way",
        status.version,
        words::count_of(status.peers.len(), "player"),
        words::count_of(status.transfers.len(), "transfer")
    )
}

fn damaged([wrong, missing]: [usize; 2], players: &[PlayerName], published: bool) -> String {
    let removed = || format!("{} removed from the cache", words::count_of(wrong, "damaged file"));
    let mut text = match (wrong, missing) {
        (_, 0) => removed(),
        (0, _) => format!("{} missing from the cache", words::count_of(missing, "file")),
        _ => format!("{}, and {missing} are missing", removed()),
    };
    for player in players {
        text += &format!("; the look of {player} lacks some: fyteclubctl fetch \"{player}\"");
    }
    if published {
        text += "; your own look lacks some: publish it again";
    }
    text
}

fn size(files: u64, bytes: u64) -> String {
    format!("{}, {}", words::count(files, "file"), words::bytes(bytes))
}

fn name(player: &Option<PlayerName>, peer: &PeerId) -> String {
    player.as_ref().map_or_else(|| peer.to_string(), ToString::to_string)
}
