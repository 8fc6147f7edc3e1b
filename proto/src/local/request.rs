//! The parameters of each verb. Which verb has which, and what it is answered with, says [`super::table`].
//!
//! A `null` for what is optional is the same as its absence: programs in other languages write what they do not set so.
//! The parameters of `limits.set` are the exception, where `null` means no limit.

pub use crate::fetching::pace::Change as LimitsSet;

use crate::{
    fetching::scheduler::Distance,
    id::{PeerId, PlayerName},
};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// Who is calling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Who is calling, for logs: `fyteclubctl 0.1.0`.
    pub client: String,
    /// Local API versions the client speaks, newest first.
    pub versions: Vec<u16>,
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

/// A look as the plugin sees it: files on this machine by the game paths they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppearancePublish {
    /// The character and what belongs to it, each kind once.
    #[serde(deserialize_with = "null_is_absent")]
    pub objects: Vec<LocalObject>,
    #[serde(flatten)]
    pub strings: Strings,
}

/// One object that is shown: its files, and what other plugins say of it.
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

/// A file on this machine, and the game paths that it stands for. Its own path never leaves this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalFile {
    /// Absolute.
    pub path: String,
    /// At least one. Upper case and `\\` are taken as lower case and `/`; what breaks a rule is left out, and named.
    pub game_paths: Vec<String>,
}

/// Game paths that the game is to read from another path of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalSwap {
    /// At least one.
    pub game_paths: Vec<String>,
    /// Another path of the game's own.
    pub to: String,
}

/// Opaque strings of other plugins: carried, never parsed.
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
    /// For plugins to come; values are text (base64 where they are bytes).
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, String>,
}

/// Whose look, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerFetch {
    /// A contact, by the whole name.
    pub player: PlayerName,
    /// Absolute path of a folder to write the look to, as a mod that Penumbra loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

/// Whose fetch is to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerCancel {
    /// By the whole name.
    pub player: PlayerName,
}

/// A change of the set of players who are near. It is this client's own set, and goes when the client leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NearbySet {
    /// Everybody who is near: the set begins anew with these. A set has at most 256 players.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub players: Option<Vec<NearPlayer>>,
    /// Who came, or stands elsewhere now.
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<NearPlayer>,
    /// Who is not near any more.
    #[serde(deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<PlayerName>,
    /// Changes instead the one set that stays without its client, and has it stay for so many seconds from now; at most
    /// 3600. For programs that say it and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_secs: Option<u32>,
}

/// Who is near, and how far away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearPlayer {
    pub player: PlayerName,
    /// In whatever the client measures with.
    pub distance: Distance,
}

/// A name, and the key that is right for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PeerTrust {
    /// A contact, by the whole name.
    pub player: PlayerName,
    /// The key that the player confirmed.
    pub peer_id: PeerId,
}

/// Who is to be a contact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContactsAdd {
    /// By the whole name.
    pub player: PlayerName,
    /// Where it is known: then nobody else can answer to the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// A contact by name, by key, or by both. Two who ask may claim one name: then the key is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Who {
    /// By the whole name. One of the two is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
    /// By the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
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

/// An invitation that somebody sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactsJoin {
    /// `fyteclub://join/…`, whole.
    pub link: String,
}

/// What is to go beside what is over the limit, and what nobody will finish. Never what is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheGc {
    /// In bytes: until the cache has no more than this, the longest unused first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Whatever was not used for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_secs: Option<u64>,
}

/// Where the cache is to lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMove {
    /// Absolute path of an empty folder, or of one that is not there yet.
    pub dir: String,
}

/// For what is optional and no `Option`: `null` reads as its default.
fn null_is_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}
