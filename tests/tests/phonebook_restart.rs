//! The phone book dies and comes back with nothing: within a heartbeat everybody can be found again.

use fyteclub_client::FaultCode;
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
};

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
    // Who knows each other's place needs no phone book.
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
