//! Limits: kept, shared, changed while running, kept over a restart, and off in the local network on request. Reports:
//! uploads, transfers, and a fetch that ends because it is cancelled or its client left.
//!
//! Bytes are compared with bytes. Against the clock there is only one assertion: nothing was faster than its limit.

use fyteclub_client::{Client, Error, Event, Events, FaultCode, LimitsSet, PlayerName, Rate};
use fyteclub_proto::number::{f64_of, usize_of};
use fyteclub_tests::{
    Resident, Town, eventually, fault,
    mods::{Mod, Written, arrived, assert_same},
    within,
};
use std::time::Instant;

const MIB: u64 = 1 << 20;

fn rate(bytes: u64) -> Option<Option<Rate>> {
    Some(Some(bytes.try_into().expect("above the floor")))
}

fn up(bytes: u64) -> LimitsSet {
    LimitsSet { upload: rate(bytes), ..LimitsSet::default() }
}

fn down(bytes: u64) -> LimitsSet {
    LimitsSet { download: rate(bytes), ..LimitsSet::default() }
}

async fn limit(resident: &Resident, change: LimitsSet) {
    resident.client().limits_set(change).await.expect("set");
}

fn begin(
    resident: &Resident,
    player: &PlayerName,
) -> tokio::task::JoinHandle<Result<fyteclub_client::Fetched, Error>> {
    let (client, player) = (resident.client().clone(), player.clone());
    tokio::spawn(async move { client.peer_fetch(&player, None).await })
}

