//! One async function per request. Requests may overlap; replies are matched by id.

use crate::{
    connection::Connection,
    error::{Error, Side},
    events::Events,
    pipe,
};
use fyteclub_proto::{
    id::{PeerId, PlayerName},
    local::{
        reply::{
            CacheGced, CacheMoved, CacheStats, CacheVerified, Contact, Diagnosis, Fetched, Hello, Invited,
            Limits, Nearby, PeerStatus, Published, Status, Transfers,
        },
        request::{self, AppearancePublish, CacheGc, LimitsSet, NearbySet, OptionChoice, Who},
        verb,
    },
    reaching::relay_use::RelayUse,
    version::LOCAL_VERSIONS,
};
use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// A daemon on this machine answers a greeting in milliseconds.
const GREETING: Duration = Duration::from_secs(5);

/// A connection to the daemon. Clones share it; it closes when the last clone and the last [`Events`] are dropped.
///
/// A request has no deadline: a fetch may take hours. Every future may be dropped at any time; the daemon still carries
/// out the request. Use it in the Tokio runtime in which it was made.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
    daemon: Arc<Hello>,
}

impl Client {
    /// Connects to the daemon at `endpoint` (a socket's path, on Windows a pipe's name) and greets it.
    ///
    /// # Errors No listener, no permission, no answer within five seconds, or no version in common.
    pub async fn connect(endpoint: &str) -> Result<Self, Error> {
        Self::connect_as(endpoint, concat!("fyteclub-client ", env!("CARGO_PKG_VERSION"))).await
    }

    /// As [`Client::connect`], at [`pipe::Endpoint::usual`].
    ///
    /// # Errors As [`Client::connect`].
    pub async fn connect_default() -> Result<Self, Error> {
        Self::connect(pipe::Endpoint::usual().as_str()).await
    }

