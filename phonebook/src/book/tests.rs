//! The book under virtual time, then against a plain map.

use super::*;
use proptest::prelude::*;
use std::{collections::HashMap, net::SocketAddr};

const TTL: u64 = 3600;
const PIN: u64 = 7 * 86400;

fn book() -> Book {
    Book::new(Terms { ttl: Duration::from_secs(TTL), pin: Duration::from_secs(PIN), max_records: 1000 })
}

fn unsigned_book() -> Book {
    Book::new(Terms { ttl: Duration::from_secs(TTL), pin: Duration::ZERO, max_records: 1000 })
}

fn at(seconds: u64) -> Moment {
    Moment { steady: Duration::from_secs(seconds), unix: Duration::from_secs(1_700_000_000 + seconds) }
}

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

fn contact(number: u8) -> Contact {
    seen_by(number, Visibility::Listed)
}

fn seen_by(number: u8, visibility: Visibility) -> Contact {
    let address = SocketAddr::from(([10, 0, 0, number], 7777));
    Contact { address, key: Some(Key::Peer(peer(number))), visibility }
}

/// Signed just now.
fn signed(sequence: u64) -> Option<Claim<'static>> {
    Some(Claim { sequence, time: u64::MAX, follows: &[] })
}

#[test]
fn a_registration_is_answered_until_its_ttl_and_not_after() {
    let book = book();
    book.register("Alice", contact(1), signed(1), at(10)).unwrap();
    let found = book.lookup("Alice", at(10 + TTL - 1)).unwrap();
    assert_eq!((found.address, found.key), (Some(contact(1).address), contact(1).key));
    assert_eq!(found.last_seen, 1_700_000_010_000);
    assert_eq!(book.len(), 1);
    assert_eq!(book.lookup("Alice", at(10 + TTL)), None);
    assert_eq!(book.len(), 0, "the lookup took it out");
    assert_eq!(book.held(), 1, "the key still owns the name");
}

#[test]
fn a_new_registration_lives_its_own_ttl() {
    let book = book();
    book.register("Alice", contact(1), signed(1), at(0)).unwrap();
    book.register("Alice", contact(1), signed(2), at(TTL - 1)).unwrap();
    assert!(book.lookup("Alice", at(2 * TTL - 2)).is_some());
    assert_eq!(book.len(), 1);
}

#[test]
fn names_are_compared_exactly() {
    let book = unsigned_book();
    book.register("Alice Ashe@Omega", contact(1), None, at(0)).unwrap();
    for other in ["alice ashe@omega", "Alice Ashe", "Alice Ashe@Omega ", ""] {
        assert_eq!(book.lookup(other, at(0)), None, "{other:?}");
    }
}

#[test]
fn a_foreign_key_neither_takes_nor_ends_a_name() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    assert_eq!(book.register("Alice", contact(2), signed(9), at(1)), Err(Refused::NameTaken));
    assert_eq!(book.unregister("Alice", Some((&peer(2), 9)), at(1)), Err(Refused::NameTaken));
    assert_eq!(book.lookup("Alice", at(1)).unwrap().address, Some(contact(1).address));
}

#[test]
fn a_sequence_is_used_once_and_only_upwards() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    for old in [5, 4, 0] {
        let refused = Err(Refused::Stale { newest: 5 });
        assert_eq!(book.register("Alice", contact(1), signed(old), at(1)), refused);
        assert_eq!(book.unregister("Alice", Some((&peer(1), old)), at(1)), Err(Refused::Stale { newest: 5 }));
    }
    assert_eq!(book.unregister("Alice", Some((&peer(1), 6)), at(2)), Ok(true));
    assert_eq!(book.lookup("Alice", at(2)), None);
    assert_eq!(book.register("Alice", contact(1), signed(6), at(3)), Err(Refused::Stale { newest: 6 }));
    assert_eq!(book.unregister("Alice", Some((&peer(1), 7)), at(3)), Ok(false));
    book.register("Alice", contact(1), signed(8), at(4)).unwrap();
}

#[test]
fn a_name_stays_its_keys_until_the_pin_ends() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    book.unregister("Alice", Some((&peer(1), 6)), at(1)).unwrap();
    book.sweep(at(PIN - 1));
    assert_eq!(book.register("Alice", contact(2), signed(1), at(PIN - 1)), Err(Refused::NameTaken));
    book.register("Alice", contact(2), signed(1), at(PIN)).unwrap();
    assert_eq!(book.lookup("Alice", at(PIN)).unwrap().address, Some(contact(2).address));
    assert_eq!((book.len(), book.held()), (1, 1));
}

