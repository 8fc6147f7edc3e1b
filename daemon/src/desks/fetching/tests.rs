//! What the desk adds to the machine: channels, tokens, the ledger.

use super::*;
use crate::{
    io::store::StoreConfig,
    pumps::plan::{self, Unready},
};
use ed25519_dalek::SigningKey;
use fyteclub_proto::{
    appearance::{Appearance, FileEntry, Look, ObjectKind, ObjectLook, SignedAppearance},
    id::BlobHash,
    local::{FaultCode, reply::PathKind},
    version::APPEARANCE_VERSION,
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

const PEER: PeerId = PeerId::from_bytes([7; 32]);

type Answer = oneshot::Receiver<Result<Fetched, Fault>>;

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
        let shared = Shared { store, lending: Lending::default(), accounts: accounts.clone() };
        Self { fetching: Fetching::new(0, shared, now), accounts, now, _folder: folder }
    }

    fn say(&mut self, input: Input) -> Vec<Order> {
        let mut orders = Orders::new();
        self.fetching.handle(self.now, input, &mut orders);
        orders.into()
    }

    fn ask(&mut self) -> (Vec<Order>, Answer, CancellationToken) {
        let ((answer, answered), left) = (oneshot::channel(), CancellationToken::new());
        let waiter = Waiter { out: None, answer, left: left.clone() };
        (self.say(Input::Asked { player: player(), key: Ok(PEER), waiter }), answered, left)
    }

    fn open(&mut self) -> Vec<Order> {
        let offers = Some(BlobHash::of(b"look"));
        self.say(Input::Machine(fetch::Input::Named { peer: PEER, player: player() }));
        self.say(Input::Machine(fetch::Input::Opened { peer: PEER, path: PathKind::Lan, offers }))
    }
}

fn player() -> PlayerName {
    "Alice Ashe@Gilgamesh".parse().expect("a name")
}

fn asks(orders: &[Order]) -> bool {
    orders.iter().any(|order| matches!(order, Order::AskAppearance { .. }))
}

#[test]
fn client_that_left_frees_its_fetch_at_the_next_tick() {
    let mut desk = Desk::new();
    desk.open();
    let (orders, mut answered, left) = desk.ask();
    assert!(asks(&orders));
    desk.say(Input::Tick);
    assert!(desk.fetching.fetches().needs(&PEER));
    left.cancel();
    let orders = desk.say(Input::Tick);
    assert!(orders.iter().any(|order| matches!(order, Order::Leave(PEER))));
    assert!(!desk.fetching.fetches().needs(&PEER) && desk.fetching.waiters.is_empty());
    assert!(answered.try_recv().is_err(), "nobody is there to be answered");
}

#[test]
fn documents_beyond_the_allowance_wait() {
    let mut desk = Desk::new();
    while desk.accounts.charge(&Counterpart::Contact(PEER), Item::Documents, 1).is_ok() {}
    let near = vec![(player(), PEER, 1.0.try_into().expect("a distance"))];
    desk.say(Input::Machine(fetch::Input::Nearby(near)));
    assert!(!asks(&desk.open()), "nobody waits for it");
    let (orders, ..) = desk.ask();
    assert!(asks(&orders), "a person who asks is a reason of its own");
}

#[test]
fn look_is_borrowed_before_others_are_asked_and_its_plan_ends_with_it() {
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
    let ((answer, _answered), left) = (oneshot::channel(), CancellationToken::new());
    let waiter = Waiter { out: None, answer, left };
    let orders = desk.say(Input::Asked { player: player(), key: Ok(owner), waiter });
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
    assert!(asks(&orders) && desk.fetching.works.is_empty(), "it begins anew");
}

#[test]
fn everybody_is_answered_when_the_desk_closes() {
    let mut desk = Desk::new();
    let (_, mut first, _left) = desk.ask();
    let (_, mut second, _left) = desk.ask();
    desk.fetching.close(&Fault::new(FaultCode::Stopping, "the daemon is stopping"));
    for answered in [&mut first, &mut second] {
        let fault = answered.try_recv().expect("an answer").expect_err("a fault");
        assert_eq!(fault.code, FaultCode::Stopping);
    }
}
