//! Links that open, fall silent, close, or lose their address.

use super::*;

const VIRTUAL: &str = "240.0.0.1:1";

fn world() -> World {
    World::new("[::]:7")
}

fn lost(again: bool) -> Input {
    Input::Lost(Failure { cause: "the other side restarted".into(), again })
}

#[test]
fn link_from_outside_needs_no_try() {
    let mut world = world();
    world.opened_by_peer(SEEN);
    assert_eq!(world.log(), ["0 open 203.0.113.9:7", "0 use 203.0.113.9:7"]);
    assert_eq!(world.states, [PeerState::Connected]);
    world.give(Input::Want);
    assert_eq!((world.log(), world.paths.deadline()), (Vec::new(), None));
}

#[test]
fn link_from_outside_ends_a_try() {
    let mut world = world().answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(100);
    world.opened_by_peer(SEEN);
    world.run(60_000);
    assert_eq!(world.log()[4..], ["5000 abandon 192.168.1.5:7"], "the round goes on, and decides nothing");
    assert_eq!(world.states, [PeerState::Connecting, PeerState::Connected]);
}

#[test]
fn traversed_address_is_dialled_without_a_wish() {
    // Of no family of this socket.
    let mut world = World::new("[fd00::5]:7").host(VIRTUAL, Host::Answers(10));
    world.give(Input::Traversed(addr(VIRTUAL)));
    world.run(1000);
    assert_eq!(world.log(), ["0 dial 240.0.0.1:1", "10 use 240.0.0.1:1", "20 open 240.0.0.1:1"]);
    assert_eq!(world.states, [PeerState::Authenticating, PeerState::Connected]);
}

#[test]
fn peer_without_a_path_is_not_tried_again() {
    let told = Err(Unfound::NoPath("no UDP gets through".into()));
    let mut world = world().answer(Answer { after: 12_000, told, last: None });
    world.give(Input::Want);
    world.run(60_000);
    assert_eq!(world.log(), ["0 find", "12000 gave up: no UDP gets through"]);
}

#[test]
fn wanted_link_that_is_lost_is_dialled_again() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(0, &[HOST])).answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(100);
    world.log();
    world.give(Input::Closed { addr: addr(HOST) });
    world.give(lost(true));
    world.run(5000);
    assert_eq!(
        world.log(),
        [
            "100 use none",
            "475 find",
            "475 dial 192.168.1.5:7",
            "485 use 192.168.1.5:7",
            "495 open 192.168.1.5:7"
        ]
    );
}

#[test]
fn unwanted_link_that_is_lost_is_left() {
    let mut world = world();
    world.opened_by_peer(SEEN);
    world.give(lost(true));
    world.run(60_000);
    assert_eq!(world.log().len(), 2);
    assert!(world.paths.is_idle());
}

#[test]
fn handshake_without_a_greeting_is_tried_again() {
    let mut world = world().host(HOST, Host::Shakes(10)).answer(at(0, &[HOST])).answer(at(0, &[HOST]));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.states, [PeerState::Connecting, PeerState::Authenticating]);
    world.give(lost(true));
    world.run(1000);
    assert_eq!(world.log().iter().filter(|line| line.contains("dial")).count(), 2);
}

#[test]
fn silent_link_closes_when_another_opens() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(0, &[HOST]));
    world.give(Input::Want);
    let old = world.opened_by_peer(SEEN);
    world.log();
    world.give(Input::Suspect { link: old, heard: 1 });
    world.run(100);
    assert_eq!(
        world.log(),
        ["0 find", "0 dial 192.168.1.5:7", "10 use 192.168.1.5:7", "20 open 192.168.1.5:7", "20 close 1"]
    );
}

#[test]
fn suspect_that_spoke_since_is_not_closed() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(0, &[HOST]));
    let old = world.opened_by_peer(SEEN);
    world.give(Input::Suspect { link: old, heard: 1 });
    world.heard.insert(old, 2);
    world.run(100);
    assert!(!world.log().iter().any(|line| line.contains("close")));
}

#[test]
fn suspect_that_is_gone_is_not_closed() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(at(0, &[HOST]));
    let old = world.opened_by_peer(SEEN);
    world.give(Input::Suspect { link: old, heard: 1 });
    world.heard.remove(&old);
    world.run(100);
    assert!(!world.log().iter().any(|line| line.contains("close")));
    assert_eq!(world.paths.suspect(), None);
}

