//! One async function per request. Requests may be in flight at the same time; replies find their callers.

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
            CacheGced, CacheMoved, CacheStats, CacheVerified, Contact, Fetched, Hello, Invited, Limits,
            Nearby, PeerStatus, Published, Status, Transfers,
        },
        request::{self, AppearancePublish, CacheGc, LimitsSet, NearbySet, OptionChoice, Who},
        verb,
    },
    version::LOCAL_VERSIONS,
};
use std::{io, path::Path, sync::Arc, time::Duration};

/// A daemon on this machine answers a greeting in milliseconds; one that takes this long will not.
const GREETING: Duration = Duration::from_secs(5);

/// A connection to the daemon. Clones share it; it ends when the last clone and the last [`Events`] are dropped.
///
/// A request has no deadline of its own: a fetch takes as long as it takes. Every future may be dropped at any time;
/// the daemon still carries out what was sent. Belongs to the Tokio runtime that it was made in.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
    daemon: Arc<Hello>,
}

impl Client {
    /// Connects to the daemon that listens at `endpoint` (a socket's path, on Windows a pipe's name) and greets it.
    ///
    /// # Errors
    /// Nobody there, not allowed, no answer within five seconds, or no version in common.
    pub async fn connect(endpoint: &str) -> Result<Self, Error> {
        Self::connect_as(endpoint, concat!("fyteclub-client ", env!("CARGO_PKG_VERSION"))).await
    }

    /// As [`Client::connect`], where [`pipe::Endpoint::usual`] says.
    ///
    /// # Errors
    /// As [`Client::connect`].
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

    /// Who answered the greeting.
    pub fn daemon(&self) -> &Hello {
        &self.daemon
    }

    /// Waits until the connection is over, for whatever reason.
    pub async fn closed(&self) {
        self.connection.closed().await;
    }

    /// What is going on, in one piece.
    ///
    /// # Errors
    /// As every request: the daemon's fault, or a connection that is over.
    pub async fn status(&self) -> Result<Status, Error> {
        self.connection.ask::<verb::Status>(()).await
    }

    /// Reads a Penumbra mod folder or a `.pmp` and publishes it as this player's look. Groups that `options` does not
    /// name keep their defaults. A relative path is taken from this process's folder, not the daemon's.
    ///
    /// # Errors
    /// Also [`Error::Path`] for a path that is not Unicode.
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

    /// Publishes a look as a plugin found it in the game. Its file paths must be absolute.
    ///
    /// # Errors
    /// Also [`Error::TooLarge`] where the list of files passes the local API's frame limit.
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

    /// Fetches a player's look and returns once it is complete, verified and on disk; `out` also has it written there as
    /// a mod folder that Penumbra loads. Dropping the future does not end the fetch; [`Self::peer_cancel`] does, and so does
    /// closing the connection of the last client that waits for it.
    ///
    /// # Errors
    /// Also [`Error::Path`] for an `out` that is not Unicode.
    pub async fn peer_fetch(&self, player: &PlayerName, out: Option<&Path>) -> Result<Fetched, Error> {
        let out = out.map(absolute).transpose()?;
        self.connection.ask::<verb::PeerFetch>(request::PeerFetch { player: player.clone(), out }).await
    }

    /// Gives a running fetch up: everybody who waits for it is told [`fyteclub_proto::local::FaultCode::Cancelled`].
    /// What came is kept.
    ///
    /// # Errors
    /// As every request; a player of whom nothing is being fetched.
    pub async fn peer_cancel(&self, player: &PlayerName) -> Result<(), Error> {
        let cancel = request::PeerCancel { player: player.clone() };
        self.connection.ask::<verb::PeerCancel>(cancel).await.map(drop)
    }

    /// Says who is near: their looks are fetched by themselves, the nearest first. The set is this connection's own and
    /// goes with it, unless `keep_secs` says otherwise. Answers with everybody who is near by any client's word.
    ///
    /// # Errors
    /// As every request; more players than [`fyteclub_proto::limit::NEARBY_MAX`], of which nothing is taken.
    pub async fn nearby_set(&self, change: NearbySet) -> Result<Nearby, Error> {
        self.connection.ask::<verb::NearbySet>(change).await
    }

    /// Who is near, by all clients' word.
    ///
    /// # Errors
    /// As every request.
    pub async fn nearby_list(&self) -> Result<Nearby, Error> {
        self.connection.ask::<verb::NearbyList>(()).await
    }

    /// What is being fetched and why, who is being served, and who waits in line.
    ///
    /// # Errors
    /// As every request.
    pub async fn transfer_list(&self) -> Result<Transfers, Error> {
        self.connection.ask::<verb::TransferList>(()).await
    }

    /// How fast files may go.
    ///
    /// # Errors
    /// As every request.
    pub async fn limits_get(&self) -> Result<Limits, Error> {
        self.connection.ask::<verb::LimitsGet>(()).await
    }

