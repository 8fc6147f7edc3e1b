//! What is kept of the names that are announced, and where contacts are dialled.

use super::*;

const ALICE: PeerId = PeerId::from_bytes([1; 32]);
const BOB: PeerId = PeerId::from_bytes([2; 32]);
const HERE: &str = "192.168.1.2";
const AT: &str = "192.168.1.5:7777";

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn name(of: &PeerId, nonce: u8) -> Name {
    Name::new(of, [nonce; 8])
}

#[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
fn start() -> Instant {
    Instant::now()
}

/// A machine in one network, with Alice as a contact.
fn neighbours() -> Neighbours {
    let mut all = Neighbours::default();
    all.enter(vec![Subnet::new(HERE.parse().expect("an address"), 24).expect("a network")]);
    all.admit(ALICE);
    all
}

#[test]
fn contact_is_found_and_withdrawn() {
    let (mut all, now) = (neighbours(), start());
    let heard = all.heard(name(&ALICE, 1), &[addr(AT)]);
    assert_eq!(heard, Some((ALICE, vec![addr(AT)])));
    assert_eq!(all.heard(name(&ALICE, 1), &[addr(AT)]), None, "nothing new");
    assert_eq!((all.of(now, &ALICE), all.count()), (vec![addr(AT)], 1));
    all.gone(&name(&ALICE, 2));
    assert_eq!(all.count(), 1);
    all.gone(&name(&ALICE, 1));
    assert_eq!((all.of(now, &ALICE), all.count()), (Vec::new(), 0));
}

#[test]
fn strangers_names_take_no_memory() {
    let mut all = neighbours();
    for nonce in 0..=255 {
        assert_eq!(all.heard(name(&BOB, nonce), &[addr(AT)]), None);
    }
    assert_eq!((all.contacts.len(), all.count()), (1, 0));
    all.admit(BOB);
    assert!(all.heard(name(&BOB, 1), &[addr(AT)]).is_some());
    all.dismiss(&BOB);
    assert_eq!((all.of(start(), &BOB), all.count()), (Vec::new(), 0));
}

#[test]
fn contact_has_few_names_with_few_addresses() {
    let mut all = neighbours();
    let many: Vec<SocketAddr> = (1..=99).map(|n| SocketAddr::new([192, 168, 1, n].into(), 7777)).collect();
    for nonce in 0..=99 {
        all.heard(name(&ALICE, nonce), &many);
    }
    let entries = &all.contacts[&ALICE];
    assert_eq!(entries.len(), LAN_NAMES_MAX);
    assert!(entries.iter().all(|entry| entry.places.len() == LAN_ADDRS_MAX));
    assert_eq!(entries.last().map(|entry| entry.name), Some(name(&ALICE, 99)), "the newest stay");
}

#[test]
fn only_players_ports_in_this_network_are_dialled() {
    let mut all = neighbours();
    let bad = [
        "203.0.113.9:7777",
        "192.168.2.5:7777",
        "127.0.0.1:7777",
        "192.168.1.255:7777",
        "[fe80::1]:7777",
        "192.168.1.5:53",
    ];
    let bad: Vec<SocketAddr> = bad.iter().map(|text| addr(text)).collect();
    assert_eq!(all.heard(name(&ALICE, 1), &bad), None);
    assert_eq!((all.of(start(), &ALICE), all.count()), (Vec::new(), 0));
}

#[test]
fn private_addresses_are_dialled_first() {
    let mut all = neighbours();
    all.enter(
        ["2001:db8::2", "fd00::2", HERE]
            .map(|ip| {
                Subnet::new(ip.parse().expect("an address"), 64)
                    .unwrap_or(Subnet::new(HERE.parse().expect("an address"), 24).expect("a network"))
            })
            .to_vec(),
    );
    let told = ["[2001:db8::5]:7777", AT, "[fd00::5]:7777"].map(addr);
    all.heard(name(&ALICE, 1), &told);
    assert_eq!(all.of(start(), &ALICE), [told[1], told[2], told[0]]);
}

#[test]
fn failed_dials_doubt_an_address_ever_longer() {
    let (mut all, now) = (neighbours(), start());
    all.heard(name(&ALICE, 1), &[addr(AT)]);
    assert_eq!(all.unanswered(now, &ALICE, addr("192.168.1.9:1")), []);
    assert_eq!(all.unanswered(now, &BOB, addr(AT)), []);
    assert_eq!(all.unanswered(now, &ALICE, addr(AT)), [name(&ALICE, 1)]);
    assert_eq!(all.of(now + DOUBT - Duration::from_millis(1), &ALICE), []);
    assert_eq!(all.of(now + DOUBT, &ALICE), [addr(AT)]);
    // What is announced again is not believed more for it.
    all.unanswered(now, &ALICE, addr(AT));
    all.heard(name(&ALICE, 1), &[addr(AT)]);
    assert_eq!(all.of(now + 4 * DOUBT - Duration::from_millis(1), &ALICE), []);
    for _ in 0..40 {
        all.unanswered(now, &ALICE, addr(AT));
    }
    assert_eq!(all.of(now + DOUBT_MAX, &ALICE), [addr(AT)]);
    // A daemon that started again has a new name.
    all.heard(name(&ALICE, 2), &[addr(AT)]);
    assert_eq!(all.of(now, &ALICE), [addr(AT)]);
}

#[test]
fn another_network_forgets_what_was_announced() {
    let mut all = neighbours();
    all.heard(name(&ALICE, 1), &[addr(AT)]);
    all.enter(vec![Subnet::new("10.0.0.2".parse().expect("an address"), 8).expect("a network")]);
    assert_eq!(all.of(start(), &ALICE), []);
    assert_eq!(all.heard(name(&ALICE, 1), &[addr(AT)]), None);
    assert!(all.heard(name(&ALICE, 1), &[addr("10.9.9.9:7777")]).is_some(), "the contact stays");
}
