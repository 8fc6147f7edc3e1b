//! What happens to a path long after the introduction: rounds that repeat, changes of this machine, wishes of a person.

use super::*;
use crate::reaching::wire::relay::Terms;

const OUTSIDE: &str = "198.51.100.7:7";
const SECONDS: u64 = 1000;

fn outside(at: &str, nat: Nat) -> Input {
    Input::Outside { addr: Some(addr(at)), nat }
}

fn relayed() -> Path {
    Path::Relay { relay: addr(RELAY), leg: Leg(9) }
}

/// When each round was told, in seconds.
fn rounds(bench: &Bench) -> Vec<u32> {
    bench.told().iter().map(|offer| offer.round).collect()
}

/// A callee whose first round has failed, over a relay that answers.
fn relayed_bench() -> Bench {
    let mut bench = Bench::punching(Nat::PerDestination, &[(Origin::Observed, PEER)]);
    bench.give(Input::Granted(grant()));
    bench.give(Input::Replied { leg: Leg(9), reply: Reply::Challenge(Bytes([3; 16])) });
    let idle = Duration::from_secs(60);
    bench.give(Input::Replied { leg: Leg(9), reply: Reply::Bound(Terms { rate: 100, idle }) });
    bench.run(40);
    bench.answer(relayed(), relayed());
    live(&mut bench, 10 * SECONDS);
    assert_eq!(bench.chosen(), Some(relayed()));
    bench
}

/// Time passes, in which the peer answers whatever goes over the relay, and STUN answers, too.
fn live(bench: &mut Bench, ms: u64) {
    live_over(bench, ms, &[relayed()]);
}

fn live_over(bench: &mut Bench, ms: u64, paths: &[Path]) {
    let end = bench.now + Duration::from_millis(ms);
    while bench.now < end {
        let probes = bench.sent.len();
        bench.run(50);
        let asked: Vec<(Path, u32)> = bench.sent[probes..]
            .iter()
            .filter(|(_, path, _, probe)| paths.contains(path) && probe.asks)
            .map(|(_, path, _, probe)| (*path, probe.number))
            .collect();
        asked.into_iter().for_each(|(path, number)| bench.probe(path, Some(number), false));
        let wishes = bench.other.iter().filter(|output| **output == Output::FindOutside).count();
        if wishes > std::mem::replace(&mut bench.found, wishes) {
            let nat = bench.traversal.nat;
            bench.give(outside(OUTSIDE, nat));
        }
        bench.give(Input::Replied {
            leg: Leg(9),
            reply: Reply::Bound(Terms { rate: 100, idle: Duration::from_secs(60) }),
        });
    }
}

#[test]
fn silence_of_an_idle_path_probes_it_at_once() {
    let mut bench = relayed_bench();
    live(&mut bench, SECONDS);
    let (before, began) = (bench.sent_to(relayed()).len(), bench.ms());
    bench.give(Input::Silent);
    assert_eq!(bench.sent_to(relayed()).len(), before + 1);
    // Nothing answers: the path is given up without any other sign.
    bench.run(2 * SECONDS);
    assert!(!bench.traversal.table.is_well(bench.now));
    let lost = bench.sent.iter().filter(|(ms, ..)| *ms >= began).count();
    assert!(lost >= 4, "it is probed as a busy one: {lost}");
}

#[test]
fn relayed_path_is_searched_for_ever_less_often() {
    let mut bench = relayed_bench();
    let mut begun = Vec::new();
    let start = bench.now;
    for _ in 0..2600 {
        let before = rounds(&bench).len();
        live(&mut bench, SECONDS);
        if let Some(round) = rounds(&bench).get(before).copied() {
            begun.push((round, bench.now.duration_since(start).as_secs()));
            // The peer answers, and nothing comes of it.
            bench.give(Input::Offered(offer(round, Nat::PerDestination, &[(Origin::Observed, PEER)])));
        }
    }
    let rounds: Vec<u32> = begun.iter().map(|(round, _)| *round).collect();
    assert_eq!(rounds, [1, 2, 3, 4, 5, 6]);
    let pauses: Vec<u64> = begun.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    let expected = [60, 120, 300, 900, 900];
    let fits = |(pause, least): (&u64, u64)| (least..=least * 9 / 8 + 8).contains(pause);
    assert!(pauses.iter().zip(expected).all(fits), "{pauses:?}");
}

