//! A player replaces their key: phone book and contacts follow, because both keys sign; the old key is worthless
//! afterwards.

use fyteclub_client::Standing;
use fyteclub_tests::{
    Town, eventually,
    mods::{Mod, arrived, assert_same},
    program,
};
use std::{
    path::Path,
    process::{Command, Output},
};

fn rotate(data: &Path) -> Output {
    let mut command = Command::new(program("fyteclubd"));
    command.arg("rotate-key").arg("--data-dir").arg(data);
    command.output().expect("it runs")
}

#[tokio::test]
async fn contacts_follow_a_key_that_the_old_one_vouches_for() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"),);
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;
    let link = alice.client().contacts_invite().await.expect("an invitation").link;
    bob.client().contacts_join(&link).await.expect("joined");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    bob.fetch(&alice.player).await;
    let before = alice.client().status().await.expect("a status").peer_id;

    let refused = rotate(alice.data());
    assert_eq!(refused.status.code(), Some(1), "a running daemon keeps its key");
    alice.client().shutdown().await.expect("stopping");
    alice.process().ended().await;
    let rotated = rotate(alice.data());
    assert!(rotated.status.success(), "{rotated:?}");
    alice.start().await;
    let after = alice.client().status().await.expect("a status").peer_id;
    assert_ne!(before, after);

    eventually("bob hears of the new key", async || {
        let contacts = bob.contacts().await;
        let known = contacts.iter().find(|contact| contact.player.as_ref() == Some(&alice.player))?;
        (known.peer_id == Some(after) && known.standing == Standing::Paired).then_some(())
    })
    .await;
    // Her look is signed again, and no file is sent again.
    let fetched = eventually("bob fetches", async || bob.try_fetch(&alice.player, None).await.ok()).await;
    assert_same(&arrived(&fetched), &look.content);
    assert_eq!(fetched.bytes_fetched, 0);
}

#[tokio::test]
async fn contact_follows_two_missed_key_changes() {
    let town = Town::new().await;
    let (mut alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"),);
    let link = alice.client().contacts_invite().await.expect("an invitation").link;
    bob.client().contacts_join(&link).await.expect("joined");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    for resident in [&mut alice, &mut bob] {
        resident.client().shutdown().await.expect("stopping");
        resident.process().ended().await;
    }
    for _ in 0..2 {
        let rotated = rotate(alice.data());
        assert!(rotated.status.success(), "{rotated:?}");
    }
    bob.start().await;
    alice.start().await;
    let status = alice.client().status().await.expect("a status");
    // The phone book knows the name under the first key only.
    assert!(status.phonebooks.iter().all(|book| book.ok), "{:?}", status.phonebooks);
    eventually("bob hears of the last key", async || {
        let contacts = bob.contacts().await;
        let known = contacts.iter().find(|contact| contact.player.as_ref() == Some(&alice.player))?;
        (known.peer_id == Some(status.peer_id) && known.standing == Standing::Paired).then_some(())
    })
    .await;
}