#[test]
fn even_without_a_pin_nothing_replayable_is_forgotten() {
    let terms = Terms { ttl: Duration::from_secs(1), pin: Duration::ZERO, max_records: 10 };
    let book = Book::new(terms);
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    let last = 2 * limit::PROOF_TIME_WINDOW.as_secs() - 1;
    assert_eq!(book.sweep(at(last)), Swept { expired: 1, forgotten: 0 });
    assert_eq!(book.register("Alice", contact(1), signed(5), at(last)), Err(Refused::Stale { newest: 5 }));
    assert_eq!(book.unregister("Alice", Some((&peer(2), 1)), at(last)), Ok(false));
    assert_eq!(book.sweep(at(last + 1)), Swept { expired: 0, forgotten: 1 });
    assert_eq!(book.held(), 0);
}

#[test]
fn nothing_is_kept_of_where_the_unlisted_are() {
    let book = book();
    for (name, visibility) in [("Alice", Visibility::Contacts), ("Bob", Visibility::Hidden)] {
        book.register(name, seen_by(1, visibility), signed(1), at(0)).unwrap();
        assert_eq!(book.key_of(name, at(0)), Some(peer(1)));
    }
    assert_eq!(book.lookup("Alice", at(0)), None);
    assert_eq!(book.lookup("Bob", at(0)).unwrap().address, None);
    assert!(book.listed(usize::MAX, at(0)).iter().all(|(_, found)| found.address.is_none()));
    assert_eq!(book.key_of("Alice", at(TTL)), None);
}

#[test]
fn what_is_not_known_must_have_been_signed_since_the_start() {
    let (book, start) = (book(), at(0).unix_millis());
    let claim = |sequence, time| Some(Claim { sequence, time, follows: &[] });
    let refused = Err(Refused::BeforeStart { offset: -10_001 });
    assert_eq!(book.register("Alice", contact(1), claim(1, start - 1), at(10)), refused);
    assert_eq!(book.held(), 0);
    book.register("Alice", contact(1), claim(1, start), at(10)).unwrap();
    book.register("Alice", contact(1), claim(2, start - 1), at(10)).unwrap();
    // A clock that was set back meanwhile moves the start along.
    let set_back = Moment { unix: at(10).unix - Duration::from_secs(3600), ..at(10) };
    book.register("Bob", contact(1), claim(1, set_back.unix_millis()), set_back).unwrap();
}

#[test]
fn without_signatures_anyone_overwrites_and_ends() {
    let book = unsigned_book();
    book.register("Alice", contact(1), None, at(0)).unwrap();
    book.register("Alice", contact(2), None, at(1)).unwrap();
    assert_eq!(book.lookup("Alice", at(1)).unwrap().address, Some(contact(2).address));
    assert_eq!(book.unregister("Alice", None, at(1)), Ok(true));
    assert_eq!(book.unregister("Alice", None, at(1)), Ok(false));
    assert_eq!((book.len(), book.held()), (0, 0));
}

#[test]
fn an_expired_unsigned_record_is_gone_at_the_lookup() {
    let book = unsigned_book();
    book.register("Alice", contact(1), None, at(0)).unwrap();
    assert_eq!(book.lookup("Alice", at(TTL)), None);
    assert_eq!((book.len(), book.held()), (0, 0));
}

#[test]
fn a_full_book_refuses_new_names_and_renews_old_ones() {
    let terms = Terms { ttl: Duration::from_secs(TTL), pin: Duration::ZERO, max_records: 2 };
    let book = Book::new(terms);
    book.register("A", contact(1), None, at(0)).unwrap();
    book.register("B", contact(2), None, at(0)).unwrap();
    assert_eq!(book.register("C", contact(3), None, at(0)), Err(Refused::Full));
    book.register("A", contact(1), None, at(1)).unwrap();
    assert_eq!(book.len(), 2);
    book.sweep(at(TTL));
    book.register("C", contact(3), None, at(TTL)).unwrap();
}

#[test]
fn a_sweep_takes_out_ten_thousand_and_gives_their_memory_back() {
    let book = Book::new(Terms { max_records: 20_000, ..unsigned_book().terms });
    for number in 0..10_000 {
        book.register(&format!("Player {number}"), contact(1), None, at(number / 100)).unwrap();
    }
    assert_eq!(book.sweep(at(TTL + 49)), Swept { expired: 5_000, forgotten: 5_000 });
    assert_eq!(book.listed(usize::MAX, at(TTL + 49)).len(), 5_000);
    for number in 5_000..10_000 {
        assert!(book.lookup(&format!("Player {number}"), at(TTL + 49)).is_some(), "{number}");
    }
    book.sweep(at(10 * TTL));
    assert_eq!((book.len(), book.held()), (0, 0));
    assert!(book.shards.iter().all(|shard| shard.read().unwrap().iter().next().is_none()));
}

