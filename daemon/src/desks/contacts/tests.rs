//! The desk alone: its orders and their times.

use super::{changes::Change, *};
use crate::{
    desks::orders::{Answer, Later},
    io::keeper::Keeper,
};
use fyteclub_proto::{
    contact::Saved,
    id::BlobHash,
    knock::Knock,
    local::request::{ContactsAdd, ContactsSet, Who},
    number::millis,
    reaching::traversal::{Means, RelayUse},
};
use std::collections::BTreeMap;
use tempfile::TempDir;

const SELF: PeerId = PeerId::from_bytes([1; 32]);

fn key(seed: u8) -> PeerId {
    PeerId::from_bytes([seed; 32])
}

fn name(seed: u8) -> PlayerName {
    format!("Player {}@World", char::from(b'A' + seed)).parse().expect("a name")
}

struct Bench {
    desk: ContactDesk,
    now: Now,
    /// Orders that the test has not taken yet.
    orders: Orders,
    /// Running writes, and whether messages wait for each.
    writes: Vec<bool>,
    folder: TempDir,
}

impl Bench {
    fn new(changes: Vec<KeyChange>) -> Self {
        Self::over(tempfile::tempdir().expect("a folder"), changes)
    }

    fn over(folder: TempDir, changes: Vec<KeyChange>) -> Self {
        let file = ContactsFile::load(&folder.path().join("contacts.json"), Keeper::default());
        let setup = Setup {
            here: Here { key: SELF, player: Some(name(0)) },
            policy: Policy::Ask,
            file: file.expect("read"),
            contact_addresses: ContactAddresses::default(),
            means: PeerMeans::new(Means { punching: true, relay: RelayUse::On }),
            carriers: Vec::new(),
            phonebooks: Vec::new(),
            listing: Listing::Listed,
            changes,
        };
        let (now, mut orders) = (Now { at: Instant::now(), unix_ms: 1_800_000_000_000 }, Orders::default());
        let desk = ContactDesk::new(setup, now, &mut orders);
        Self { desk, now, orders, writes: Vec::new(), folder }
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { at: self.now.at + time, unix_ms: self.now.unix_ms + millis(time) };
        if self.desk.deadline().is_some_and(|at| at <= self.now.at) {
            self.input(Input::Time);
        }
    }

    fn input(&mut self, input: Input) {
        self.desk.handle(self.now, input, &mut self.orders);
    }

    fn heard(&mut self, heard: contact::Input) {
        self.input(Input::Received(heard));
    }

    fn change(&mut self, change: Change) -> Later<Option<reply::Contact>> {
        self.desk.change(self.now, change, &mut self.orders)
    }

    fn add(&mut self, seed: u8) -> Later<Option<reply::Contact>> {
        self.change(Change::Add(ContactsAdd { player: name(seed), peer_id: Some(key(seed)) }))
    }

    fn knocked(&mut self, seed: u8) {
        let (from, name) = (key(seed), name(seed));
        let (nonce, signature) = (Bytes([seed; 16]), Bytes([0; 64]));
        self.heard(contact::Input::Knocked(Knock { from, name, nonce, signature }));
    }

    fn link(&mut self, seed: u8) {
        self.input(Input::Linked { peer: key(seed), addr: Some(([127, 0, 0, 1], 9).into()) });
    }

    /// Orders since the last call. Writes are kept for [`Self::written`].
    fn ordered(&mut self) -> Vec<Order> {
        let mut ordered = Vec::new();
        while let Some(order) = self.orders.pop() {
            match order {
                Order::Await(_, Write::Contacts { urgent }) => self.writes.push(urgent),
                order => ordered.push(order),
            }
        }
        ordered
    }

    /// Keys that were ordered to be reached by other means, since the last call.
    fn rerouted(&mut self) -> Vec<PeerId> {
        let key = |order| if let Order::Reroute(key) = order { Some(key) } else { None };
        self.ordered().into_iter().filter_map(key).collect()
    }

    fn hidden(&self, seed: u8) -> bool {
        self.desk.means.toward(&key(seed)).relay_only()
    }

    /// Ends the oldest write with this result.
    fn written(&mut self, result: Kept) {
        let urgent = self.writes.remove(0);
        self.input(Input::Written { urgent, result });
    }

