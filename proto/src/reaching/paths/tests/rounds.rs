//! What one try dials, in which order and when.

use super::*;

const EVERYWHERE: &str = "[::]:7";

fn world() -> World {
    World::new(EVERYWHERE)
}

#[test]
fn want_asks_sources_once() {
    let mut world = world();
    world.give(Input::Want);
    world.give(Input::Want);
    assert_eq!(world.log(), ["0 find"]);
    assert_eq!(world.states, [PeerState::Connecting]);
}

#[test]
fn addresses_are_dialled_in_order_150_ms_apart() {
    let mut world = world().answer(at(20, &[HOST, HOST6, SEEN]));
    world.give(Input::Want);
    world.run(1000);
    let dials = ["0 find", "20 dial 192.168.1.5:7", "170 dial [2001:db8::5]:7", "320 dial 203.0.113.9:7"];
    assert_eq!(world.log(), dials);
}

#[test]
fn last_place_comes_last() {
    let mut world = world().answer(at(0, &[HOST, SEEN]).last(LAST));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(
        world.log()[1..],
        ["0 dial 192.168.1.5:7", "150 dial 203.0.113.9:7", "300 dial 198.51.100.4:7"]
    );
}

#[test]
fn last_place_among_told_ones_is_dialled_once() {
    let mut world = world().answer(at(0, &[LAST, SEEN]).last(LAST));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log()[1..], ["0 dial 198.51.100.4:7", "150 dial 203.0.113.9:7"]);
}

#[test]
fn failed_dial_is_followed_at_once() {
    let mut world = world().host(HOST, Host::Fails(30, "refused")).answer(at(0, &[HOST, SEEN, MAPPED]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(
        world.log()[1..],
        ["0 dial 192.168.1.5:7", "30 dial 203.0.113.9:7", "180 dial 203.0.113.9:4000"]
    );
}

#[test]
fn first_answer_ends_the_other_dials() {
    let mut world = world()
        .host(HOST, Host::Answers(500))
        .host(SEEN, Host::Answers(40))
        .answer(at(0, &[HOST, SEEN, MAPPED]));
    world.give(Input::Want);
    world.run(2000);
    assert_eq!(
        world.log()[1..],
        [
            "0 dial 192.168.1.5:7",
            "150 dial 203.0.113.9:7",
            "190 abandon 192.168.1.5:7",
            "190 use 203.0.113.9:7",
            "230 open 203.0.113.9:7"
        ]
    );
    assert_eq!(world.states, [PeerState::Connecting, PeerState::Authenticating, PeerState::Connected]);
}

#[test]
fn quick_first_answer_dials_no_other() {
    let mut world = world().host(HOST, Host::Answers(100)).answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(2000);
    assert_eq!(world.log()[1..], ["0 dial 192.168.1.5:7", "100 use 192.168.1.5:7", "200 open 192.168.1.5:7"]);
}

#[test]
fn answer_as_the_pause_ends_counts() {
    let mut world = world().host(HOST, Host::Answers(150)).answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(300);
    assert_eq!(world.log()[1..], ["0 dial 192.168.1.5:7", "150 use 192.168.1.5:7", "300 open 192.168.1.5:7"]);
}

#[test]
fn dials_of_abandoned_round_are_ignored() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(50);
    let before = world.log();
    world.give(Input::Dialled { dial: 0, result: Ok(Duration::ZERO) });
    world.give(Input::Dialled { dial: 77, result: Err(Failure::no_answer()) });
    assert_eq!((before.len(), world.log().len()), (4, 0));
}

#[test]
fn silent_addresses_end_a_round_after_five_seconds() {
    let mut world = world().answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(5000);
    assert_eq!(world.log()[3..], ["5000 abandon 192.168.1.5:7", "5000 abandon 203.0.113.9:7"]);
    assert_eq!(world.states.last(), Some(&PeerState::Reconnecting));
    assert_eq!(world.paths.deadline().map(|(_, why)| why), Some(Why::NextTry));
}

#[test]
fn three_silent_tries_give_up_with_a_cause() {
    let answers = (0..3).fold(world(), |world, _| world.answer(at(0, &[HOST])));
    let mut world = answers;
    world.give(Input::Want);
    world.run(60_000);
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.ends_with("find")).count(), 3);
    assert!(log.last().expect("an end").ends_with("their router blocks incoming packets"), "{log:?}");
    assert!(world.paths.is_idle() && world.paths.deadline().is_none());
}

