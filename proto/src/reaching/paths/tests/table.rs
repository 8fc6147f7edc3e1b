//! What is stored of each pair, and for how long.

use super::{
    super::{
        pairs::{PROBES_PER_TELLING, REMOTE_LIFE, REMOTES_PER_SOURCE_MAX},
        score::{Score, kind},
    },
    *,
};
use crate::{local::reply::PathKind, reaching::candidate::Candidates};

fn families() -> Families {
    Families::of(addr("[::]:7"))
}

fn nth(n: u8) -> SocketAddr {
    SocketAddr::new([10, 0, 0, n].into(), 7)
}

#[test]
fn pair_keeps_its_first_source_and_its_history() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    assert!(pairs.tell(now, addr(HOST), Source::Mapped) && pairs.spend(addr(HOST)));
    pairs.ended(now, addr(HOST), Outcome::Failed);
    let later = now + Duration::from_secs(9);
    pairs.tell(later, addr("[::ffff:192.168.1.5]:7"), Source::Host);
    let pair = pairs.get(addr(HOST)).expect("known").clone();
    assert_eq!((pair.source, pair.tries, pair.told), (Source::Mapped, 1, later));
    assert_eq!((pair.last, pairs.iter().count()), (Some((Outcome::Failed, now)), 1));
}

#[test]
fn other_port_is_another_pair() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    pairs.tell(now, addr(SEEN), Source::PhoneBook);
    pairs.tell(now, addr(MAPPED), Source::Mapped);
    assert_eq!(pairs.iter().count(), 2);
}

#[test]
fn each_origin_of_a_letter_has_its_source() {
    let mut world = World::new("[::]:7");
    let told = [
        (Origin::Host, HOST, Source::Host),
        (Origin::Observed, SEEN, Source::PhoneBook),
        (Origin::Mapped, MAPPED, Source::Mapped),
        (Origin::Manual, HOST6, Source::Manual),
    ];
    let all = told.iter().map(|(origin, at, _)| Candidate { origin: *origin, addr: addr(at) });
    world.give(Input::Found { told: Ok(all.collect()), last: Some(addr(LAST)) });
    for (_, at, source) in told {
        assert_eq!(world.paths.pairs().get(addr(at)).map(|pair| pair.source), Some(source));
    }
    assert_eq!(world.paths.pairs().get(addr(LAST)).map(|pair| pair.source), Some(Source::Link));
}

#[test]
fn dials_and_their_ends_are_counted() {
    let mut world = World::new("[::]:7")
        .host(HOST, Host::Fails(10, "refused"))
        .host(SEEN, Host::Answers(10))
        .answer(at(0, &[HOST, SEEN, MAPPED]));
    world.give(Input::Want);
    world.run(100);
    let known = |at: &str| {
        let pair = world.paths.pairs().get(addr(at)).expect("known");
        (pair.tries, pair.last.map(|(outcome, _)| outcome), pair.proven)
    };
    assert_eq!(known(HOST), (1, Some(Outcome::Failed), None));
    assert_eq!(known(SEEN), (1, Some(Outcome::Answered), Some(Duration::from_millis(10))));
    assert_eq!(known(MAPPED), (0, None, None));
}

#[test]
fn silent_dials_are_failures_of_their_pairs() {
    let mut world = World::new("[::]:7").answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(5000);
    let last = world.paths.pairs().get(addr(HOST)).and_then(|pair| pair.last);
    assert_eq!(last, Some((Outcome::Failed, world.now())));
}

#[test]
fn abandoned_dial_is_neither_answer_nor_failure() {
    let mut world = World::new("[::]:7").host(SEEN, Host::Answers(10)).answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.paths.pairs().get(addr(HOST)).map(|pair| (pair.tries, pair.last)), Some((1, None)));
}

#[test]
fn remotes_of_one_source_are_bounded() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    for n in 0..100 {
        pairs.tell(now + Duration::from_secs(n.into()), nth(n), Source::Host);
    }
    assert_eq!(pairs.iter().count(), REMOTES_PER_SOURCE_MAX);
    assert!(pairs.get(nth(99)).is_some() && pairs.get(nth(0)).is_none(), "the newest are kept");
}

#[test]
fn one_source_cannot_displace_another() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    pairs.tell(now, addr(SEEN), Source::PhoneBook);
    for n in 0..100 {
        pairs.tell(now + Duration::from_secs(1), nth(n), Source::Host);
    }
    assert!(pairs.get(addr(SEEN)).is_some());
}

#[test]
fn path_in_use_is_never_displaced() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    pairs.tell(now, nth(200), Source::Host);
    pairs.prove(now, nth(200), Duration::from_millis(1));
    for n in 0..100 {
        pairs.tell(now + Duration::from_secs(1), nth(n), Source::Host);
    }
    assert!(pairs.get(nth(200)).is_some());
    assert_eq!((pairs.iter().count(), pairs.primary()), (REMOTES_PER_SOURCE_MAX, Some(nth(200))));
}