/// Waits until a fetch has so many bytes; returns the bytes.
async fn until(events: &mut Events, bytes: u64) -> u64 {
    within("progress", async {
        while let Some(event) = events.next().await {
            match event.expect("an event") {
                Event::TransferProgress(now) if now.bytes_done >= bytes => return now.bytes_done,
                Event::AppearanceReady { .. } => panic!("it is complete already"),
                Event::TransferFailed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
        panic!("the events ended")
    })
    .await
}

async fn pair(town: &Town, look: Mod) -> (Resident, Resident, Written) {
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = look.write();
    alice.publish(&look.folder).await;
    (alice, bob, look)
}

#[tokio::test]
async fn lowest_upload_limit_is_kept_without_gaps() {
    const LIMIT: u64 = 16 * 1024;
    const LOOK: u64 = 384 * 1024;
    let town = Town::new().await;
    // One chunk takes sixteen seconds: longer than the wait for a silent peer.
    let (alice, bob, look) = pair(&town, Mod::of_noise(town.path("mod"), 1, 1, usize_of(LOOK))).await;
    limit(&alice, up(LIMIT)).await;
    let mut events = alice.client().watch().await.expect("events");
    let began = Instant::now();
    let fetch = begin(&bob, &alice.player);
    let mut told = Vec::new();
    within("she is told that it is over", async {
        while let Some(event) = events.next().await {
            if let Event::PeerUploading(now) = event.expect("an event") {
                assert_eq!(now.player.as_ref(), Some(&bob.player));
                told.push(now.bytes);
                if now.rate == 0 && now.bytes >= LOOK {
                    return;
                }
            }
        }
    })
    .await;
    let fetched = within("the look is here", fetch).await.expect("no panic").expect("fetched");
    assert_same(&arrived(&fetched), &look.content);
    let sent = told.last().copied().unwrap_or_default();
    assert!(sent < LOOK + 20_000, "{sent} bytes were sent for {LOOK}: something was sent again");
    let least = f64_of(LOOK - LIMIT / 5) / f64_of(LIMIT);
    assert!(began.elapsed().as_secs_f64() >= least, "faster than its limit: {:?}", began.elapsed());
    // Progress grew in small steps, not by chunks.
    let steps = told.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert!(steps >= 20, "{told:?}");
}

#[tokio::test]
async fn two_receivers_share_a_limited_upload_equally() {
    let town = Town::new().await;
    let (alice, bob, _) = pair(&town, Mod::of_noise(town.path("mod"), 1, 4, 6 << 20)).await;
    let cleo = town.resident("Cleo Cedar@Balmung").await;
    alice.befriend(&cleo).await;
    limit(&alice, up(2 * MIB)).await;
    let mut events = alice.client().watch().await.expect("events");
    let fetches = [begin(&bob, &alice.player), begin(&cleo, &alice.player)];
    let mut served = std::collections::BTreeMap::new();
    // From the point where both are served, until both got more megabytes: bytes by the order of events.
    let mut start = None;
    within("both are served", async {
        while let Some(event) = events.next().await {
            let Event::PeerUploading(now) = event.expect("an event") else { continue };
            served.insert(now.peer_id, now.bytes);
            if served.len() < 2 {
                continue;
            }
            let start: &std::collections::BTreeMap<_, u64> = start.get_or_insert_with(|| served.clone());
            let grown: Vec<u64> = served.iter().map(|(peer, bytes)| bytes - start[peer]).collect();
            if grown.iter().sum::<u64>() >= 10 * MIB {
                let ratio = f64_of(grown[0]) / f64_of(grown[1]);
                assert!((0.8..1.25).contains(&ratio), "{grown:?}");
                return;
            }
        }
        panic!("the events ended")
    })
    .await;
    // The limit is removed, and both finish at once.
    limit(&alice, LimitsSet { upload: Some(None), ..LimitsSet::default() }).await;
    for fetch in fetches {
        within("the look is here", fetch).await.expect("no panic").expect("fetched");
    }
}

#[tokio::test]
async fn download_limit_slows_the_sender_and_can_change() {
    let town = Town::new().await;
    let (alice, bob, look) = pair(&town, Mod::of_noise(town.path("mod"), 1, 3, 8 << 20)).await;
    limit(&bob, down(256 * 1024)).await;
    let mut events = bob.client().watch().await.expect("events");
    let began = Instant::now();
    let fetch = begin(&bob, &alice.player);
    let came = until(&mut events, MIB).await;
    let most = 256.0 * 1024.0 * (began.elapsed().as_secs_f64() + 0.2);
    assert!(f64_of(came) <= most, "{came} bytes came, {most} were allowed");
    // She sent little ahead of him: the link did not fill with bytes that he may not read yet.
    let sent = eventually("she serves him", async || {
        alice.client().transfer_list().await.expect("transfers").uploads.first().map(|upload| upload.bytes)
    })
    .await;
    assert!(sent <= came + 4 * MIB, "{sent} were sent, {came} were taken");
    let reply = bob.client().limits_get().await.expect("limits");
    assert!(reply.set_here && reply.limits.download.is_some());
    bob.client().limits_reset().await.expect("reset");
    let fetched = within("the look is here", fetch).await.expect("no panic").expect("fetched");
    assert_same(&arrived(&fetched), &look.content);
}

#[tokio::test]
async fn set_limits_are_kept_and_may_exempt_the_lan() {
    let town = Town::new().await;
    let (mut alice, bob, look) = pair(&town, Mod::of_noise(town.path("mod"), 1, 2, 10 << 20)).await;
    limit(&alice, LimitsSet { lan: Some(false), ..up(16 * 1024) }).await;
    alice.kill();
    alice.start().await;
    let limits = alice.client().limits_get().await.expect("limits");
    assert!(limits.set_here && !limits.limits.lan && limits.limits.upload.is_some(), "{limits:?}");
    // Twenty minutes at the limit; loopback is nearer than any network.
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    let off = LimitsSet { upload: Some(None), ..LimitsSet::default() };
    limit(&alice, off).await;
    let limits = alice.client().limits_get().await.expect("limits").limits;
    assert_eq!((limits.upload, limits.lan), (None, false));
}

#[tokio::test]
async fn cancelled_fetch_is_reported_and_the_next_resumes() {
    let town = Town::new().await;
    let (alice, bob, look) = pair(&town, Mod::of_noise(town.path("mod"), 1, 20, 1 << 20)).await;
    let none = fault(bob.client().peer_cancel(&alice.player).await);
    assert_eq!(none.code, FaultCode::BadRequest, "{none}");
    limit(&bob, down(2 * MIB)).await;
    let mut events = bob.client().watch().await.expect("events");
    let fetches = [begin(&bob, &alice.player), begin(&bob, &alice.player)];
    let came = until(&mut events, 2 * MIB).await;
    let moving = bob.client().transfer_list().await.expect("transfers");
    assert_eq!((moving.downloads.len(), moving.uploads.len()), (1, 0), "{moving:?}");
    eventually("the time that is left is told", async || {
        let moving = bob.client().transfer_list().await.expect("transfers");
        moving.downloads.first()?.remaining_seconds
    })
    .await;
    bob.client().peer_cancel(&alice.player).await.expect("cancelled");
    for fetch in fetches {
        let fault = fault(within("it is over", fetch).await.expect("no panic"));
        assert_eq!(fault.code, FaultCode::Cancelled, "{fault}");
    }
    bob.client().limits_reset().await.expect("reset");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    assert!(fetched.bytes_fetched <= 20 * MIB - came + MIB, "{} came again", fetched.bytes_fetched);
}

#[tokio::test]
async fn waiting_fetches_of_one_client_have_a_bound() {
    const BOUND: usize = 256;
    let town = Town::new().await;
    let (alice, bob, _) = pair(&town, Mod::of_noise(town.path("mod"), 1, 20, 1 << 20)).await;
    limit(&bob, down(512 * 1024)).await;
    let mut fetches = tokio::task::JoinSet::new();
    for _ in 0..BOUND + 9 {
        let (client, player) = (bob.client().clone(), alice.player.clone());
        fetches.spawn(async move { client.peer_fetch(&player, None).await });
    }
    for _ in 0..9 {
        let refused = within("a refusal", fetches.join_next()).await.expect("more than wait");
        let fault = fault(refused.expect("no panic"));
        assert_eq!(fault.code, FaultCode::Busy, "{fault}");
    }
    // The others wait, and short requests are served.
    bob.client().peer_cancel(&alice.player).await.expect("cancelled");
    let mut waited = 0;
    while let Some(ended) = within("an end", fetches.join_next()).await {
        assert_eq!(fault(ended.expect("no panic")).code, FaultCode::Cancelled);
        waited += 1;
    }
    assert_eq!(waited, BOUND);
}

/// A client of its own that fetches into a folder, for as long as the result runs.
async fn begin_alone(
    resident: &Resident,
    player: &PlayerName,
    out: std::path::PathBuf,
) -> tokio::task::JoinHandle<()> {
    let client = Client::connect(resident.ipc()).await.expect("the daemon greets");
    let player = player.clone();
    tokio::spawn(async move {
        client.peer_fetch(&player, Some(&out)).await.expect("fetched");
    })
}

#[tokio::test]
async fn client_gone_fetch_given_up() {
    let town = Town::new().await;
    let (alice, bob, look) = pair(&town, Mod::of_noise(town.path("mod"), 1, 8, 1 << 20)).await;
    limit(&bob, down(512 * 1024)).await;
    let mut events = bob.client().watch().await.expect("events");
    let out = town.path("out");
    let fetch = begin_alone(&bob, &alice.player, out.clone()).await;
    let came = until(&mut events, MIB).await;
    fetch.abort();
    assert!(fetch.await.is_err_and(|end| end.is_cancelled()), "it has left");
    eventually("nothing is fetched any more", async || {
        bob.client().transfer_list().await.expect("transfers").downloads.is_empty().then_some(())
    })
    .await;
    // Reported with its fault.
    within("the end is told", async {
        while let Some(event) = events.next().await {
            if let Event::TransferFailed { error, .. } = event.expect("an event") {
                assert_eq!(error.code, FaultCode::Cancelled, "{error}");
                return;
            }
        }
        panic!("the events ended")
    })
    .await;
    // The chunks stay; the folder was not written.
    bob.client().limits_reset().await.expect("reset");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    assert!(fetched.bytes_fetched <= 8 * MIB - came + MIB, "{} came again", fetched.bytes_fetched);
    assert!(!out.exists(), "a folder was written for who left");
}

#[tokio::test]
async fn folder_of_a_client_gone_is_not_written() {
    let town = Town::new().await;
    let (alice, bob, _) = pair(&town, Mod::of_noise(town.path("mod"), 1, 8, 1 << 20)).await;
    limit(&bob, down(512 * 1024)).await;
    let mut events = bob.client().watch().await.expect("events");
    let (left, stays) = (town.path("left"), town.path("stays"));
    let fetches = [
        begin_alone(&bob, &alice.player, left.clone()).await,
        begin_alone(&bob, &alice.player, stays.clone()).await,
    ];
    let came = until(&mut events, MIB).await;
    let [leaving, staying] = fetches;
    leaving.abort();
    assert!(leaving.await.is_err());
    // It continues for the other waiter.
    until(&mut events, came + MIB).await;
    bob.client().limits_reset().await.expect("reset");
    within("the other's look is here", staying).await.expect("fetched");
    assert!(stays.exists() && !left.exists());
}

#[tokio::test]
async fn fetches_of_one_client_are_bounded() {
    const ASKED: usize = 300;
    const MOST: usize = 256;
    let town = Town::new().await;
    let bob = town.resident("Bob Birch@Balmung").await;
    // A registered peer that never answers a dial.
    let mute = fyteclub_tests::hostile::Hostile::new("Mu Te@Nowhere", 206);
    bob.takes_for_a_friend(&mute).await;
    mute.move_in(&town.phonebook.url()).await;
    let fetches: Vec<_> = (0..ASKED).map(|_| begin(&bob, &mute.player)).collect();
    within("they keep nobody from asking", bob.client().status()).await.expect("a status");
    let mut busy = 0;
    for fetch in fetches {
        let fault = fault(within("it is over", fetch).await.expect("no panic"));
        busy += usize::from(fault.code == FaultCode::Busy);
    }
    assert_eq!(busy, ASKED - MOST);
}
