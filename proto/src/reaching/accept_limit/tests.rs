use super::*;
use crate::limit::DAEMON_LEDGER;
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

/// The places of one account.
const EACH: usize = 32;

struct Bench {
    limit: AcceptLimit,
    ledger: Ledger<Counterpart>,
    now: Instant,
}

impl Bench {
    #[expect(clippy::disallowed_methods, reason = "any instant will do as a beginning")]
    fn new() -> Self {
        Self { limit: AcceptLimit::default(), ledger: Ledger::new(DAEMON_LEDGER), now: Instant::now() }
    }

    fn arrive(&mut self, caller: Caller, proven: bool) -> Verdict {
        self.limit.admit(self.now, &mut self.ledger, caller, proven)
    }

    fn ended(&mut self, number: u64) {
        self.limit.ended(number, &mut self.ledger);
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
fn half_open_handshakes_end_their_own_networks_oldest() {
    let mut bench = Bench::new();
    let honest = number(bench.arrive(stranger(9), true));
    let half_open: Vec<u64> = (0..EACH).map(|_| number(bench.arrive(stranger(1), true))).collect();
    let next = bench.arrive(stranger(1), true);
    assert!(matches!(next, Verdict::Begin { instead, .. } if instead == Some(half_open[0])), "{next:?}");
    assert_eq!(bench.limit.under_way(), EACH + 1);
    bench.ended(half_open[0]);
    assert_eq!(bench.limit.under_way(), EACH + 1, "a replaced handshake has ended already");
    bench.ended(honest);
    assert_eq!(bench.limit.under_way(), EACH);
}

#[test]
fn many_strangers_leave_places_for_contacts() {
    let mut bench = Bench::new();
    for network in 0..1000 {
        bench.now += Duration::from_millis(20);
        number(bench.arrive(stranger(network), true));
    }
    assert_eq!(bench.limit.under_way(), STRANGERS_HANDSHAKES_MAX);
    for _ in 0..EACH {
        let verdict = bench.arrive(contact(), true);
        assert!(matches!(verdict, Verdict::Begin { instead: None, .. }), "{verdict:?}");
    }
    let verdict = bench.arrive(contact(), true);
    let oldest = number(verdict) - EACH as u64;
    assert!(matches!(verdict, Verdict::Begin { instead, .. } if instead == Some(oldest)), "{verdict:?}");
}

#[test]
fn flood_does_not_use_up_a_contacts_rate() {
    let mut bench = Bench::new();
    // Fast enough to use up the strangers' rates.
    let flood = |bench: &mut Bench, proven| (0..2000).map(|n| bench.arrive(stranger(n % 40), proven)).last();
    assert_eq!(flood(&mut bench, true), Some(Verdict::Ignore));
    assert!(matches!(bench.arrive(contact(), true), Verdict::Begin { .. }));
    assert_eq!(flood(&mut bench, false), Some(Verdict::Prove));
    assert_eq!(bench.arrive(contact(), false), Verdict::Prove, "its packets may be forged");
    for n in 0..50 {
        bench.now += Duration::from_millis(100);
        flood(&mut bench, true);
        let begun = number(bench.arrive(contact(), true));
        bench.ended(begun);
        assert!(begun > 0, "dial {n}");
    }
}

#[test]
fn without_load_no_proof_is_required() {
    let mut bench = Bench::new();
    for n in 0..100 {
        let begun = number(bench.arrive(stranger(n), false));
        bench.ended(begun);
        bench.now += Duration::from_millis(100);
    }
}

proptest! {
    /// In any order of calls: places are bounded, each ends once, and nothing stays charged.
    #[test]
    fn places_are_bounded_and_released(
        arrivals in prop::collection::vec((0u32..60, any::<bool>(), 0u64..40, any::<bool>()), 1..600)
    ) {
        let mut bench = Bench::new();
        let mut open = BTreeSet::new();
        for (who, proven, pause, ends) in arrivals {
            bench.now += Duration::from_millis(pause);
            let caller = if who == 0 { contact() } else { stranger(who) };
            if let Verdict::Begin { number, instead } = bench.arrive(caller, proven) {
                prop_assert!(instead.is_none_or(|old| open.remove(&old)), "only a running handshake ends");
                open.insert(number);
            }
            if ends && let Some(first) = open.pop_first() {
                bench.ended(first);
            }
            prop_assert_eq!(bench.limit.under_way(), open.len());
            prop_assert!(open.len() <= 256);
        }
        for number in open {
            bench.ended(number);
        }
        prop_assert_eq!(bench.limit.under_way(), 0);
        for _ in 0..8 {
            bench.now += Duration::from_secs(60);
            number(bench.arrive(stranger(1), true));
        }
    }
}
