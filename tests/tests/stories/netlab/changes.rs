//! The network changes in the middle of a transfer: it flows again soon, and little is sent twice.

use super::player::Pair;
use fyteclub_client::{Event, LimitsSet, Rate};
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    mods::{arrived, assert_same},
    netlab::Kind,
    within,
};
use std::time::{Duration, Instant};

const FILES: usize = 12;
const FILE: usize = 1_000_000;
const TOTAL: u64 = u64_of(FILES * FILE);
/// Bytes a second: a transfer takes four seconds.
const RATE: u64 = TOTAL / 4;
/// Of every request in flight.
const IN_FLIGHT: u64 = 4 << 20;
const DIRECT: &[&str] = &["punched"];
const RELAY: &[&str] = &["relay"];

/// A small look makes the link, and the path is one of these; then the other look is published.
async fn prepared(kinds: [Kind; 2], path: &[&str]) -> Option<Pair> {
    let mut pair = Pair::open(kinds).await?;
    prepare(&mut pair, path).await;
    Some(pair)
}

pub(super) async fn prepare(pair: &mut Pair, path: &[&str]) {
    pair.owner.publishes_files(&pair.town, 1, 1000).await;
    pair.other.fetches(&pair.owner).await.expect("a small look");
    pair.comes_to(path).await;
    pair.owner.publishes_files(&pair.town, FILES, FILE).await;
    let upload = Some(Rate::try_from(RATE).ok());
    let limits = LimitsSet { upload, ..LimitsSet::default() };
    pair.owner.resident.client().limits_set(limits).await.expect("set");
}

