//! What the machine believes, and which path it takes for it.

use super::*;

#[test]
fn path_is_used_after_an_answer_and_not_before() {
    let mut bench = Bench::punching(Nat::Open, &[(Origin::Observed, PEER)]);
    bench.probe(direct(PEER), None, true);
    assert_eq!(bench.chosen(), None, "the peer's probe proves nothing of this machine's");
    assert!(bench.other.contains(&Output::Accept(addr(PEER))));
    bench.run(50);
    bench.answer(direct(PEER), direct(PEER));
    let chosen = bench.traversal.chosen().expect("a path");
    assert_eq!(
        (chosen.path, chosen.kind, chosen.rtt),
        (direct(PEER), Kind::Direct, Duration::from_millis(50))
    );
    assert!(bench.other.contains(&Output::Use(Some(chosen))));
    assert_eq!(bench.traversal.status(), Status::Direct(Kind::Direct));
}

/// A router shows the peer's packets from a port that the peer does not have.
#[test]
fn answer_from_elsewhere_proves_the_probed_path() {
    let mut bench = Bench::punching(Nat::Open, &[(Origin::Observed, PEER)]);
    let shown = direct("203.0.113.9:28631");
    bench.answer(direct(PEER), shown);
    assert_eq!(bench.chosen(), Some(direct(PEER)));
    assert!(
        bench.other.contains(&Output::Accept(addr("203.0.113.9:28631"))),
        "and is a source of the peer's"
    );
    let told: Vec<_> = bench.told().iter().flat_map(|offer| offer.candidates.addrs()).collect();
    assert!(!told.contains(&addr("203.0.113.9:28631")), "it is told to nobody");
}

#[test]
fn repeated_probe_is_not_answered() {
    let mut bench = Bench::punching(Nat::Same, &[]);
    let source = direct(PEER);
    let probe = Probe { number: 7, echo: None, asks: true, to_mapped: false };
    bench.give_probe(source, probe);
    bench.give_probe(source, probe);
    bench.give_probe(direct("198.51.100.66:7000"), probe);
    assert_eq!(bench.sent.len(), 1);
}

#[test]
fn number_that_was_not_asked_proves_nothing() {
    let mut bench = Bench::punching(Nat::Open, &[(Origin::Observed, PEER)]);
    for echo in [0, 2, 77, u32::MAX] {
        bench.probe(direct(PEER), Some(echo), false);
    }
    assert_eq!(bench.chosen(), None);
}

#[test]
fn secret_of_the_first_offer_counts() {
    let mut bench = Bench::punching(Nat::Open, &[]);
    let other = Offer { secret: Some(Bytes([8; 32])), ..offer(0, Nat::Open, &[(Origin::Host, PEER)]) };
    bench.give(Input::Offered(other));
    bench.give(Input::Offered(Offer { secret: None, ..offer(0, Nat::Open, &[(Origin::Host, PEER)]) }));
    bench.run(1000);
    assert!(bench.sent.is_empty());
    let listens = bench.other.iter().filter(|output| matches!(output, Output::Listen(_))).count();
    assert_eq!(listens, 1);
}

#[test]
fn offer_of_a_past_round_is_ignored() {
    let mut bench = Bench::punching(Nat::Open, &[]);
    bench.run(3000);
    bench.give(Input::Offered(offer(5, Nat::Open, &[])));
    bench.give(Input::Offered(offer(4, Nat::Open, &[(Origin::Host, PEER)])));
    bench.run(1000);
    assert!(bench.sent.is_empty());
}

#[test]
fn caller_without_an_offer_fails() {
    let mut bench = Bench::new(Part::Caller);
    bench.run(60_000);
    assert!(bench.other.contains(&Output::Failed));
    assert_eq!((bench.traversal.status(), bench.traversal.deadline()), (Status::Failed, None));
    bench.give(Input::Offered(offer(0, Nat::Open, &[(Origin::Host, PEER)])));
    assert!(bench.sent.is_empty(), "it is over");
}