#[test]
fn other_outside_address_begins_a_round_at_once() {
    for (at, nat, begins) in [
        ("198.51.100.7:8", Nat::Same, false),
        ("198.51.100.8:7", Nat::Same, true),
        (OUTSIDE, Nat::Open, true),
        (OUTSIDE, Nat::Unknown, false),
    ] {
        let mut bench = relayed_bench();
        live(&mut bench, 5 * SECONDS);
        let before = bench.told().len();
        bench.give(outside(at, nat));
        live(&mut bench, SECONDS);
        let told: Vec<u32> = rounds(&bench)[before..].to_vec();
        assert_eq!(told.contains(&1), begins, "{at} {nat:?}: {told:?}");
        assert_eq!(told.is_empty(), !begins, "{at} {nat:?}: another port alone is not told");
    }
}

#[test]
fn address_that_changes_often_begins_few_rounds() {
    let mut bench = relayed_bench();
    for n in 0..60 {
        bench.give(outside(&format!("198.51.100.{}:7", 10 + n % 2), Nat::Same));
        live(&mut bench, 500);
    }
    assert!(rounds(&bench).last().is_some_and(|round| *round <= 3), "{:?}", rounds(&bench));
}

#[test]
fn new_mapping_is_told_and_needs_no_round() {
    let mut bench = relayed_bench();
    let mapped = offer(0, Nat::Same, &[(Origin::Mapped, "198.51.100.7:7777")]).candidates;
    bench.give(Input::Reachable(mapped.clone()));
    let told = bench.told().last().map(|offer| (offer.round, offer.candidates.0.contains(&mapped.0[0])));
    assert_eq!(told, Some((0, true)));
    // The peer's mapping is probed at once, too.
    bench.give(Input::Offered(offer(0, Nat::PerDestination, &[(Origin::Mapped, "203.0.113.9:7777")])));
    assert_eq!(bench.sent_to(direct("203.0.113.9:7777")).len(), 1);
}

/// A callee that is direct, with a relay beside it.
fn direct_bench() -> Bench {
    let mut bench = relayed_bench();
    bench.give(Input::Offered(offer(0, Nat::Open, &[(Origin::Host, PEER)])));
    bench.run(20);
    bench.answer(direct(PEER), direct(PEER));
    assert_eq!(bench.chosen(), Some(direct(PEER)));
    bench
}

#[test]
fn reconnect_breaks_the_path_when_both_are_ready() {
    let mut bench = direct_bench();
    live_over(&mut bench, 3 * SECONDS, &[relayed(), direct(PEER)]);
    bench.give(Input::Reconnect);
    assert!(bench.traversal.reconnects());
    assert_eq!(bench.chosen(), Some(direct(PEER)), "it carries until the peer is ready");
    live(&mut bench, 100);
    assert_eq!(rounds(&bench).last(), Some(&1));
    bench.give(Input::Offered(offer(1, Nat::Open, &[(Origin::Host, PEER)])));
    assert_eq!(bench.chosen(), Some(relayed()), "every direct path has to prove itself again");
    bench.run(20);
    bench.answer(direct(PEER), direct(PEER));
    bench.run(10);
    assert_eq!(bench.chosen(), Some(direct(PEER)));
    assert!(!bench.traversal.reconnects());
}

