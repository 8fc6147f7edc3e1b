//! The table of the local API's verbs: each one's name, parameters, reply, events and faults, said once.
//!
//! [`Request`], its names and its parsing come from this table, so there is no verb without a row. The daemon and the SDK
//! name a verb by its type in [`verb`], which ties the parameters to the reply: a reply of another type does not compile.
//! `docs/LOCAL_API.md` and `docs/local-api.schema.json` are written from it.
//!
//! One rule makes all names of a verb: `cache.gc` on the wire is [`Request::CacheGc`] with the parameters
//! [`request::CacheGc`], and `cache_gc` in the SDK. Replies are named for what they show; several verbs share some.

use super::{Call, Fault, FaultCode, RawJson, reply, request};
use serde::{Serialize, de::DeserializeOwned};

/// One verb, as documents show it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What `op` says on the wire.
    pub op: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The local API version that it came with.
    pub since: u16,
    /// The type of its parameters, where it has some.
    pub params: Option<&'static str>,
    /// The type of its result.
    pub reply: &'static str,
    /// What `fyteclubctl` calls it; empty where a person has no use for it alone.
    pub command: &'static str,
    /// Whether it waits for the network or reads the whole cache. It ends when its client leaves and nobody else waits.
    pub takes_long: bool,
    /// Events that it causes, in the order in which they come.
    pub events: &'static [&'static str],
    /// Faults of its own, beside [`COMMON_FAULTS`].
    pub faults: &'static [FaultCode],
}

/// What every verb may be answered with.
pub const COMMON_FAULTS: &[FaultCode] = {
    use FaultCode::*;
    &[BadRequest, HelloFirst, Busy, TooLarge, Stopping, Internal]
};

/// A verb's parameters and its reply, tied together.
pub trait Verb: 'static {
    const ROW: &'static Row;
    /// `()` where there are none.
    type Params;
    type Reply: Serialize + DeserializeOwned + 'static;

    fn request(params: Self::Params) -> Request;
}

fn read<T: DeserializeOwned>(call: &Call) -> Result<T, Fault> {
    let params = call.params.as_ref().map_or("{}", RawJson::text);
    serde_json::from_str(params).map_err(|error| {
        Fault::new(FaultCode::BadRequest, format!("the parameters of `{}` are wrong: {error}", call.op))
    })
}

