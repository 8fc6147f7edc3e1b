//! A link's path gets better, or gets another relay, after its introduction.

use super::{
    changes::{gap, prepare},
    player::{Pair, Player},
};
use fyteclub_client::{PeerState, PeerStatus};
use fyteclub_tests::{
    Phonebook, Town, eventually,
    netlab::{Internet, Kind, SERVERS},
};
use std::time::{Duration, Instant};

const DIRECT: &[&str] = &["punched"];
const RELAY: &[&str] = &["relay"];

/// A link over one of these paths, over which nothing is asked.
async fn idle(pair: &mut Pair, path: &[&str]) {
    pair.owner.publishes_files(&pair.town, 1, 1000).await;
    pair.other.fetches(&pair.owner).await.expect("a small look");
    pair.comes_to(path).await;
}

/// Another look is fetched within this time, over the same link.
async fn carries(pair: &mut Pair, bytes: usize, most: Duration) {
    pair.owner.publishes_files(&pair.town, 1, bytes).await;
    let began = Instant::now();
    pair.other.fetches(&pair.owner).await.expect("another look");
    let took = began.elapsed();
    println!("fetched in {:.2} s", took.as_secs_f64());
    assert!(took < most, "{took:?}");
    for player in [&mut pair.owner, &mut pair.other] {
        let log = player.resident.process().log();
        assert!(!log.contains("the peer does not answer"), "the link is another one");
    }
}

/// What one end knows of the link to the other.
async fn link(player: &Player, peer: &Player) -> PeerStatus {
    let key = peer.resident.peer_id();
    let peers = player.resident.client().peer_list().await.expect("peers");
    peers.into_iter().find(|known| known.peer_id == key).expect("it is known")
}

#[tokio::test]
async fn idle_relayed_link_gets_another_relay() {
    let Some(mut pair) = Pair::open([Kind::Symmetric, Kind::Symmetric]).await else { return };
    idle(&mut pair, RELAY).await;
    pair.book.kill();
    pair.book.start().await;
    let began = Instant::now();
    for player in [&mut pair.owner, &mut pair.other] {
        eventually("the relay is another one", async || {
            let log = player.resident.process().log();
            let asked = log.rfind("the relay is gone: asking for another")?;
            log[asked..].contains(": over the relay, ").then_some(())
        })
        .await;
    }
    let took = began.elapsed();
    println!("another relay after {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(5), "{took:?}");
    carries(&mut pair, 2000, Duration::from_secs(2)).await;
    pair.comes_to(RELAY).await;
}

#[tokio::test]
async fn other_phone_book_replaces_a_dead_relay() {
    let town = Town::new().await;
    let Some(internet) = Internet::open(&town, &[Kind::Symmetric, Kind::Symmetric]).await else { return };
    let mut books = Vec::new();
    for (name, ip) in [("first", SERVERS[0]), ("second", SERVERS[1])] {
        let at = format!("{ip}:80");
        books.push(Phonebook::another_at(&town, name, &at, Some(internet.machine())).await);
    }
    let urls: Vec<String> = books.iter().map(Phonebook::url).collect();
    let [second, first] = [books.pop(), books.pop()].map(|book| book.expect("two"));
    let mut pair = Pair::meet_at(town, internet, first, &urls).await;
    pair.owner.resident.is_introduced_by_all().await;
    pair.other.resident.is_introduced_by_all().await;
    prepare(&mut pair, RELAY).await;
    let gap = gap(&mut pair, async |pair| pair.book.kill()).await;
    println!("flowing again after {:.2} s", gap.as_secs_f64());
    assert!(gap < Duration::from_secs(6), "{gap:?}");
    pair.comes_to(RELAY).await;
    drop(second);
}

#[tokio::test]
async fn relayed_link_becomes_direct_by_its_own_offers() {
    let town = Town::new().await;
    let kinds = [Kind::PortRestricted, Kind::Cgnat];
    let Some(internet) = Internet::open(&town, &kinds).await else { return };
    let part = |internet: &Internet, apart| internet.part(&internet.homes()[0], &internet.homes()[1], apart);
    part(&internet, true);
    let mut pair = Pair::live_in(town, internet).await;
    idle(&mut pair, RELAY).await;
    // A whole round of hole punching fails.
    let (client, player) = (pair.other.resident.client().clone(), pair.owner.resident.player.clone());
    client.peer_reconnect(&player).await.expect("it begins");
    eventually("the round is over", async || {
        (link(&pair.other, &pair.owner).await.state == PeerState::Connected).then_some(())
    })
    .await;
    // Letters do not arrive from now on.
    pair.internet.homes().iter().for_each(|home| home.block_tcp());
    part(&pair.internet, false);
    let began = Instant::now();
    client.peer_reconnect(&player).await.expect("it begins");
    pair.comes_to(DIRECT).await;
    let took = began.elapsed();
    println!("direct after {:.2} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(8), "{took:?}");
    carries(&mut pair, 2000, Duration::from_secs(2)).await;
}

#[tokio::test]
async fn person_leaves_a_path_and_makes_it_anew() {
    let Some(mut pair) = Pair::open([Kind::PortRestricted, Kind::PortRestricted]).await else { return };
    idle(&mut pair, DIRECT).await;
    let status = link(&pair.other, &pair.owner).await;
    let mut kinds: Vec<String> =
        status.paths.iter().map(|path| format!("{:?} {}", path.path, path.in_use)).collect();
    kinds.sort();
    assert_eq!(kinds, ["Punched true", "Relay false"], "{status:?}");
    let (client, player) = (pair.other.resident.client().clone(), pair.owner.resident.player.clone());
    client.peer_failover(&player).await.expect("the relay works");
    assert_eq!(pair.other.path_to(&pair.owner).await, "relay");
    pair.comes_to(RELAY).await;
    carries(&mut pair, 2000, Duration::from_secs(2)).await;
    client.peer_reconnect(&player).await.expect("it begins");
    assert_eq!(link(&pair.other, &pair.owner).await.state, PeerState::Reconnecting);
    pair.comes_to(DIRECT).await;
    // No phone book is needed for that.
    pair.book.kill();
    client.peer_reconnect(&player).await.expect("it begins");
    eventually("the path is there again", async || {
        let status = link(&pair.other, &pair.owner).await;
        (status.state == PeerState::Connected && status.paths.len() == 1).then_some(())
    })
    .await;
    pair.comes_to(DIRECT).await;
    carries(&mut pair, 3000, Duration::from_secs(2)).await;
    client.peer_failover(&player).await.expect_err("there is no other path");
}