    fn failure(&self) -> KeepError {
        let (path, source) = (self.folder.path().to_owned(), std::io::Error::other("broken").into());
        KeepError { path, source }
    }
}

fn messages(orders: &[Order]) -> usize {
    orders.iter().filter(|order| matches!(order, Order::Post(_))).count()
}

async fn answered<T>(answer: Later<T>) -> Answer<T> {
    tokio::time::timeout(Duration::from_secs(30), answer).await.expect("an answer")
}

#[tokio::test]
async fn messages_leave_after_the_write() {
    let mut bench = Bench::new(vec![]);
    let added = bench.add(2);
    let ordered = bench.ordered();
    assert!(matches!(&ordered[0], Order::Admit { key, player: Some(_) } if *key == self::key(2)));
    assert_eq!((messages(&ordered), &bench.writes[..]), (0, &[true][..]));
    bench.written(Ok(()));
    assert_eq!(messages(&bench.ordered()), 1);
    let contact = answered(added).await.expect("added").expect("a contact");
    assert_eq!((contact.standing, contact.online), (Standing::Requested, false));
}

#[tokio::test]
async fn failed_write_is_repeated_with_the_next_change() {
    let mut bench = Bench::new(vec![]);
    drop(bench.add(2));
    bench.ordered();
    bench.written(Err(bench.failure()));
    // The contact is valid until the daemon stops, so it is sent a knock.
    assert_eq!((messages(&bench.ordered()), bench.writes.len()), (1, 0));
    // Alone, a stranger's knock would be written later.
    bench.knocked(3);
    bench.ordered();
    assert_eq!(bench.writes, [true]);
}

#[tokio::test]
async fn invitation_that_cannot_be_saved_is_not_lost() {
    let mut bench = Bench::new(vec![]);
    let folder = bench.folder.path().to_owned();
    std::fs::remove_dir_all(&folder).expect("taken away");
    std::fs::write(&folder, b"").expect("in its place");
    let made = bench.desk.invite(bench.now, &mut bench.orders);
    let fault = answered(made).await.expect_err("it cannot be saved");
    assert_eq!(fault.code, FaultCode::Io);
    assert!(fault.message.contains(". The invitation is fyteclub://join/"), "{fault}");
}

#[tokio::test]
async fn knocks_of_strangers_are_written_together() {
    let mut bench = Bench::new(vec![]);
    bench.knocked(2);
    bench.pass(SAVE_PAUSE / 2);
    bench.knocked(3);
    let ordered = bench.ordered();
    let asked = |order: &&Order| matches!(order, Order::Tell(Event::ContactRequest { .. }));
    assert_eq!((ordered.iter().filter(asked).count(), bench.writes.len()), (2, 0));
    bench.pass(SAVE_PAUSE / 2);
    bench.ordered();
    assert_eq!(bench.writes, [false]);
    bench.pass(SAVE_PAUSE * 2);
    bench.ordered();
    assert_eq!(bench.writes.len(), 1, "nothing has changed");
}

#[tokio::test]
async fn contacts_are_admitted_at_the_start() {
    let mut bench = Bench::new(vec![]);
    answered(bench.add(2)).await.expect("kept");
    bench.knocked(3);
    bench.desk.close();
    answered(bench.add(4)).await.expect("kept after the rest");
    let mut again = Bench::over(bench.folder, vec![]);
    let ordered = again.ordered();
    let admitted = ordered.iter().filter_map(|order| match order {
        Order::Admit { key, .. } => Some(*key),
        _ => None,
    });
    assert_eq!(admitted.collect::<Vec<_>>(), [key(2), key(4)]);
}

#[tokio::test]
async fn removed_contact_is_dismissed_and_disconnected() {
    let mut bench = Bench::new(vec![]);
    drop(bench.add(2));
    bench.link(2);
    assert!(bench.desk.list()[0].online);
    bench.ordered();
    drop(bench.change(Change::Remove(Who::from(name(2)))));
    let ordered = bench.ordered();
    let dismissed = ordered.iter().position(|order| matches!(order, Order::Dismiss(gone) if *gone == key(2)));
    let ended = ordered.iter().position(|order| matches!(order, Order::Disconnect(gone) if *gone == key(2)));
    assert!(dismissed.expect("dismissed") < ended.expect("disconnected"));
    assert_eq!(bench.desk.key_of(&name(2)).expect_err("gone").code, FaultCode::NotAContact);
}

