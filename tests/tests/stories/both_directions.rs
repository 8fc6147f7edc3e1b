//! Transfers in both directions at once, a hundred megabytes each.

use futures::future::join_all;
use fyteclub_client::PeerState;
use fyteclub_tests::{
    Town, eventually,
    hostile::Hostile,
    mods::{Mod, arrived, assert_same},
};

#[tokio::test]
async fn a_hundred_megabytes_each_way_at_once() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let hers = Mod::of_noise(town.path("hers"), 1, 10, 10_000_000).write();
    let his = Mod::of_noise(town.path("his"), 2, 100, 1_000_000).write();
    tokio::join!(alice.publish(&hers.folder), bob.publish(&his.folder));
    let (to_bob, to_alice) = tokio::join!(bob.fetch(&alice.player), alice.fetch(&bob.player));
    for (fetched, look) in [(to_bob, hers), (to_alice, his)] {
        assert_eq!((fetched.bytes_total, fetched.bytes_fetched), (100_000_000, 100_000_000));
        assert_same(&arrived(&fetched), &look.content);
    }
    // One link carried both: the two agree which of simultaneous dials stays.
    for resident in [&alice, &bob] {
        let peers = resident.client().peer_list().await.expect("peers");
        assert_eq!(peers.len(), 1, "{peers:?}");
    }
}

/// Every pair dials each other in the same moment, and one of two links is closed.
#[tokio::test]
async fn all_players_fetch_from_each_other_at_once() {
    let town = Town::new().await;
    let names = ["Ada", "Ben", "Cy", "Di", "Eve", "Fay"].map(|name| format!("{name} Ash@Gilgamesh"));
    let residents = join_all(names.iter().map(|name| town.resident(name))).await;
    for (number, resident) in residents.iter().enumerate() {
        join_all(residents[..number].iter().map(|other| resident.befriend(other))).await;
    }
    let looks: Vec<_> =
        (1..=6).map(|n| Mod::of_noise(town.path(&format!("mod{n}")), n, 4, 100_000).write()).collect();
    join_all(residents.iter().zip(&looks).map(|(resident, look)| resident.publish(&look.folder))).await;
    let pairs = (0..6).flat_map(|to| (0..6).filter(move |from| *from != to).map(move |from| (to, from)));
    join_all(pairs.map(async |(to, from)| {
        let fetched = residents[to].fetch(&residents[from].player).await;
        assert_same(&arrived(&fetched), &looks[from].content);
    }))
    .await;
}

/// A peer may have two links for a moment, and both may end together.
#[tokio::test]
async fn peer_whose_links_end_together_is_disconnected() {
    let town = Town::new().await;
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let friend = Hostile::new("Bob Birch@Balmung", 7);
    alice.takes_for_a_friend(&friend).await;
    let to = alice.client().status().await.expect("a status").listen.parse().expect("an address");
    let state = async || {
        let peers = alice.client().peer_list().await.expect("peers");
        peers.iter().find(|peer| peer.peer_id == friend.peer_id()).map(|peer| peer.state)
    };
    let is = async |wanted| (state().await == Some(wanted)).then_some(());
    for round in 0..5 {
        let (first, second) =
            (friend.dial(to, alice.peer_id()).await, friend.dial(to, alice.peer_id()).await);
        let _controls = (first.greet(friend.greeting(None)).await, second.greet(friend.greeting(None)).await);
        eventually("it is connected", async || is(PeerState::Connected).await).await;
        for line in [&first, &second] {
            line.connection.close(0_u32.into(), b"");
        }
        eventually(&format!("round {round} is over"), async || is(PeerState::Disconnected).await).await;
    }
}
