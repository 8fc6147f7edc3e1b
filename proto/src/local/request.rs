//! The parameters of each verb. [`super::table`] has each verb's parameters and reply.
//!
//! `null` for an optional parameter is the same as its absence, because programs in other languages write unset fields
//! so. In `limits.set`, `null` means no limit.

pub use crate::fetching::pace::Change as LimitsSet;

use crate::{
    fetching::scheduler::Distance,
    id::{PeerId, PlayerName},
    reaching::relay_use::RelayUse,
};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeMap, net::SocketAddr};

/// The calling program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The calling program, for logs: `fyteclubctl 0.1.0`.
    pub client: String,
    /// Local API versions the client speaks, newest first.
    pub versions: Vec<u16>,
}

/// The player in question, by name, by key, or by both; without either it is about this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Doctor {
    /// By the whole name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    /// By the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// Whom the findings in the text are about, as in `doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DoctorBundle {
    /// By the whole name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    /// By the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// How much the log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debug {
    /// All details, or the configuration's.
    pub on: bool,
}

/// A mod on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppearancePublishMod {
    /// Absolute path of a Penumbra mod folder or a `.pmp`.
    pub path: String,
    /// Chosen options; groups that are not named keep their defaults.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionChoice>,
}

/// One chosen option of a mod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionChoice {
    /// The group's name in the mod.
    pub group: String,
    /// The option's name in the group.
    pub option: String,
}

/// A look in the game: files on this machine by their game paths.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppearancePublish {
    /// The character and what belongs to it, each kind once.
    #[serde(deserialize_with = "null_is_absent")]
    pub objects: Vec<LocalObject>,
    #[serde(flatten)]
    pub strings: Strings,
}

/// One shown object: its files, and other plugins' texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalObject {
    pub kind: crate::appearance::ObjectKind,
    /// Files that replace files of the game.
    #[serde(default, deserialize_with = "null_is_absent")]
    pub files: Vec<LocalFile>,
    /// Files of the game that replace others of its own.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<LocalSwap>,
    /// A string of that plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glamourer: Option<String>,
    /// A string of that plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customize_plus: Option<String>,
}

/// A file on this machine, and its game paths. Its own path is never sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalFile {
    /// Absolute.
    pub path: String,
    /// At least one. Upper case and `\\` are converted to lower case and `/`; paths that break a rule are left out and
    /// listed.
    pub game_paths: Vec<String>,
}

/// Game paths for which the game reads another game path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalSwap {
    /// At least one.
    pub game_paths: Vec<String>,
    /// Another path of the game's own.
    pub to: String,
}

/// Opaque strings of other plugins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Strings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heels: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub honorific: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moodles: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pet_names: Option<String>,
    /// For future plugins; values are text (base64 for bytes).
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, String>,
}

/// Whose look, and where to write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerFetch {
    /// A contact, by the whole name.
    pub player: PlayerName,
    /// Absolute path of a folder to write the look to, as a mod that Penumbra loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// The fetch to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCancel {
    /// By the whole name.
    pub player: PlayerName,
}

/// The contact to whom the path is made anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReconnect {
    /// By the whole name.
    pub player: PlayerName,
}

/// The contact whose path in use is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerFailover {
    /// By the whole name.
    pub player: PlayerName,
}

/// A change of the set of near players. The set belongs to this client, and ends with its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NearbySet {
    /// Replaces the set. A set has at most 256 players.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub players: Option<Vec<NearPlayer>>,
    /// Players to add, or with a new distance.
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<NearPlayer>,
    /// Players to remove.
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<PlayerName>,
    /// Changes the one set without a client instead, and keeps it for so many seconds from now; at most 3600. For
    /// programs that send it and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_secs: Option<u32>,
}

/// A near player, and the distance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearPlayer {
    pub player: PlayerName,
    /// In the client's own unit.
    pub distance: Distance,
}

/// A contact, and where to dial it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerConnect {
    /// The contact's key.
    pub peer_id: PeerId,
    /// `IP:PORT`; IPv6 addresses in brackets.
    pub address: SocketAddr,
}

/// A name, and its confirmed key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerTrust {
    /// A contact, by the whole name.
    pub player: PlayerName,
    /// The key that the player confirmed.
    pub peer_id: PeerId,
}

/// The player to ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContactsAdd {
    /// By the whole name.
    pub player: PlayerName,
    /// If known: then no other key can answer to the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// A contact by name, by key, or by both. Two players who ask may claim one name: then the key is required.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Who {
    /// The whole name. One of the two is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    /// By the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// A contact, by name, by key, or by both, and what is set for it. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContactsSet {
    /// The whole name. One of the two is required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    /// By the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
    /// Whether relays are used toward this contact: `only` shows them no address of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<RelayUse>,
}

impl From<PlayerName> for Who {
    fn from(player: PlayerName) -> Self {
        Self { player: Some(player), peer_id: None }
    }
}

impl From<PeerId> for Who {
    fn from(key: PeerId) -> Self {
        Self { player: None, peer_id: Some(key) }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.player, &self.peer_id) {
            (Some(player), _) => player.fmt(f),
            (None, Some(key)) => key.fmt(f),
            (None, None) => f.write_str("nobody"),
        }
    }
}

/// A received invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactsJoin {
    /// `fyteclub://join/…`, whole.
    pub link: String,
}

/// What to remove beside what is over the limit, and abandoned partials. Files in use are never removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheGc {
    /// In bytes: removes the longest unused files until the cache has no more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Removes files that were not used for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_secs: Option<u64>,
}

/// The cache's new place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMove {
    /// Absolute path of an empty folder, or of one that does not exist.
    pub dir: String,
}

/// For optional parameters that are no `Option`: `null` is the default.
fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
