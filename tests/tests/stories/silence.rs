//! A contact falls silent in the middle of a transfer: it is noticed within 2 s, and what others have comes from them.

use fyteclub_client::{Event, Events, Fetched, LimitsSet, PeerId, PeerState, Rate};
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    Resident, Town,
    mods::{Mod, Written, arrived, assert_same},
    within,
};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const FILES: usize = 12;
const FILE: usize = 1_000_000;
const TOTAL: u64 = u64_of(FILES * FILE);
/// Bytes a second of each who sends.
const RATE: u64 = TOTAL / 4;
const NOTICED: Duration = Duration::from_secs(2);

/// Alice and others, who are friends of all before them; a look of hers.
async fn story<const N: usize>(town: &Town, names: [&str; N]) -> ([Resident; N], Written) {
    let residents = names.map(|name| town.house(name));
    let mut residents = residents;
    for resident in &mut residents {
        resident.start().await;
    }
    for (at, one) in residents.iter().enumerate() {
        for other in &residents[at + 1..] {
            one.befriend(other).await;
        }
        let limits = LimitsSet { upload: Some(Rate::try_from(RATE).ok()), ..LimitsSet::default() };
        one.client().limits_set(limits).await.expect("set");
    }
    let look = Mod::of_noise(town.path("mod"), 1, FILES, FILE).write();
    residents[0].publish(&look.folder).await;
    (residents, look)
}

/// The fetch, and the events after a quarter of it.
async fn begun(here: &Resident, owner: &Resident) -> (JoinHandle<Fetched>, Events) {
    let mut events = here.client().watch().await.expect("events");
    let (client, player) = (here.client().clone(), owner.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await.expect("the look") });
    until(
        &mut events,
        "a quarter of it",
        |event| matches!(event, Event::TransferProgress(now) if now.bytes_done > TOTAL / 4),
    )
    .await;
    (fetch, events)
}

/// # Panics The link ended before.
async fn until(events: &mut Events, what: &str, is_it: impl Fn(&Event) -> bool) {
    within(what, async {
        while let Some(event) = events.next().await {
            let event = event.expect("an event");
            assert!(!matches!(event, Event::PeerDisconnected { .. }), "{event:?}");
            if is_it(&event) {
                return;
            }
        }
        panic!("the events ended");
    })
    .await;
}

async fn becomes(events: &mut Events, peer: PeerId, expected: bool) {
    let is_it = |event: &Event| matches!(event, Event::PeerSilent { peer_id, silent, .. } if (*peer_id, *silent) == (peer, expected));
    until(events, "silent or not", is_it).await;
}

async fn state(here: &Resident, peer: &Resident) -> PeerState {
    let peers = here.client().peer_list().await.expect("peers");
    peers.iter().find(|known| known.peer_id == peer.peer_id()).expect("it is known").state
}

/// Stops the owner's process, and waits until that is noticed.
async fn stops(owner: &mut Resident, events: &mut Events) {
    owner.process().signal(Signal::STOP);
    let began = Instant::now();
    becomes(events, owner.peer_id(), true).await;
    let took = began.elapsed();
    println!("noticed after {:.2} s", took.as_secs_f64());
    assert!(took < NOTICED, "{took:?}");
}

#[tokio::test]
async fn stopped_owner_is_noticed_and_goes_on() {
    let town = Town::alone().await;
    let ([mut alice, bob], look) = story(&town, ["Alice Ashe@Gilgamesh", "Bob Birch@Balmung"]).await;
    let (fetch, mut events) = begun(&bob, &alice).await;
    stops(&mut alice, &mut events).await;
    assert_eq!(state(&bob, &alice).await, PeerState::Reconnecting);
    alice.process().signal(Signal::CONT);
    let fetched = within("the rest of the look", fetch).await.expect("no panic");
    assert_same(&arrived(&fetched), &look.content);
}

#[tokio::test]
async fn stopped_owner_is_replaced_by_a_lender() {
    let town = Town::alone().await;
    let names = ["Alice Ashe@Gilgamesh", "Bob Birch@Balmung", "Carol Cole@Cactuar"];
    let ([mut alice, bob, carol], look) = story(&town, names).await;
    carol.fetch(&alice.player).await;
    // A link, made by the only thing that makes one.
    let trifle = Mod::of_noise(town.path("trifle"), 2, 1, 100).write();
    carol.publish(&trifle.folder).await;
    bob.fetch(&carol.player).await;
    let (fetch, mut events) = begun(&bob, &alice).await;
    stops(&mut alice, &mut events).await;
    let began = Instant::now();
    let fetched = within("the look", fetch).await.expect("no panic");
    let took = began.elapsed();
    println!("fetched {:.2} s later", took.as_secs_f64());
    alice.process().signal(Signal::CONT);
    // Carol alone needs three quarters of four seconds.
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_same(&arrived(&fetched), &look.content);
}
