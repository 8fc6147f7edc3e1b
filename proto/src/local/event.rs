//! What a watching client hears: facts, newest last. A client that lags is told so once and gets a fresh `state`.

use super::{
    Fault, RawJson,
    reply::{Contact, PathKind, Status, TransferStatus, UploadStatus},
};
use crate::id::{BlobHash, PeerId, PlayerName};
use serde::{Deserialize, Serialize};

/// An event with its place in the daemon's row of events: `{"seq":7,"event":"…","data":{…}}`.
///
/// Numbers rise by one with each event since the daemon's start. A `state` has the number of the last event before it was
/// put together ([`Status::seq`]): it shows what every event up to that number told, so those are to be dropped; what
/// has a higher number is to be applied to it, also where the state shows it already.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    /// 0 from a daemon that does not number its events.
    #[serde(default)]
    pub seq: u64,
    #[serde(flatten)]
    pub event: Event,
}

impl From<Status> for Numbered {
    fn from(status: Status) -> Self {
        Self { seq: status.seq, event: Event::State(Box::new(status)) }
    }
}

/// `{"event":"…","data":{…}}`. New kinds may come: see [`super::Notice::Novel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The whole state: first after `watch`, and again after events were lost.
    #[serde(rename = "state")]
    State(Box<Status>),
    /// A registration with a phone book was answered otherwise than the one before.
    #[serde(rename = "phonebook.changed")]
    PhonebookChanged { url: String, ok: bool, error: Option<String> },
    /// A link to a contact is open. Never after the `peer.disconnected` of the same link.
    #[serde(rename = "peer.connected")]
    PeerConnected { peer_id: PeerId, player: Option<PlayerName>, path: PathKind },
    /// The link is gone; `cause` says why in one sentence.
    #[serde(rename = "peer.disconnected")]
    PeerDisconnected { peer_id: PeerId, player: Option<PlayerName>, cause: String },
    /// A known name came with another key: nothing moves until somebody says that it is right.
    #[serde(rename = "peer.keyChanged")]
    PeerKeyChanged { player: PlayerName, known: PeerId, offered: PeerId },
    /// Somebody asks to be a contact.
    #[serde(rename = "contact.request")]
    ContactRequest { contact: Contact },
    /// A contact came, changed, or is none any more.
    #[serde(rename = "contact.changed")]
    ContactChanged { contact: Contact, removed: bool },
    /// Several keys answer to the name of one who was asked to be a contact, or phone books list several: nobody is paired
    /// with, nor any more. With one phone book the first key is a contact, and stays one.
    #[serde(rename = "contact.disputed")]
    ContactDisputed { player: PlayerName, keys: Vec<PeerId> },
    /// The invitation that this player followed was used up or over; whoever made it is asked no more.
    #[serde(rename = "invitation.over")]
    InvitationOver { player: Option<PlayerName>, peer_id: PeerId },
    /// Somebody who goes by this name followed an invitation of this player's that was used up or over.
    #[serde(rename = "invitation.tooLate")]
    InvitationTooLate { player: PlayerName, peer_id: PeerId },
    /// This player's own look changed.
    #[serde(rename = "appearance.published")]
    AppearancePublished { appearance: Option<BlobHash>, files: u64, bytes: u64 },
    /// A connected peer publishes this look now, or none.
    #[serde(rename = "peer.look")]
    PeerLook { peer_id: PeerId, player: PlayerName, appearance: Option<BlobHash> },
    /// A look is about to be fetched; totals come before a byte is fetched, so that a policy can say no.
    #[serde(rename = "appearance.offered")]
    AppearanceOffered {
        player: PlayerName,
        appearance: BlobHash,
        /// Of the whole look.
        files: u64,
        /// Of the whole look.
        bytes: u64,
        /// Of `files`, those that have to travel.
        missing_files: u64,
        /// Of `bytes`, what has to travel.
        missing_bytes: u64,
    },
    /// At most five a second and player.
    #[serde(rename = "transfer.progress")]
    TransferProgress(TransferStatus),
    /// Somebody sent bytes of this player's look that do not match their hash; they are fetched elsewhere.
    #[serde(rename = "transfer.suspect")]
    TransferSuspect { player: PlayerName, source: PeerId, hash: BlobHash },
    /// A peer is being served. At most five a second and peer, and one with `rate` 0 when it is over.
    #[serde(rename = "peer.uploading")]
    PeerUploading(UploadStatus),
    /// A fetch ended without the look.
    #[serde(rename = "transfer.failed")]
    TransferFailed { player: PlayerName, error: Fault },
    /// Complete, verified and on disk.
    #[serde(rename = "appearance.ready")]
    AppearanceReady {
        player: PlayerName,
        appearance: BlobHash,
        /// Of the whole look.
        files: u64,
        /// Of the whole look.
        bytes: u64,
        /// As they crossed the wire; 0 where nothing had to travel.
        bytes_transferred: u64,
    },
    /// Files had to go, for a look that is about to be fetched, for a full disk, or because somebody asked.
    #[serde(rename = "cache.evicted")]
    CacheEvicted { files: u64, bytes: u64 },
    /// The disk is nearly full: nothing new is asked of anybody until there is room again. Figures in bytes.
    #[serde(rename = "cache.lowDisk")]
    CacheLowDisk { free: u64, min_free: u64 },
    /// The disk has room again: transfers go on. Figures in bytes.
    #[serde(rename = "cache.diskOk")]
    CacheDiskOk { free: u64, min_free: u64 },
    /// Cached files were not any more what their names say, and are gone. Fetching the players named brings theirs back.
    #[serde(rename = "cache.damaged")]
    CacheDamaged {
        /// Files whose bytes were wrong: removed.
        hashes: Vec<BlobHash>,
        /// Files that somebody else removed; not among `hashes`.
        #[serde(default)]
        missing: Vec<BlobHash>,
        /// Whose shown looks lost a file.
        players: Vec<PlayerName>,
        /// Whether this player's own look did.
        published: bool,
    },
    /// At most five a second.
    #[serde(rename = "cache.progress")]
    CacheProgress { work: CacheWork, files: u64, files_total: u64, bytes: u64, bytes_total: u64 },
    /// The files are in another folder now. What is in use lies in the old one too until the daemon starts anew.
    #[serde(rename = "cache.moved")]
    CacheMoved { from: String, to: String },
}

impl Event {
    /// The event of this name with these data.
    pub(super) fn of(name: &str, data: &RawJson) -> Result<Self, serde_json::Error> {
        let name = serde_json::to_string(name)?;
        serde_json::from_str(&format!(r#"{{"event":{name},"data":{}}}"#, data.text()))
    }
}

/// What takes long with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CacheWork {
    Verify,
    Move,
    /// Work that this client is too old for.
    #[serde(other)]
    Unknown,
}
