//! All desks together, without an actor: orders between desks.

use super::{orders::Answer, *};
use crate::{
    contact_addresses::ContactAddresses,
    io::{
        contacts::ContactsFile,
        identity::Identity,
        keeper::Keeper,
        published::PublishedFile,
        store::{Damage, Store, StoreConfig},
    },
    ledger::Accounts,
    sharing::{lending::Lending, means::PeerMeans, published::CurrentOffer},
};
use contacts::changes::Change;
use futures::FutureExt;
use fyteclub_proto::{
    contact::{Here, Policy},
    fetching::pace::Limits,
    id::BlobHash,
    local::{
        Event, FaultCode,
        reply::{Fetched, PathKind},
        request::{ContactsAdd, NearPlayer, NearbySet, PeerFetch, Who},
    },
    phonebook::Listing,
    reaching::traversal::{Means, RelayUse},
};
use std::{path::Path, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Parts of a daemon's desks, in a folder, and what they share with actors.
pub struct Made {
    pub setup: Setup,
    pub identity: Arc<Identity>,
    pub offer: CurrentOffer,
}

pub fn make(folder: &Path) -> Made {
    let path = |name: &str| folder.join(name);
    let identity = Arc::new(Identity::load_or_create(&path("identity.key")).expect("an identity"));
    let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
    let (store, _) = Store::open(folder, config).expect("a store");
    let (keeper, player) = (Keeper::default(), Some("Here I@Am".parse().expect("a name")));
    let (sender, offer) = tokio::sync::watch::channel(None);
    let (lending, accounts) = (Lending::default(), Accounts::default());
    let setup = Setup {
        contacts: contacts::Setup {
            here: Here { key: identity.peer_id(), player: player.clone() },
            policy: Policy::Ask,
            file: ContactsFile::load(&path("contacts.json"), keeper.clone()).expect("none"),
            contact_addresses: ContactAddresses::default(),
            means: PeerMeans::new(Means { punching: true, relay: RelayUse::On }),
            carriers: Vec::new(),
            phonebooks: Vec::new(),
            listing: Listing::Listed,
            changes: Vec::new(),
        },
        own_look: own_look::Setup {
            player: player.clone(),
            identity: identity.clone(),
            store: store.clone(),
            offer: sender,
            file: PublishedFile::load(&path("published.bin"), keeper.clone()),
        },
        limits: LimitsFile::load(&path("limits.json"), Limits::default(), keeper).expect("none"),
        pacer: Pacer::start(Limits::default()),
        fetching: fetching::Shared { store, lending, accounts, player },
        prefetch_budget: 0,
    };
    Made { setup, identity, offer }
}

/// The desks of a daemon with one contact, and their orders to the rest of the daemon.
struct Fixture {
    desks: Desks,
    orders: Orders,
    peer: PeerId,
    player: PlayerName,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut orders = Orders::default();
        let desks = Desks::new(make(folder.path()).setup, Now::read(), &mut orders);
        let peer =
            PeerId::from_bytes(ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key().to_bytes());
        let player: PlayerName = "Alice Ashe@Gilgamesh".parse().expect("a name");
        let mut fixture = Self { desks, orders, peer, player, _folder: folder };
        let add = ContactsAdd { player: fixture.player.clone(), peer_id: Some(peer) };
        fixture.act(|desks, now, orders| drop(desks.contacts.change(now, Change::Add(add), orders)));
        fixture
    }

    /// Names the orders that remain for the rest of the daemon after `act`.
    fn act(&mut self, act: impl FnOnce(&mut Desks, Now, &mut Orders)) -> Vec<&'static str> {
        act(&mut self.desks, Now::read(), &mut self.orders);
        let mut left = Vec::new();
        while let Some(order) = self.orders.pop() {
            left.extend(self.desks.route(Now::read(), order, &mut self.orders).map(|order| match order {
                Order::Tell(Event::PeerConnected { .. }) => "connected",
                Order::Tell(Event::PeerDisconnected { .. }) => "disconnected",
                Order::Tell(Event::PeerLook { .. }) => "look",
                Order::Tell(Event::TransferFailed { .. }) => "failed",
                Order::Tell(Event::PeerUploading(upload)) if upload.player.is_some() => "uploading",
                Order::Tell(Event::ContactChanged { .. }) => "changed",
                Order::Tell(Event::PeerKeyChanged { .. }) => "key changed",
                Order::Tell(Event::CacheDamaged { .. }) => "damaged",
                Order::Admit { .. } => "admit",
                Order::Dismiss(_) => "dismiss",
                Order::Disconnect(_) => "disconnect",
                Order::Await(..) => "await",
                Order::DiskFull => "disk full",
                Order::Fetching(fetching::Order::Want(_)) => "want",
                Order::Fetching(fetching::Order::Leave(_)) => "leave",
                Order::Fetching(fetching::Order::AskAppearance { .. }) => "ask appearance",
                _ => "something else",
            }));
        }
        left
    }

    fn fetch(&mut self) -> orders::Later<Fetched> {
        let mut fetched = None;
        let (player, left) = (self.player.clone(), CancellationToken::new());
        self.act(|desks, now, orders| {
            let key = desks.contacts.key_of(&player);
            let fetch = PeerFetch { player, out: None };
            fetched = Some(desks.fetching.fetch(now.at, fetch, key, left, orders));
        });
        fetched.expect("it was asked")
    }

    fn come_near(&mut self) -> Vec<&'static str> {
        let near = NearPlayer { player: self.player.clone(), distance: 5.0.try_into().expect("a distance") };
        let set = NearbySet { keep_secs: Some(60), add: vec![near], ..NearbySet::default() };
        self.act(|desks, now, orders| desks.sessions.set_nearby(now.at, 1, set, orders).expect("taken"))
    }

    fn open(&mut self) -> Vec<&'static str> {
        let (peer, look) = (self.peer, Some(BlobHash::of(b"look")));
        let addr = Some(([127, 0, 0, 1], 9).into());
        let link = NewLink { addr, path: PathKind::Lan, instance: 1, look };
        self.act(|desks, now, orders| desks.opened(now, peer, link, orders))
    }
}

