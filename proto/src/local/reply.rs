//! What each request is answered with. Field names are a contract with scripts and with the plugin.

use super::request::Strings;
use crate::{
    appearance::{ObjectKind, Swap},
    fetching::{
        pace,
        scheduler::{Distance, Reason},
    },
    game_path::GamePath,
    id::{BlobHash, PeerId, PlayerName},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `{}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Empty {}

/// The answer to a greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Of the daemon's program.
    pub version: String,
    /// The local API version that both will speak.
    pub protocol: u16,
    /// This player's own key.
    pub peer_id: PeerId,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Of the daemon's program.
    pub version: String,
    /// This player's own key.
    pub peer_id: PeerId,
    /// This player's own name, where the daemon was told one.
    pub player: Option<PlayerName>,
    /// `IP:PORT` of the QUIC socket.
    pub listen: String,
    /// How the home router's port mapping stands: `off` for now.
    #[serde(default)]
    pub port_mapping: String,
    /// All that are configured.
    pub phonebooks: Vec<PhonebookStatus>,
    /// What this player publishes now.
    pub appearance: Option<BlobHash>,
    /// Everybody who has or had a link, or is being dialled.
    pub peers: Vec<PeerStatus>,
    /// What is being fetched.
    pub transfers: Vec<TransferStatus>,
    pub cache: CacheStats,
    /// The number of the last event before this was put together: see [`super::Numbered`].
    #[serde(default)]
    pub seq: u64,
    /// What others were charged since the start, by the name of the [`crate::ledger::Item`].
    #[serde(default)]
    pub ledger: BTreeMap<String, Charged>,
}

/// All counterparts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Charged {
    /// In the item's unit: a number, or bytes.
    pub charged: u64,
    /// How often something was not done because an allowance was used up.
    pub refusals: u64,
}

/// How one phone book does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhonebookStatus {
    /// As configured.
    pub url: String,
    /// Whether the last registration was answered as it should be.
    pub ok: bool,
    /// Whether it introduces this daemon to others at the moment.
    #[serde(default)]
    pub live: bool,
    /// Unix milliseconds of the last good answer.
    pub last_answer: Option<u64>,
    /// Why the last registration failed, in one sentence.
    pub error: Option<String>,
}

/// How the link to one peer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The contact's name here; never what the peer says of itself.
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    pub state: PeerState,
    /// The path in use, while there is one.
    pub path: Option<PathKind>,
    /// Round trip in milliseconds, while there is a link.
    pub rtt_ms: Option<f64>,
    /// Why the peer is not connected, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// The states that a person sees (DESIGN §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PeerState {
    Disconnected,
    Connecting,
    /// The keys are proven; the greeting is under way.
    Authenticating,
    Connected,
    Reconnecting,
    FailingOver,
    /// A state that this client is too old for.
    #[serde(other)]
    Unknown,
}

/// One way to reach a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathKind {
    /// The same machine.
    Loopback,
    /// A private address.
    Lan,
    Direct,
    /// A way that this client is too old for.
    #[serde(other)]
    Unknown,
}

/// One look that is being fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferStatus {
    pub player: PlayerName,
    /// The key of the look's owner.
    pub peer_id: PeerId,
    pub appearance: BlobHash,
    /// Of the files that have to travel.
    pub files_done: u64,
    /// Files that have to travel.
    pub files_total: u64,
    /// Verified and on disk, of `bytesTotal`.
    pub bytes_done: u64,
    /// Bytes of the files that have to travel.
    pub bytes_total: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
    /// Who brought how much of it so far, also who is gone.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// At this rate; absent while nothing moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Why it is fetched.
    #[serde(default)]
    pub reason: Reason,
}

/// A look that is in line to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingStatus {
    pub player: PlayerName,
    pub peer_id: PeerId,
    pub reason: Reason,
    /// Of who is near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
}

/// One peer that a look was fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    /// Verified, each counted once.
    pub bytes: u64,
}

/// What one peer is being served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadStatus {
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    /// Of files, as they crossed the wire, since this peer began to fetch.
    pub bytes: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
}

/// What moves at the moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfers {
    /// By name.
    pub downloads: Vec<TransferStatus>,
    /// Who is being served.
    pub uploads: Vec<UploadStatus>,
    /// Who has a link and stands in line, first who is next.
    #[serde(default)]
    pub waiting: Vec<WaitingStatus>,
}

/// Who is near, the nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearby {
    /// Of the players who were named, the contacts: their looks are fetched by themselves.
    pub contacts: Vec<NearContact>,
    /// How many of them are none.
    pub others: u64,
}

/// A contact who is near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NearContact {
    pub player: PlayerName,
    pub peer_id: PeerId,
    /// The shortest that any client says.
    pub distance: Distance,
    /// Whether a link is open.
    pub online: bool,
}

/// The limits that hold now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    #[serde(flatten)]
    pub limits: pace::Limits,
    /// Whether some of them were set while the daemon ran, and so win over its configuration until `limits.reset`.
    pub set_here: bool,
}

/// What is published now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    pub appearance: BlobHash,
    /// Distinct files that are shared.
    pub files: u64,
    /// Of those files, together.
    pub bytes: u64,
    /// What breaks a rule; the rest is published all the same.
    pub left_out: Vec<LeftOut>,
}

/// A file that breaks a rule: left out, and named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// As it was given.
    pub game_path: String,
    /// The file that was to stand for it, as it was given.
    pub file: String,
    /// One sentence that starts with a stable word: `missing`, `outside`, `extension`, …
    pub reason: String,
}

/// A look that is complete, verified and on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetched {
    pub player: PlayerName,
    /// The hash of the look.
    pub appearance: BlobHash,
    /// Every file of the look, by object.
    pub files: Vec<FetchedFile>,
    /// Sizes of all files of the look.
    pub bytes_total: u64,
    /// Bytes of files as they crossed the wire: after what was here already, and compressed. 0 when nothing had to travel.
    pub bytes_transferred: u64,
    /// Bytes of files that had to travel, before compression.
    pub bytes_fetched: u64,
    /// From the question to the answer.
    pub seconds: f64,
    /// The path that was used; absent when no peer was needed.
    pub path: Option<PathKind>,
    /// Who brought how much of it.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// What is shown: the character, and what belongs to it.
    pub objects: Vec<FetchedObject>,
    #[serde(flatten)]
    pub strings: Strings,
    /// The mod folder that was written, when one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// One file of a look, here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchedFile {
    /// Which files of the game it stands for.
    pub game_paths: Vec<GamePath>,
    pub hash: BlobHash,
    /// In bytes.
    pub size: u64,
    /// Where the file lies on this machine: never overwritten, and kept while the look is in use.
    pub path: String,
    /// Index into `objects`.
    #[serde(default)]
    pub object: usize,
}

/// What of an object is not files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchedObject {
    pub kind: ObjectKind,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap>,
    /// A string of that plugin, as the owner published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glamourer: Option<String>,
    /// A string of that plugin, as the owner published it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customize_plus: Option<String>,
}

/// Every peer that the daemon knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peers {
    /// By name.
    pub peers: Vec<PeerStatus>,
}

/// Everybody who is or may become a contact, and the blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// By name.
    pub contacts: Vec<Contact>,
}

/// One key, or a name whose key is not known yet, and how it stands to this player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// What the contact goes by here; of who asks, only what they say of themselves. A blocked key may have none.
    pub player: Option<PlayerName>,
    /// Absent while it is not known: a contact that was asked by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
    pub standing: Standing,
    /// Unix milliseconds.
    pub since: u64,
    /// Whether a link is open.
    pub online: bool,
    /// With one who asks: the name belongs to a contact already, and this is that contact's key. Either they have a new
    /// key, or somebody else uses their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_key: Option<PeerId>,
    /// Another name that this one can be taken for: an earlier contact's, or this player's own. Somebody may use that on
    /// purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<PlayerName>,
    /// A word of the name has letters of several scripts, which can hide what it really says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_scripts: bool,
    /// Other keys that answer to this name: of one who was asked and is not paired with, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<PeerId>,
}

/// How two players stand to each other, from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// This player asked, and they have not answered.
    Requested,
    /// They ask, and wait for this player.
    Asking,
    Paired,
    Blocked,
    /// A standing that this client is too old for.
    #[serde(other)]
    Unknown,
}

/// An invitation to pass on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// `fyteclub://join/…`: whoever follows it first is a contact.
    pub link: String,
    /// Unix milliseconds.
    pub expires: u64,
}