#[test]
fn last_failure_of_a_round_is_its_cause() {
    let mut world = world()
        .host(HOST, Host::Fails(10, "first"))
        .host(SEEN, Host::Never(10, "second"))
        .answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log().last().map(String::as_str), Some("20 gave up: second"));
}

#[test]
fn slow_failure_counts_when_it_comes_last() {
    let mut world = world()
        .host(HOST, Host::Never(700, "another key"))
        .host(SEEN, Host::Fails(10, "refused"))
        .answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log().last().map(String::as_str), Some("700 gave up: another key"));
}

#[test]
fn addresses_of_missing_family_are_skipped() {
    for (local, expected) in
        [("0.0.0.0:7", "0 dial 192.168.1.5:7"), ("[2001:db8::1]:7", "0 dial [2001:db8::5]:7")]
    {
        let mut world = World::new(local).answer(at(0, &[HOST6, HOST]));
        world.give(Input::Want);
        world.run(1000);
        assert_eq!(world.log()[1..], [expected], "{local}");
    }
}

#[test]
fn no_address_of_our_family_is_no_use_trying_again() {
    let mut world = World::new("0.0.0.0:7").answer(at(5, &[HOST6]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log()[1..], ["5 gave up: none of their addresses can be dialled from here"]);
}

#[test]
fn mapped_ipv4_form_is_dialled_as_told() {
    let mut world = world().answer(at(0, &["[::ffff:192.168.1.5]:7"]));
    world.give(Input::Want);
    world.run(10);
    assert_eq!(world.log()[1..], ["0 dial [::ffff:192.168.1.5]:7"]);
    assert!(world.paths.pairs().get(addr(HOST)).is_some(), "it is the same pair");
}

#[test]
fn more_addresses_run_beside_the_first_ones() {
    let mut world = world().answer(at(0, &[HOST, SEEN]));
    world.give(Input::Want);
    world.run(100);
    world.give(Input::Told(candidates(&[MAPPED, LAST])));
    world.run(400);
    assert_eq!(
        world.log()[1..],
        [
            "0 dial 192.168.1.5:7",
            "100 dial 203.0.113.9:4000",
            "150 dial 203.0.113.9:7",
            "250 dial 198.51.100.4:7"
        ]
    );
}

#[test]
fn addresses_of_an_untried_peer_are_only_noted() {
    let mut world = world();
    world.give(Input::Told(candidates(&[HOST])));
    assert_eq!(world.log(), [""; 0]);
    assert_eq!(world.paths.pairs().iter().count(), 1);
    world.opened_by_peer(SEEN);
    world.log();
    world.give(Input::Told(candidates(&[MAPPED])));
    assert_eq!(world.log(), [""; 0]);
}

#[test]
fn answer_in_one_round_leaves_the_other_round_alone() {
    let mut world = world().host(MAPPED, Host::Answers(30)).answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.give(Input::Told(candidates(&[MAPPED])));
    world.run(4999);
    let log = world.log();
    assert!(!log.iter().any(|line| line.contains("abandon")), "{log:?}");
    world.run(1);
    assert_eq!(world.log(), ["5000 abandon 192.168.1.5:7"]);
    assert_eq!(world.states.last(), Some(&PeerState::Connected), "and its end is no failure");
}

#[test]
fn rounds_at_a_time_are_bounded() {
    let mut world = world().answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(0);
    for port in 1000..1020 {
        world.give(Input::Told(vec![Candidate {
            origin: Origin::Host,
            addr: SocketAddr::new(addr(SEEN).ip(), port),
        }]));
    }
    let dials = world.log().iter().filter(|line| line.contains("dial")).count();
    assert_eq!(dials, ROUNDS_MAX);
}

#[test]
fn late_answer_of_the_sources_is_still_dialled() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(40_000, &[HOST]));
    world.give(Input::Want);
    world.run(40_100);
    let log = world.log();
    assert!(log.contains(&"40020 open 192.168.1.5:7".to_owned()), "{log:?}");
}