#[derive(Debug, Clone)]
enum Act {
    Register { name: u8, key: u8, sequence: u64, visibility: Visibility, follows: Option<u8> },
    Unregister { name: u8, key: u8, sequence: u64 },
    Lookup { name: u8 },
    Sweep,
    Wait { seconds: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let visibility =
        || prop::sample::select(&[Visibility::Listed, Visibility::Contacts, Visibility::Hidden][..]);
    let follows = || prop_oneof![4 => Just(None), 1 => (1..4u8).prop_map(Some)];
    prop_oneof![
        4 => (0..40u8, 1..4u8, 0..30u64, visibility(), follows()).prop_map(
            |(name, key, sequence, visibility, follows)| Act::Register { name, key, sequence, visibility, follows }
        ),
        2 => (0..40u8, 1..4u8, 0..30u64).prop_map(|(name, key, sequence)| Act::Unregister { name, key, sequence }),
        3 => (0..40u8).prop_map(|name| Act::Lookup { name }),
        1 => Just(Act::Sweep),
        2 => (1..2 * TTL).prop_map(|seconds| Act::Wait { seconds }),
        1 => (PIN / 2..PIN).prop_map(|seconds| Act::Wait { seconds }),
    ]
}

/// The rules again, without shards, pages, counters or sweeping: nothing is ever forgotten, only judged by its age.
#[derive(Default)]
struct Model(HashMap<u8, (u8, u64, u64, bool, Visibility)>);

impl Model {
    fn check(&self, name: u8, key: u8, sequence: u64, now: u64) -> Result<(), Refused> {
        let Some(&(owner, newest, since, ..)) = self.0.get(&name) else { return Ok(()) };
        match now - since < PIN {
            false => Ok(()),
            true if owner != key => Err(Refused::NameTaken),
            true if sequence <= newest => Err(Refused::Stale { newest }),
            true => Ok(()),
        }
    }

    fn is_live(&self, name: u8, now: u64) -> Option<(u8, Visibility)> {
        let &(owner, _, since, current, visibility) = self.0.get(&name)?;
        (current && now - since < TTL).then_some((owner, visibility))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn the_book_agrees_with_a_plain_map(acts in prop::collection::vec(act(), 1..300)) {
        let (book, mut model, mut now) = (book(), Model::default(), 0);
        for act in acts {
            match act {
                Act::Register { name, key, sequence, visibility, follows } => {
                    let owner = model.0.get(&name).filter(|line| now - line.2 < PIN).map(|line| line.0);
                    let expected = match follows {
                        Some(old) if owner == Some(old) => Ok(()),
                        _ => model.check(name, key, sequence, now),
                    };
                    let follows = follows.map(peer);
                    let claim = Claim { sequence, time: u64::MAX, follows: follows.as_slice() };
                    let contact = seen_by(key, visibility);
                    prop_assert_eq!(book.register(&name.to_string(), contact, Some(claim), at(now)), expected);
                    if expected.is_ok() {
                        model.0.insert(name, (key, sequence, now, true, visibility));
                    }
                }
                Act::Unregister { name, key, sequence } => {
                    let expected = model.check(name, key, sequence, now).map(|()| model.is_live(name, now).is_some());
                    prop_assert_eq!(
                        book.unregister(&name.to_string(), Some((&peer(key), sequence)), at(now)),
                        expected
                    );
                    if let (Ok(_), Some(line)) = (expected, model.0.get_mut(&name))
                        && now - line.2 < PIN
                    {
                        (line.1, line.3) = (sequence, false);
                    }
                }
                Act::Lookup { name } => {
                    let found = book.lookup(&name.to_string(), at(now)).map(|found| (found.key, found.address));
                    let live = model.is_live(name, now);
                    let told = live.filter(|(_, visibility)| *visibility != Visibility::Contacts);
                    let address = |key, visibility| (visibility == Visibility::Listed).then(|| contact(key).address);
                    let expected = told.map(|(key, seen)| (Some(Key::Peer(peer(key))), address(key, seen)));
                    prop_assert_eq!(found, expected);
                    prop_assert_eq!(book.key_of(&name.to_string(), at(now)), live.map(|(key, _)| peer(key)));
                }
                Act::Sweep => {
                    book.sweep(at(now));
                    prop_assert_eq!(book.len(), (0..40).filter(|&name| model.is_live(name, now).is_some()).count());
                    let held = model.0.values().filter(|line| now - line.2 < PIN).count();
                    prop_assert_eq!(book.held(), held);
                }
                Act::Wait { seconds } => now += seconds,
            }
        }
    }
}