#[test]
fn reconnect_finds_dead_paths_beside_the_one_in_use() {
    let mut bench = direct_bench();
    live_over(&mut bench, 5 * SECONDS, &[direct(PEER)]);
    let count = |bench: &Bench| bench.traversal.measured(bench.now).len();
    assert_eq!(count(&bench), 2, "an idle relay is not asked");
    bench.give(Input::Reconnect);
    live_over(&mut bench, 5 * SECONDS, &[direct(PEER)]);
    assert_eq!(count(&bench), 1);
}

#[test]
fn reconnect_without_an_answer_changes_nothing() {
    let mut bench = direct_bench();
    bench.give(Input::Reconnect);
    live_over(&mut bench, 15 * SECONDS, &[relayed(), direct(PEER)]);
    assert_eq!((bench.chosen(), bench.traversal.reconnects()), (Some(direct(PEER)), false));
}

#[test]
fn left_path_comes_back_with_the_next_round() {
    let mut bench = direct_bench();
    bench.give(Input::FailOver);
    assert_eq!(bench.chosen(), Some(relayed()));
    for second in 0..45 {
        // It answers all the time.
        live_over(&mut bench, SECONDS, &[relayed(), direct(PEER)]);
        bench.probe(direct(PEER), None, true);
        if second < 30 {
            assert_eq!(bench.chosen(), Some(relayed()), "after {second} s");
        }
    }
    assert_eq!((rounds(&bench).last(), bench.chosen()), (Some(&1), Some(direct(PEER))));
}

#[test]
fn both_ends_leave_a_path_once() {
    let mut bench = direct_bench();
    let leaves = |leaves| Input::Offered(Offer { leaves, ..offer(0, Nat::Open, &[(Origin::Host, PEER)]) });
    bench.give(leaves(1));
    assert_eq!(bench.chosen(), Some(relayed()), "the peer wishes so");
    for _ in 0..45 {
        live_over(&mut bench, SECONDS, &[relayed(), direct(PEER)]);
        bench.probe(direct(PEER), None, true);
    }
    assert_eq!(bench.chosen(), Some(direct(PEER)));
    bench.give(leaves(1));
    assert_eq!(bench.chosen(), Some(direct(PEER)), "the wish is not repeated");
    bench.give(Input::FailOver);
    assert_eq!(bench.told().last().map(|offer| offer.leaves), Some(1));
}

#[test]
fn only_path_is_not_left() {
    let mut bench = relayed_bench();
    bench.give(Input::FailOver);
    assert_eq!(bench.chosen(), Some(relayed()));
    live(&mut bench, SECONDS);
    assert_eq!(rounds(&bench).last(), Some(&1), "a better one is looked for");
}

#[test]
fn poor_path_begins_a_round_once_a_minute() {
    let mut bench = relayed_bench();
    live(&mut bench, 60 * SECONDS);
    let before = bench.told().last().map_or(0, |offer| offer.round);
    bench.give(Input::Busy(true));
    // Every fourth probe is lost.
    let (mut count, end) = (0, bench.now + Duration::from_secs(50));
    while bench.now < end {
        let sent = bench.sent.len();
        bench.run(50);
        let asked: Vec<u32> = bench.sent[sent..].iter().map(|(.., probe)| probe.number).collect();
        for number in asked {
            count += 1;
            if count % 4 > 0 {
                bench.probe(relayed(), Some(number), false);
            }
        }
    }
    let loss = bench.traversal.measured(bench.now).first().and_then(|path| path.loss);
    assert!(loss.is_some_and(|loss| (0.15..0.35).contains(&loss)), "{loss:?}");
    assert_eq!(rounds(&bench).last(), Some(&(before + 1)));
}

#[test]
fn relay_that_came_back_is_asked_for_the_leg() {
    let mut bench = relayed_bench();
    let before = bench.frames.len();
    bench.give(Input::RelayBack);
    assert_eq!(bench.frames.len(), before + 1);
    assert_eq!(Frame::decode(&bench.frames[before].1).map(|frame| frame.body), Ok(Body::Bind));
    bench.give(Input::Replied { leg: Leg(9), reply: Reply::Closed });
    assert!(bench.other.contains(&Output::FindRelay));
}
