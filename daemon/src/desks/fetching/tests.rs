//! The desk's own part: channels, tokens, the ledger.

use super::*;
use crate::{
    io::store::StoreConfig,
    pumps::plan::{self, Unready},
};
use ed25519_dalek::SigningKey;
use futures::FutureExt;
use fyteclub_proto::{
    appearance::{Appearance, FileEntry, Look, ObjectKind, ObjectLook, SignedAppearance},
    id::BlobHash,
    local::{FaultCode, reply::PathKind},
    version::APPEARANCE_VERSION,
};
use std::sync::Mutex;

const PEER: PeerId = PeerId::from_bytes([7; 32]);

struct Desk {
    fetching: Fetching,
    accounts: Accounts,
    now: Instant,
    _folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { cache_limit: u64::MAX, min_free: None };
        let (store, _) = Store::open(folder.path(), config).expect("a store");
        let (accounts, now) = (Accounts::default(), Instant::now());
        let lending = Lending::default();
        let shared = Shared { store, lending, accounts: accounts.clone(), player: None };
        Self { fetching: Fetching::new(0, shared, now), accounts, now, _folder: folder }
    }

    fn say(&mut self, input: Input) -> Vec<Order> {
        let mut orders = Orders::default();
        self.fetching.handle(self.now, input, &mut orders);
        ordered(orders)
    }

    fn ask(&mut self, key: PeerId) -> (Vec<Order>, Later<Fetched>, CancellationToken) {
        let (mut orders, left) = (Orders::default(), CancellationToken::new());
        let fetch = PeerFetch { player: player(), out: None };
        let answer = self.fetching.fetch(self.now, fetch, Ok(key), left.clone(), &mut orders);
        (ordered(orders), answer, left)
    }

    fn open(&mut self) -> Vec<Order> {
        let offers = Some(BlobHash::of(b"look"));
        self.say(Input::Machine(fetch::Input::Named { peer: PEER, player: player() }));
        self.say(Input::Machine(fetch::Input::Opened { peer: PEER, path: PathKind::Lan, offers }))
    }
}

/// The desk's orders about peers.
fn ordered(mut orders: Orders) -> Vec<Order> {
    let fetching = |order| match order {
        super::super::orders::Order::Fetching(order) => Some(order),
        _ => None,
    };
    std::iter::from_fn(|| orders.pop()).filter_map(fetching).collect()
}

fn player() -> PlayerName {
    "Alice Ashe@Gilgamesh".parse().expect("a name")
}

fn fault(answer: Later<Fetched>) -> FaultCode {
    answer.now_or_never().expect("an answer").expect_err("a fault").code
}

fn asks(orders: &[Order]) -> bool {
    orders.iter().any(|order| matches!(order, Order::AskAppearance { .. }))
}

#[test]
fn client_that_left_frees_its_fetch_at_the_next_tick() {
    let mut desk = Desk::new();
    desk.open();
    let (orders, answered, left) = desk.ask(PEER);
    assert!(asks(&orders));
    desk.say(Input::Tick);
    assert!(desk.fetching.fetches().needs(&PEER));
    left.cancel();
    let orders = desk.say(Input::Tick);
    assert!(orders.iter().any(|order| matches!(order, Order::Leave(PEER))));
    assert!(!desk.fetching.fetches().needs(&PEER) && desk.fetching.waiters.is_empty());
    assert_eq!(fault(answered), FaultCode::Internal, "the client has left");
}

#[test]
fn documents_beyond_the_ledgers_limit_wait() {
    let mut desk = Desk::new();
    while desk.accounts.charge(&Counterpart::Contact(PEER), Item::Documents, 1).is_ok() {}
    let near = vec![(player(), PEER, 1.0.try_into().expect("a distance"))];
    desk.say(Input::Machine(fetch::Input::Nearby(near)));
    assert!(!asks(&desk.open()), "it has no waiter");
    let (orders, ..) = desk.ask(PEER);
    assert!(asks(&orders), "a waiter asks in spite of the ledger");
}

