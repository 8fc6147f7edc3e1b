//! The phone book is killed and restarts empty: within a heartbeat everybody can be found again.

use fyteclub_client::FaultCode;
use fyteclub_proto::live::RETURN_TIME;
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
    within,
};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[tokio::test]
async fn players_are_findable_again_within_a_heartbeat() {
    let mut town = Town::new().await;
    let (alice, bob, carol) = tokio::join!(
        town.resident("Alice Ashe@Gilgamesh"),
        town.resident("Bob Birch@Balmung"),
        town.resident("Carol Cole@Gilgamesh")
    );
    tokio::join!(alice.befriend(&bob), alice.befriend(&carol));
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;

    town.phonebook.kill();
    let fault = fault(carol.try_fetch(&alice.player, None).await);
    assert_eq!((fault.code, fault.retryable), (FaultCode::PhonebookUnavailable, true), "{fault:?}");
    // With known addresses no phone book is needed.
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
    eventually("everybody notices", async || {
        let status = carol.client().status().await.expect("a status");
        let book = &status.phonebooks[0];
        (!book.ok && book.error.is_some() && book.last_answer.is_some()).then_some(())
    })
    .await;

    town.phonebook.start().await;
    let fetched =
        eventually("alice is found", async || carol.try_fetch(&alice.player, None).await.ok()).await;
    assert_same(&arrived(&fetched), &look.content);
    tokio::join!(alice.is_found(), bob.is_found(), carol.is_found());
}

/// The pauses of an outage are long by then; a fetch does not wait for their end.
#[tokio::test]
async fn a_fetch_finds_a_phone_book_that_just_came_back() {
    let mut town = Town::new().await;
    let patient = |player: &str| town.house(player).config("heartbeat = 45");
    let (mut alice, mut bob) = (patient("Alice Ashe@Gilgamesh"), patient("Bob Birch@Balmung"));
    tokio::join!(alice.start(), bob.start());
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    town.phonebook.kill();
    // A listener in its place closes and counts connections: four attempts of each daemon and kind, so that the next
    // pause is eight seconds or more.
    let listener = TcpListener::bind(town.phonebook.addr()).await.expect("the port is free");
    within("the pauses have grown", async {
        for _ in 0..16 {
            drop(listener.accept().await.expect("an attempt"));
        }
    })
    .await;
    drop(listener);
    town.phonebook.start().await;
    let began = Instant::now();
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
    // Alice does not know that she is looked up: she reconnects by herself.
    assert!(began.elapsed() < RETURN_TIME + SLACK, "{:?}", began.elapsed());
}

/// A busy machine's delay.
const SLACK: Duration = Duration::from_secs(4);
