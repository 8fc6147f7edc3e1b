//! The replies. Field names are a contract with scripts and with the plugin.

mod cache;
mod doctor;
mod mapping;
mod network;

pub use cache::{CacheGced, CacheMoved, CacheObstacle, CacheStats, CacheVerified};
pub use doctor::{Bundle, Diagnosis, Finding, FindingCode, Severity, Sureness};
pub use mapping::{MappingCounts, MappingState, PortMapping};
pub use network::{NatKind, NetworkStatus};

use super::request::Strings;
use crate::{
    appearance::{ObjectKind, Swap},
    fetching::{
        pace,
        scheduler::{Distance, Reason},
    },
    game_path::GamePath,
    id::{BlobHash, PeerId, PlayerName},
    reaching::relay_use::RelayUse,
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
    /// The local API version for both sides.
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
    /// This player's own name, if the daemon has one.
    pub player: Option<PlayerName>,
    /// `IP:PORT` of the QUIC socket.
    pub listen: String,
    /// The state of the home router's port mapping, in a few words. [`Status::mapping`] has it in parts.
    #[serde(default)]
    pub port_mapping: String,
    #[serde(default)]
    pub mapping: PortMapping,
    /// This machine as STUN servers see it.
    #[serde(default)]
    pub network: NetworkStatus,
    /// All configured ones.
    pub phonebooks: Vec<PhonebookStatus>,
    /// This player's published look.
    pub appearance: Option<BlobHash>,
    /// Why the published look could not be read again. Without an [`Self::appearance`]: its files are gone, it is
    /// offered to nobody, and it is published again once they are back.
    #[serde(default)]
    pub appearance_trouble: Option<String>,
    /// Every peer with a present or past link, or being dialled.
    pub peers: Vec<PeerStatus>,
    /// Running fetches.
    pub transfers: Vec<TransferStatus>,
    pub cache: CacheStats,
    /// The number of the last included event: see [`super::Numbered`].
    #[serde(default)]
    pub seq: u64,
    /// Charges since the start, by the name of the [`crate::ledger::Item`].
    #[serde(default)]
    pub ledger: BTreeMap<String, Charged>,
}

/// All counterparts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Charged {
    /// In the item's unit: a number, or bytes.
    pub charged: u64,
    /// How often an allowance was used up.
    pub refusals: u64,
}

/// The state of one phone book.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhonebookStatus {
    /// As configured.
    pub url: String,
    /// Whether it accepted the last registration.
    pub ok: bool,
    /// Whether the live connection to it is open.
    #[serde(default)]
    pub live: bool,
    /// Unix milliseconds of its last answer to a registration, whatever it said.
    pub last_answer: Option<u64>,
    /// Why the last registration failed, in one sentence.
    pub error: Option<String>,
}

/// The state of the link to one peer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerStatus {
    /// The contact's name here, not the peer's claim.
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    pub state: PeerState,
    /// The path in use, if there is one.
    pub path: Option<PathKind>,
    /// Round trip in milliseconds, if there is a link.
    pub rtt_ms: Option<f64>,
    /// Why the peer is not connected, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Why the link goes over a relay, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_relayed: Option<String>,
    /// All paths that answer. None where the peer was dialled at an address that it told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<PathStatus>,
}

/// A path to a peer that answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStatus {
    pub path: PathKind,
    /// This end sends over it.
    pub in_use: bool,
    /// Round trip of probes, in milliseconds.
    pub rtt_ms: f64,
    /// Probes of the last 30 s without an answer, in percent. Only of a path that is probed often, as during a transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_percent: Option<f64>,
}

/// The states that a person sees.
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
    /// A state that this client does not know.
    #[serde(other)]
    Unknown,
}

/// A kind of path to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PathKind {
    /// The same machine.
    Loopback,
    /// A private address.
    Lan,
    /// An address of the peer's machine.
    Direct,
    /// A port that the peer's router forwards.
    Mapped,
    /// Through mappings that hole punching opened.
    Punched,
    /// A relay forwards the encrypted packets, over UDP,
    Relay,
    /// or over a WebSocket at this end.
    #[serde(rename = "relay-tcp")]
    RelayTcp,
    /// A path that this client does not know.
    #[serde(other)]
    Unknown,
}

/// A running fetch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferStatus {
    pub player: PlayerName,
    /// The key of the look's owner.
    pub peer_id: PeerId,
    pub appearance: BlobHash,
    /// Of the files to be transferred.
    pub files_done: u64,
    /// Files to be transferred.
    pub files_total: u64,
    /// Verified and on disk, of `bytesTotal`.
    pub bytes_done: u64,
    /// Bytes of the files to be transferred.
    pub bytes_total: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
    /// How much each source sent so far, including sources that left.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// At this rate; absent if nothing moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining_seconds: Option<u64>,
    /// Why it is fetched.
    #[serde(default)]
    pub reason: Reason,
}

