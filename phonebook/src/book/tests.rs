//! The book under virtual time; `model` compares it with a plain map.

use super::*;
use std::net::SocketAddr;

const TTL: u64 = 3600;
const PIN: u64 = 7 * 86400;

fn terms(pin: u64, max_records: usize) -> Terms {
    let (ttl, pin) = (Duration::from_secs(TTL), Duration::from_secs(pin));
    Terms { ttl, pin, pin_once: pin, max_records, max_of_one: 1_000_000 }
}

fn book() -> Book {
    Book::new(terms(PIN, 1000))
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
    Contact { address, key: peer(number), visibility }
}

/// Signed just now.
fn signed(sequence: u64) -> Claim<'static> {
    Claim { sequence, time: u64::MAX, follows: &[] }
}

#[test]
fn registration_is_found_until_its_ttl_ends() {
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
    let book = book();
    book.register("Alice Ashe@Omega", contact(1), signed(1), at(0)).unwrap();
    for other in ["alice ashe@omega", "Alice Ashe", "Alice Ashe@Omega ", ""] {
        assert_eq!(book.lookup(other, at(0)), None, "{other:?}");
    }
}

#[test]
fn a_foreign_key_neither_takes_nor_ends_a_name() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    assert_eq!(book.register("Alice", contact(2), signed(9), at(1)), Err(Refused::NameTaken));
    assert_eq!(book.unregister("Alice", (&peer(2), 9), at(1)), Err(Refused::NameTaken));
    assert_eq!(book.lookup("Alice", at(1)).unwrap().address, Some(contact(1).address));
}

#[test]
fn a_sequence_is_used_once_and_only_upwards() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    for old in [5, 4, 0] {
        let refused = Err(Refused::Stale { newest: 5 });
        assert_eq!(book.register("Alice", contact(1), signed(old), at(1)), refused);
        assert_eq!(book.unregister("Alice", (&peer(1), old), at(1)), Err(Refused::Stale { newest: 5 }));
    }
    assert_eq!(book.unregister("Alice", (&peer(1), 6), at(2)), Ok(true));
    assert_eq!(book.lookup("Alice", at(2)), None);
    assert_eq!(book.register("Alice", contact(1), signed(6), at(3)), Err(Refused::Stale { newest: 6 }));
    assert_eq!(book.unregister("Alice", (&peer(1), 7), at(3)), Ok(false));
    book.register("Alice", contact(1), signed(8), at(4)).unwrap();
}

#[test]
fn a_name_stays_its_keys_until_the_pin_ends() {
    let book = book();
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    book.unregister("Alice", (&peer(1), 6), at(1)).unwrap();
    book.sweep(at(PIN - 1));
    assert_eq!(book.register("Alice", contact(2), signed(1), at(PIN - 1)), Err(Refused::NameTaken));
    book.register("Alice", contact(2), signed(1), at(PIN)).unwrap();
    assert_eq!(book.lookup("Alice", at(PIN)).unwrap().address, Some(contact(2).address));
    assert_eq!((book.len(), book.held()), (1, 1));
}

#[test]
fn even_without_a_pin_nothing_replayable_is_forgotten() {
    let terms = Terms { ttl: Duration::from_secs(1), ..terms(0, 10) };
    let book = Book::new(terms);
    book.register("Alice", contact(1), signed(5), at(0)).unwrap();
    let last = 2 * limit::PROOF_TIME_WINDOW.as_secs() - 1;
    assert_eq!(book.sweep(at(last)), Swept { expired: 1, forgotten: 0 });
    assert_eq!(book.register("Alice", contact(1), signed(5), at(last)), Err(Refused::Stale { newest: 5 }));
    assert_eq!(book.unregister("Alice", (&peer(2), 1), at(last)), Ok(false));
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
    let shards = book.shards.iter().map(|shard| shard.read().unwrap());
    assert!(
        shards
            .flat_map(|shard| shard.iter().map(Record::found).collect::<Vec<_>>())
            .all(|it| it.address.is_none())
    );
    assert_eq!(book.key_of("Alice", at(TTL)), None);
}

#[test]
fn unknown_keys_need_a_signature_since_the_start() {
    let (book, start) = (book(), at(0).unix_millis());
    let claim = |sequence, time| Claim { sequence, time, follows: &[] };
    let refused = Err(Refused::BeforeStart { offset: -10_001 });
    assert_eq!(book.register("Alice", contact(1), claim(1, start - 1), at(10)), refused);
    assert_eq!(book.held(), 0);
    book.register("Alice", contact(1), claim(1, start), at(10)).unwrap();
    book.register("Alice", contact(1), claim(2, start - 1), at(10)).unwrap();
    // A wall clock set back moves the start along.
    let set_back = Moment { unix: at(10).unix - Duration::from_secs(3600), ..at(10) };
    book.register("Bob", contact(1), claim(1, set_back.unix_millis()), set_back).unwrap();
}