#[tokio::test]
async fn parted_contact_is_not_online() {
    let mut bench = Bench::new(vec![]);
    drop(bench.add(2));
    bench.link(2);
    bench.input(Input::Parted(key(2)));
    assert!(!bench.desk.list()[0].online);
    assert_eq!(bench.desk.last_addr(&key(2)), Some(([127, 0, 0, 1], 9).into()));
}

#[tokio::test]
async fn joining_client_gets_the_inviters_answer() {
    let mut inviter = Bench::new(vec![]);
    inviter.desk.machine = {
        let here = Here { key: key(2), player: Some(name(2)) };
        Contacts::new(here, Policy::Ask, Saved::default(), inviter.now.unix_ms)
    };
    let invited = inviter.desk.invite(inviter.now, &mut inviter.orders);
    let link = answered(invited).await.expect("invited").link;
    let mut bench = Bench::new(vec![]);
    let joined = bench.desk.join(bench.now, reply_join(link), &mut bench.orders);
    bench.ordered();
    bench.written(Ok(()));
    let note = bench.ordered().into_iter().find_map(|order| match order {
        Order::Post(Post::Note { note, .. }) => Some(note),
        _ => None,
    });
    inviter.heard(contact::Input::Noted { from: SELF, note: note.expect("sent") });
    inviter.ordered();
    while !inviter.writes.is_empty() {
        inviter.written(Ok(()));
    }
    let note = inviter.ordered().into_iter().find_map(|order| match order {
        Order::Post(Post::Note { note, .. }) => Some(note),
        _ => None,
    });
    bench.heard(contact::Input::Noted { from: key(2), note: note.expect("answered") });
    assert_eq!(answered(joined).await.expect("joined").standing, Standing::Paired);
}

fn reply_join(link: String) -> fyteclub_proto::local::request::ContactsJoin {
    fyteclub_proto::local::request::ContactsJoin { link }
}

#[tokio::test]
async fn changed_key_is_announced_to_unlinked_contacts() {
    let (old, new) = ([8, 9]).map(|seed| ed25519_dalek::SigningKey::from_bytes(&[seed; 32])).into();
    let mut bench = Bench::new(vec![KeyChange::signed(&old, &new)]);
    for seed in 2..5 {
        drop(bench.add(seed));
    }
    bench.link(3);
    bench.ordered();
    let told = |orders: Vec<Order>| -> Vec<PeerId> {
        let to = |order: &Order| match order {
            Order::Post(Post::Note { to, note: Note::KeyChanged(_) }) => Some(*to),
            _ => None,
        };
        orders.iter().filter_map(to).collect()
    };
    bench.heard(contact::Input::Connected);
    assert_eq!(told(bench.ordered()), [key(2), key(4)]);
    // In parts: one contact at a time.
    bench.pass(ANNOUNCE_PERIOD);
    assert_eq!(told(bench.ordered()), [key(2)]);
    bench.pass(ANNOUNCE_PERIOD);
    assert_eq!(told(bench.ordered()), [key(4)]);
}