/// A look that waits to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitingStatus {
    pub player: PlayerName,
    pub peer_id: PeerId,
    pub reason: Reason,
    /// Of a near player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
}

/// One source of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceStatus {
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    /// Verified, each counted once.
    pub bytes: u64,
}

/// An upload to one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadStatus {
    pub player: Option<PlayerName>,
    pub peer_id: PeerId,
    /// Bytes of files on the wire, since this peer began to fetch.
    pub bytes: u64,
    /// Bytes a second, over the last seconds.
    pub rate: u64,
}

/// Running transfers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfers {
    /// By name.
    pub downloads: Vec<TransferStatus>,
    /// Running uploads.
    pub uploads: Vec<UploadStatus>,
    /// Fetches with a link that wait for a turn, the next one first.
    #[serde(default)]
    pub waiting: Vec<WaitingStatus>,
}

/// The near contacts, the nearest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nearby {
    /// The contacts among the listed players: their looks are fetched without asking.
    pub contacts: Vec<NearContact>,
    /// How many listed players are no contacts.
    pub others: u64,
}

/// A near contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NearContact {
    pub player: PlayerName,
    pub peer_id: PeerId,
    /// The shortest distance of all clients.
    pub distance: Distance,
    /// Whether a link is open.
    pub online: bool,
}

/// The current limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    #[serde(flatten)]
    pub limits: pace::Limits,
    /// Whether some were set while the daemon ran, and override its configuration until `limits.reset`.
    pub set_here: bool,
}

/// The published look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Published {
    pub appearance: BlobHash,
    /// Distinct shared files.
    pub files: u64,
    /// Of those files together.
    pub bytes: u64,
    /// Files that break a rule; the rest is published.
    pub left_out: Vec<LeftOut>,
}

/// A file that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// As given.
    pub game_path: String,
    /// The file for it, as given.
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
    /// Bytes of files on the wire, compressed, without what was here already. 0 if nothing was transferred.
    pub bytes_transferred: u64,
    /// Bytes of the transferred files, before compression.
    pub bytes_fetched: u64,
    /// From the request to the reply.
    pub seconds: f64,
    /// The path in use; absent if no peer was needed.
    pub path: Option<PathKind>,
    /// How much each source sent.
    #[serde(default)]
    pub sources: Vec<SourceStatus>,
    /// The character, and what belongs to it.
    pub objects: Vec<FetchedObject>,
    #[serde(flatten)]
    pub strings: Strings,
    /// The written mod folder, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// One file of a look, on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchedFile {
    /// The game paths of this file.
    pub game_paths: Vec<GamePath>,
    pub hash: BlobHash,
    /// In bytes.
    pub size: u64,
    /// The file's path on this machine: never overwritten, and kept while the look is in use.
    pub path: String,
    /// Index into `objects`.
    #[serde(default)]
    pub object: usize,
}

/// An object without its files.
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

/// All contacts, players who ask, and blocked keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contacts {
    /// By name.
    pub contacts: Vec<Contact>,
}

/// One key, or a name whose key is not known yet, and its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contact {
    /// The contact's name here; of a player who asks, their claim. A blocked key may have none.
    pub player: Option<PlayerName>,
    /// Absent while it is not known: a contact that was asked by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
    pub standing: Standing,
    /// Unix milliseconds.
    pub since: u64,
    /// Whether a link is open.
    pub online: bool,
    /// Of a player who asks: the key of another contact with this name. Either they have a new key, or somebody else
    /// uses their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_key: Option<PeerId>,
    /// Another name that this one can be confused with: an earlier contact's, or this player's own. Somebody may do
    /// that on purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looks_like: Option<PlayerName>,
    /// A word of the name mixes letters of several scripts or begins with a combining mark: it can imitate another name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed_scripts: bool,
    /// Other keys that answer to this name; of a player who was asked and is not paired with, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rivals: Vec<PeerId>,
    /// Whether relays are used toward this contact, if that was set; `only` shows them no address of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayUse>,
}

/// A contact's status, from this side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Standing {
    /// This player asked, and they have not answered.
    Requested,
    /// They ask, and wait for this player's answer.
    Asking,
    Paired,
    Blocked,
    /// A status that this client does not know.
    #[serde(other)]
    Unknown,
}

/// An invitation to send to one player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Invited {
    /// `fyteclub://join/…`: the first who uses it is a contact.
    pub link: String,
    /// Unix milliseconds.
    pub expires: u64,
}
