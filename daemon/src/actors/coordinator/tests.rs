//! The coordinator alone, with facts about peers that do not exist: its events, and their order.

use super::{verbs::Ask, *};
use crate::{
    actors::{
        lan::{self, Lan},
        outside::Outside,
        peer::PeerFact,
        traversal::{self, Traversals},
        upnp,
    },
    config::Stun,
    contact_addresses::ContactAddresses,
    desks::{
        fetching,
        tests::{Made, make},
    },
    io::{
        keeper::Keeper,
        mappings::MappingsFile,
        quic::{QuicEndpoint, Tuning, tls::Certificate},
    },
    pumps::{compression::Compression, pull::AppearancePullError},
    reachable::Reachable,
    sharing::{access::Refusal, means::PeerMeans},
};
use fyteclub_proto::{
    id::{BlobHash, PeerId, PlayerName},
    local::{
        Event, Numbered, RawJson, Request,
        reply::PathKind,
        request::{self, ContactsAdd, Who},
    },
    peer::{CloseCode, Greeting},
    reaching::{
        mapping::Switches,
        traversal::{Means, RelayUse},
    },
};
use std::{future::Future, sync::Arc};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A coordinator with one contact, whose key is known and whom no phone book has.
struct Desk {
    coordinator: Addr<Coordinator>,
    events: tokio::sync::broadcast::Receiver<Arc<Numbered>>,
    peer: PeerId,
    player: PlayerName,
    _folder: TempDir,
}

impl Desk {
    async fn new() -> Self {
        // A second installation changes nothing.
        rustls::crypto::ring::default_provider().install_default().ok();
        let folder = tempfile::tempdir().expect("a folder");
        let Made { setup, identity, offer } = make(folder.path());
        let certificate = Certificate::new(identity.key()).expect("a certificate");
        let secret = identity.derived_secret("stateless reset");
        let (endpoint, asides) =
            QuicEndpoint::bind(([127, 0, 0, 1], 0).into(), certificate, &secret, Tuning::default())
                .expect("a socket");
        let reachable = Reachable::new(endpoint.local_addr());
        let seed = Zeroizing::new([1; 32]);
        let stun = Stun { is_on: false, others: Vec::new() };
        let outside = Outside::new(endpoint.peer_socket().clone(), reachable, seed, &stun).start();
        let bus = Bus::default();
        let fetching::Shared { store, lending, accounts, player } = setup.fetching.clone();
        let (socket, here) = (endpoint.peer_socket().clone(), identity.peer_id());
        let means = PeerMeans::new(Means { punching: true, relay: RelayUse::On });
        let listen = endpoint.local_addr();
        let upnp = Upnp::new(upnp::Setup {
            switches: Switches { upnp: false, nat_pmp: false },
            listen,
            reachable: Reachable::new(listen),
            file: MappingsFile::load(&folder.path().join("mappings.json"), Keeper::default()),
        })
        .start();
        let traversals = traversal::Setup {
            here,
            socket,
            asides,
            outside: outside.clone(),
            upnp: upnp.clone(),
            reachable: Reachable::new(listen),
            contact_addresses: ContactAddresses::default(),
            accounts: accounts.clone(),
            means: means.clone(),
        };
        let doctor = doctor::Setup {
            books: Vec::new(),
            means: means.clone(),
            stun: false,
            config: String::new(),
            log: folder.path().to_owned(),
            users: Vec::new(),
        };
        let pacer = setup.pacer.clone();
        let (cache, shutdown) = (ModCache::new(store.clone()).start(), CancellationToken::new());
        let events = bus.listen();
        let coordinator = Coordinator::create(move |ctx| {
            let neighbours = lan::Setup {
                is_on: false,
                here,
                reachable: Reachable::new(listen),
                accounts: accounts.clone(),
                means: means.clone(),
                facts: ctx.address().recipient(),
            };
            let context = PeerContext {
                lan: Lan::new(neighbours).start(),
                here,
                player,
                instance: 1,
                endpoint,
                traversals: Traversals::new(traversals, ctx.address().recipient()).start(),
                means,
                store,
                offer,
                identity,
                lending,
                accounts,
                compression: Compression::default(),
                pacer,
            };
            Coordinator::new(
                Parts { context, bus, cache, upnp, outside, doctor, detail: Default::default(), shutdown },
                setup,
            )
        });
        let peer = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes();
        let desk = Self {
            coordinator,
            events,
            peer: PeerId::from_bytes(peer),
            player: "Alice Ashe@Gilgamesh".parse().expect("a name"),
            _folder: folder,
        };
        desk.befriend().await;
        // The peer's actor starts only at first use.
        desk.coordinator.do_send(Touch(desk.peer));
        desk
    }

    async fn befriend(&self) {
        let add = ContactsAdd { player: self.player.clone(), peer_id: Some(self.peer) };
        self.ask(Request::ContactsAdd(add)).await.expect("a contact");
    }

