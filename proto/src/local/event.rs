//! What a watching client hears: facts, newest last. A client that lags is told so once and gets a fresh `state`.

use super::{
    Fault,
    reply::{Contact, PathKind, Status, TransferStatus, UploadStatus},
};
use crate::id::{BlobHash, PeerId, PlayerName};
use serde::{Deserialize, Serialize};

/// `{"event":"…","data":{…}}`. New kinds may come: see [`super::Notice::Novel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Event {
    /// The whole state: first after `watch`, and again after events were lost.
    #[serde(rename = "state")]
    State(Box<Status>),
    #[serde(rename = "phonebook.changed")]
    PhonebookChanged { url: String, ok: bool, error: Option<String> },
    #[serde(rename = "peer.connected")]
    PeerConnected { peer_id: PeerId, player: Option<PlayerName>, path: PathKind },
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
        files: u64,
        bytes: u64,
        missing_files: u64,
        missing_bytes: u64,
    },
    /// At most five a second and player.
    #[serde(rename = "transfer.progress")]
    TransferProgress(TransferStatus),
    /// A peer is being served. At most five a second and peer, and one with `rate` 0 when it is over.
    #[serde(rename = "peer.uploading")]
    PeerUploading(UploadStatus),
    #[serde(rename = "transfer.failed")]
    TransferFailed { player: PlayerName, error: Fault },
    /// Complete, verified and on disk.
    #[serde(rename = "appearance.ready")]
    AppearanceReady {
        player: PlayerName,
        appearance: BlobHash,
        files: u64,
        bytes: u64,
        bytes_transferred: u64,
    },
    #[serde(rename = "cache.evicted")]
    CacheEvicted { files: u64, bytes: u64 },
}
