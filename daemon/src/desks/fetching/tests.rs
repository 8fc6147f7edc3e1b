//! What the desk adds to the machine: channels, tokens, the ledger.

use super::*;
use crate::io::store::StoreConfig;
use fyteclub_proto::local::{FaultCode, reply::PathKind};
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
