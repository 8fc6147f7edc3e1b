//! The composition root: starts every part, stops them in reverse order, each with a deadline, and logs the ones that
//! do not stop.

use crate::{
    actors::{
        coordinator::{self, Coordinator, Parts, facts::DaemonFact},
        doctor,
        ipc::IpcClient,
        lan::{self, Lan},
        listener::Listener,
        mod_cache::{self, ModCache},
        outside::Outside,
        peer::PeerContext,
        phone_book::{self, PhoneBook, Registrant},
        traversal::{self, Traversals},
        upnp::{self, Upnp},
    },
    address_changes::{Watchers, announce_moves, note_interfaces},
    config::{Config, paths},
    contact_addresses::ContactAddresses,
    data_folder,
    desks::{self, contacts, fetching, own_look},
    event::Bus,
    io::{
        contacts::ContactsFile,
        identity::{Identity, IdentityError},
        ipc::{self, IpcError, LocalListener},
        keeper::Keeper,
        limits::LimitsFile,
        mappings::MappingsFile,
        phonebook_http::PhonebookHttp,
        published::PublishedFile,
        quic::{QuicEndpoint, tls::Certificate},
        store::{Opened, Store, StoreConfig, StoreError},
        trouble,
    },
    ledger::Accounts,
    logging::Detail,
    memory::LocalMemory,
    places::Clients,
    pumps::pace::Pacer,
    reachable::Reachable,
    service,
    sharing::{lending::Lending, means::PeerMeans, published::Offer},
};
use actix::{Actor, Addr, AsyncContext};
use anyhow::Context;
use fyteclub_pipe::Endpoint;
use fyteclub_proto::{contact::Here, id::PeerId, peer::CloseCode, reaching::mapping::Switches, size};
use std::{fs::File, future::Future, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How long each part may take to stop; all together take less than five seconds.
const STOP_TIME: Duration = Duration::from_millis(1200);

/// How often the local socket's file is checked.
const SOCKET_LOOK: Duration = Duration::from_secs(3);
/// The pause after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// How long the start waits for the first answers of the phone books.
const REGISTER_TIME: Duration = Duration::from_secs(1);

/// A running daemon.
pub struct App {
    endpoint: QuicEndpoint,
    coordinator: Addr<Coordinator>,
    phone_book: Addr<PhoneBook>,
    upnp: Addr<Upnp>,
    lan: Addr<Lan>,
    cache: Addr<ModCache>,
    keeper: Keeper,
    clients: tokio::task::JoinHandle<()>,
    moves: tokio::task::JoinHandle<()>,
    shutdown: CancellationToken,
    /// Held while the daemon uses the folder.
    _lock: File,
}

impl App {
    /// Starts everything; when it returns, the daemon serves. Must run inside an actix system. `new_identity`: a missing
    /// key is made anew also where a key's contacts or look are.
    ///
    /// # Errors
    /// The first part that cannot start, and what to do about it.
    pub async fn start(config: &Config, new_identity: bool, detail: Detail) -> anyhow::Result<Self> {
        let dir = &config.data_dir;
        service::raise_file_limit();
        let lock = data_folder::lock(config)?;
        data_folder::close_to_others(dir)?;
        let keeper = Keeper::default();
        let contacts = ContactsFile::load(&paths::contacts_file(dir), keeper.clone())?;
        let limits = LimitsFile::load(&paths::limits_file(dir), config.limits, keeper.clone())?;
        let published = PublishedFile::load(&paths::published_file(dir), keeper.clone());
        let identity =
            Arc::new(data_folder::identity(&paths::identity_file(dir), new_identity, &contacts, &published)?);
        let mappings = MappingsFile::load(&paths::mappings_file(dir), keeper.clone());
        let (store, opened) = open_store(config)?;
        tracing::info!(
            "the cache has {} with {}, {} incomplete, and {} of this player's own; its index is {}",
            size::count(opened.blobs, "file"),
            size::words(opened.bytes),
            opened.partials,
            size::count(opened.own_files, "file"),
            opened.index
        );
        let books = phonebooks(config)?;
        let certificate = Certificate::new(identity.key())?;
        let (endpoint, asides) = QuicEndpoint::bind(
            config.listen,
            certificate,
            &identity.derived_secret("stateless reset"),
            config.tuning,
        )?;
        log_buffers(&endpoint);
        let listener = local_socket(config).await?;

        let (bus, shutdown) = (Bus::default(), CancellationToken::new());
        let (offer, current_offer) = watch::channel::<Option<Arc<Offer>>>(None);
        let cache = ModCache::new(store.clone()).start();
        let mut instance = [0; 8];
        getrandom::fill(&mut instance).context("this machine has no randomness")?;
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).context("this machine has no randomness")?;
        let reachable = Reachable::new(endpoint.local_addr());
        note_interfaces(&reachable);
        let outside =
            Outside::new(endpoint.peer_socket().clone(), reachable.clone(), seed, &config.stun).start();
        let (accounts, contact_addresses) = (Accounts::default(), ContactAddresses::default());
        let (lending, pacer) = (Lending::default(), Pacer::start(limits.limits()));
        let means = PeerMeans::new(config.means);
        let contacts = contacts::Setup {
            here: Here { key: identity.peer_id(), player: config.player.clone() },
            policy: config.contact_requests,
            file: contacts,
            contact_addresses: contact_addresses.clone(),
            means: means.clone(),
            carriers: books.iter().map(|book| book.url().to_owned()).collect(),
            phonebooks: config.phonebooks.clone(),
            listing: config.listing.clone(),
            changes: identity.changes().to_vec(),
        };
        let own_look = own_look::Setup {
            player: config.player.clone(),
            identity: identity.clone(),
            store: store.clone(),
            offer,
            file: published,
        };
        let desks = desks::Setup {
            contacts,
            own_look,
            limits,
            pacer: pacer.clone(),
            fetching: fetching::Shared {
                store: store.clone(),
                lending: lending.clone(),
                accounts: accounts.clone(),
                player: config.player.clone(),
            },
            prefetch_budget: config.prefetch_budget,
        };
        let upnp = Upnp::new(upnp::Setup {
            // A mapped port is for those who are told the address.
            switches: if config.means.relay_only() {
                Switches { upnp: false, nat_pmp: false }
            } else {
                config.mapping
            },
            listen: endpoint.local_addr(),
            reachable: reachable.clone(),
            file: mappings,
        })
        .start();
        let setup = traversal::Setup {
            here: identity.peer_id(),
            socket: endpoint.peer_socket().clone(),
            asides,
            outside: outside.clone(),
            upnp: upnp.clone(),
            reachable: reachable.clone(),
            contact_addresses: contact_addresses.clone(),
            accounts: accounts.clone(),
            means: means.clone(),
        };
        let (mut traversals, mut lan) = (None, None);
        let coordinator = Coordinator::create(|ctx| {
            let traversals = traversals.insert(Traversals::new(setup, ctx.address().recipient()).start());
            let neighbours = lan::Setup {
                // An announcement shows this machine's address.
                is_on: config.lan && !config.means.relay_only(),
                here: identity.peer_id(),
                reachable: reachable.clone(),
                accounts: accounts.clone(),
                means: means.clone(),
                facts: ctx.address().recipient(),
            };
            let lan = lan.insert(Lan::new(neighbours).start());
            let context = PeerContext {
                here: identity.peer_id(),
                player: config.player.clone(),
                instance: u64::from_le_bytes(instance),
                endpoint: endpoint.clone(),
                traversals: traversals.clone(),
                lan: lan.clone(),
                means: means.clone(),
                store,
                offer: current_offer,
                identity: identity.clone(),
                lending,
                accounts: accounts.clone(),
                compression: config.compression,
                pacer,
            };
            let parts = Parts {
                context,
                bus: bus.clone(),
                cache: cache.clone(),
                upnp: upnp.clone(),
                outside: outside.clone(),
                doctor: doctor::Setup {
                    books: books.clone(),
                    means: means.clone(),
                    stun: config.stun.is_on,
                    config: config.to_string(),
                    log: paths::log_dir(dir),
                    users: paths::users(|key| std::env::var(key).ok()),
                },
                detail,
                shutdown: shutdown.clone(),
            };
            Coordinator::new(parts, desks)
        });
        let (traversals, lan) = traversals.zip(lan).context("the coordinator did not start")?;
        let registrant = Registrant {
            identity: identity.clone(),
            player: config.player.clone(),
            listing: config.listing.clone(),
            key_changes: identity.changes().to_vec(),
            local: endpoint.local_addr(),
            heartbeat: config.heartbeat,
        };
        let phone_book = PhoneBook::new(
            books,
            registrant,
            reachable.clone(),
            accounts.clone(),
            outside.clone().recipient(),
            (traversals.clone(), means.clone()),
            coordinator.clone().recipient(),
        )
        .start();
        coordinator.do_send(DaemonFact::PhoneBook(phone_book.clone()));
        let memory = LocalMemory::new(accounts.clone());
        Listener::new(endpoint.clone(), accounts, contact_addresses, means, coordinator.clone().recipient())
            .start();
        let watchers = Watchers {
            phone_book: phone_book.clone(),
            upnp: upnp.clone(),
            outside,
            traversals,
            lan: lan.clone(),
            coordinator: coordinator.clone(),
        };
        let moves = actix::spawn(announce_moves(endpoint.clone(), reachable, watchers));
        // A program that waits for `ready` may look this player up at once. A phone book that does not answer delays
        // the start by this time only.
        tokio::time::timeout(REGISTER_TIME, phone_book.send(phone_book::Settle)).await.ok();
        tracing::info!("listening for clients on {}", listener.endpoint());
        let clients = actix::spawn(accept_clients(listener, coordinator.clone(), identity, bus, memory));
        Ok(Self {
            endpoint,
            coordinator,
            phone_book,
            upnp,
            lan,
            cache,
            keeper,
            clients,
            moves,
            shutdown,
            _lock: lock,
        })
    }

    /// Resolves when a client requests a shutdown.
    pub async fn asked_to_stop(&self) {
        self.shutdown.cancelled().await;
    }

    /// Stops everything within five seconds, even if a part hangs.
    pub async fn stop(self) {
        service::stopping();
        // No new clients; the coordinator tells the present ones.
        self.clients.abort();
        self.moves.abort();
        let left = within("the phone book's client", self.phone_book.send(phone_book::Leave));
        let unmapped = within("the port mapping", self.upnp.send(upnp::Stop));
        let withdrawn = within("the local network", self.lan.send(lan::Stop));
        tokio::join!(left, unmapped, withdrawn);
        within("the coordinator", self.coordinator.send(coordinator::Stop)).await;
        // After the coordinator's last writes.
        let kept = within("the writes of contacts and of the published look", self.keeper.flush());
        tokio::join!(kept, self.endpoint.close(CloseCode::Done.number(), STOP_TIME));
        within("the mod cache", self.cache.send(mod_cache::Close)).await;
    }
}

