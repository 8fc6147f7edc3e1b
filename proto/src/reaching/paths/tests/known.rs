//! Addresses that no source was asked for: of the local network, and by a person's hand.

use super::*;
use pairs::Source;

fn known(source: Source, at: &str) -> Input {
    Input::Known { source, addrs: vec![addr(at)] }
}

fn nobody(after: u64) -> Answer {
    unfound(after, Unfound::Unavailable("no phone book".into()))
}

#[test]
fn neighbour_is_dialled_only_if_it_is_wanted() {
    let mut world = World::new("[::]:7").host(HOST, Host::Answers(1));
    world.give(known(Source::Lan, HOST));
    world.run(1000);
    assert_eq!(world.log(), [""; 0]);
    world.give(Input::Want);
    world.give(known(Source::Lan, HOST));
    world.run(1000);
    assert_eq!(
        world.log(),
        ["1000 find", "1000 dial 192.168.1.5:7", "1001 use 192.168.1.5:7", "1002 open 192.168.1.5:7"]
    );
    // A link is there.
    world.give(known(Source::Lan, SEEN));
    assert_eq!(world.log(), [""; 0]);
}

#[test]
fn try_goes_on_while_a_known_address_is_dialled() {
    for unfound in [Unfound::Unavailable("none".into()), Unfound::NotThere("away".into())] {
        let mut world =
            World::new("[::]:7").host(HOST, Host::Answers(300)).answer(super::unfound(10, unfound));
        world.give(Input::Want);
        world.give(known(Source::Manual, HOST));
        world.run(5000);
        assert_eq!(world.log().last().map(String::as_str), Some("600 open 192.168.1.5:7"));
    }
}

#[test]
fn known_address_that_fails_costs_one_try() {
    let mut world = World::new("[::]:7").host(HOST, Host::Fails(20, "refused"));
    for _ in 0..3 {
        world = world.answer(nobody(0));
    }
    world.give(Input::Want);
    world.give(known(Source::Lan, HOST));
    world.run(60_000);
    let log = world.log();
    assert_eq!(log.iter().filter(|line| line.ends_with("find")).count(), 3, "{log:?}");
    assert!(log.last().is_some_and(|last| last.ends_with("gave up: no phone book")), "{log:?}");
}

#[test]
fn neighbour_found_between_tries_is_dialled() {
    let mut world = World::new("[::]:7").host(HOST, Host::Answers(1)).answer(nobody(0));
    world.give(Input::Want);
    world.run(100);
    world.give(known(Source::Lan, HOST));
    world.run(50);
    assert_eq!(world.log().last().map(String::as_str), Some("102 open 192.168.1.5:7"));
}

#[test]
fn address_of_another_family_is_no_try() {
    let mut world = World::new("0.0.0.0:7");
    world.give(Input::Want);
    world.give(known(Source::Lan, HOST6));
    assert!(!world.paths.is_dialling());
    assert_eq!(world.log(), ["0 find"]);
}