/// Fetches the look, with `change` after a quarter of it. The longest time after the change in which nothing came.
pub(super) async fn gap(pair: &mut Pair, change: impl AsyncFnOnce(&mut Pair)) -> Duration {
    let client = pair.other.resident.client().clone();
    let mut events = client.watch().await.expect("events");
    let player = pair.owner.resident.player.clone();
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let mut change = Some(change);
    let (mut done, mut last, mut gap) = (0, Instant::now(), Duration::ZERO);
    within("the look", async {
        loop {
            match events.next().await.expect("events").expect("an event") {
                Event::TransferProgress(now) if now.bytes_done > done => {
                    if change.is_none() {
                        gap = gap.max(last.elapsed());
                    }
                    (done, last) = (now.bytes_done, Instant::now());
                    if done > TOTAL / 4
                        && let Some(change) = change.take()
                    {
                        change(pair).await;
                        last = Instant::now();
                    }
                }
                Event::AppearanceReady { .. } => return,
                Event::TransferFailed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    })
    .await;
    let fetched = within("the answer", fetch).await.expect("no panic").expect("the look");
    assert_same(&arrived(&fetched), pair.owner.content());
    assert!(change.is_none(), "nothing was changed");
    let sent = fetched.bytes_transferred;
    println!(
        "nothing came for {:.2} s, {} KiB sent twice",
        gap.as_secs_f64(),
        sent.saturating_sub(TOTAL) >> 10
    );
    assert!(sent <= TOTAL + IN_FLIGHT, "{sent} bytes for {TOTAL}");
    gap
}

async fn router_moves(kinds: [Kind; 2], home: usize, path: &[&str]) {
    let Some(mut pair) = prepared(kinds, path).await else { return };
    let gap = gap(&mut pair, async |pair| pair.internet.homes()[home].moves()).await;
    assert!(gap < Duration::from_secs(4), "{gap:?}");
    pair.comes_to(path).await;
}

#[tokio::test]
async fn owners_address_changes_on_a_direct_path() {
    router_moves([Kind::PortRestricted, Kind::PortRestricted], 0, DIRECT).await;
}

#[tokio::test]
async fn fetchers_address_changes_on_a_direct_path() {
    router_moves([Kind::PortRestricted, Kind::PortRestricted], 1, DIRECT).await;
}

#[tokio::test]
async fn owners_address_changes_behind_the_relay() {
    router_moves([Kind::Symmetric, Kind::Symmetric], 0, RELAY).await;
}

#[tokio::test]
async fn fetchers_address_changes_behind_the_relay() {
    router_moves([Kind::Symmetric, Kind::Symmetric], 1, RELAY).await;
}

#[tokio::test]
async fn direct_transfer_needs_no_phone_book() {
    let Some(mut pair) = prepared([Kind::PortRestricted, Kind::PortRestricted], DIRECT).await else { return };
    let gap = gap(&mut pair, async |pair| pair.book.kill()).await;
    assert!(gap < Duration::from_secs(2), "{gap:?}");
    pair.book.start().await;
    pair.owner.resident.is_introduced().await;
    pair.comes_to(DIRECT).await;
}

async fn phone_book_restarts(kinds: [Kind; 2], path: &[&str]) {
    let Some(mut pair) = prepared(kinds, path).await else { return };
    let restart = async |pair: &mut Pair| {
        pair.book.kill();
        pair.book.start().await;
    };
    let gap = gap(&mut pair, restart).await;
    assert!(gap < Duration::from_secs(4), "{gap:?}");
    pair.comes_to(path).await;
}

#[tokio::test]
async fn relayed_transfer_goes_on_after_a_restart() {
    phone_book_restarts([Kind::Symmetric, Kind::Symmetric], RELAY).await;
}

#[tokio::test]
async fn transfer_over_tcp_goes_on_after_a_restart() {
    phone_book_restarts([Kind::Blocked, Kind::Blocked], &["relay-tcp"]).await;
}

#[tokio::test]
async fn transfer_moves_to_the_relay_and_back() {
    let Some(mut pair) = prepared([Kind::PortRestricted, Kind::PortRestricted], DIRECT).await else { return };
    let part = |pair: &Pair, apart| {
        let homes = pair.internet.homes();
        pair.internet.part(&homes[0], &homes[1], apart);
    };
    let gap = gap(&mut pair, async |pair| part(pair, true)).await;
    assert!(gap < Duration::from_secs(5), "{gap:?}");
    pair.comes_to(RELAY).await;
    part(&pair, false);
    pair.comes_to(DIRECT).await;
}

#[tokio::test]
async fn transfer_moves_to_tcp_and_back() {
    let Some(mut pair) = prepared([Kind::PortRestricted, Kind::PortRestricted], DIRECT).await else { return };
    let gap = gap(&mut pair, async |pair| pair.internet.homes()[0].block_udp(true)).await;
    assert!(gap < Duration::from_secs(6), "{gap:?}");
    pair.comes_to(&["relay", "relay-tcp"]).await;
    assert_eq!(pair.owner.path_to(&pair.other).await, "relay-tcp");
    pair.internet.homes()[0].block_udp(false);
    pair.comes_to(DIRECT).await;
}

/// Nothing is asked while the address changes, and then a look is.
async fn router_moves_before(kinds: [Kind; 2], home: usize, path: &[&str]) {
    let Some(mut pair) = Pair::open(kinds).await else { return };
    pair.owner.publishes_files(&pair.town, 1, 1000).await;
    pair.other.fetches(&pair.owner).await.expect("a small look");
    pair.comes_to(path).await;
    pair.internet.homes()[home].moves();
    pair.owner.publishes_files(&pair.town, 1, 2000).await;
    let began = Instant::now();
    pair.other.fetches(&pair.owner).await.expect("the other look");
    let took = began.elapsed();
    println!("fetched {:.2} s after an idle change", took.as_secs_f64());
    assert!(took < Duration::from_secs(6), "{took:?}");
    pair.comes_to(path).await;
}

#[tokio::test]
async fn idle_owner_with_another_address_is_reached() {
    router_moves_before([Kind::PortRestricted, Kind::PortRestricted], 0, DIRECT).await;
}

#[tokio::test]
async fn idle_fetcher_with_another_address_reaches() {
    router_moves_before([Kind::PortRestricted, Kind::Symmetric], 1, RELAY).await;
}
