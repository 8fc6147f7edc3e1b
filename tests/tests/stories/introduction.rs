//! Two who never met: an invitation, an introduction, a look; and others learn nothing meanwhile.

use fyteclub_client::{FaultCode, Standing};
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
};

#[tokio::test]
async fn an_invitation_is_all_that_two_players_need() {
    let town = Town::new().await;
    let (alice, bob, eve) = tokio::join!(
        town.resident("Alice Ashe@Gilgamesh"),
        town.resident("Bob Birch@Balmung"),
        town.resident("Eve Elm@Balmung"),
    );
    let look = Mod::of_noise(town.path("mod"), 1, 5, 100_000).write();
    alice.publish(&look.folder).await;

    let link = alice.client().contacts_invite().await.expect("an invitation").link;
    bob.client().contacts_join(&link).await.expect("joined");
    bob.is_paired_with(&alice).await;
    alice.is_paired_with(&bob).await;
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);

    // The invitation is used up, so another user of it gets nothing.
    let refused = fault(eve.client().contacts_join(&link).await);
    assert_eq!(refused.code, FaultCode::InvitationOver, "{refused:?}");
    let refused = fault(eve.try_fetch(&alice.player, None).await);
    assert_eq!(refused.code, FaultCode::NotAContact, "{refused:?}");
    assert!(alice.contacts().await.iter().all(|contact| contact.player.as_ref() != Some(&eve.player)));

    // A lookup finds nobody, and the phone book's output has no address.
    let nobody = town.phonebook.get("/api/lookup/Nobody%20Here@Omega").await;
    for player in [&alice.player, &bob.player] {
        let path = format!("/api/lookup/{}", player.as_str().replace(' ', "%20"));
        assert_eq!(town.phonebook.get(&path).await, nobody);
    }
    let log = town.phonebook.process().log();
    for secret in ["Alice", "Bob", "ed25519:", "127.0.0.1"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.iter().all(|line| line.contains("listening")), "{secret}: {lines:?}");
    }
}

#[tokio::test]
async fn hidden_player_is_found_with_the_secret() {
    let town = Town::new().await;
    let hidden = |player: &str, secret: &str| {
        let house = town.house(player);
        house.config("visibility = \"hidden\"").config(&format!("hidden_secret = \"{secret}\""))
    };
    let (mut alice, mut bob, mut eve) = (
        hidden("Alice Ashe@Gilgamesh", "0123456789abcdef"),
        hidden("Bob Birch@Balmung", "0123456789abcdef"),
        hidden("Eve Elm@Balmung", "another secret of hers"),
    );
    tokio::join!(alice.start(), bob.start(), eve.start());
    eve.client().contacts_add(&alice.player, None).await.expect("asked, and nobody hears");
    bob.client().contacts_add(&alice.player, None).await.expect("asked");
    let asking = eventually("alice is asked", async || {
        let asking = alice.contacts().await;
        asking.into_iter().find(|contact| contact.standing == Standing::Asking)
    })
    .await;
    assert_eq!(asking.player.as_ref(), Some(&bob.player));
    alice.client().contacts_accept(bob.player.clone()).await.expect("accepted");
    bob.is_paired_with(&alice).await;
    assert_eq!(alice.contacts().await.len(), 1, "eve's knock found no door");
}

/// Many knocks use up what a phone book accepts of one client; a fetch's introduction goes first, and waits.
#[tokio::test]
async fn a_fetch_waits_for_its_turn_behind_many_knocks() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    for number in 0..80_u8 {
        let letter = |number: u8| char::from(b'a' + number);
        let name =
            format!("Old {}{}@Gilgamesh", letter(number / 26).to_ascii_uppercase(), letter(number % 26));
        let name = name.parse().expect("a name");
        bob.client().contacts_add(&name, None).await.expect("asked, and nobody hears");
    }
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}
