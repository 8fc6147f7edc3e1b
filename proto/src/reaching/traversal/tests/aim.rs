//! Whom this machine sends to because of others' words, and how much.

use super::*;

const LOW: Option<u8> = Some(2);

#[test]
fn natted_address_gets_nine_probes_a_round() {
    let mut bench = Bench::punching(Nat::Same, &[(Origin::Observed, PEER)]);
    bench.run(30_000);
    let sent: Vec<_> = bench.sent_to(direct(PEER)).iter().map(|(ms, _, ttl, _)| (*ms, *ttl)).collect();
    let usual = [400, 500, 650, 900, 1300, 1900, 2700].map(|ms| (ms, None));
    assert_eq!(sent[..2], [(0, LOW), (100, LOW)]);
    assert_eq!(sent[2..], usual);
}

#[test]
fn other_addresses_get_seven_probes_without_low_ttl() {
    for (nat, origin, at) in [
        (Nat::Open, Origin::Observed, PEER),
        (Nat::Same, Origin::Host, "10.0.0.7:7000"),
        (Nat::Same, Origin::Mapped, PEER),
        (Nat::Same, Origin::Manual, PEER),
    ] {
        let mut bench = Bench::punching(nat, &[(origin, at)]);
        bench.run(30_000);
        let sent = bench.sent_to(direct(at));
        assert_eq!((sent.len(), sent[0].0), (7, 0), "{nat:?} {origin:?}");
        assert!(sent.iter().all(|(_, _, ttl, _)| ttl.is_none()));
    }
}

#[test]
fn machine_without_nat_sends_no_low_ttl() {
    let mut bench = Bench::new(Part::Callee);
    bench.give(Input::Outside { addr: Some(addr("198.51.100.7:7")), nat: Nat::Open });
    bench.give(Input::Offered(offer(0, Nat::Same, &[(Origin::Observed, PEER)])));
    bench.run(30_000);
    let sent = bench.sent_to(direct(PEER));
    assert_eq!((sent.len(), sent[0].0, sent[0].2), (7, 400, None));
}

#[test]
fn natted_address_waits_for_own_fresh_address() {
    let mut bench = Bench::new(Part::Callee);
    let told = [(Origin::Observed, PEER), (Origin::Host, "10.0.0.7:7000")];
    bench.give(Input::Offered(offer(0, Nat::Same, &told)));
    bench.run(300);
    assert!(bench.sent_to(direct(PEER)).is_empty() && !bench.sent_to(direct("10.0.0.7:7000")).is_empty());
    bench.give(Input::Outside { addr: None, nat: Nat::Same });
    assert_eq!(bench.sent_to(direct(PEER)).len(), 1);
    // A server that never responds delays it, and no more.
    let mut bench = Bench::new(Part::Callee);
    bench.give(Input::Offered(offer(0, Nat::Same, &told)));
    bench.run(5000);
    assert_eq!(bench.sent_to(direct(PEER))[0].0, 1600);
}

#[test]
fn repeated_offers_do_not_repeat_probes() {
    let mut bench = Bench::punching(Nat::Same, &[(Origin::Observed, PEER)]);
    for _ in 0..50 {
        bench.run(100);
        bench.give(Input::Offered(offer(0, Nat::Same, &[])));
        bench.give(Input::Offered(offer(0, Nat::Same, &[(Origin::Observed, PEER)])));
    }
    assert!(bench.sent_to(direct(PEER)).len() <= 9, "{}", bench.sent_to(direct(PEER)).len());
}

