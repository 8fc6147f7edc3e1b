//! Phone books that fail in every way: a proxy in between, one that hangs, all gone, one that was asked to stop.

use fyteclub_tests::{
    Gate, Passes, Phonebook, Resident, Town,
    mods::{Mod, Written, arrived, assert_same},
};
use std::time::{Duration, Instant};

/// Two who know each other only through these phone books.
async fn pair(town: &Town, books: &[String]) -> (Resident, Resident, Written) {
    let mut alice = town.house("Alice Ashe@Gilgamesh").phonebooks(books);
    let mut bob = town.house("Bob Birch@Balmung").phonebooks(books);
    tokio::join!(alice.start(), bob.start());
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    let link = alice.client().invite().await.expect("an invitation").link;
    bob.client().join(&link).await.expect("joined");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    (alice, bob, look)
}

#[tokio::test]
async fn where_only_plain_http_gets_through_everything_still_works() {
    let town = Town::new().await;
    let gate = Gate::before(town.phonebook.addr(), Passes::PlainHttp).await;
    let (alice, bob, look) = pair(&town, &[gate.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    let status = bob.client().status().await.expect("a status");
    assert!(status.phonebooks[0].live, "{status:?}");
}

#[tokio::test]
async fn one_that_hangs_is_passed_over_within_two_seconds() {
    let town = Town::new().await;
    let second = Phonebook::another(&town, "second").await;
    let gate = Gate::before(town.phonebook.addr(), Passes::Everything).await;
    let (mut alice, bob, look) = pair(&town, &[gate.url(), second.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    // Alice comes back under another address, which only the second phone book can tell.
    alice.client().shutdown().await.expect("stopping");
    alice.process().ended().await;
    alice.start().await;
    alice.is_introduced_by_all().await;
    gate.pass(Passes::Nothing);
    let began = Instant::now();
    bob.fetch(&alice.player).await;
    assert!(began.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", began.elapsed());
}

/// What a busy test machine may add to a promise.
const SLACK: Duration = Duration::from_secs(4);

#[tokio::test]
async fn when_all_are_gone_those_who_know_each_other_go_on() {
    let mut town = Town::new().await;
    let (alice, mut bob, look) = pair(&town, &[town.phonebook.url()]).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    town.phonebook.kill();
    // Also after a restart: the place where a contact was last is remembered.
    bob.client().shutdown().await.expect("stopping");
    bob.process().ended().await;
    bob.start_unfound().await;
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
}

#[cfg(unix)]
#[tokio::test]
async fn one_that_stops_says_when_to_come_back() {
    let mut town = Town::new().await;
    let (alice, bob, look) = pair(&town, &[town.phonebook.url()]).await;
    town.phonebook.process().signal(rustix::process::Signal::TERM);
    town.phonebook.gone().await;
    town.phonebook.start().await;
    alice.is_introduced().await;
    bob.is_introduced().await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}