#[test]
fn sources_that_never_answer_count_as_a_failed_try() {
    let mut world = world();
    world.give(Input::Want);
    world.run(120_000);
    let log = world.log();
    assert_eq!(log.len(), 4, "three tries and the end: {log:?}");
    assert!(log[3].ends_with("gave up: nothing came of dialling them"), "{log:?}");
}

#[test]
fn peer_that_is_left_is_not_tried_again() {
    let mut world = world().answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(100);
    world.give(Input::Leave);
    world.run(60_000);
    assert_eq!(world.log()[2..], ["5000 abandon 192.168.1.5:7"]);
    assert!(world.paths.is_idle());
}

#[test]
fn what_may_not_be_dialled_is_given_up_at_once() {
    let mut world = world().answer(unfound(3, Unfound::Forbidden("banned".into())).last(LAST));
    world.give(Input::Want);
    world.run(60_000);
    assert_eq!(world.log(), ["0 find", "3 gave up: banned"]);
}

#[test]
fn other_key_is_retried_without_dials() {
    let other = || unfound(3, Unfound::OtherKey("another key".into())).last(LAST);
    let mut world = world().answer(other()).answer(other()).answer(other());
    world.give(Input::Want);
    world.run(60_000);
    let log = world.log();
    assert_eq!(log.len(), 4, "{log:?}");
    assert!(log[3].ends_with("gave up: another key") && !log.iter().any(|line| line.contains("dial")));
}

#[test]
fn silent_sources_send_us_where_the_peer_was_last() {
    let mut world = world().answer(unfound(3, Unfound::Unavailable("away".into())).last(LAST));
    world.give(Input::Want);
    world.run(5003);
    assert_eq!(world.log(), ["0 find", "3 dial 198.51.100.4:7", "5003 abandon 198.51.100.4:7"]);
    assert_eq!(world.states.last(), Some(&PeerState::Reconnecting), "there is a second try");
}

#[test]
fn failure_tells_that_the_sources_were_silent() {
    let away = || unfound(0, Unfound::Unavailable("the book is away".into())).last(LAST);
    let mut world = world().answer(away()).answer(away()).answer(away());
    world.give(Input::Want);
    world.run(60_000);
    let log = world.log();
    let last = log.last().expect("a failure");
    assert!(
        last.contains("nothing answers at their address") && last.ends_with(": the book is away"),
        "{last}"
    );
}

#[test]
fn silent_sources_and_no_last_place_are_tried_again() {
    let away = || unfound(0, Unfound::Unavailable("away".into()));
    let mut world = world().answer(away()).answer(away()).answer(away());
    world.give(Input::Want);
    world.run(60_000);
    let log = world.log();
    assert_eq!((log.len(), log[3].ends_with("gave up: away")), (4, true), "{log:?}");
}

#[test]
fn rounds_of_one_try_are_one_try() {
    let mut world = world().answer(at(0, &[HOST])).answer(at(0, &[HOST])).answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(1000);
    world.give(Input::Told(candidates(&[SEEN])));
    world.run(4500);
    assert_eq!(world.states, [PeerState::Connecting], "the second round runs until 6 s");
    world.run(60_000);
    assert_eq!(world.log().iter().filter(|line| line.ends_with("find")).count(), 3);
}

#[test]
fn addresses_that_come_late_outlast_a_hopeless_one() {
    let mut world = world()
        .host(HOST, Host::Never(2000, "another key"))
        .host(SEEN, Host::Answers(900))
        .answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(1500);
    world.give(Input::Told(candidates(&[SEEN])));
    world.run(10_000);
    let log = world.log();
    assert_eq!(log.last().map(String::as_str), Some("3300 open 203.0.113.9:7"), "{log:?}");
}