#[test]
fn suspicion_is_about_one_link() {
    let mut world = world();
    let old = world.opened_by_peer(SEEN);
    world.give(Input::Suspect { link: old, heard: 1 });
    world.opened_by_peer(HOST);
    world.log();
    world.opened_by_peer(MAPPED);
    assert!(!world.log().iter().any(|line| line.contains("close")), "it was closed already");
}

#[test]
fn silent_link_stays_while_nothing_else_answers() {
    let mut world = world().answer(at(0, &[HOST]));
    world.give(Input::Want);
    let old = world.opened_by_peer(SEEN);
    world.give(Input::Suspect { link: old, heard: 1 });
    world.run(60_000);
    assert_eq!(world.states.last(), Some(&PeerState::Connected));
    assert!(!world.log().iter().any(|line| line.contains("gave up")));
}

#[test]
fn silent_link_is_reconnecting_until_it_speaks() {
    let mut world = world().answer(at(0, &[HOST]));
    let link = world.opened_by_peer(SEEN);
    world.log();
    world.give(Input::Silent { link, heard: 1 });
    assert_eq!(world.log(), ["0 find"]);
    assert_eq!(world.states, [PeerState::Connected, PeerState::Reconnecting]);
    world.run(60_000);
    assert_eq!(world.log()[0], "0 dial 192.168.1.5:7");
    assert_eq!(world.states.len(), 2, "nothing else answers");
    world.give(Input::Heard);
    assert_eq!(world.states[2..], [PeerState::Connected]);
    assert_eq!(world.paths.suspect(), None);
}

#[test]
fn suspicion_without_link_asks_nothing() {
    let mut world = world();
    world.give(Input::Silent { link: 1, heard: 0 });
    world.give(Input::Heard);
    world.give(Input::Suspect { link: 1, heard: 0 });
    assert_eq!(world.log(), [""; 0]);
}

#[test]
fn stranded_link_is_dialled_from_here_and_looked_for() {
    let mut world = world().host(LAST, Host::Answers(10)).answer(at(300, &[LAST]));
    world.opened_by_peer(SEEN);
    world.log();
    world.give(Input::Stranded { addr: addr(SEEN) });
    world.run(1000);
    assert_eq!(
        world.log(),
        [
            "0 dial 203.0.113.9:7",
            "0 find",
            "300 dial 198.51.100.4:7",
            "310 use 198.51.100.4:7",
            "320 open 198.51.100.4:7"
        ]
    );
}

#[test]
fn best_path_stays_until_another_is_clearly_better() {
    let mut world = world();
    let open = |world: &mut World, at: &str, ms| {
        world.give(Input::Opened { link: 9, addr: addr(at), rtt: Duration::from_millis(ms), suspect: None });
        world.log()
    };
    assert_eq!(open(&mut world, SEEN, 100), ["0 use 203.0.113.9:7"]);
    assert_eq!(open(&mut world, MAPPED, 85), [""; 0], "15 ms are noise of 100");
    assert_eq!(open(&mut world, MAPPED, 80), ["0 use 203.0.113.9:4000"]);
    assert_eq!(open(&mut world, HOST, 200), ["0 use 192.168.1.5:7"], "a network of one's own comes first");
    assert_eq!(open(&mut world, SEEN, 1), [""; 0]);
    world.give(Input::Closed { addr: addr(HOST) });
    assert_eq!(world.log(), ["0 use 203.0.113.9:7"], "and the fastest of the rest follows");
}

#[test]
fn every_instant_of_a_day_has_a_deadline_or_rest() {
    let mut world = world().host(HOST, Host::Answers(10));
    for turn in 0..200_u64 {
        match turn % 7 {
            0 | 3 => world.give(Input::Want),
            1 => world.give(Input::Found { told: Ok(candidates(&[HOST, SEEN])), last: Some(addr(LAST)) }),
            2 => world
                .give(Input::Found { told: Err(Unfound::NotThere("gone".into())), last: Some(addr(LAST)) }),
            4 => world.give(lost(turn % 2 == 0)),
            5 => world.give(Input::Suspect { link: 1, heard: turn }),
            _ => world.give(Input::Leave),
        }
        assert!(world.paths.deadline().is_some() || world.paths.idle().is_some(), "turn {turn}");
        world.run(turn * 37 % 9000);
    }
}
