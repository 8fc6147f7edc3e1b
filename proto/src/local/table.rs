//! The table of the local API's verbs: name, parameters, reply, events and faults of each.
//!
//! [`Request`], its names and its parsing come from this table, so there is no verb without a row. The daemon and the
//! SDK name a verb by its type in [`verb`], which ties the parameters to the reply: a reply of another type does not
//! compile. `docs/LOCAL_API.md` and `docs/local-api.schema.json` are generated from it.
//!
//! One rule makes all names of a verb: `cache.gc` on the wire is [`Request::CacheGc`] with the parameters
//! [`request::CacheGc`], and `cache_gc` in the SDK. Replies are named for their content; several verbs share some.

use super::{Call, Fault, FaultCode, RawJson, reply, request};
use serde::{Serialize, de::DeserializeOwned};

/// One verb, for documents.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its `op` on the wire.
    pub op: &'static str,
    /// What it does.
    pub about: &'static str,
    /// The local API version that introduced it.
    pub since: u16,
    /// The type of its parameters, if it has some.
    pub params: Option<&'static str>,
    /// The type of its result.
    pub reply: &'static str,
    /// Its command in `fyteclubctl`; empty if a person has no use for it alone.
    pub command: &'static str,
    /// Whether it waits for the network or reads the whole cache. It ends when its client leaves, unless another client
    /// waits.
    pub takes_long: bool,
    /// The events that it causes, in their order.
    pub events: &'static [&'static str],
    /// Its faults, beside [`COMMON_FAULTS`].
    pub faults: &'static [FaultCode],
}

/// Faults of every verb.
pub const COMMON_FAULTS: &[FaultCode] = {
    use FaultCode::*;
    &[BadRequest, HelloFirst, Busy, TooLarge, Stopping, Internal]
};