#[test]
fn fresh_address_replaces_observed_ones() {
    let mut bench = Bench::new(Part::Caller);
    let reachable = [(Origin::Observed, "198.51.100.7:1"), (Origin::Host, "192.168.1.5:7")];
    bench.give(Input::Reachable(offer(0, Nat::Same, &reachable).candidates));
    bench.give(Input::Outside { addr: Some(addr("198.51.100.7:2")), nat: Nat::Same });
    let last = bench.told().last().copied().cloned().expect("an offer");
    let addrs: Vec<_> = last.candidates.addrs().collect();
    assert_eq!(addrs, ["198.51.100.7:2", "192.168.1.5:7"].map(addr));
    let before = bench.told().len();
    bench.give(Input::Outside { addr: Some(addr("198.51.100.7:2")), nat: Nat::Same });
    assert_eq!(bench.told().len(), before, "what the peer knows is not told again");
}

/// A better kind of path is taken at once, a faster one of its kind only if it is clearly faster.
#[test]
fn path_is_left_for_a_clearly_better_one() {
    let all =
        [(Origin::Host, "203.0.113.1:9"), (Origin::Host, "203.0.113.2:9"), (Origin::Host, "10.0.0.3:9")];
    let [first, second, lan] = all.map(|(_, at)| direct(at));
    let mut bench = Bench::punching(Nat::Open, &all);
    bench.run(50);
    bench.answer(first, first);
    assert_eq!(bench.chosen(), Some(first));
    bench.now -= Duration::from_millis(8);
    bench.answer(second, second);
    assert_eq!(bench.chosen(), Some(first), "8 ms are noise");
    bench.now += Duration::from_millis(200);
    bench.answer(lan, lan);
    assert_eq!(bench.chosen(), Some(lan));
}

#[test]
fn silent_path_is_left_within_a_second_when_busy() {
    let all = [(Origin::Host, "203.0.113.1:9"), (Origin::Host, "203.0.113.2:9")];
    let [first, second] = all.map(|(_, at)| direct(at));
    let mut bench = Bench::punching(Nat::Open, &all);
    bench.run(20);
    bench.answer(first, first);
    bench.run(60);
    bench.answer(second, second);
    bench.give(Input::Busy(true));
    assert_eq!(bench.chosen(), Some(first));
    for _ in 0..100 {
        bench.run(10);
        bench.answer(second, second);
    }
    assert_eq!(bench.chosen(), Some(second));
    // It answers again: it is as good as the other, and not better.
    bench.answer(first, first);
    assert_eq!(bench.chosen(), Some(second));
}

#[test]
fn lost_path_begins_another_round() {
    let mut bench = Bench::punching(Nat::Open, &[(Origin::Host, PEER)]);
    bench.answer(direct(PEER), direct(PEER));
    bench.give(Input::Busy(true));
    bench.run(10_000);
    assert_eq!((bench.chosen(), bench.traversal.status()), (None, Status::Lost));
    assert_eq!(bench.other.iter().filter(|output| **output == Output::FindOutside).count(), 2);
    bench.give(Input::Outside { addr: None, nat: Nat::Same });
    assert_eq!(bench.told().last().map(|offer| offer.round), Some(1));
}

#[test]
fn probes_to_a_forwarded_port_say_so() {
    let mut bench =
        Bench::punching(Nat::Same, &[(Origin::Mapped, PEER), (Origin::Host, "198.51.100.7:7000")]);
    bench.run(500);
    let says = |path: Path| {
        bench.sent.iter().filter(move |(_, to, ..)| *to == path).map(|(.., probe)| probe.to_mapped)
    };
    assert!(says(direct(PEER)).next().is_some() && says(direct(PEER)).all(|says| says));
    let other = direct("198.51.100.7:7000");
    assert!(says(other).next().is_some() && !says(other).any(|says| says));
}

#[test]
fn probe_through_a_forwarded_port_is_told() {
    let mut bench = Bench::punching(Nat::Same, &[]);
    let source = "203.0.113.9:28631";
    let told = |bench: &Bench| bench.other.contains(&Output::CameIn(addr(source).ip()));
    bench.give_probe(direct(source), Probe { number: 1, echo: None, asks: true, to_mapped: false });
    assert!(!told(&bench));
    bench.give_probe(direct(source), Probe { number: 2, echo: None, asks: true, to_mapped: true });
    assert!(told(&bench));
}
