//! The verbs: every request a client may make, and its parameters. One reply shape each, in [`super::reply`].

use super::{Call, Fault, FaultCode, RawJson};
use crate::{
    fetching::{pace::Change, scheduler::Distance},
    id::{PeerId, PlayerName},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// All that can be asked, parsed. `op` strings are in [`Request::op`].
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Must be the first call; answered with [`super::reply::Hello`].
    Hello(Hello),
    /// [`super::reply::Status`]
    Status,
    /// Reads a mod and publishes it as this player's look: [`super::reply::Published`].
    PublishMod(PublishMod),
    /// Publishes what a plugin found in the game: [`super::reply::Published`].
    Publish(Publish),
    /// Withdraws the look; peers are told nothing is published. Answers `{}`.
    Unpublish,
    /// Fetches a player's look and answers when it is complete, verified and on disk: [`super::reply::Fetched`].
    Fetch(Fetch),
    /// Gives a running fetch up, for everybody who waits for it; what came is kept. Answers `{}`.
    Cancel(Cancel),
    /// Says who is near, so that their looks are fetched first, and by themselves: [`super::reply::Nearby`].
    SetNearby(SetNearby),
    /// Who is near, by all clients' word: [`super::reply::Nearby`].
    Nearby,
    /// What is fetched and what is served at the moment: [`super::reply::Transfers`].
    Transfers,
    /// [`super::reply::Limits`]
    Limits,
    /// Changes some limits at once and for good: [`super::reply::Limits`].
    SetLimits(Change),
    /// Goes back to the limits of the configuration: [`super::reply::Limits`].
    ResetLimits,
    /// [`super::reply::Peers`]
    Peers,
    /// Says that the name's new key is right: [`super::reply::Empty`].
    Trust(Trust),
    /// [`super::reply::Contacts`]
    Contacts,
    /// Asks a player to be a contact: [`super::reply::Contact`].
    AddContact(AddContact),
    /// Says yes to one who asks: [`super::reply::Contact`].
    AcceptContact(Who),
    /// Forgets a contact, or says no to one who asks. Answers `{}`.
    RemoveContact(Who),
    /// Hears no more of a key: [`super::reply::Contact`].
    BlockContact(Who),
    /// Forgets that a key was blocked. Answers `{}`.
    UnblockContact(Who),
    /// Makes a link that one other player may follow: [`super::reply::Invited`].
    Invite,
    /// Follows such a link: [`super::reply::Contact`].
    Join(Join),
    /// [`super::reply::CacheStats`]
    CacheStats,
    /// Re-reads every cached file against its hash: [`super::reply::CacheVerified`].
    CacheVerify,
    /// Makes room now: [`super::reply::CacheCollected`].
    CacheGc(CacheGc),
    /// Moves the cache to another folder: [`super::reply::CacheMoved`].
    CacheMove(CacheMove),
    /// From now on events are pushed to this client. Answers `{}`, then a first `state` event.
    Watch,
    /// Answers `{}` and stops the daemon.
    Shutdown,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// Who is calling, for logs: `fyteclubctl 0.1.0`.
    pub client: String,
    /// Local API versions the client speaks, newest first.
    pub versions: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishMod {
    /// Absolute path of a Penumbra mod folder or a `.pmp`.
    pub path: String,
    /// Chosen options; groups that are not named keep their defaults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<OptionChoice>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptionChoice {
    pub group: String,
    pub option: String,
}

/// A look as the plugin sees it: files on this machine by the game paths they stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Publish {
    pub objects: Vec<LocalObject>,
    #[serde(flatten)]
    pub strings: Strings,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalObject {
    pub kind: crate::appearance::ObjectKind,
    #[serde(default)]
    pub files: Vec<LocalFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<LocalSwap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub glamourer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customize_plus: Option<String>,
}

/// The path never leaves this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalFile {
    pub path: String,
    pub game_paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalSwap {
    pub game_paths: Vec<String>,
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
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ext: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fetch {
    pub player: PlayerName,
    /// Absolute path of a folder to write the look to, as a mod that Penumbra loads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    pub player: PlayerName,
}

/// A change of the set of players who are near. It is this client's own set, and goes when the client leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SetNearby {
    /// Everybody who is near: the set begins anew with these.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub players: Option<Vec<NearPlayer>>,
    /// Who came, or stands elsewhere now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<NearPlayer>,
    /// Who is not near any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<PlayerName>,
    /// Changes instead the one set that stays without its client, and has it stay for so many seconds from now; at most
    /// [`crate::limit::NEARBY_KEEP_MAX`]. For programs that say it and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_secs: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearPlayer {
    pub player: PlayerName,
    pub distance: Distance,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trust {
    pub player: PlayerName,
    pub peer_id: PeerId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddContact {
    pub player: PlayerName,
    /// Where it is known: then nobody else can answer to the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<PeerId>,
}

/// A contact by name, by key, or by both. Two who ask may claim one name: then the key is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Who {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerName>,
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// `fyteclub://join/…`
    pub link: String,
}

/// What is to go beside what is over the limit, and what nobody will finish. Never what is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CacheGc {
    /// Until the cache has no more bytes than this, the longest unused first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// Whatever was not used for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than_secs: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMove {
    /// Absolute path of an empty folder, or of one that is not there yet.
    pub dir: String,
}

impl Request {
    /// The stable string of the verb.
    pub fn op(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Status => "status",
            Self::PublishMod(_) => "appearance.publishMod",
            Self::Publish(_) => "appearance.publish",
            Self::Unpublish => "appearance.clear",
            Self::Fetch(_) => "peer.fetch",
            Self::Cancel(_) => "peer.cancel",
            Self::SetNearby(_) => "nearby.set",
            Self::Nearby => "nearby.list",
            Self::Transfers => "transfer.list",
            Self::Limits => "limits.get",
            Self::SetLimits(_) => "limits.set",
            Self::ResetLimits => "limits.reset",
            Self::Peers => "peer.list",
            Self::Trust(_) => "peer.trust",
            Self::Contacts => "contacts.list",
            Self::AddContact(_) => "contacts.add",
            Self::AcceptContact(_) => "contacts.accept",
            Self::RemoveContact(_) => "contacts.remove",
            Self::BlockContact(_) => "contacts.block",
            Self::UnblockContact(_) => "contacts.unblock",
            Self::Invite => "contacts.invite",
            Self::Join(_) => "contacts.join",
            Self::CacheStats => "cache.stats",
            Self::CacheVerify => "cache.verify",
            Self::CacheGc(_) => "cache.gc",
            Self::CacheMove(_) => "cache.move",
            Self::Watch => "watch",
            Self::Shutdown => "shutdown",
        }
    }

    /// # Errors
    /// Only where parameters are no JSON: a mistake of the program.
    pub fn into_call(self, id: u64) -> Result<Call, serde_json::Error> {
        let op = self.op().to_owned();
        let params = match self {
            Self::Hello(params) => RawJson::of(&params)?,
            Self::PublishMod(params) => RawJson::of(&params)?,
            Self::Publish(params) => RawJson::of(&params)?,
            Self::Fetch(params) => RawJson::of(&params)?,
            Self::Cancel(params) => RawJson::of(&params)?,
            Self::SetNearby(params) => RawJson::of(&params)?,
            Self::SetLimits(params) => RawJson::of(&params)?,
            Self::Trust(params) => RawJson::of(&params)?,
            Self::AddContact(params) => RawJson::of(&params)?,
            Self::AcceptContact(params)
            | Self::RemoveContact(params)
            | Self::BlockContact(params)
            | Self::UnblockContact(params) => RawJson::of(&params)?,
            Self::Join(params) => RawJson::of(&params)?,
            Self::CacheGc(params) => RawJson::of(&params)?,
            Self::CacheMove(params) => RawJson::of(&params)?,
            Self::Status
            | Self::Unpublish
            | Self::Nearby
            | Self::Transfers
            | Self::Limits
            | Self::ResetLimits
            | Self::Peers
            | Self::Contacts
            | Self::Invite
            | Self::CacheStats
            | Self::CacheVerify
            | Self::Watch
            | Self::Shutdown => return Ok(Call { id, op, params: None }),
        };
        Ok(Call { id, op, params: Some(params) })
    }

    /// # Errors
    /// [`FaultCode::Unsupported`] for an unknown verb, [`FaultCode::BadRequest`] for parameters that do not fit it.
    pub fn from_call(call: Call) -> Result<Self, Fault> {
        fn params<T: DeserializeOwned>(call: Call) -> Result<T, Fault> {
            let params = call.params.as_ref().map_or("{}", RawJson::text);
            serde_json::from_str(params).map_err(|error| {
                Fault::new(
                    FaultCode::BadRequest,
                    format!("the parameters of `{}` are wrong: {error}", call.op),
                )
            })
        }
        Ok(match call.op.as_str() {
            "hello" => Self::Hello(params(call)?),
            "status" => Self::Status,
            "appearance.publishMod" => Self::PublishMod(params(call)?),
            "appearance.publish" => Self::Publish(params(call)?),
            "appearance.clear" => Self::Unpublish,
            "peer.fetch" => Self::Fetch(params(call)?),
            "peer.cancel" => Self::Cancel(params(call)?),
            "nearby.set" => Self::SetNearby(params(call)?),
            "nearby.list" => Self::Nearby,
            "transfer.list" => Self::Transfers,
            "limits.get" => Self::Limits,
            "limits.set" => Self::SetLimits(params(call)?),
            "limits.reset" => Self::ResetLimits,
            "peer.list" => Self::Peers,
            "peer.trust" => Self::Trust(params(call)?),
            "contacts.list" => Self::Contacts,
            "contacts.add" => Self::AddContact(params(call)?),
            "contacts.accept" => Self::AcceptContact(params(call)?),
            "contacts.remove" => Self::RemoveContact(params(call)?),
            "contacts.block" => Self::BlockContact(params(call)?),
            "contacts.unblock" => Self::UnblockContact(params(call)?),
            "contacts.invite" => Self::Invite,
            "contacts.join" => Self::Join(params(call)?),
            "cache.stats" => Self::CacheStats,
            "cache.verify" => Self::CacheVerify,
            "cache.gc" => Self::CacheGc(params(call)?),
            "cache.move" => Self::CacheMove(params(call)?),
            "watch" => Self::Watch,
            "shutdown" => Self::Shutdown,
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(Fault::new(
                    FaultCode::Unsupported,
                    format!("this daemon knows no operation `{other}`; it may be older than the client"),
                ));
            }
        })
    }
}