    /// Changes some limits, at once and until they are changed again: they win over the daemon's configuration. Answers
    /// with all that hold then.
    ///
    /// # Errors
    /// As every request.
    pub async fn limits_set(&self, change: LimitsSet) -> Result<Limits, Error> {
        self.connection.ask::<verb::LimitsSet>(change).await
    }

    /// Goes back to the limits of the daemon's configuration.
    ///
    /// # Errors
    /// As every request.
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

    /// Says that a known name's new key is right. Ask the player through another channel first.
    ///
    /// # Errors
    /// As every request.
    pub async fn peer_trust(&self, player: &PlayerName, key: &PeerId) -> Result<(), Error> {
        let trust = request::PeerTrust { player: player.clone(), peer_id: *key };
        self.connection.ask::<verb::PeerTrust>(trust).await.map(drop)
    }

    /// Everybody who is or may become a contact, and the blocked.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_list(&self) -> Result<Vec<Contact>, Error> {
        self.connection.ask::<verb::ContactsList>(()).await.map(|reply| reply.contacts)
    }

    /// Asks a player to be a contact. Returns once the wish is known to this daemon; whether they accept, an event tells.
    /// With a key this side shares with that key from now on.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_add(&self, player: &PlayerName, key: Option<&PeerId>) -> Result<Contact, Error> {
        let add = request::ContactsAdd { player: player.clone(), peer_id: key.copied() };
        self.connection.ask::<verb::ContactsAdd>(add).await
    }

    /// Says yes to one who asks. Where two claim one name, only a key says who is meant.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_accept(&self, who: impl Into<Who>) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsAccept>(who.into()).await
    }

    /// Forgets a contact, or says no to one who asks. An open link ends at once.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_remove(&self, who: impl Into<Who>) -> Result<(), Error> {
        self.connection.ask::<verb::ContactsRemove>(who.into()).await.map(drop)
    }

    /// Hears no more of a key. An open link ends at once.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_block(&self, who: impl Into<Who>) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsBlock>(who.into()).await
    }

    /// Forgets that a key was blocked.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_unblock(&self, who: impl Into<Who>) -> Result<(), Error> {
        self.connection.ask::<verb::ContactsUnblock>(who.into()).await.map(drop)
    }

    /// Makes a link by which one other player becomes a contact: whoever follows it first, for a day.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_invite(&self) -> Result<Invited, Error> {
        self.connection.ask::<verb::ContactsInvite>(()).await
    }

    /// Follows such a link.
    ///
    /// # Errors
    /// As every request.
    pub async fn contacts_join(&self, link: &str) -> Result<Contact, Error> {
        self.connection.ask::<verb::ContactsJoin>(request::ContactsJoin { link: link.to_owned() }).await
    }

    /// How much is stored, and how much room its disk has.
    ///
    /// # Errors
    /// As every request.
    pub async fn cache_stats(&self) -> Result<CacheStats, Error> {
        self.connection.ask::<verb::CacheStats>(()).await
    }

    /// Re-reads every cached file; those that are not what their name says are removed. Takes as long as the disk does;
    /// events tell how far it is, and it is broken off when this connection ends.
    ///
    /// # Errors
    /// As every request.
    pub async fn cache_verify(&self) -> Result<CacheVerified, Error> {
        self.connection.ask::<verb::CacheVerify>(()).await
    }

    /// Makes room now: what is over the limit goes, what the wish names, and what nobody would finish. Never what is in
    /// use.
    ///
    /// # Errors
    /// As every request.
    pub async fn cache_gc(&self, wish: CacheGc) -> Result<CacheGced, Error> {
        self.connection.ask::<verb::CacheGc>(wish).await
    }

    /// Moves the cache to another folder: an empty one, or one that is not there yet. Events tell how far it is. When
    /// this connection ends before all is copied, the cache stays where it is.
    ///
    /// # Errors
    /// As every request.
    pub async fn cache_move(&self, dir: &Path) -> Result<CacheMoved, Error> {
        let dir = absolute(dir)?;
        self.connection.ask::<verb::CacheMove>(request::CacheMove { dir }).await
    }

    /// Events from now on, the whole state first. Calling it again gives another, independent stream, and the ones
    /// there were see a state once more.
    ///
    /// # Errors
    /// As every request.
    pub async fn watch(&self) -> Result<Events, Error> {
        let events = self.connection.events()?;
        self.connection.ask::<verb::Watch>(()).await?;
        Ok(Events::new(Arc::clone(&self.connection), events))
    }

    /// Asks the daemon to stop; [`Client::closed`] tells when it let go of this connection.
    ///
    /// # Errors
    /// As every request; [`Error::Lost`] where it stopped before it answered.
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

/// The daemon runs in another folder, so only absolute paths mean the same to it.
fn absolute(path: &Path) -> Result<String, Error> {
    let unusable = |source| Error::Path { path: path.to_owned(), source };
    let whole = std::path::absolute(path).map_err(unusable)?;
    let text = whole.into_os_string().into_string();
    text.map_err(|_| unusable(io::Error::new(io::ErrorKind::InvalidInput, "it is not Unicode")))
}
