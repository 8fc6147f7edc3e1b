//! Looks over virtual addresses: the link goes over whatever path works, and its kind is told.

use fyteclub_client::{FaultCode, PathKind};
use fyteclub_tests::{
    Phonebook, Resident, Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
    within,
};
use std::net::UdpSocket;

async fn two(town: &Town, config: &str) -> (Resident, Resident) {
    let (mut alice, mut bob) =
        (town.house("Alice Ashe@Gilgamesh").config(config), town.house("Bob Birch@Balmung").config(config));
    tokio::join!(alice.start(), bob.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    (alice, bob)
}

/// Fetches the first one's look, and returns the kind of path.
async fn exchanges(town: &Town, alice: &mut Resident, bob: &mut Resident) -> Option<PathKind> {
    let look = Mod::of_noise(town.path("mod"), 1, 5, 300_000).write();
    alice.publish(&look.folder).await;
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    fetched.path
}

#[tokio::test]
async fn link_runs_over_a_virtual_address() {
    let town = Town::new().await;
    let (mut alice, mut bob) = two(&town, "stun = true").await;
    assert_eq!(exchanges(&town, &mut alice, &mut bob).await, Some(PathKind::Loopback));
    for resident in [&mut alice, &mut bob] {
        let log = resident.process().log();
        assert!(log.contains(": on this machine, "), "the path is told");
        // QUIC's packets go to no other address.
        let dials: Vec<&str> = log.lines().filter(|line| line.contains("dialling ")).collect();
        assert!(dials.iter().all(|line| line.contains("dialling 240.0.0.")), "{dials:?}");
    }
}

#[tokio::test]
async fn only_the_relay_carries_where_that_is_asked() {
    let town = Town::new().await;
    let (mut alice, mut bob) = two(&town, "relay = \"only\"").await;
    assert_eq!(exchanges(&town, &mut alice, &mut bob).await, Some(PathKind::Relay));
    let peers = bob.client().peer_list().await.expect("peers");
    assert_eq!(peers.iter().map(|peer| peer.path).collect::<Vec<_>>(), [Some(PathKind::Relay)]);
    assert!(bob.process().log().contains("over the relay, "));
}

#[tokio::test]
async fn one_who_hides_is_reached_by_one_who_does_not() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").config("relay = \"only\"");
    let mut bob = town.house("Bob Birch@Balmung");
    tokio::join!(alice.start(), bob.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    assert_eq!(exchanges(&town, &mut alice, &mut bob).await, Some(PathKind::Relay));
}

#[tokio::test]
async fn without_probes_told_addresses_are_dialled() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").config("punching = false").config("relay = \"off\"");
    let mut bob = town.house("Bob Birch@Balmung");
    tokio::join!(alice.start(), bob.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    assert_eq!(exchanges(&town, &mut alice, &mut bob).await, Some(PathKind::Loopback));
    assert!(!bob.process().log().contains("dialling 240.0.0."));
}

#[tokio::test]
async fn without_a_way_the_cause_is_told() {
    let town = Town::new().await;
    let mut alice = town.house("Alice Ashe@Gilgamesh").config("relay = \"only\"");
    let mut bob = town.house("Bob Birch@Balmung").config("relay = \"off\"");
    tokio::join!(alice.start(), bob.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!(fault.code, FaultCode::PeerUnreachable, "{fault:?}");
    assert!(fault.message.contains("relays are switched off here"), "{fault:?}");
}

#[tokio::test]
async fn websocket_serves_who_has_no_udp_to_the_relay() {
    let town = Town::new().await;
    // Takes everything, and answers nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let at = silent.local_addr().expect("bound").to_string();
    let book = Phonebook::another_with(&town, "elsewhere", &["--udp-address", &at]).await;
    let house = |player: &str| town.house(player).phonebooks(&[book.url()]).config("relay = \"only\"");
    let (mut alice, mut bob) = (house("Alice Ashe@Gilgamesh"), house("Bob Birch@Balmung"));
    tokio::join!(alice.start(), bob.start());
    tokio::join!(alice.is_introduced(), bob.is_introduced());
    alice.befriend(&bob).await;
    assert_eq!(exchanges(&town, &mut alice, &mut bob).await, Some(PathKind::RelayTcp));
}

#[tokio::test]
async fn switched_off_no_relay_hears_of_it() {
    let town = Town::new().await;
    let relay = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    relay.set_nonblocking(true).expect("it does not wait");
    let at = relay.local_addr().expect("bound").to_string();
    let book = Phonebook::another_with(&town, "elsewhere", &["--udp-address", &at]).await;
    let mut heard = Vec::new();
    for (owner, other, switch) in [
        ("Alice Ashe@Gilgamesh", "Bob Birch@Balmung", "off"),
        ("Carol Cedar@Gilgamesh", "Dave Dogwood@Balmung", "on"),
    ] {
        let house = |player: &str| {
            let house = town.house(player).phonebooks(&[book.url()]).config("stun = false");
            house.config(&format!("relay = \"{switch}\""))
        };
        let (mut owner, mut other) = (house(owner), house(other));
        tokio::join!(owner.start(), other.start());
        tokio::join!(owner.is_introduced(), other.is_introduced());
        owner.befriend(&other).await;
        assert_eq!(exchanges(&town, &mut owner, &mut other).await, Some(PathKind::Loopback));
        heard.push(relay.recv(&mut [0; 2048]).is_ok());
    }
    assert_eq!(heard, [false, true], "the relay hears of the second pair alone");
}

#[tokio::test]
async fn transfer_outlives_the_phone_book() {
    let mut town = Town::new().await;
    let (alice, bob) = two(&town, "download_limit = \"1 MiB\"").await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 1_000_000).write();
    alice.publish(&look.folder).await;
    let (client, player) = (bob.client().clone(), alice.player.clone());
    let fetching = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    eventually("some of it is here", async || {
        let transfers = bob.client().transfer_list().await.expect("transfers").downloads;
        transfers.iter().any(|transfer| transfer.bytes_done > 0).then_some(())
    })
    .await;
    town.phonebook.kill();
    let fetched = within("the rest comes", fetching).await.expect("a task").expect("a look");
    assert_same(&arrived(&fetched), &look.content);
}