#[test]
fn offers_with_many_addresses_aim_at_few() {
    let mut bench = Bench::new(Part::Callee);
    bench.give(Input::Outside { addr: None, nat: Nat::Same });
    for round in 0..1000 {
        let all: Vec<String> = (0..40).map(|n| format!("203.0.113.{}:{}", n + 1, 2000 + round)).collect();
        let all: Vec<_> = all.iter().map(|at| (Origin::Host, at.as_str())).collect();
        bench.give(Input::Offered(offer(round, Nat::Same, &all)));
        bench.run(50);
    }
    let targets: std::collections::BTreeSet<Path> = bench.sent.iter().map(|(_, path, ..)| *path).collect();
    assert_eq!(targets.len(), TOLD_MAX);
    assert!(bench.sent.len() <= TOLD_MAX * 7, "{} probes in 50 s", bench.sent.len());
    bench.run(crate::number::millis(TOLD_TIME));
    bench.give(Input::Offered(offer(2000, Nat::Same, &[(Origin::Host, "203.0.113.200:9")])));
    assert!(!bench.sent_to(direct("203.0.113.200:9")).is_empty(), "and later at others again");
}

#[test]
fn higher_rounds_of_the_peer_have_a_pause() {
    let mut bench = Bench::punching(Nat::Same, &[(Origin::Observed, PEER)]);
    for round in 1..=40 {
        bench.give(Input::Offered(offer(round, Nat::Same, &[(Origin::Observed, PEER)])));
        bench.run(100);
    }
    let wishes = bench.other.iter().filter(|output| **output == Output::FindOutside).count();
    assert!((2..=3).contains(&wishes), "{wishes} in 4 s");
    bench.run(2000);
    bench.give(Input::Outside { addr: None, nat: Nat::Same });
    assert_eq!(bench.told().last().map(|offer| offer.round), Some(40), "the last one counts");
}

/// Somebody who has the keys forges sources: nobody gets more than was sent in its name.
#[test]
fn forged_source_gets_no_more_than_it_sends() {
    let mut bench = Bench::punching(Nat::Same, &[]);
    let victim = direct("198.51.100.66:7000");
    for _ in 0..20 {
        bench.probe(victim, None, true);
        bench.run(50);
    }
    bench.probe(victim, Some(999), false);
    bench.run(60_000);
    let sent = bench.sent_to(victim);
    assert!(sent.len() <= 20, "{}", sent.len());
    assert!(sent.iter().all(|(_, _, _, probe)| probe.echo.is_some()));
    assert_eq!(bench.chosen(), None, "and is not used");
}

#[test]
fn sources_are_forgotten_and_bounded() {
    let mut bench = Bench::punching(Nat::Same, &[]);
    for n in 1..=200 {
        bench.probe(direct(&format!("198.51.100.{n}:7000")), None, true);
        bench.run(10);
    }
    let counted = |bench: &Bench| {
        let accepted = bench.other.iter().filter(|output| matches!(output, Output::Accept(_))).count();
        let refused = bench.other.iter().filter(|output| matches!(output, Output::Refuse(_))).count();
        accepted - refused
    };
    assert_eq!(counted(&bench), LEARNT_MAX);
    bench.run(70_000);
    assert_eq!(counted(&bench), 0);
}

#[test]
fn families_of_the_socket_alone_are_probed() {
    let mut bench = Bench::punching(Nat::Same, &[(Origin::Host, "[2001:db8::5]:7000"), (Origin::Host, PEER)]);
    bench.probe(direct("[2001:db8::6]:7000"), None, true);
    bench.run(10_000);
    assert!(bench.sent.iter().all(|(_, path, ..)| *path == direct(PEER)));
}

#[test]
fn switched_off_no_hole_is_punched() {
    for punching in [false, true] {
        let mut bench = Bench::of(Introduction { punching, ..introduction(Part::Callee) });
        bench.give(Input::Outside { addr: Some(addr("198.51.100.7:7")), nat: Nat::Same });
        bench.give(Input::Offered(offer(0, Nat::Same, &[(Origin::Observed, PEER)])));
        bench.run(60_000);
        assert_eq!(bench.sent_to(direct(PEER)).is_empty(), !punching);
        assert_eq!(bench.sent.iter().any(|(_, _, ttl, _)| *ttl == LOW), punching);
    }
}