/// A verb's parameters and reply.
pub trait Verb: 'static {
    const ROW: &'static Row;
    /// `()` for none.
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
        /// All requests, parsed.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Request {
            $($(#[doc = $doc])+ $name $(($params))?,)+
        }

        /// All verbs, in the order of the documents.
        pub const VERBS: &[&Row] = &[$(<verb::$name as Verb>::ROW),+];

        /// A type for each verb, without values.
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

            /// # Errors Only if parameters are not JSON: a mistake of the program.
            pub fn into_call(self, id: u64) -> Result<Call, serde_json::Error> {
                let op = self.op().to_owned();
                let params = match self {
                    $(verbs!(@pattern $name, params $(, $params)?) => verbs!(@encode params $(, $params)?),)+
                };
                Ok(Call { id, op, params })
            }

            /// # Errors [`FaultCode::Unsupported`] for an unknown verb, [`FaultCode::BadRequest`] for invalid
            /// parameters.
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
    /// Greets the daemon. Must be the first call, with the client's versions of the local API. Fails without a version
    /// in common, or if there are too many programs.
    Hello(request::Hello) = "hello" -> Hello, since 1, ctl "", takes_long false, events [], faults [Version];
    /// Returns the whole state. The event `state` has the same.
    Status = "status" -> Status, since 1, ctl "status", takes_long false, events [], faults [];
    /// Explains why players are not reached, or one player: what was found, the worst first, and what helps. Sends
    /// nothing.
    Doctor(request::Doctor) = "doctor" -> Diagnosis, since 1, ctl "doctor", takes_long false, events [], faults [];
    /// Returns one text to send to somebody who helps: the state, the configuration, all findings and the log's last lines,
    /// with names of players and users and keys replaced, and addresses shortened. Host names stay in it.
    DoctorBundle(request::DoctorBundle) = "doctor.bundle" -> Bundle, since 1, ctl "doctor --bundle", takes_long false, events [],
        faults [Io];
    /// Reads a Penumbra mod folder or a `.pmp` and publishes it as this player's look. Files that break a rule are left
    /// out and listed. Goes on when the client leaves.
    AppearancePublishMod(request::AppearancePublishMod) = "appearance.publishMod" -> Published, since 1, ctl "publish",
        takes_long false, events ["appearance.published"], faults [BadMod, NoPlayer, TooLarge, DiskFull, CacheAway, Io];
    /// Publishes a look that a plugin found in the game. Goes on when the client leaves.
    AppearancePublish(request::AppearancePublish) = "appearance.publish" -> Published, since 1, ctl "",
        takes_long false, events ["appearance.published"], faults [BadMod, NoPlayer, TooLarge, DiskFull, CacheAway, Io];
    /// Withdraws the look; peers are told that nothing is published.
    AppearanceClear = "appearance.clear" -> Empty, since 1, ctl "unpublish", takes_long false,
        events ["appearance.published"], faults [Io];
    /// Fetches a contact's look, and answers when it is complete, verified and on disk. All who ask for the same player
    /// wait for one fetch. It ends when every client that asked has left; verified chunks are kept.
    PeerFetch(request::PeerFetch) = "peer.fetch" -> Fetched, since 1, ctl "fetch", takes_long true,
        events ["peer.connected", "appearance.offered", "transfer.progress", "transfer.suspect", "appearance.ready",
            "transfer.failed", "cache.evicted"],
        faults [NotAContact, NotFound, PhonebookUnavailable, PhonebookRefused, KeyChanged, PeerUnreachable, PeerRefused,
            PeerMisbehaved, HashMismatch, Changed, TooLarge, DiskFull, CacheAway, Io, Cancelled];
    /// Ends a running fetch: all its waiters are answered `cancelled`. Verified chunks are kept.
    PeerCancel(request::PeerCancel) = "peer.cancel" -> Empty, since 1, ctl "cancel", takes_long false,
        events ["transfer.failed"], faults [];
    /// Makes the path to a contact anew: asks for fresh outside addresses, tells them to the peer, and has every direct
    /// path prove itself again. The link and its transfers stay; a contact without a link is dialled. Answers at once:
    /// `peer.list` has what comes of it.
    PeerReconnect(request::PeerReconnect) = "peer.reconnect" -> Empty, since 1, ctl "reconnect", takes_long false,
        events ["peer.connected"], faults [NotAContact];
    /// Leaves the path in use for the next best one, as a direct one for the relay, at both ends. The next search for paths,
    /// about half a minute later, may bring it back. Without another path it stays, and one is looked for.
    PeerFailover(request::PeerFailover) = "peer.failover" -> Empty, since 1, ctl "failover", takes_long false, events [],
        faults [NotAContact, PeerUnreachable];
    /// Lists every peer that the daemon has or had a link with.
    PeerList = "peer.list" -> Peers, since 1, ctl "peers", takes_long false, events [], faults [];
    /// Dials a contact at this address, by hand; answers when there is a link, or why there is none. A link that is open is
    /// kept. The address is dialled later, too, for as long as it is the contact's last one.
    PeerConnect(request::PeerConnect) = "peer.connect" -> PeerStatus, since 1, ctl "connect", takes_long true,
        events ["peer.connected"], faults [NotAContact, PeerUnreachable, PeerRefused];
    /// Sets this contact's key. Ask the player through another channel first.
    PeerTrust(request::PeerTrust) = "peer.trust" -> Empty, since 1, ctl "peers trust", takes_long false,
        events ["contact.changed"], faults [NotAContact, KeyChanged, NoPlayer, Io];
    /// Sets which players are near: their looks are fetched without asking, the nearest first. The set belongs to the
    /// client and ends with it, unless `keepSecs` is given. `players` replaces the set, then `remove` and `add` change
    /// it.
    NearbySet(request::NearbySet) = "nearby.set" -> Nearby, since 1, ctl "nearby set", takes_long false,
        events ["appearance.offered", "transfer.progress", "appearance.ready", "transfer.failed"], faults [];
    /// Lists the near contacts, by all clients.
    NearbyList = "nearby.list" -> Nearby, since 1, ctl "nearby list", takes_long false, events [], faults [];
    /// Lists running fetches and their reasons, uploads, and waiting fetches.
    TransferList = "transfer.list" -> Transfers, since 1, ctl "transfers", takes_long false, events [], faults [];
    /// Returns the current limits.
    LimitsGet = "limits.get" -> Limits, since 1, ctl "limits get", takes_long false, events [], faults [];
    /// Changes the given limits, and keeps the others. They apply at once and after a restart, and override the
    /// configuration.
    LimitsSet(request::LimitsSet) = "limits.set" -> Limits, since 1, ctl "limits set", takes_long false, events [], faults [Io];
    /// Returns to the limits of the configuration.
    LimitsReset = "limits.reset" -> Limits, since 1, ctl "limits reset", takes_long false, events [], faults [Io];
    /// Lists all contacts, players who ask, and blocked keys.
    ContactsList = "contacts.list" -> Contacts, since 1, ctl "contacts list", takes_long false, events [], faults [];
    /// Asks a player to be a contact: the reply has `requested`, or `paired` if they ask already. With a key, this side
    /// shares with that key at once.
    ContactsAdd(request::ContactsAdd) = "contacts.add" -> Contact, since 1, ctl "contacts add", takes_long false,
        events ["contact.changed"], faults [KeyChanged, NoPlayer, Io];
    /// Accepts a player who asks. Two players who ask may claim one name: then the key is required.
    ContactsAccept(request::Who) = "contacts.accept" -> Contact, since 1, ctl "contacts accept", takes_long false,
        events ["contact.changed"], faults [NotAContact, KeyChanged, NoPlayer, Io];
    /// Removes a contact, or refuses a player who asks. An open link ends at once.
    ContactsRemove(request::Who) = "contacts.remove" -> Empty, since 1, ctl "contacts remove", takes_long false,
        events ["contact.changed", "peer.disconnected", "transfer.failed"], faults [NotAContact, NoPlayer, Io];
    /// Blocks a key, which need not be a contact's. An open link ends at once.
    ContactsBlock(request::Who) = "contacts.block" -> Contact, since 1, ctl "contacts block", takes_long false,
        events ["contact.changed", "peer.disconnected", "transfer.failed"], faults [NotAContact, NoPlayer, Io];
    /// Unblocks a key. It is no contact.
    ContactsUnblock(request::Who) = "contacts.unblock" -> Empty, since 1, ctl "contacts unblock", takes_long false,
        events ["contact.changed"], faults [NotAContact, NoPlayer, Io];
    /// Sets whether relays are used toward a contact. An open link ends at once, and the next one is made by what is set.
    ContactsSet(request::ContactsSet) = "contacts.set" -> Contact, since 1, ctl "contacts set", takes_long false,
        events ["contact.changed", "peer.disconnected"], faults [NotAContact, Io];
    /// Makes an invitation: the first player who uses it within a day becomes a contact.
    ContactsInvite = "contacts.invite" -> Invited, since 1, ctl "contacts invite", takes_long false, events [],
        faults [NoPlayer, Io];
    /// Uses an invitation. Answers after 3 s at most: `paired`, or `requested` if the inviter is away.
    ContactsJoin(request::ContactsJoin) = "contacts.join" -> Contact, since 1, ctl "contacts join", takes_long false,
        events ["contact.changed", "invitation.over"], faults [InvitationOver, KeyChanged, NoPlayer, Io];
    /// Returns how much is stored, and the free space of its disk.
    CacheStats = "cache.stats" -> CacheStats, since 1, ctl "cache stats", takes_long false, events [], faults [];
    /// Reads every cached file again and removes damaged ones. Ends when the client leaves.
    CacheVerify = "cache.verify" -> CacheVerified, since 1, ctl "cache verify", takes_long true,
        events ["cache.progress", "cache.damaged"], faults [CacheAway, Io, Cancelled];
    /// Frees space: removes what is over the limit, what the parameters name, and abandoned partials. Files in use are
    /// never removed.
    CacheGc(request::CacheGc) = "cache.gc" -> CacheGced, since 1, ctl "cache gc", takes_long false,
        events ["cache.evicted"], faults [CacheAway, Io];
    /// Moves the cache to another folder. If the client leaves before all is copied, the cache stays where it is.
    CacheMove(request::CacheMove) = "cache.move" -> CacheMoved, since 1, ctl "cache move", takes_long true,
        events ["cache.progress", "cache.moved"], faults [DiskFull, CacheAway, Io, Busy, Cancelled];
    /// Pushes events to this client from now on, the whole `state` first. Another `watch` sends the `state` again.
    Watch = "watch" -> Empty, since 1, ctl "watch", takes_long false, events ["state"], faults [];
    /// Has the daemon's log tell details, with names and addresses, or only what the configuration says. Ends with the
    /// daemon.
    Debug(request::Debug) = "debug" -> Empty, since 1, ctl "debug", takes_long false, events [], faults [];
    /// Answers, and stops the daemon.
    Shutdown = "shutdown" -> Empty, since 1, ctl "shutdown", takes_long false, events [], faults [];
}