/// Replaces the player's key. Returns the old id and the new one.
///
/// # Errors
/// A daemon runs on the same folder, or the key file cannot be read or written.
pub fn rotate_key(config: &Config) -> anyhow::Result<(PeerId, PeerId)> {
    let _lock = data_folder::lock(config)?;
    let path = paths::identity_file(&config.data_dir);
    let identity = Identity::load(&path)?.ok_or(IdentityError::NoKey(path.clone()))?;
    let old = identity.peer_id();
    Ok((old, identity.rotate(&path)?.peer_id()))
}

async fn within<T>(who: &str, stopping: impl Future<Output = T>) {
    if tokio::time::timeout(STOP_TIME, stopping).await.is_err() {
        tracing::warn!("{who} did not stop in time");
    }
}

/// Opens the store, if this user may write to its folders: a start with sudo may have made them.
fn open_store(config: &Config) -> anyhow::Result<(Store, Opened)> {
    let dir = &config.data_dir;
    for name in ["blobs", "partial", "index"] {
        trouble::usable_dir(dir, &dir.join(name))?;
    }
    let settings = StoreConfig { cache_limit: config.cache_limit, min_free: config.min_free };
    Store::open(dir, settings).map_err(|error| match error {
        StoreError::Io { path, source } | StoreError::NotWritable { path, source } => {
            trouble::explain_data(dir, &path, &source).into()
        }
        error => error.into(),
    })
}