#[tokio::test]
async fn admission_follows_consent() {
    let mut bench = Bench::new(vec![]);
    let mut admitted: BTreeMap<PeerId, Option<PlayerName>> = BTreeMap::new();
    let mut nonces: Vec<(u8, Bytes<16>)> = Vec::new();
    let (mut admissions, mut dismissals) = (0, 0);
    for step in 0..4000u32 {
        let random = BlobHash::of(&step.to_le_bytes());
        let random = random.as_bytes();
        let (seed, other) = (2 + random[0] % 5, 2 + random[1] % 5);
        match random[2] % 12 {
            0 => drop(bench.add(seed)),
            1 => drop(bench.change(Change::Add(ContactsAdd { player: name(seed), peer_id: None }))),
            2 => {
                drop(bench.change(Change::Add(ContactsAdd { player: name(seed), peer_id: Some(key(other)) })))
            }
            3 => drop(bench.change(Change::Accept(Who { player: None, peer_id: Some(key(seed)) }))),
            4 => drop(bench.change(Change::Remove(Who { player: None, peer_id: Some(key(seed)) }))),
            5 => drop(bench.change(Change::Block(Who { player: None, peer_id: Some(key(seed)) }))),
            6 => drop(bench.change(Change::Unblock(Who { player: None, peer_id: Some(key(seed)) }))),
            7 => drop(bench.change(Change::Trust(name(seed), key(other)))),
            8 => bench.knocked(seed),
            9 => bench.link(seed),
            10 => {
                if let Some((seed, nonce)) = nonces.pop() {
                    let note = Note::Accepted { name: name(seed), nonce };
                    bench.heard(contact::Input::Noted { from: key(other), note });
                }
            }
            _ => bench.pass(Duration::from_secs(u64::from(random[3]) * 60)),
        }
        bench.ordered_into(&mut admitted, &mut nonces, &mut admissions, &mut dismissals);
        while !bench.writes.is_empty() {
            bench.written(Ok(()));
            bench.ordered_into(&mut admitted, &mut nonces, &mut admissions, &mut dismissals);
        }
        let consented = (2..8).map(key).filter(|key| bench.desk.machine.consents(key));
        let consented: BTreeMap<_, _> =
            consented.map(|key| (key, bench.desk.name_of(&key).cloned())).collect();
        assert_eq!(admitted, consented, "step {step}");
    }
    assert!(admissions > 100 && dismissals > 100, "{admissions}, {dismissals}");
}

impl Bench {
    fn ordered_into(
        &mut self,
        admitted: &mut BTreeMap<PeerId, Option<PlayerName>>,
        nonces: &mut Vec<(u8, Bytes<16>)>,
        admissions: &mut u32,
        dismissals: &mut u32,
    ) {
        for order in self.ordered() {
            match order {
                Order::Admit { key, player } => {
                    admitted.insert(key, player);
                    *admissions += 1;
                }
                Order::Dismiss(key) => *dismissals += u32::from(admitted.remove(&key).is_some()),
                Order::Disconnect(key) => assert!(!admitted.contains_key(&key)),
                Order::Post(Post::Knock { to: Callee::Name(player), nonce, .. }) => {
                    nonces.extend(
                        (2..7).find(|seed| name(*seed).to_string() == player).map(|seed| (seed, nonce)),
                    );
                }
                _ => {}
            }
        }
    }
}

#[test]
fn announcement_reaches_each_key_in_turn() {
    let mut all: Vec<PeerId> = (0..100).map(key).collect();
    let first = next_after(None, all.clone(), 40);
    assert_eq!(first, all[..40]);
    // A key that was sent the note links, and leaves the list.
    all.retain(|known| *known != key(39));
    let second = next_after(first.last().copied(), all.clone(), 40);
    assert_eq!((second[0], second[39]), (key(40), key(79)));
    let third = next_after(second.last().copied(), all.clone(), 40);
    assert_eq!((third[19], third[20], third[39]), (key(99), key(0), key(19)));
    assert_eq!(next_after(Some(key(99)), vec![], 40), []);
}

#[tokio::test]
async fn contact_set_to_relays_only_is_rerouted() {
    let mut bench = Bench::new(Vec::new());
    answered(bench.add(2)).await.expect("added");
    assert_eq!(bench.rerouted(), []);
    let set = |seed, relay| Change::Set(ContactsSet { player: Some(name(seed)), peer_id: None, relay });
    let only = Some(RelayUse::Only);
    let contact = answered(bench.change(set(2, only))).await.expect("set").expect("a contact");
    assert_eq!(contact.relay, only);
    assert_eq!((bench.hidden(2), bench.hidden(3), bench.rerouted()), (true, false, vec![key(2)]));
    answered(bench.change(set(2, only))).await.expect("set");
    assert_eq!(bench.rerouted(), []);
    let nothing = answered(bench.change(set(2, None))).await.expect_err("nothing to set");
    assert!(nothing.message.contains("`relay`"), "{nothing:?}");
    let stranger = answered(bench.change(set(4, only))).await.expect_err("no contact");
    assert_eq!(stranger.code, FaultCode::NotAContact);
    // The next start; then the contact is removed.
    let mut bench = Bench::over(bench.folder, Vec::new());
    assert_eq!((bench.hidden(2), bench.rerouted()), (true, vec![]));
    answered(bench.change(Change::Remove(name(2).into()))).await.expect("removed");
    assert_eq!((bench.hidden(2), bench.rerouted()), (false, vec![]));
}
