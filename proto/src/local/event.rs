//! Events for watching clients. A client that lags gets a fresh `state` instead of the missed ones.

use super::{
    Fault, RawJson,
    reply::{Contact, PathKind, Status, TransferStatus, UploadStatus},
};
use crate::id::{BlobHash, PeerId, PlayerName};
use serde::{Deserialize, Serialize};

/// An event with its number: `{"seq":7,"event":"…","data":{…}}`.
///
/// Numbers rise by one with each event since the daemon's start. A `state` has the number of the last event that it
/// includes ([`Status::seq`]): drop events up to that number, and apply those with a higher number, even if the state
/// shows them already.
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

/// `{"event":"…","data":{…}}`. Newer daemons send other kinds: see [`super::Notice::Novel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The whole state: first after `watch`, and again after missed events.
    #[serde(rename = "state")]
    State(Box<Status>),
    /// A phone book's answer to a registration differs from the one before.
    #[serde(rename = "phonebook.changed")]
    PhonebookChanged { url: String, ok: bool, error: Option<String> },
    /// A link to a contact is open. Never after the `peer.disconnected` of the same link.
    #[serde(rename = "peer.connected")]
    PeerConnected { peer_id: PeerId, player: Option<PlayerName>, path: PathKind },
    /// The contact does not answer while something is asked of it: within 2 s of its last packet, and again with
    /// `silent` false once it does answer. Meanwhile it is `reconnecting`. A `peer.disconnected` ends it, too.
    #[serde(rename = "peer.silent")]
    PeerSilent { peer_id: PeerId, player: Option<PlayerName>, silent: bool },
    /// The link has ended; `cause` is one sentence.
    #[serde(rename = "peer.disconnected")]
    PeerDisconnected { peer_id: PeerId, player: Option<PlayerName>, cause: String },
    /// A known name came with another key: its fetches stop until a person confirms the key.
    #[serde(rename = "peer.keyChanged")]
    PeerKeyChanged { player: PlayerName, known: PeerId, offered: PeerId },
    /// A player asks to be a contact.
    #[serde(rename = "contact.request")]
    ContactRequest { contact: Contact },
    /// A contact was added, changed or removed.
    #[serde(rename = "contact.changed")]
    ContactChanged { contact: Contact, removed: bool },
    /// Several keys answer to the name of a player who was asked to be a contact, or phone books list several: none is
    /// paired with any more. With one phone book the first key is a contact, and stays one.
    #[serde(rename = "contact.disputed")]
    ContactDisputed { player: PlayerName, keys: Vec<PeerId> },
    /// The invitation that this player used was used up or expired; its inviter is not asked any more.
    #[serde(rename = "invitation.over")]
    InvitationOver { player: Option<PlayerName>, peer_id: PeerId },
    /// A player with this name used an invitation of this player's that was used up or expired.
    #[serde(rename = "invitation.tooLate")]
    InvitationTooLate { player: PlayerName, peer_id: PeerId },
    /// This player's own look changed.
    #[serde(rename = "appearance.published")]
    AppearancePublished { appearance: Option<BlobHash>, files: u64, bytes: u64 },
    /// A connected peer's published look now, or none.
    #[serde(rename = "peer.look")]
    PeerLook { peer_id: PeerId, player: PlayerName, appearance: Option<BlobHash> },
    /// A look is about to be fetched; the totals come before a byte is fetched, so that a policy can refuse.
    #[serde(rename = "appearance.offered")]
    AppearanceOffered {
        player: PlayerName,
        appearance: BlobHash,
        /// Of the whole look.
        files: u64,
        /// Of the whole look.
        bytes: u64,
        /// Of `files`, those to be transferred.
        missing_files: u64,
        /// Of `bytes`, those to be transferred.
        missing_bytes: u64,
    },
    /// At most five a second and player.
    #[serde(rename = "transfer.progress")]
    TransferProgress(TransferStatus),
    /// A source sent bytes of this player's look that do not match their hash; they are fetched elsewhere.
    #[serde(rename = "transfer.suspect")]
    TransferSuspect { player: PlayerName, source: PeerId, hash: BlobHash },
    /// An upload to a peer. At most five a second and peer, and one with `rate` 0 at the end.
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
        /// On the wire; 0 if nothing was transferred.
        bytes_transferred: u64,
    },
    /// Files were evicted: for a look that is about to be fetched, for a full disk, or on request.
    #[serde(rename = "cache.evicted")]
    CacheEvicted { files: u64, bytes: u64 },
    /// The disk is nearly full: transfers wait for free space. Figures in bytes.
    #[serde(rename = "cache.lowDisk")]
    CacheLowDisk { free: u64, min_free: u64 },
    /// The disk has free space again: transfers continue. Figures in bytes.
    #[serde(rename = "cache.diskOk")]
    CacheDiskOk { free: u64, min_free: u64 },
    /// Damaged or missing cached files; damaged ones are removed. Fetching the listed players restores theirs.
    #[serde(rename = "cache.damaged")]
    CacheDamaged {
        /// Files whose bytes were wrong: removed.
        hashes: Vec<BlobHash>,
        /// Files that another program removed; not among `hashes`.
        #[serde(default)]
        missing: Vec<BlobHash>,
        /// Players whose shown looks lost a file.
        players: Vec<PlayerName>,
        /// Whether this player's own look did.
        published: bool,
    },
    /// At most five a second.
    #[serde(rename = "cache.progress")]
    CacheProgress { work: CacheWork, files: u64, files_total: u64, bytes: u64, bytes_total: u64 },
    /// The files are in another folder now. Files in use are in the old one too until the daemon restarts.
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

/// Long work on the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CacheWork {
    Verify,
    Move,
    /// Work that this client does not know.
    #[serde(other)]
    Unknown,
}
