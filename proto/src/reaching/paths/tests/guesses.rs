//! A peer whose presence no source knows is dialled at its last address.

use super::*;

fn not_there(after: u64) -> Answer {
    unfound(after, Unfound::NotThere("not online".into())).last(LAST)
}

fn world() -> World {
    World::new("[::]:7")
}

#[test]
fn guess_is_dialled_once_and_ends_the_tries() {
    let mut world = world().answer(not_there(10));
    world.give(Input::Want);
    world.run(60_000);
    assert_eq!(
        world.log(),
        [
            "0 find",
            "10 dial 198.51.100.4:7",
            "5010 abandon 198.51.100.4:7",
            "5010 gave up: not online, and nothing answers at their last address"
        ]
    );
    assert!(world.paths.is_idle());
}

#[test]
fn guess_that_is_refused_ends_at_once() {
    let mut world = world().host(LAST, Host::Fails(25, "refused")).answer(not_there(10));
    world.give(Input::Want);
    world.run(60_000);
    assert_eq!(
        world.log().last().map(String::as_str),
        Some("35 gave up: not online, and nothing answers at their last address")
    );
}

#[test]
fn answer_at_a_guessed_address_is_told() {
    let mut world = world().host(LAST, Host::Never(25, "you are no contact")).answer(not_there(10));
    world.give(Input::Want);
    world.run(60_000);
    assert_eq!(
        world.log().last().map(String::as_str),
        Some("35 gave up: not online, and at their last address: you are no contact")
    );
}

#[test]
fn right_guess_is_a_link() {
    let mut world = world().host(LAST, Host::Answers(30)).answer(not_there(10));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log().last().map(String::as_str), Some("70 open 198.51.100.4:7"));
}

#[test]
fn nowhere_to_guess_is_tried_again() {
    let nobody = || unfound(0, Unfound::NotThere("not online".into()));
    let mut world = world().answer(nobody()).answer(nobody()).answer(nobody());
    world.give(Input::Want);
    world.run(60_000);
    let log = world.log();
    assert_eq!((log.len(), log[3].ends_with("gave up: not online")), (4, true), "{log:?}");
}

#[test]
fn want_during_guess_asks_sources_again() {
    let mut world = world().host(HOST, Host::Answers(10)).answer(not_there(10)).answer(at(5, &[HOST]));
    world.give(Input::Want);
    world.run(500);
    world.log();
    world.give(Input::Want);
    world.run(100);
    assert_eq!(
        world.log(),
        ["500 find", "505 dial 192.168.1.5:7", "515 use 192.168.1.5:7", "525 open 192.168.1.5:7"]
    );
}

#[test]
fn want_before_guess_asks_sources_again() {
    let mut world = world().answer(not_there(100));
    world.give(Input::Want);
    world.run(50);
    world.give(Input::Want);
    assert_eq!(world.log(), ["0 find"], "the answer may still name an address");
    world.run(100);
    assert_eq!(world.log(), ["100 dial 198.51.100.4:7", "100 find"]);
}

#[test]
fn each_want_asks_once() {
    let mut world = world().answer(not_there(10)).answer(not_there(10)).answer(not_there(10));
    world.give(Input::Want);
    world.run(500);
    world.give(Input::Want);
    world.run(500);
    let finds = |log: &[String]| log.iter().filter(|line| line.ends_with("find")).count();
    assert_eq!(finds(&world.log()), 2, "the second guess asks nobody again");
    world.give(Input::Want);
    world.run(500);
    assert_eq!(finds(&world.log()), 1);
}

#[test]
fn want_during_told_round_asks_nothing() {
    let mut world = world().answer(at(10, &[HOST]));
    world.give(Input::Want);
    world.run(500);
    world.give(Input::Want);
    world.run(500);
    assert_eq!(world.log(), ["0 find", "10 dial 192.168.1.5:7"]);
}

#[test]
fn want_is_forgotten_when_guess_fails() {
    let mut world = world().answer(not_there(0)).answer(not_there(0)).answer(not_there(0));
    world.give(Input::Want);
    world.run(100);
    // Taken by the second question; the rest ends with the first guess.
    world.give(Input::Want);
    world.run(10_000);
    world.log();
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log(), ["10100 find", "10100 dial 198.51.100.4:7"], "a new wish is one question");
}

#[test]
fn guess_that_came_true_leaves_nothing_behind() {
    let mut world = world().host(LAST, Host::Answers(10)).answer(not_there(0)).answer(at(1000, &[HOST]));
    world.give(Input::Want);
    world.run(100);
    world.give(Input::Lost(Failure { cause: "gone".into(), again: true }));
    world.run(1000);
    world.log();
    world.give(Input::Want);
    assert_eq!(world.log(), [""; 0], "the sources are being asked already, and nobody guesses");
}

#[test]
fn last_place_of_missing_family_is_no_guess() {
    let mut world = World::new("[2001:db8::1]:7").answer(not_there(0));
    world.give(Input::Want);
    world.run(1000);
    assert_eq!(world.log()[1..], ["0 gave up: not online, and nothing answers at their last address"]);
}

#[test]
fn told_address_outlasts_the_guess() {
    let mut world = world().host(HOST, Host::Answers(900)).answer(not_there(0)).answer(at(1000, &[HOST]));
    world.give(Input::Want);
    world.run(3500);
    world.give(Input::Want);
    world.run(10_000);
    let log = world.log();
    assert!(!log.iter().any(|line| line.contains("gave up")), "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("6300 open 192.168.1.5:7"));
}