    fn ask(&self, request: Request) -> impl Future<Output = Result<RawJson, Fault>> + 'static {
        let asked = self.coordinator.send(Ask { client: 1, request, left: CancellationToken::new() });
        async move { asked.await.expect("it lives") }
    }

    fn fact(&self, fact: PeerFact) {
        self.coordinator.do_send(fact);
    }

    fn opened(&self, published: Option<BlobHash>) {
        let greeting =
            Greeting { agent: String::new(), player: None, capabilities: 0, published, instance: 1 };
        let addr = Some(([127, 0, 0, 1], 9).into());
        self.fact(PeerFact::Opened { peer: self.peer, addr, path: PathKind::Loopback, greeting });
    }

    fn lost(&self) {
        self.fact(PeerFact::Lost { peer: self.peer, cause: "it broke".into() });
    }

    fn fetch(&self) -> impl Future<Output = Result<RawJson, Fault>> + 'static {
        self.ask(Request::PeerFetch(request::PeerFetch { player: self.player.clone(), out: None }))
    }

    /// The peer's events since the last call, as text.
    async fn told(&mut self) -> Vec<String> {
        // The answer follows all messages that were sent before.
        self.ask(Request::ContactsList).await.expect("a list");
        let events = std::iter::from_fn(|| self.events.try_recv().ok());
        let word = |told: Arc<Numbered>| match &told.event {
            Event::PeerConnected { .. } => Some("connected".to_owned()),
            Event::PeerDisconnected { .. } => Some("disconnected".to_owned()),
            Event::PeerLook { appearance, .. } => Some(format!("{appearance:?}")),
            _ => None,
        };
        events.filter_map(word).collect()
    }
}

/// Starts the peer's actor.
#[derive(Message)]
#[rtype(result = "()")]
struct Touch(PeerId);

impl Handler<Touch> for Coordinator {
    type Result = ();

    fn handle(&mut self, touch: Touch, _: &mut Self::Context) {
        self.roster.peer(touch.0);
    }
}

/// Bans the peer as a pump's report does.
#[derive(Message)]
#[rtype(result = "()")]
struct Ban(PeerId);

impl Handler<Ban> for Coordinator {
    type Result = ();

    fn handle(&mut self, ban: Ban, _: &mut Self::Context) {
        self.ban(ban.0, CloseCode::Malformed);
    }
}

#[actix::test]
async fn connected_comes_before_disconnected() {
    let mut desk = Desk::new().await;
    // A link that breaks at once: both facts wait in the mailbox together.
    desk.opened(None);
    desk.lost();
    assert_eq!(desk.told().await, ["connected", "None", "disconnected"]);
}

#[actix::test]
async fn newer_look_comes_after_older() {
    let mut desk = Desk::new().await;
    let [older, newer] = [b"older", b"newer"].map(|look| Some(BlobHash::of(look)));
    desk.opened(older);
    desk.fact(PeerFact::Look { peer: desk.peer, look: newer });
    let looks = [older, newer].map(|look| format!("{look:?}"));
    assert_eq!(desk.told().await, ["connected", looks[0].as_str(), looks[1].as_str()]);
}

#[actix::test]
async fn want_to_a_retiring_peer_is_repeated() {
    let desk = Desk::new().await;
    // All three in a row: the actor is sent `Retire`, and the fetch needs it before it has stopped.
    let who = Who { player: Some(desk.player.clone()), peer_id: None };
    let removed = desk.ask(Request::ContactsRemove(who));
    let add = ContactsAdd { player: desk.player.clone(), peer_id: Some(desk.peer) };
    let added = desk.ask(Request::ContactsAdd(add));
    let fetched = desk.fetch();
    removed.await.expect("removed");
    added.await.expect("added");
    // Without a phone book the peer is not found, and the fetch fails. A lost message would leave the fetch waiting for
    // ever.
    let fault =
        tokio::time::timeout(TIMEOUT, fetched).await.expect("an answer").expect_err("the peer is not found");
    assert_ne!(fault.code, FaultCode::Internal, "{fault}");
}

#[actix::test]
async fn answer_to_an_older_request_is_dropped() {
    let desk = Desk::new().await;
    desk.opened(Some(BlobHash::of(b"look")));
    let mut fetched = Box::pin(desk.fetch());
    let answer =
        |run| PeerFact::Appearance { peer: desk.peer, run, result: Err(AppearancePullError::Nothing) };
    // An answer to a request from before this fetch arrives late. Attempts are numbered from 1.
    desk.fact(answer(0));
    let soon = tokio::time::timeout(Duration::from_millis(100), fetched.as_mut()).await;
    assert!(soon.is_err(), "{soon:?}");
    desk.fact(answer(1));
    let fault =
        tokio::time::timeout(TIMEOUT, fetched).await.expect("an answer").expect_err("nothing is published");
    assert_eq!(fault.code, FaultCode::PeerRefused, "{fault}");
}

#[actix::test]
async fn banned_peer_is_not_dialled_and_causes_no_event() {
    let mut desk = Desk::new().await;
    desk.opened(None);
    desk.coordinator.do_send(Ban(desk.peer));
    desk.lost();
    assert_eq!(desk.told().await, ["connected", "None", "disconnected"]);
    let fault =
        tokio::time::timeout(TIMEOUT, desk.fetch()).await.expect("an answer").expect_err("it is banned");
    assert!(fault.message.contains(&Refusal::Banned.to_string()), "{fault}");
    // A link whose dial began before the ban.
    desk.opened(None);
    desk.lost();
    assert_eq!(desk.told().await, [""; 0]);
}
