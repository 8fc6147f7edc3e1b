//! A machine whose address changes: it is found again at once, and a running fetch continues.

use fyteclub_client::{Event, Events, LimitsSet};
use fyteclub_proto::number::usize_of;
use fyteclub_tests::{
    Lan, Phonebook, Resident, Town,
    mods::{Mod, Written, arrived, assert_same},
    within,
};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const LOOK: u64 = 24 * MIB;
/// Slow enough that nothing is complete before the move.
const RATE: u64 = 2 * MIB;
/// How long the two may take to find each other: a few seconds, and a busy machine's delay. It was 42 s, or never.
const FOUND_AGAIN: Duration = Duration::from_secs(20);

struct Story {
    alice: Resident,
    bob: Resident,
    lan: Lan,
    town: Town,
    _book: Phonebook,
}

/// Alice, Bob and a phone book on one machine. Its name leads to both address families.
async fn house() -> Option<Story> {
    let lan = Lan::open(1, true)?;
    lan.machine(0).names("127.0.0.1 localhost\n::1 localhost\n");
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "both", "[::]:3000", Some(lan.machine(0))).await;
    let house = |player| {
        let house = town.house(player).phonebooks(&["http://localhost:3000".into()]).listen(None);
        house.config("heartbeat = 600").on(lan.machine(0))
    };
    let (mut alice, mut bob) = (house("Alice Ashe@Gilgamesh"), house("Bob Birch@Balmung"));
    tokio::join!(alice.start(), bob.start());
    alice.is_introduced().await;
    bob.is_introduced().await;
    alice.befriend(&bob).await;
    Some(Story { alice, bob, lan, town, _book: book })
}

/// Alice, Bob and a phone book, each on a machine of its own.
async fn story() -> Option<Story> {
    let lan = Lan::open(3, true)?;
    for (n, address) in ["10.78.0.1/24", "10.78.0.2/24", "10.78.0.3/24"].iter().enumerate() {
        lan.machine(n).add(address);
    }
    let town = Town::new().await;
    let book = Phonebook::another_at(&town, "hub", "10.78.0.1:3000", Some(lan.machine(0))).await;
    // No heartbeat helps.
    let house = |player, n| {
        town.house(player).phonebooks(&[book.url()]).listen(None).config("heartbeat = 600").on(lan.machine(n))
    };
    let (mut alice, mut bob) = (house("Alice Ashe@Gilgamesh", 1), house("Bob Birch@Balmung", 2));
    tokio::join!(alice.start(), bob.start());
    alice.is_introduced().await;
    bob.is_introduced().await;
    alice.befriend(&bob).await;
    Some(Story { alice, bob, lan, town, _book: book })
}

impl Story {
    async fn publish(&self, name: &str, seed: u64, bytes: u64) -> Written {
        let look = Mod::of_noise(self.town.path(name), seed, 12, usize_of(bytes) / 12).write();
        self.alice.publish(&look.folder).await;
        look
    }

    /// Fetches slowly; `moves` runs when a part has arrived. Returns the time without a byte after it.
    async fn fetch_over(&self, look: &Written, moves: impl FnOnce(&Lan)) -> Duration {
        let limit =
            LimitsSet { download: Some(Some(RATE.try_into().expect("a rate"))), ..LimitsSet::default() };
        self.bob.client().limits_set(limit).await.expect("set");
        let mut events = self.bob.client().watch().await.expect("events");
        let (client, player) = (self.bob.client().clone(), self.alice.player.clone());
        let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
        let before = progress(&mut events, 4 * MIB).await;
        moves(&self.lan);
        let moved = Instant::now();
        // More than was in flight.
        progress(&mut events, before + 2 * MIB).await;
        let pause = moved.elapsed();
        let unlimited = LimitsSet { download: Some(None), ..LimitsSet::default() };
        self.bob.client().limits_set(unlimited).await.expect("set");
        let fetched = within("the fetch ends", fetch).await.expect("no panic");
        let fetched = fetched.unwrap_or_else(|error| panic!("the fetch did not go on: {error:?}"));
        assert_same(&arrived(&fetched), &look.content);
        pause
    }
}

/// Waits until so much has arrived; returns the bytes.
async fn progress(events: &mut Events, bytes: u64) -> u64 {
    within("progress", async {
        while let Some(event) = events.next().await {
            match event.expect("an event") {
                Event::TransferProgress(now) if now.bytes_done >= bytes => return now.bytes_done,
                Event::TransferFailed { error, .. } => panic!("the fetch did not go on: {error}"),
                _ => {}
            }
        }
        panic!("the events ended")
    })
    .await
}

#[tokio::test]
async fn owner_moves_in_a_fetch_and_it_goes_on() {
    let Some(story) = story().await else { return };
    let look = story.publish("one", 1, LOOK).await;
    let pause = story.fetch_over(&look, |lan| lan.machine(1).moves("10.78.0.2/24", "10.78.0.22/24")).await;
    println!("owner moved: {pause:?} to the next 2 MiB, of which the limit takes 1 s");
    assert!(pause < FOUND_AGAIN, "{pause:?}");
}

#[tokio::test]
async fn fetcher_moves_in_a_fetch_and_it_goes_on() {
    let Some(story) = story().await else { return };
    let look = story.publish("one", 1, LOOK).await;
    let pause = story.fetch_over(&look, |lan| lan.machine(2).moves("10.78.0.3/24", "10.78.0.33/24")).await;
    println!("fetcher moved: {pause:?} to the next 2 MiB, of which the limit takes 1 s");
    assert!(pause < FOUND_AGAIN, "{pause:?}");
}

#[tokio::test]
async fn family_goes_in_a_fetch_and_it_goes_on() {
    for (family, address) in [("IPv6", "::1/128"), ("IPv4", "127.0.0.1/8")] {
        let Some(story) = house().await else { return };
        let look = story.publish("one", 1, LOOK).await;
        let mut gone = Instant::now();
        story
            .fetch_over(&look, |lan| {
                lan.machine(0).loses_loopback(address);
                gone = Instant::now();
            })
            .await;
        println!("{family} is gone: {:?} to the end", gone.elapsed());
        assert!(gone.elapsed() < FOUND_AGAIN, "{family}: {:?}", gone.elapsed());
    }
}

#[tokio::test]
async fn owner_moves_while_idle_and_is_found_at_once() {
    let Some(story) = story().await else { return };
    let look = story.publish("one", 1, MIB).await;
    assert_same(&arrived(&story.bob.fetch(&story.alice.player).await), &look.content);
    story.lan.machine(1).moves("10.78.0.2/24", "10.78.0.22/24");
    let look = story.publish("two", 2, MIB).await;
    let moved = Instant::now();
    assert_same(&arrived(&story.bob.fetch(&story.alice.player).await), &look.content);
    println!("found again and fetched after {:?}", moved.elapsed());
    assert!(moved.elapsed() < FOUND_AGAIN, "{:?}", moved.elapsed());
}