    /// As [`Client::connect`], with a name of the calling program for the daemon's log: `myplugin 1.2`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_as(endpoint: &str, program: &str) -> Result<Self, Error> {
        let greeted = async {
            let stream = pipe::dial(&pipe::Endpoint::at(endpoint))
                .await
                .map_err(|error| Error::dialling(endpoint, error))?;
            Self::greet(Connection::start(stream), program).await
        };
        match tokio::time::timeout(GREETING, greeted).await {
            Ok(client) => client,
            Err(_) => Err(Error::Unresponsive { endpoint: endpoint.to_owned() }),
        }
    }

    async fn greet(connection: Connection, program: &str) -> Result<Self, Error> {
        let hello = request::Hello { client: program.to_owned(), versions: LOCAL_VERSIONS.to_vec() };
        let daemon: Hello = connection.ask::<verb::Hello>(hello).await?;
        if !LOCAL_VERSIONS.contains(&daemon.protocol) {
            return Err(foreign_version(daemon.protocol));
        }
        Ok(Self { connection: Arc::new(connection), daemon: Arc::new(daemon) })
    }

    /// The daemon's greeting.
    pub fn daemon(&self) -> &Hello {
        &self.daemon
    }

    /// Waits until the connection has closed, for any reason.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// The whole state.
    ///
    /// # Errors As every request: the daemon's fault, or a closed connection.
    pub async fn status(&self) -> Result<Status, Error> {
        self.connection.ask::<verb::Status>(()).await
    }

    /// Why players are not reached, or one player: what was found, the worst first, and what helps.
    ///
    /// # Errors As every request.
    pub async fn doctor(&self, who: Option<Who>) -> Result<Diagnosis, Error> {
        let Who { player, peer_id } = who.unwrap_or_default();
        self.connection.ask::<verb::Doctor>(request::Doctor { player, peer_id }).await
    }

    /// One text to send to somebody who helps, without names of players and users, keys, whole addresses and secrets.
    ///
    /// # Errors As every request.
    pub async fn doctor_bundle(&self, who: Option<Who>) -> Result<String, Error> {
        let Who { player, peer_id } = who.unwrap_or_default();
        let asked = request::DoctorBundle { player, peer_id };
        self.connection.ask::<verb::DoctorBundle>(asked).await.map(|bundle| bundle.text)
    }

    /// Reads a Penumbra mod folder or a `.pmp` and publishes it as this player's look. Groups that `options` does not
    /// name keep their defaults. A relative path is relative to this process's folder, not the daemon's.
    ///
    /// # Errors Also [`Error::Path`] for a path that is not Unicode.
    pub async fn appearance_publish_mod(
        &self,
        path: impl AsRef<Path>,
        options: Vec<OptionChoice>,
    ) -> Result<Published, Error> {
        let path = absolute(path.as_ref())?;
        self.connection
            .ask::<verb::AppearancePublishMod>(request::AppearancePublishMod { path, options })
            .await
    }

    /// Publishes a look that a plugin found in the game. Its file paths must be absolute.
    ///
    /// # Errors Also [`Error::TooLarge`] if the list of files exceeds the local API's frame limit.
    pub async fn appearance_publish(&self, look: AppearancePublish) -> Result<Published, Error> {
        self.connection.ask::<verb::AppearancePublish>(look).await
    }

    /// Withdraws the look; peers are told that nothing is published.
    ///
    /// # Errors
    /// As every request.
    pub async fn appearance_clear(&self) -> Result<(), Error> {
        self.connection.ask::<verb::AppearanceClear>(()).await.map(drop)
    }

    /// Fetches a player's look and returns once it is complete, verified and on disk; with `out` also written there as
    /// a mod folder that Penumbra loads. Dropping the future does not end the fetch; [`Self::peer_cancel`] does, and so
    /// does closing the connection of the last client that waits for it.
    ///
    /// # Errors Also [`Error::Path`] for an `out` that is not Unicode.
    pub async fn peer_fetch(&self, player: &PlayerName, out: Option<&Path>) -> Result<Fetched, Error> {
        let out = out.map(absolute).transpose()?;
        self.connection.ask::<verb::PeerFetch>(request::PeerFetch { player: player.clone(), out }).await
    }

    /// Ends a running fetch: all its waiters get [`fyteclub_proto::local::FaultCode::Cancelled`]. Verified chunks are
    /// kept.
    ///
    /// # Errors As every request; a player without a running fetch.
    pub async fn peer_cancel(&self, player: &PlayerName) -> Result<(), Error> {
        let cancel = request::PeerCancel { player: player.clone() };
        self.connection.ask::<verb::PeerCancel>(cancel).await.map(drop)
    }

    /// Makes the path to a contact anew, with fresh outside addresses. The link and its transfers stay; a contact without a
    /// link is dialled. Returns at once: [`Self::peer_list`] has what comes of it.
    ///
    /// # Errors As every request; a player who is no contact.
    pub async fn peer_reconnect(&self, player: &PlayerName) -> Result<(), Error> {
        let who = request::PeerReconnect { player: player.clone() };
        self.connection.ask::<verb::PeerReconnect>(who).await.map(drop)
    }

    /// Leaves the path in use for the next best one, until the next search for paths about half a minute later.
    ///
    /// # Errors As every request; a player who is no contact; no link to them, or no other path that works.
    pub async fn peer_failover(&self, player: &PlayerName) -> Result<(), Error> {
        let who = request::PeerFailover { player: player.clone() };
        self.connection.ask::<verb::PeerFailover>(who).await.map(drop)
    }

    /// Sets which players are near: their looks are fetched without asking, the nearest first. The set belongs to this
    /// connection and ends with it, unless `keep_secs` is set. Returns all near contacts of all clients.
    ///
    /// # Errors As every request; more players than [`fyteclub_proto::limit::NEARBY_MAX`], in which case nothing
    /// changes.
    pub async fn nearby_set(&self, change: NearbySet) -> Result<Nearby, Error> {
        self.connection.ask::<verb::NearbySet>(change).await
    }

    /// All near contacts, of all clients.
    ///
    /// # Errors As every request.
    pub async fn nearby_list(&self) -> Result<Nearby, Error> {
        self.connection.ask::<verb::NearbyList>(()).await
    }

    /// Running fetches and their reasons, running uploads, and waiting fetches.
    ///
    /// # Errors As every request.
    pub async fn transfer_list(&self) -> Result<Transfers, Error> {
        self.connection.ask::<verb::TransferList>(()).await
    }

    /// The limits of speed.
    ///
    /// # Errors As every request.
    pub async fn limits_get(&self) -> Result<Limits, Error> {
        self.connection.ask::<verb::LimitsGet>(()).await
    }

    /// Changes some limits at once and until they are changed again: they override the daemon's configuration. Returns
    /// all current limits.
    ///
    /// # Errors As every request.
    pub async fn limits_set(&self, change: LimitsSet) -> Result<Limits, Error> {
        self.connection.ask::<verb::LimitsSet>(change).await
    }

    /// Returns to the limits of the daemon's configuration.
    ///
    /// # Errors As every request.
    pub async fn limits_reset(&self) -> Result<Limits, Error> {
        self.connection.ask::<verb::LimitsReset>(()).await
    }

    /// Every peer that the daemon knows, connected or not.
    ///
    /// # Errors
    /// As every request.
    pub async fn peer_list(&self) -> Result<Vec<PeerStatus>, Error> {
        self.connection.ask::<verb::PeerList>(()).await.map(|reply| reply.peers)
    }

    /// Dials a contact at this address, by hand. Returns when there is a link, within about five seconds.
    ///
    /// # Errors As every request.
    pub async fn peer_connect(&self, key: &PeerId, address: SocketAddr) -> Result<PeerStatus, Error> {
        let connect = request::PeerConnect { peer_id: *key, address };
        self.connection.ask::<verb::PeerConnect>(connect).await
    }

    /// Accepts the new key of a known name. Ask the player through another channel first.
    ///
    /// # Errors As every request.
    pub async fn peer_trust(&self, player: &PlayerName, key: &PeerId) -> Result<(), Error> {
        let trust = request::PeerTrust { player: player.clone(), peer_id: *key };
        self.connection.ask::<verb::PeerTrust>(trust).await.map(drop)
    }

    /// All contacts, players who ask, and blocked keys.
    ///
    /// # Errors As every request.
    pub async fn contacts_list(&self) -> Result<Vec<Contact>, Error> {
        self.connection.ask::<verb::ContactsList>(()).await.map(|reply| reply.contacts)
    }

    /// Asks a player to be a contact. Returns once the daemon has stored the wish; an event reports their acceptance.
    /// With a key, this side shares its look with that key from now on.
    ///
    /// # Errors As every request.
    pub async fn contacts_add(&self, player: &PlayerName, key: Option<&PeerId>) -> Result<Contact, Error> {
        let add = request::ContactsAdd { player: player.clone(), peer_id: key.copied() };
        self.connection.ask::<verb::ContactsAdd>(add).await
    }

    /// Accepts a player who asks. If two claim one name, `who` must be a key.
    ///
    /// # Errors As every request.
    pub async fn contacts_accept(&self, who: impl Into<Who>) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsAccept>(who.into()).await
    }

    /// Removes a contact, or refuses a player who asks. An open link ends at once.
    ///
    /// # Errors As every request.
    pub async fn contacts_remove(&self, who: impl Into<Who>) -> Result<(), Error> {
        self.connection.ask::<verb::ContactsRemove>(who.into()).await.map(drop)
    }

    /// Blocks a key. An open link ends at once.
    ///
    /// # Errors As every request.
    pub async fn contacts_block(&self, who: impl Into<Who>) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsBlock>(who.into()).await
    }

    /// Unblocks a key.
    ///
    /// # Errors As every request.
    pub async fn contacts_unblock(&self, who: impl Into<Who>) -> Result<(), Error> {
        self.connection.ask::<verb::ContactsUnblock>(who.into()).await.map(drop)
    }

    /// Sets whether relays are used toward a contact; [`RelayUse::Only`] shows them no address of this machine. An open
    /// link ends at once, and the next one is made by what is set.
    ///
    /// # Errors As every request.
    pub async fn contacts_set_relay(&self, who: impl Into<Who>, relay: RelayUse) -> Result<Contact, Error> {
        let Who { player, peer_id } = who.into();
        let set = request::ContactsSet { player, peer_id, relay: Some(relay) };
        self.connection.ask::<verb::ContactsSet>(set).await
    }

    /// Makes an invitation: the first player who uses it within a day becomes a contact.
    ///
    /// # Errors As every request.
    pub async fn contacts_invite(&self) -> Result<Invited, Error> {
        self.connection.ask::<verb::ContactsInvite>(()).await
    }

    /// Uses an invitation.
    ///
    /// # Errors As every request.
    pub async fn contacts_join(&self, link: &str) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsJoin>(request::ContactsJoin { link: link.to_owned() }).await
    }

    /// How much is stored, and the free space of its disk.
    ///
    /// # Errors As every request.
    pub async fn cache_stats(&self) -> Result<CacheStats, Error> {
        self.connection.ask::<verb::CacheStats>(()).await
    }

    /// Reads every cached file again and removes damaged ones. Takes as long as the disk does; events report the
    /// progress, and closing this connection ends it.
    ///
    /// # Errors As every request.
    pub async fn cache_verify(&self) -> Result<CacheVerified, Error> {
        self.connection.ask::<verb::CacheVerify>(()).await
    }

    /// Frees space now: removes what is over the limit, what the request names, and abandoned partials. Never files in
    /// use.
    ///
    /// # Errors As every request.
    pub async fn cache_gc(&self, wish: CacheGc) -> Result<CacheGced, Error> {
        self.connection.ask::<verb::CacheGc>(wish).await
    }

    /// Moves the cache to another folder: an empty one, or one that does not exist. Events report the progress. If this
    /// connection closes before all is copied, the cache stays where it is.
    ///
    /// # Errors As every request.
    pub async fn cache_move(&self, dir: &Path) -> Result<CacheMoved, Error> {
        let dir = absolute(dir)?;
        self.connection.ask::<verb::CacheMove>(request::CacheMove { dir }).await
    }

    /// Events from now on, the whole state first. Each call returns another, independent stream; existing ones get a
    /// state again.
    ///
    /// # Errors As every request.
    pub async fn watch(&self) -> Result<Events, Error> {
        let events = self.connection.events()?;
        self.connection.ask::<verb::Watch>(()).await?;
        Ok(Events::new(Arc::clone(&self.connection), events))
    }

    /// Has the daemon's log tell details, with names and addresses, or only what its configuration says; until it stops.
    ///
    /// # Errors As every request.
    pub async fn debug(&self, on: bool) -> Result<(), Error> {
        self.connection.ask::<verb::Debug>(request::Debug { on }).await.map(drop)
    }

    /// Asks the daemon to stop; [`Client::closed`] returns when it closed this connection.
    ///
    /// # Errors As every request; [`Error::Lost`] if it stopped before it answered.
    pub async fn shutdown(&self) -> Result<(), Error> {
        self.connection.ask::<verb::Shutdown>(()).await.map(drop)
    }
}

fn foreign_version(theirs: u16) -> Error {
    let newest = LOCAL_VERSIONS.first().copied().unwrap_or_default();
    let (upgrade, who) =
        if theirs > newest { (Side::Client, "this program") } else { (Side::Daemon, "fyteclubd") };
    let message = format!(
        "the daemon speaks version {theirs} of the local API and this program version {newest}; upgrade {who}"
    );
    Error::Version { upgrade: Some(upgrade), message }
}

/// The daemon runs in another folder, so paths must be absolute.
fn absolute(path: &Path) -> Result<String, Error> {
    let unusable = |source| Error::Path { path: path.to_owned(), source };
    let wrong = |why: &str| unusable(io::Error::new(io::ErrorKind::InvalidInput, why));
    // Where no shell replaced it, as in `--out=~/mod`, it would be a folder of this name.
    if path.components().next().is_some_and(|first| first.as_os_str() == "~") {
        return Err(wrong("`~` means the home folder to a shell only"));
    }
    let whole = std::path::absolute(path).map_err(unusable)?;
    let text = whole.into_os_string().into_string();
    text.map_err(|_| wrong("it is not Unicode"))
}
