//! A contact towards whom only relays are allowed: this machine sends nothing to theirs, and answers nothing that comes
//! from there.

use fyteclub_client::{PathKind, RelayUse};
use fyteclub_tests::{Lan, Phonebook, Resident, Town, eventually, mods::Mod};

const HIDDEN: &str = "192.0.2.1";
const BOB: &str = "192.0.2.2";
const CAROL: &str = "192.0.2.3";
const BOOK: &str = "192.0.2.4";

/// Publishes another look, which the other one fetches: over this path.
async fn shows(town: &Town, alice: &Resident, other: &Resident, seed: u64) -> Option<PathKind> {
    let look = Mod::of_noise(town.path(&format!("mod {seed}")), seed, 2, 100_000).write();
    alice.publish(&look.folder).await;
    other.fetch(&alice.player).await.path
}

async fn path_to(resident: &Resident, peer: &Resident) -> Option<PathKind> {
    let peers = resident.client().peer_list().await.expect("peers");
    peers.iter().find(|known| known.peer_id == peer.peer_id()).and_then(|known| known.path)
}

#[tokio::test]
async fn contact_with_relays_only_gets_no_packet() {
    let Some(lan) = Lan::open(4, false) else { return };
    let town = Town::new().await;
    let at = [HIDDEN, BOB, CAROL, BOOK];
    at.iter().enumerate().for_each(|(n, ip)| lan.machine(n).add(&format!("{ip}/24")));
    let book = Phonebook::another_at(&town, "lan", &format!("{BOOK}:3000"), Some(lan.machine(3))).await;
    let house = |player: &str, n| {
        let house = town.house(player).phonebooks(&[book.url()]).listen(None).on(lan.machine(n));
        house.maps(false, false).config("visibility = \"listed\"")
    };
    let mut alice = house("Alice Ashe@Gilgamesh", 0);
    let (mut bob, mut carol) = (house("Bob Birch@Balmung", 1), house("Carol Cedar@Leviathan", 2));
    tokio::join!(alice.start(), bob.start(), carol.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced(), carol.is_introduced());
    alice.befriend(&bob).await;
    alice.befriend(&carol).await;
    shows(&town, &alice, &bob, 1).await;
    eventually("Bob has a direct link", async || {
        (![None, Some(PathKind::Relay)].contains(&path_to(&bob, &alice).await)).then_some(())
    })
    .await;
    let set = alice.client().contacts_set_relay(bob.player.clone(), RelayUse::Only).await.expect("set");
    assert_eq!(set.relay, Some(RelayUse::Only));
    assert_eq!(shows(&town, &alice, &bob, 2).await, Some(PathKind::Relay));
    let [alices, bobs] = [lan.machine(0), lan.machine(1)];
    alices.count_to(&[&format!("ip daddr {BOB}"), &format!("ip daddr {CAROL}")]);
    // He knows her address from before.
    bob.kill();
    bobs.count_to(&[&format!("ip daddr {HIDDEN}")]);
    bob.start().await;
    bob.is_introduced().await;
    assert_eq!(shows(&town, &alice, &bob, 3).await, Some(PathKind::Relay));
    // She does not see the other one's restart, and finds him herself.
    alice.kill();
    alice.start().await;
    alice.is_introduced().await;
    assert_eq!(shows(&town, &alice, &bob, 4).await, Some(PathKind::Relay));
    shows(&town, &alice, &carol, 5).await;
    eventually("Carol has a direct link", async || {
        (![None, Some(PathKind::Relay)].contains(&path_to(&carol, &alice).await)).then_some(())
    })
    .await;
    let counts = alices.counts();
    assert_eq!(counts[0], 0, "packets to Bob");
    assert!(counts[1] > 0, "the counters count");
    println!("Bob sent {:?} packets to her address", bobs.counts());
}