#[test]
fn a_full_book_refuses_new_names_and_renews_old_ones() {
    let book = Book::new(terms(0, 2));
    book.register("A", contact(1), signed(1), at(0)).unwrap();
    book.register("B", contact(2), signed(1), at(0)).unwrap();
    assert_eq!(book.register("C", contact(3), signed(1), at(0)), Err(Refused::Full));
    book.register("A", contact(1), signed(2), at(1)).unwrap();
    assert_eq!(book.len(), 2);
    book.sweep(at(TTL));
    book.register("C", contact(3), signed(1), at(TTL)).unwrap();
}

#[test]
fn sweep_of_ten_thousand_frees_their_memory() {
    let book = Book::new(terms(0, 20_000));
    for number in 0..10_000 {
        book.register(&format!("Player {number}"), contact(1), signed(1), at(number / 100)).unwrap();
    }
    assert_eq!(book.sweep(at(TTL + 49)), Swept { expired: 5_000, forgotten: 5_000 });
    for number in 0..10_000 {
        let found = book.lookup(&format!("Player {number}"), at(TTL + 49));
        assert_eq!(found.is_some(), number >= 5_000, "{number}");
    }
    book.sweep(at(10 * TTL));
    assert_eq!((book.len(), book.held()), (0, 0));
    assert!(book.shards.iter().all(|shard| shard.read().unwrap().iter().next().is_none()));
}

/// From an address of its own, or of a /48.
fn from(address: &str) -> Contact {
    let address = SocketAddr::new(address.parse().unwrap(), 7777);
    Contact { address, ..contact(1) }
}

#[test]
fn a_customer_holds_its_share_of_names_and_no_more() {
    let book = Book::new(Terms { max_of_one: 2, ..terms(PIN, 1000) });
    let register = |name: &str, address: &str| book.register(name, from(address), signed(1), at(0));
    for home in [
        ["192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"],
        ["2001:db8:1::1", "2001:db8:1:7::1", "2001:db8:1:ffff::1"],
    ] {
        for (number, address) in (0..).zip(home) {
            let expected = if number < 2 { Ok(()) } else { Err(Refused::TooManyNames) };
            assert_eq!(register(&format!("{number} of {}", home[0]), address), expected, "{address}");
        }
    }
    for other in ["192.0.2.2", "2001:db8:2::1"] {
        assert_eq!(register(other, other), Ok(()));
    }
    // Remembered names are charged, forgotten ones are not.
    assert_eq!(book.unregister("0 of 192.0.2.1", (&peer(1), 2), at(1)), Ok(true));
    assert_eq!(register("3", "192.0.2.1"), Err(Refused::TooManyNames));
    assert_eq!(book.held(), 6);
    book.sweep(at(PIN + TTL));
    assert_eq!(book.register("3", from("192.0.2.1"), signed(1), at(PIN + TTL)), Ok(()));
    assert_eq!(book.names(), Count { charged: 7, refusals: 3 });
}

#[test]
fn moved_player_takes_its_place_along_or_keeps_it() {
    let book = Book::new(Terms { max_of_one: 1, ..terms(PIN, 1000) });
    let register =
        |name: &str, address, sequence| book.register(name, from(address), signed(sequence), at(0));
    register("Alice", "192.0.2.1", 1).unwrap();
    register("Alice", "192.0.2.2", 2).unwrap();
    assert_eq!(register("Bob", "192.0.2.2", 1), Err(Refused::TooManyNames), "Alice took her place along");
    register("Bob", "192.0.2.1", 1).unwrap();
    // Without room, the old customer stays charged.
    register("Bob", "192.0.2.2", 2).unwrap();
    assert_eq!(register("Cleo", "192.0.2.1", 1), Err(Refused::TooManyNames));
}

#[test]
fn a_name_registered_once_is_pinned_for_less() {
    let once = 2 * TTL;
    let book = Book::new(Terms { pin_once: Duration::from_secs(once), ..terms(PIN, 1000) });
    for (name, times) in [("Once", 1), ("Twice", 2)] {
        for sequence in 1..=times {
            book.register(name, contact(1), signed(sequence), at(0)).unwrap();
        }
        let takes = |time| book.register(name, contact(2), signed(1), at(time));
        assert_eq!(takes(once - 1), Err(Refused::NameTaken));
        assert_eq!(takes(once).is_ok(), times == 1, "{name}");
    }
    assert_eq!(book.sweep(at(PIN - 1)).forgotten, 1, "what was Once has been registered once again");
    assert_eq!(book.sweep(at(PIN)).forgotten, 1, "of Twice");
}