macro_rules! verbs {
    ($($(#[doc = $doc:literal])+
       $name:ident $(($params:ty))? = $op:literal -> $reply:ident, since $since:literal, ctl $command:literal,
       takes_long $long:literal, events [$($event:literal),*], faults [$($fault:ident),*];)+) => {
        /// All that can be asked, parsed.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $($(#[doc = $doc])+ $name $(($params))?,)+
        }

        /// All verbs, in the order in which they are documented.
        pub const VERBS: &[&Row] = &[$(<verb::$name as Verb>::ROW),+];

        /// A type for each verb, of which there is no value.
        pub mod verb {
            use super::*;
            $(
                $(#[doc = $doc])+
                #[derive(Debug)]
                pub enum $name {}

                impl Verb for $name {
                    const ROW: &'static Row = &Row {
                        op: $op,
                        about: concat!($($doc, "\n"),+),
                        since: $since,
                        params: verbs!(@name $($params)?),
                        reply: stringify!($reply),
                        command: $command,
                        takes_long: $long,
                        events: &[$($event),*],
                        faults: &[$(FaultCode::$fault),*],
                    };
                    type Params = verbs!(@type $($params)?);
                    type Reply = reply::$reply;

                    fn request(params: Self::Params) -> Request {
                        verbs!(@make $name, params $(, $params)?)
                    }
                }
            )+
        }

        impl Request {
            pub fn row(&self) -> &'static Row {
                match self {
                    $(Self::$name { .. } => <verb::$name as Verb>::ROW,)+
                }
            }

            /// # Errors
            /// Only where parameters are no JSON: a mistake of the program.
            pub fn into_call(self, id: u64) -> Result<Call, serde_json::Error> {
                let op = self.op().to_owned();
                let params = match self {
                    $(verbs!(@pattern $name, params $(, $params)?) => verbs!(@encode params $(, $params)?),)+
                };
                Ok(Call { id, op, params })
            }

            /// # Errors
            /// [`FaultCode::Unsupported`] for an unknown verb, [`FaultCode::BadRequest`] for parameters that do not fit it.
            pub fn from_call(call: &Call) -> Result<Self, Fault> {
                Ok(match call.op.as_str() {
                    $($op => verbs!(@read $name, call $(, $params)?),)+
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
    };
    (@name) => { None };
    (@name $params:ty) => { Some(stringify!($params)) };
    (@type) => { () };
    (@type $params:ty) => { $params };
    (@make $name:ident, $var:ident) => {{ let () = $var; Request::$name }};
    (@make $name:ident, $var:ident, $params:ty) => { Request::$name($var) };
    (@pattern $name:ident, $var:ident) => { Self::$name };
    (@pattern $name:ident, $var:ident, $params:ty) => { Self::$name($var) };
    (@encode $var:ident) => { None };
    (@encode $var:ident, $params:ty) => { Some(RawJson::of(&$var)?) };
    (@read $name:ident, $call:ident) => { Self::$name };
    (@read $name:ident, $call:ident, $params:ty) => { Self::$name(read($call)?) };
}

impl Request {
    /// The stable string of the verb.
    pub fn op(&self) -> &'static str {
        self.row().op
    }
}

verbs! {
    /// Greets the daemon. Must be the first call, and says which versions of the local API the client speaks. No version
    /// in common, or no place for another program, and the daemon says so.
    Hello(request::Hello) = "hello" -> Hello, since 1, ctl "", takes_long false, events [], faults [Version];
    /// Says what is going on, in one piece. The event `state` has the same.
    Status = "status" -> Status, since 1, ctl "status", takes_long false, events [], faults [];
    /// Reads a Penumbra mod folder or a `.pmp` and publishes it as this player's look. What breaks a rule is left out and
    /// named. Goes on when the client leaves.
    AppearancePublishMod(request::AppearancePublishMod) = "appearance.publishMod" -> Published, since 1, ctl "publish",
        takes_long false, events ["appearance.published"], faults [BadMod, NoPlayer, TooLarge, DiskFull, CacheAway, Io];
    /// Publishes what a plugin found in the game as this player's look. Goes on when the client leaves.
    AppearancePublish(request::AppearancePublish) = "appearance.publish" -> Published, since 1, ctl "",
        takes_long false, events ["appearance.published"], faults [BadMod, NoPlayer, TooLarge, DiskFull, CacheAway, Io];
    /// Withdraws the look; peers are told that nothing is published.
    AppearanceClear = "appearance.clear" -> Empty, since 1, ctl "unpublish", takes_long false,
        events ["appearance.published"], faults [Io];
    /// Fetches a contact's look, and answers when it is complete, verified and on disk. Everybody who asks for the same
    /// player waits for one fetch. It is given up when every client that asked has left; what came is kept.
    PeerFetch(request::PeerFetch) = "peer.fetch" -> Fetched, since 1, ctl "fetch", takes_long true,
        events ["peer.connected", "appearance.offered", "transfer.progress", "transfer.suspect", "appearance.ready",
            "transfer.failed", "cache.evicted"],
        faults [NotAContact, NotFound, PhonebookUnavailable, PhonebookRefused, KeyChanged, PeerUnreachable, PeerRefused,
            PeerMisbehaved, HashMismatch, Changed, TooLarge, DiskFull, CacheAway, Io, Cancelled];
    /// Gives a running fetch up: everybody who waits for it is answered `cancelled`. What came is kept.
    PeerCancel(request::PeerCancel) = "peer.cancel" -> Empty, since 1, ctl "cancel", takes_long false,
        events ["transfer.failed"], faults [];
    /// Lists every peer that the daemon has or had a link with.
    PeerList = "peer.list" -> Peers, since 1, ctl "peers", takes_long false, events [], faults [];
    /// Says that this contact has this key from now on. Ask the player through another channel first.
    PeerTrust(request::PeerTrust) = "peer.trust" -> Empty, since 1, ctl "peers trust", takes_long false,
        events ["contact.changed"], faults [NotAContact, KeyChanged, NoPlayer, Io];
    /// Says who is near: their looks are fetched by themselves, the nearest first. The set is the client's own and goes with
    /// it, unless `keepSecs` says otherwise. `players` begins the set anew, then `remove` and `add` change it.
    NearbySet(request::NearbySet) = "nearby.set" -> Nearby, since 1, ctl "nearby set", takes_long false,
        events ["appearance.offered", "transfer.progress", "appearance.ready", "transfer.failed"], faults [];
    /// Lists who is near, by all clients' word.
    NearbyList = "nearby.list" -> Nearby, since 1, ctl "nearby list", takes_long false, events [], faults [];
    /// Lists what is fetched and why, who is served, and who waits in line.
    TransferList = "transfer.list" -> Transfers, since 1, ctl "transfers", takes_long false, events [], faults [];
    /// Tells the limits that hold now.
    LimitsGet = "limits.get" -> Limits, since 1, ctl "limits get", takes_long false, events [], faults [];
    /// Changes the limits that are named, and leaves the others. They hold at once and after a restart, and win over the
    /// configuration.
    LimitsSet(request::LimitsSet) = "limits.set" -> Limits, since 1, ctl "limits set", takes_long false, events [], faults [Io];
    /// Goes back to the limits of the configuration.
    LimitsReset = "limits.reset" -> Limits, since 1, ctl "limits reset", takes_long false, events [], faults [Io];
    /// Lists everybody who is or may become a contact, and the blocked.
    ContactsList = "contacts.list" -> Contacts, since 1, ctl "contacts list", takes_long false, events [], faults [];
    /// Asks a player to be a contact: the reply says `requested`, or `paired` where they ask already. With a key, this side
    /// shares with that key at once.
    ContactsAdd(request::ContactsAdd) = "contacts.add" -> Contact, since 1, ctl "contacts add", takes_long false,
        events ["contact.changed"], faults [KeyChanged, NoPlayer, Io];
    /// Says yes to one who asks. Two who ask may claim one name: then the key is needed.
    ContactsAccept(request::Who) = "contacts.accept" -> Contact, since 1, ctl "contacts accept", takes_long false,
        events ["contact.changed"], faults [NotAContact, KeyChanged, NoPlayer, Io];
    /// Forgets a contact, or says no to one who asks. An open link ends at once.
    ContactsRemove(request::Who) = "contacts.remove" -> Empty, since 1, ctl "contacts remove", takes_long false,
        events ["contact.changed", "peer.disconnected", "transfer.failed"], faults [NotAContact, NoPlayer, Io];
    /// Hears no more of a key, which need not be a contact's. An open link ends at once.
    ContactsBlock(request::Who) = "contacts.block" -> Contact, since 1, ctl "contacts block", takes_long false,
        events ["contact.changed", "peer.disconnected", "transfer.failed"], faults [NotAContact, NoPlayer, Io];
    /// Forgets that a key was blocked. It is no contact by that.
    ContactsUnblock(request::Who) = "contacts.unblock" -> Empty, since 1, ctl "contacts unblock", takes_long false,
        events ["contact.changed"], faults [NotAContact, NoPlayer, Io];
    /// Makes a link by which the first player who follows it becomes a contact, within a day.
    ContactsInvite = "contacts.invite" -> Invited, since 1, ctl "contacts invite", takes_long false, events [],
        faults [NoPlayer, Io];
    /// Follows such a link. Answers after 3 s at most: `paired`, or `requested` where the inviter is away.
    ContactsJoin(request::ContactsJoin) = "contacts.join" -> Contact, since 1, ctl "contacts join", takes_long false,
        events ["contact.changed", "invitation.over"], faults [InvitationOver, KeyChanged, NoPlayer, Io];
    /// Tells how much is stored, and how much room its disk has.
    CacheStats = "cache.stats" -> CacheStats, since 1, ctl "cache stats", takes_long false, events [], faults [];
    /// Reads every cached file again; those that are not what their name says are removed. Broken off when the client
    /// leaves.
    CacheVerify = "cache.verify" -> CacheVerified, since 1, ctl "cache verify", takes_long true,
        events ["cache.progress", "cache.damaged"], faults [CacheAway, Io, Cancelled];
    /// Makes room: removes what is over the limit, what the parameters name, and what nobody would finish. Never what is in
    /// use.
    CacheGc(request::CacheGc) = "cache.gc" -> CacheGced, since 1, ctl "cache gc", takes_long false,
        events ["cache.evicted"], faults [CacheAway, Io];
    /// Moves the cache to another folder. When the client leaves before all is copied, the cache stays where it is.
    CacheMove(request::CacheMove) = "cache.move" -> CacheMoved, since 1, ctl "cache move", takes_long true,
        events ["cache.progress", "cache.moved"], faults [DiskFull, CacheAway, Io, Busy, Cancelled];
    /// Has events pushed to this client from now on, the whole `state` first. Said again, the `state` comes once more.
    Watch = "watch" -> Empty, since 1, ctl "watch", takes_long false, events ["state"], faults [];
    /// Answers, and stops the daemon.
    Shutdown = "shutdown" -> Empty, since 1, ctl "shutdown", takes_long false, events [], faults [];
}
