//! Power cuts: either side is killed at random moments, restarts, and the fetch continues.

use fyteclub_client::{Event, LimitsSet, Rate};
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    Resident, Town,
    mods::{Dice, Mod, arrived, assert_same, noise},
    within,
};
use std::time::Instant;

const MB: usize = 1_000_000;
const TOTAL: u64 = 120 * u64_of(MB);

fn look(town: &Town) -> fyteclub_tests::mods::Written {
    (0..20)
        .fold(Mod::new(town.path("mod")), |look, n| {
            let len = if n == 0 { 82 * MB } else { 2 * MB };
            look.file(&format!("chara/{n}.tex"), &noise(n, len))
        })
        .write()
}

/// Begins to fetch, and returns once this many bytes are there; `None` when it was complete before.
async fn fetch_until(bob: &Resident, alice: &Resident, bytes: u64) -> Option<u64> {
    let mut events = bob.client().watch().await.expect("events");
    let (client, player) = (bob.client().clone(), alice.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let reached = async {
        while let Some(event) = events.next().await {
            match event.expect("an event") {
                Event::TransferProgress(now) if now.bytes_done >= bytes => return Some(now.bytes_done),
                Event::AppearanceReady { .. } => return None,
                Event::TransferFailed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
        panic!("the events ended");
    };
    let reached = within("progress", reached).await;
    fetch.abort();
    reached
}

#[tokio::test]
async fn the_receiver_dies_again_and_again() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = look(&town);
    alice.publish(&look.folder).await;
    let mut dice = Dice::new(5);
    let (mut target, mut reached) = (0, 0);
    for _ in 0..4 {
        target += dice.below(TOTAL / 5);
        match fetch_until(&bob, &alice, target).await {
            Some(bytes) => reached = reached.max(bytes),
            // Faster than the events: complete, and all of it must still be here afterwards.
            None => reached = TOTAL,
        }
        bob.kill();
        bob.start().await;
    }
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    // A second of progress may be lost on a slow machine; older progress may not.
    println!("{reached} bytes were reached, {} fetched again", fetched.bytes_fetched);
    assert!(fetched.bytes_fetched < TOTAL, "nothing was kept of {reached} bytes");
    let verified = bob.client().cache_verify().await.expect("verified");
    assert!(verified.bad.is_empty(), "{verified:?}");
}

#[tokio::test]
async fn the_sender_dies_again_and_again() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = look(&town);
    let published = alice.publish(&look.folder).await;
    let mut dice = Dice::new(6);
    let mut target = 0;
    // The receiver's fetch outlives its source, or is repeated where it failed.
    for _ in 0..3 {
        target += dice.below(TOTAL / 4);
        if fetch_until(&bob, &alice, target).await.is_none() {
            break;
        }
        alice.kill();
        alice.start().await;
        let status = alice.client().status().await.expect("a status");
        assert_eq!(status.appearance, Some(published.appearance), "she still wears it");
    }
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    // Only what was in flight when she died is sent twice.
    assert!(fetched.bytes_transferred < TOTAL + TOTAL / 2, "{}", fetched.bytes_transferred);
}

#[tokio::test]
async fn one_fetch_survives_its_source() {
    let town = Town::new().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = look(&town);
    alice.publish(&look.folder).await;
    let mut events = bob.client().watch().await.expect("events");
    let player = alice.player.clone();
    let fetch = bob.fetch(&player);
    let restart = async {
        while let Some(Ok(event)) = events.next().await {
            if matches!(event, Event::TransferProgress(_) | Event::AppearanceReady { .. }) {
                break;
            }
        }
        alice.kill();
        alice.start().await;
    };
    let (fetched, ()) = tokio::join!(fetch, restart);
    assert_same(&arrived(&fetched), &look.content);
}

/// How long a fetch does not find its owner, who is back at another port.
async fn found_again(alice: &mut Resident, bob: &Resident) -> f64 {
    alice.kill();
    let mut events = bob.client().watch().await.expect("events");
    alice.start().await;
    let back = Instant::now();
    let her = alice.peer_id();
    within("the next link", async {
        while let Some(event) = events.next().await {
            if matches!(event, Ok(Event::PeerConnected { peer_id, .. }) if peer_id == her) {
                return;
            }
        }
    })
    .await;
    back.elapsed().as_secs_f64()
}

#[tokio::test]
async fn owner_at_a_new_address_is_found_before_a_timeout() {
    let town = Town::alone().await;
    let (mut alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = look(&town);
    alice.publish(&look.folder).await;
    // So that something is left when she dies.
    let upload = Some(Rate::try_from(TOTAL / 12).ok());
    alice.client().limits_set(LimitsSet { upload, ..LimitsSet::default() }).await.expect("set");
    // In the middle of the bytes.
    let mut events = bob.client().watch().await.expect("events");
    let (client, player) = (bob.client().clone(), alice.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    within("progress", async {
        while let Some(event) = events.next().await {
            if matches!(event, Ok(Event::TransferProgress(now)) if now.bytes_done > TOTAL / 5) {
                return;
            }
        }
    })
    .await;
    let midway = found_again(&mut alice, &bob).await;
    alice.client().limits_reset().await.expect("reset");
    let fetched = within("the rest", fetch).await.expect("no panic").expect("the look");
    assert_same(&arrived(&fetched), &look.content);
    // With a link that died idle: the next fetch requests her look over it.
    alice.kill();
    alice.start().await;
    // Published while the look before is still being read: the newest request counts.
    let other = Mod::of_noise(town.path("other"), 3, 1, 1000).write();
    alice.publish(&other.folder).await;
    let began = Instant::now();
    let fetched = bob.fetch(&alice.player).await;
    let asked = began.elapsed().as_secs_f64();
    assert_same(&arrived(&fetched), &other.content);
    println!("found again after {midway:.1} s midway, {asked:.1} s when asked");
    // QUIC closes a silent link after 30 s, and the daemon after 6.
    assert!(midway < 6.0 && asked < 6.0, "{midway:.1} s midway, {asked:.1} s when asked");
}
