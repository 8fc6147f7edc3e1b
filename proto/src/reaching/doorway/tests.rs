use super::*;
use crate::limit::DAEMON_LEDGER;
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

/// The places of one account.
const EACH: usize = 32;

struct Door {
    doorway: Doorway,
    ledger: Ledger<Counterpart>,
    now: Instant,
}

impl Door {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new() -> Self {
        Self { doorway: Doorway::default(), ledger: Ledger::new(DAEMON_LEDGER), now: Instant::now() }
    }

    fn knock(&mut self, caller: Caller, proven: bool) -> Verdict {
        self.doorway.knock(self.now, &mut self.ledger, caller, proven)
    }

    fn ended(&mut self, number: u64) {
        self.doorway.ended(number, &mut self.ledger);
    }
}

fn stranger(network: u32) -> Caller {
    Caller::Stranger(Network::V4(network))
}

fn contact() -> Caller {
    Caller::Contact(PeerId::from_bytes([7; 32]))
}

fn number(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Begin { number, .. } => number,
        other => panic!("a handshake was to begin, not {other:?}"),
    }
}

#[test]
fn half_open_ones_of_a_network_push_out_their_own() {
    let mut door = Door::new();
    let honest = number(door.knock(stranger(9), true));
    let half_open: Vec<u64> = (0..EACH).map(|_| number(door.knock(stranger(1), true))).collect();
    let next = door.knock(stranger(1), true);
    assert!(matches!(next, Verdict::Begin { instead, .. } if instead == Some(half_open[0])), "{next:?}");
    assert_eq!(door.doorway.under_way(), EACH + 1);
    door.ended(half_open[0]);
    assert_eq!(door.doorway.under_way(), EACH + 1, "what was pushed out has ended already");
    door.ended(honest);
    assert_eq!(door.doorway.under_way(), EACH);
}

#[test]
fn strangers_of_many_networks_leave_places_for_contacts() {
    let mut door = Door::new();
    for network in 0..1000 {
        door.now += Duration::from_millis(20);
        number(door.knock(stranger(network), true));
    }
    assert_eq!(door.doorway.under_way(), STRANGERS_HANDSHAKES_MAX);
    for _ in 0..EACH {
        let verdict = door.knock(contact(), true);
        assert!(matches!(verdict, Verdict::Begin { instead: None, .. }), "{verdict:?}");
    }
    let verdict = door.knock(contact(), true);
    let oldest = number(verdict) - EACH as u64;
    assert!(matches!(verdict, Verdict::Begin { instead, .. } if instead == Some(oldest)), "{verdict:?}");
}

#[test]
fn a_flood_neither_spends_a_contacts_rate_nor_forges_its_address() {
    let mut door = Door::new();
    // Fast enough to use up the strangers' rates.
    let flood = |door: &mut Door, proven| (0..2000).map(|n| door.knock(stranger(n % 40), proven)).last();
    assert_eq!(flood(&mut door, true), Some(Verdict::Ignore));
    assert!(matches!(door.knock(contact(), true), Verdict::Begin { .. }));
    assert_eq!(flood(&mut door, false), Some(Verdict::Prove));
    assert_eq!(door.knock(contact(), false), Verdict::Prove, "whose packets are forged, nobody knows");
    for n in 0..50 {
        door.now += Duration::from_millis(100);
        flood(&mut door, true);
        let begun = number(door.knock(contact(), true));
        door.ended(begun);
        assert!(begun > 0, "dial {n}");
    }
}

#[test]
fn without_load_no_round_trip_is_asked_for() {
    let mut door = Door::new();
    for n in 0..100 {
        let begun = number(door.knock(stranger(n), false));
        door.ended(begun);
        door.now += Duration::from_millis(100);
    }
}

proptest! {
    /// In any order of calls: places are bounded, each ends once, and nothing stays charged.
    #[test]
    fn places_are_bounded_and_given_back(
        knocks in prop::collection::vec((0u32..60, any::<bool>(), 0u64..40, any::<bool>()), 1..600)
    ) {
        let mut door = Door::new();
        let mut open = BTreeSet::new();
        for (who, proven, pause, ends) in knocks {
            door.now += Duration::from_millis(pause);
            let caller = if who == 0 { contact() } else { stranger(who) };
            if let Verdict::Begin { number, instead } = door.knock(caller, proven) {
                prop_assert!(instead.is_none_or(|old| open.remove(&old)), "only what runs is ended");
                open.insert(number);
            }
            if ends && let Some(first) = open.pop_first() {
                door.ended(first);
            }
            prop_assert_eq!(door.doorway.under_way(), open.len());
            prop_assert!(open.len() <= 256);
        }
        for number in open {
            door.ended(number);
        }
        prop_assert_eq!(door.doorway.under_way(), 0);
        for _ in 0..8 {
            door.now += Duration::from_secs(60);
            number(door.knock(stranger(1), true));
        }
    }
}