/// How the cache is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheStats {
    /// Stored now.
    pub bytes: u64,
    /// Stored now.
    pub files: u64,
    /// Bytes; the least recently used files go first when it is passed.
    pub limit: u64,
    /// Of `files`, those that are in use and therefore stay.
    #[serde(default)]
    pub pinned: u64,
    /// The folder with the files.
    #[serde(default)]
    pub dir: String,
    /// Bytes that its disk has free; absent where nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<u64>,
    /// Bytes that stay free on it: below that transfers wait.
    #[serde(default)]
    pub min_free: u64,
    /// Whether transfers wait for room on the disk now.
    #[serde(default)]
    pub low_disk: bool,
    /// Whether the disk with the files is away: the figures are what was known last, and fetches fail until it is back.
    #[serde(default)]
    pub away: bool,
}

/// What a check of every cached file found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheVerified {
    /// Files that were read.
    pub files: u64,
    /// That were read.
    pub bytes: u64,
    /// Files whose bytes did not match their name: removed, to be fetched again when needed.
    pub bad: Vec<BlobHash>,
    /// Files that somebody else had removed: they are fetched again when needed.
    #[serde(default)]
    pub missing: u64,
    /// Files that could not be read, and stay: the log says why.
    #[serde(default)]
    pub unread: u64,
}

/// What made room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheGced {
    /// Removed, with those that had not come whole.
    pub files: u64,
    /// That they took.
    pub bytes: u64,
    /// Leftovers among them and beside them that nobody would have finished.
    pub unfinished: u64,
    /// Still stored.
    pub bytes_left: u64,
    /// Bytes of what is left that are in use and therefore stay.
    pub in_use: u64,
}

/// Where the cache lies now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheMoved {
    /// The folders with `blobs` in them: a path below the one is the same path below the other.
    pub from: String,
    /// The new one.
    pub to: String,
    /// That moved.
    pub files: u64,
    /// That moved.
    pub bytes: u64,
    /// Were damaged already, and not taken along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<BlobHash>,
    /// Files in use, which lie in the old folder too until the daemon starts anew.
    pub kept: u64,
}