#[test]
fn look_is_borrowed_before_other_sources_are_asked() {
    let mut desk = Desk::new();
    let (key, now) = (SigningKey::from_bytes(&[1; 32]), unix_millis());
    let owner = PeerId::from_bytes(key.verifying_key().to_bytes());
    let file = FileEntry {
        game_paths: vec!["chara/a.tex".parse().expect("a path")],
        hash: BlobHash::of(b"file"),
        size: 4,
    };
    let object = ObjectLook {
        kind: ObjectKind::Player,
        files: vec![file],
        swaps: vec![],
        glamourer: None,
        customize_plus: None,
    };
    let look = Look { objects: vec![object], ..Look::default() };
    let (hash, appearance) =
        (look.hash(), Appearance { v: APPEARANCE_VERSION, seq: 1, player: player(), look });
    let document = SignedAppearance::sign(&appearance, &key).to_bytes();
    let opened = |peer| fetch::Input::Opened { peer, path: PathKind::Lan, offers: Some(hash) };
    desk.say(Input::Machine(opened(owner)));
    desk.say(Input::Machine(opened(PEER)));
    let (orders, _answered, _left) = desk.ask(owner);
    let [Order::AskAppearance { run, .. }] = orders[..] else { panic!("one order") };
    let grant = Grant::new(&key, PEER, hash, now);
    let mut orders = desk.say(Input::Document { peer: owner, run, result: Ok((document, grant)) });
    let Some(Order::Plan(Planning { document, grant, space, .. })) = orders.pop() else { panic!("a plan") };
    let store = desk.fetching.shared.store.clone();
    let draft = plan::draft(&store, &document, &owner, &player()).expect("accepted");
    let result = draft.settle(&store, space, None);
    let orders = desk.say(Input::Planned { player: player(), run, grant, result });
    let place = |is: fn(&Order) -> bool| orders.iter().position(is).expect("ordered");
    let borrowed = place(|order| matches!(order, Order::Borrow { .. }));
    assert!(borrowed < place(|order| matches!(order, Order::AskHolding { peer: PEER, .. })));
    let Order::Pull { ask, source, .. } = &orders[place(|order| matches!(order, Order::Pull { .. }))] else {
        panic!("a pull")
    };
    assert!(*source == owner && ask.grant.is_none() && ask.targets.len() == 1);
    let (request, chunks) = (ask.request, 0..1);
    let verified = transfer::Input::Verified { request, hash: BlobHash::of(b"file"), chunks };
    let note = Note::Progress { facts: vec![verified], wire: 4 };
    let orders = desk.say(Input::Noted { player: player(), run, note });
    assert!(matches!(orders.last(), Some(Order::HandOut(_))));
    assert_eq!(desk.fetching.works.keys().copied().collect::<Vec<_>>(), [run]);
    let result = Err(Unready::Lost);
    let orders = desk.say(Input::Written { player: player(), run, folders: Vec::new(), result });
    assert!(asks(&orders) && desk.fetching.works.is_empty(), "it begins again");
}

#[test]
fn every_waiter_is_answered_when_the_desk_closes() {
    let mut desk = Desk::new();
    let (_, first, _left) = desk.ask(PEER);
    let (_, second, _left) = desk.ask(PEER);
    desk.fetching.close(&Fault::new(FaultCode::Stopping, "the daemon is stopping"));
    assert_eq!([first, second].map(fault), [FaultCode::Stopping; 2]);
}

#[test]
fn fetch_that_cannot_begin_is_refused_at_once() {
    let mut desk = Desk::new();
    desk.fetching.shared.player = Some(player());
    let mut refused = |out: Option<&str>, key| {
        let fetch = PeerFetch { player: player(), out: out.map(str::to_owned) };
        let mut orders = Orders::default();
        fault(desk.fetching.fetch(desk.now, fetch, key, CancellationToken::new(), &mut orders))
    };
    assert_eq!(refused(Some("relative/folder"), Ok(PEER)), FaultCode::BadRequest);
    assert_eq!(refused(None, Ok(PEER)), FaultCode::BadRequest, "it is this daemon's player");
    desk.fetching.shared.player = None;
    let unknown = Fault::new(FaultCode::NotAContact, "a stranger");
    let fetch = PeerFetch { player: player(), out: None };
    let mut orders = Orders::default();
    let answer = desk.fetching.fetch(desk.now, fetch, Err(unknown), CancellationToken::new(), &mut orders);
    assert_eq!(fault(answer), FaultCode::NotAContact);
}

#[test]
fn only_a_running_or_waiting_fetch_can_be_cancelled() {
    let mut desk = Desk::new();
    let mut orders = Orders::default();
    let refused = desk.fetching.cancel(desk.now, player(), Some(PEER), &mut orders);
    assert_eq!(refused.expect_err("nothing is fetched").code, FaultCode::BadRequest);
    let (_, answered, _left) = desk.ask(PEER);
    desk.fetching.cancel(desk.now, player(), Some(PEER), &mut orders).expect("it is fetched");
    assert_eq!(fault(answered), FaultCode::Cancelled);
}

/// What is logged at INFO meanwhile.
fn logged(work: impl FnOnce()) -> String {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let written = bytes.clone();
    let log = log.with_writer(move || Sink(written.clone())).finish();
    tracing::subscriber::with_default(log, work);
    String::from_utf8(std::mem::take(&mut *bytes.lock().expect("written"))).expect("text")
}

struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("written").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn failed_fetch_is_logged_with_the_players_name() {
    let mut desk = Desk::new();
    desk.open();
    let (_, answered, _left) = desk.ask(PEER);
    let failed = fetch::Input::Failed { player: player(), fault: Fault::new(FaultCode::Io, "no disk") };
    let log = logged(|| drop(desk.say(Input::Machine(failed))));
    assert_eq!(fault(answered), FaultCode::Io);
    assert!(log.contains(player().as_str()) && !log.contains(&PEER.short()), "{log}");
}
