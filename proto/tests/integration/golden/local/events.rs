//! Every event.

use super::{contacts, look, peer_id, player, status, transfer, upload};
use crate::golden::Example;
use fyteclub_proto::{
    id::{BlobHash, PeerId},
    local::{CacheWork, Event, Fault, FaultCode, Notice, Numbered, reply::PathKind},
};

fn event(name: &str, event: Event) -> Example {
    let event = match event {
        Event::State(status) => Numbered::from(*status),
        event => Numbered { seq: 7, event },
    };
    Example::json(&format!("event_{name}"), Notice::Event(event))
}

fn progress(work: CacheWork) -> Event {
    Event::CacheProgress { work, files: 3, files_total: 10, bytes: 300, bytes_total: 1000 }
}

pub(crate) fn events() -> Vec<Example> {
    let url = "http://127.0.0.1:3000".to_owned();
    let error = Fault::new(FaultCode::PeerUnreachable, "no path to the player worked");
    vec![
        event("state", Event::State(Box::new(status()))),
        event("contact_request", Event::ContactRequest { contact: contacts().remove(2) }),
        event("contact_changed", Event::ContactChanged { contact: contacts().remove(0), removed: false }),
        event("phonebook_changed", Event::PhonebookChanged { url, ok: false, error: Some("refused".into()) }),
        event(
            "peer_connected",
            Event::PeerConnected { peer_id: peer_id(), player: Some(player()), path: PathKind::Loopback },
        ),
        event(
            "peer_disconnected",
            Event::PeerDisconnected {
                peer_id: peer_id(),
                player: None,
                cause: "the other side stopped".into(),
            },
        ),
        event(
            "contact_disputed",
            Event::ContactDisputed { player: player(), keys: vec![peer_id(), PeerId::from_bytes([8; 32])] },
        ),
        event("invitation_over", Event::InvitationOver { player: Some(player()), peer_id: peer_id() }),
        event("invitation_too_late", Event::InvitationTooLate { player: player(), peer_id: peer_id() }),
        event(
            "peer_key_changed",
            Event::PeerKeyChanged {
                player: player(),
                known: peer_id(),
                offered: PeerId::from_bytes([8; 32]),
            },
        ),
        event("peer_silent", Event::PeerSilent { peer_id: peer_id(), player: Some(player()), silent: true }),
        event(
            "peer_look",
            Event::PeerLook { peer_id: peer_id(), player: player(), appearance: Some(look()) },
        ),
        event(
            "appearance_published",
            Event::AppearancePublished { appearance: Some(look()), files: 1, bytes: 70_000 },
        ),
        event(
            "appearance_offered",
            Event::AppearanceOffered {
                player: player(),
                appearance: look(),
                files: 10,
                bytes: 1000,
                missing_files: 3,
                missing_bytes: 300,
            },
        ),
        event("transfer_progress", Event::TransferProgress(transfer())),
        event(
            "transfer_suspect",
            Event::TransferSuspect { player: player(), source: peer_id(), hash: BlobHash::of(b"a") },
        ),
        event("peer_uploading", Event::PeerUploading(upload())),
        event("transfer_failed", Event::TransferFailed { player: player(), error }),
        event(
            "appearance_ready",
            Event::AppearanceReady {
                player: player(),
                appearance: look(),
                files: 10,
                bytes: 1000,
                bytes_transferred: 300,
            },
        ),
        event("cache_evicted", Event::CacheEvicted { files: 2, bytes: 200 }),
        event("cache_low_disk", Event::CacheLowDisk { free: 900_000_000, min_free: 1 << 30 }),
        event("cache_disk_ok", Event::CacheDiskOk { free: 2_000_000_000, min_free: 1 << 30 }),
        event(
            "cache_damaged",
            Event::CacheDamaged {
                hashes: vec![BlobHash::of(b"a")],
                missing: vec![BlobHash::of(b"b")],
                players: vec![player()],
                published: false,
            },
        ),
        event("cache_progress_verify", progress(CacheWork::Verify)),
        event("cache_progress_move", progress(CacheWork::Move)),
        event(
            "cache_moved",
            Event::CacheMoved {
                from: "/home/bob/.local/share/fyteclub".into(),
                to: "/mnt/large/fyteclub".into(),
            },
        ),
    ]
}