#[test]
fn untold_addresses_expire_and_used_ones_stay() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    pairs.tell(now, addr(HOST), Source::Host);
    pairs.tell(now, addr(SEEN), Source::PhoneBook);
    pairs.prove(now, addr(SEEN), Duration::from_millis(1));
    pairs.expire(now + REMOTE_LIFE - Duration::from_millis(1));
    assert_eq!(pairs.iter().count(), 2);
    pairs.expire(now + REMOTE_LIFE);
    assert!(pairs.get(addr(HOST)).is_none() && pairs.get(addr(SEEN)).is_some());
    pairs.disprove(addr(SEEN));
    pairs.expire(now + REMOTE_LIFE);
    assert_eq!(pairs.iter().count(), 0);
}

#[test]
fn machine_drops_untold_addresses() {
    let mut world = World::new("[::]:7");
    world.give(Input::Told(candidates(&[HOST])));
    world.run(600_000);
    world.give(Input::Time);
    assert_eq!(world.paths.pairs().iter().count(), 0);
}

#[test]
fn budget_is_spent_by_dials_and_filled_by_tellings() {
    let (mut pairs, now) = (Pairs::new(families()), start());
    assert!(!pairs.spend(addr(HOST)), "nobody told of it");
    pairs.tell(now, addr(HOST), Source::Host);
    let spent = std::iter::repeat_with(|| pairs.spend(addr(HOST))).take_while(|spent| *spent).count();
    assert_eq!(spent, PROBES_PER_TELLING as usize);
    pairs.tell(now, addr(HOST), Source::Host);
    assert!(pairs.spend(addr(HOST)));
}

#[test]
fn pair_without_budget_is_passed_over() {
    let mut all = vec![HOST; PROBES_PER_TELLING as usize + 5];
    all.push(SEEN);
    let mut world = World::new("[::]:7").host(HOST, Host::Fails(0, "refused")).answer(at(0, &all));
    world.give(Input::Want);
    world.run(100);
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.contains("192.168.1.5")).count(), PROBES_PER_TELLING as usize);
    assert!(log.last().is_some_and(|line| line.ends_with("dial 203.0.113.9:7")), "{log:?}");
}

#[test]
fn unknown_kinds_in_a_letter_are_skipped() {
    let known = Candidates(vec![
        Candidate { origin: Origin::Host, addr: addr(HOST) },
        Candidate { origin: Origin::Mapped, addr: addr(MAPPED) },
    ]);
    let one = |at: usize| Candidates(vec![known.0[at]]).encode();
    // A kind of a later version between two known ones, and one that looks like an address.
    let letter = [&[9, 3, 1, 2, 3][..], &one(0), &[8, 6, 10, 0, 0, 1, 0x1e, 0x61], &one(1)].concat();
    let told = Candidates::decode(&letter).expect("a letter");
    let mut world = World::new("[::]:7").answer(Answer { after: 0, told: Ok(told.0), last: None });
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log()[1..], ["0 dial 192.168.1.5:7", "150 dial 203.0.113.9:4000"]);
    // From the table they return to a letter unchanged.
    let origin =
        |source| [Origin::Host, Origin::Mapped].into_iter().find(|origin| Source::from(*origin) == source);
    let back = world
        .paths
        .pairs()
        .iter()
        .filter_map(|pair| Some(Candidate { origin: origin(pair.source)?, addr: pair.remote }));
    assert_eq!(Candidates::decode(&Candidates(back.collect()).encode()), Ok(known));
}

#[test]
fn score_orders_by_kind_and_then_by_time() {
    let score = |at: &str, ms| Score { kind: kind(addr(at)), rtt: Duration::from_millis(ms) };
    let (loopback, lan, far) = ("127.0.0.1:7", HOST, SEEN);
    for (other, current, beats) in [
        (score(loopback, 90), score(lan, 1), true),
        (score(lan, 90), score(far, 1), true),
        (score(far, 1), score(lan, 90), false),
        (score(lan, 1), score(loopback, 90), false),
        // Of one kind: a fifth, and 10 ms.
        (score(far, 80), score(far, 100), true),
        (score(far, 81), score(far, 100), false),
        (score(far, 1), score(far, 10), false),
        (score(far, 1), score(far, 11), true),
        (score(far, 30), score(far, 40), true),
        (score(far, 100), score(far, 100), false),
    ] {
        assert_eq!(other.beats(current), beats, "{other:?} {current:?}");
    }
}

#[test]
fn kind_follows_the_address() {
    for (at, expected) in [
        ("127.0.0.1:7", PathKind::Loopback),
        ("[::ffff:127.0.0.1]:7", PathKind::Loopback),
        ("[::1]:7", PathKind::Loopback),
        ("[::ffff:192.168.1.5]:7", PathKind::Lan),
        ("169.254.1.5:7", PathKind::Lan),
        ("[fd00::5]:7", PathKind::Lan),
        ("[fe80::5]:7", PathKind::Lan),
        ("100.64.0.1:7", PathKind::Direct),
        (SEEN, PathKind::Direct),
        (HOST6, PathKind::Direct),
    ] {
        assert_eq!(kind(addr(at)), expected, "{at}");
    }
}