fn fault(answer: &mut orders::Later<Fetched>) -> Option<FaultCode> {
    answer.now_or_never().map(|answer: Answer<Fetched>| answer.expect_err("a fault").code)
}

#[tokio::test]
async fn fetch_ends_when_the_contact_is_removed() {
    let mut fixture = Fixture::new();
    let mut fetched = fixture.fetch();
    assert_eq!(fault(&mut fetched), None);
    let who = Who { player: Some(fixture.player.clone()), peer_id: None };
    let left =
        fixture.act(|desks, now, orders| drop(desks.contacts.change(now, Change::Remove(who), orders)));
    assert_eq!(left, ["dismiss", "changed", "dismiss", "disconnect", "await", "leave", "failed"]);
    assert_eq!(fault(&mut fetched), Some(FaultCode::NotAContact));
}

#[tokio::test]
async fn upload_ends_with_its_contact_and_not_later() {
    let mut fixture = Fixture::new();
    fixture.open();
    let peer = fixture.peer;
    let tick = |bytes| {
        move |desks: &mut Desks, now, orders: &mut Orders| {
            desks.tick(now, [(peer, bytes)].into_iter(), orders);
        }
    };
    assert!(fixture.act(tick(100)).contains(&"uploading"));
    let who = Who { player: Some(fixture.player.clone()), peer_id: None };
    let left =
        fixture.act(|desks, now, orders| drop(desks.contacts.change(now, Change::Remove(who), orders)));
    assert_eq!(left.iter().filter(|order| **order == "uploading").count(), 1, "{left:?}");
    assert_eq!(fixture.desks.transfers().uploads, []);
    let late = fixture.act(tick(150));
    assert!(!late.contains(&"uploading") && !late.contains(&"something else"), "{late:?}");
    let lost = fixture.act(|desks, now, orders| desks.lost(now, peer, "it broke".into(), orders));
    assert_eq!(lost[..1], ["disconnected"]);
}

#[tokio::test]
async fn near_contact_is_wanted_until_its_time_ends() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.come_near(), ["want"]);
    assert_eq!(fixture.desks.nearby().contacts.len(), 1);
    let end = fixture.desks.sessions.deadline().expect("it ends");
    assert!(fixture.desks.deadline().expect("something is due") <= end);
    assert!(fixture.desks.fetching.fetches().needs(&fixture.peer));
    fixture.act(|desks, now, orders| desks.time(Now { at: end, ..now }, orders));
    assert_eq!(fixture.desks.nearby().contacts.len(), 0);
    assert!(!fixture.desks.fetching.fetches().needs(&fixture.peer));
}

#[tokio::test]
async fn link_event_precedes_the_request_for_the_look() {
    let mut fixture = Fixture::new();
    fixture.come_near();
    assert_eq!(fixture.open(), ["connected", "look", "ask appearance", "admit", "changed", "await"]);
    assert!(fixture.desks.nearby().contacts[0].online && fixture.desks.contacts.list()[0].online);
    let peer = fixture.peer;
    let left = fixture.act(|desks, now, orders| desks.lost(now, peer, "it broke".into(), orders));
    assert_eq!(left[..2], ["disconnected", "want"]);
    assert!(!fixture.desks.nearby().contacts[0].online && !fixture.desks.contacts.list()[0].online);
}

#[tokio::test]
async fn name_under_another_key_fails_the_fetch() {
    let mut fixture = Fixture::new();
    let mut fetched = fixture.fetch();
    let (peer, other) = (fixture.peer, PeerId::from_bytes([9; 32]));
    let left = fixture.act(|desks, now, orders| desks.other_key(now, peer, other, orders));
    assert_eq!(left, ["key changed", "leave", "failed"]);
    assert_eq!(fault(&mut fetched), Some(FaultCode::KeyChanged));
}

#[tokio::test]
async fn dial_begins_with_known_facts_of_the_peer() {
    let mut fixture = Fixture::new();
    let hints = |fixture: &Fixture| fixture.desks.dial_hints(Now::read(), &fixture.peer);
    let fresh = hints(&fixture);
    assert_eq!((fresh.since, fresh.last, fresh.asked), (Seen::JustNow, None, false));
    let later = Now { unix_ms: Now::read().unix_ms + 60_000, ..Now::read() };
    assert_eq!(fixture.desks.dial_hints(later, &fixture.peer).since, Seen::Never);
    let _fetched = fixture.fetch();
    fixture.open();
    let known = hints(&fixture);
    assert_eq!((known.since, known.name, known.asked), (Seen::Once, Some(fixture.player.clone()), true));
    assert!(known.last.is_some());
}

#[tokio::test]
async fn full_disk_and_damage_reach_the_desks() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.act(|_, _, orders| orders.add(DeskOrder::DiskFull)), ["disk full"]);
    assert!(fixture.desks.cache.is_low());
    let damage = Damage { wrong: vec![], missing: vec![BlobHash::of(b"file")] };
    let left = fixture.act(|desks, _, orders| {
        desks.cache.handle(cache::Input::Damaged(damage), |_| false, orders);
    });
    assert_eq!(left, ["damaged"]);
}