fn phonebooks(config: &Config) -> anyhow::Result<Vec<PhonebookHttp>> {
    let http = PhonebookHttp::client()?;
    let books = config.phonebooks.iter().map(|url| PhonebookHttp::new(url, http.clone()));
    Ok(books.collect::<Result<_, _>>()?)
}

fn log_buffers(endpoint: &QuicEndpoint) {
    let (receive, send) = endpoint.granted_buffers();
    let (receive, send) = (receive >> 10, send >> 10);
    if receive < 2048 {
        tracing::warn!(
            "the system grants socket buffers of {receive} KiB: transfers lose packets at speed; see systemd/README.md for net.core.rmem_max"
        );
    } else {
        tracing::info!("socket buffers: {receive} KiB to receive, {send} KiB to send");
    }
}

/// The configured socket; else the default one, or one in the data folder when another daemon has the default one.
async fn local_socket(config: &Config) -> anyhow::Result<LocalListener> {
    if let Some(place) = &config.ipc {
        return Ok(LocalListener::bind(&Endpoint::at(place)).await?);
    }
    let default = match LocalListener::bind(&Endpoint::usual()).await {
        Ok(listener) => return Ok(listener),
        Err(error) => error,
    };
    let fallback = paths::fallback_endpoint(&config.data_dir);
    let listener = match LocalListener::bind(&Endpoint::at(&fallback)).await {
        Ok(listener) => listener,
        // A person can act on the usual place's error.
        Err(error) => return Err(default).with_context(|| error.to_string()),
    };
    match default {
        IpcError::InUse(taken) => {
            tracing::warn!("another daemon listens for clients on {taken}; this one listens on {fallback}");
        }
        error => {
            tracing::warn!(
                "{error}. This daemon listens for clients on {fallback}: start them with FYTECLUB_IPC set to that"
            );
        }
    }
    Ok(listener)
}

async fn accept_clients(
    mut listener: LocalListener,
    coordinator: Addr<Coordinator>,
    identity: Arc<Identity>,
    bus: Bus,
    memory: LocalMemory,
) {
    let clients = Clients::default();
    let mut look = tokio::time::interval(SOCKET_LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut ids = 0..;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = look.tick() => {
                match listener.renew().await {
                    Ok(false) => {}
                    Ok(true) => tracing::warn!("the local socket was removed and is created again: {}", listener.endpoint()),
                    Err(error) => tracing::warn!("the local socket was removed and cannot be created again; clients cannot connect: {error}"),
                }
                continue;
            }
        };
        match accepted {
            Ok(stream) => {
                let (coordinator, bus) = (coordinator.clone(), bus.clone());
                let Some(id) = ids.next() else { return };
                let (entry, memory) = (clients.arrive(id), memory.of(id));
                let (reader, writer) = ipc::halves(stream, memory.clone());
                let places = (entry, memory);
                IpcClient::new(id, coordinator, identity.peer_id(), bus, reader, writer, places).start();
            }
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                tracing::warn!("a client was refused: {error}")
            }
            Err(error) => {
                // Most likely out of handles: some will be free later.
                tracing::warn!("a client could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
