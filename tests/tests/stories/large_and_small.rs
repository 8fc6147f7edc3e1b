//! One large file from one player and many small ones from another, over one limited line: neither delays the other,
//! and progress events are right and few.

use fyteclub_client::{BlobHash, Event, LimitsSet};
use fyteclub_proto::{
    limit::CHUNK_SIZE,
    number::{index, u64_of, usize_of, whole},
    peer::{Piece, PiecesReply, Request},
};
use fyteclub_tests::{
    SlowPath, Town, eventually,
    hostile::{Hostile, hear},
    mods::{Mod, arrived, assert_same, noise},
    within,
};
use std::time::{Duration, Instant};

const LIMIT: u64 = 8 << 20;
const LARGE: usize = 96 << 20;
const SMALL: usize = 300;

#[tokio::test]
async fn neither_keeps_the_other_waiting() {
    let town = Town::alone().await;
    let (alice, bob, carol) = tokio::join!(
        town.resident("Alice Ashe@Gilgamesh"),
        town.resident("Bob Birch@Balmung"),
        town.resident("Carol Cole@Omega")
    );
    alice.befriend(&bob).await;
    carol.befriend(&bob).await;
    let large = Mod::of_noise(town.path("large"), 1, 1, LARGE).write();
    alice.publish(&large.folder).await;
    let download = Some(Some(LIMIT.try_into().expect("above the floor")));
    bob.client().limits_set(LimitsSet { download, ..LimitsSet::default() }).await.expect("set");

    let mut events = bob.client().watch().await.expect("events");
    let (client, player) = (bob.client().clone(), alice.player.clone());
    let fetch = tokio::spawn(async move { client.peer_fetch(&player, None).await });
    let of_large = async || {
        let transfers = bob.client().transfer_list().await.expect("transfers");
        transfers.downloads.into_iter().find(|one| one.player == alice.player)
    };
    eventually("the large file flows", async || of_large().await.filter(|now| now.bytes_done > 0)).await;

    for seed in [2, 3] {
        let small = Mod::of_noise(town.path(&format!("small{seed}")), seed, SMALL, 8192).write();
        carol.publish(&small.folder).await;
        let before = of_large().await.expect("it flows").bytes_done;
        assert_same(&arrived(&bob.fetch(&carol.player).await), &small.content);
        // It is far from its end, so the small ones did not wait for it. And it continues: they do not starve it.
        let after = of_large().await.expect("it still flows").bytes_done;
        assert!(after < u64_of(LARGE) * 3 / 4, "{after}");
        eventually("the large file goes on", async || of_large().await.filter(|now| now.bytes_done > before))
            .await;
    }
    bob.client().limits_set(LimitsSet { download: Some(None), ..LimitsSet::default() }).await.expect("set");
    let fetched = fetch.await.expect("no panic").expect("fetched");
    assert_same(&arrived(&fetched), &large.content);

    let (mut told, mut last) = (Vec::new(), 0);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(500), events.next()).await {
        let Event::TransferProgress(now) = event.expect("an event") else { continue };
        if now.player != alice.player {
            continue;
        }
        assert!(now.bytes_done >= last && now.bytes_done <= now.bytes_total, "{now:?}");
        assert_eq!((now.bytes_total, now.files_total), (u64_of(LARGE), 1));
        assert!(now.rate == 0 || now.remaining_seconds.is_some(), "{now:?}");
        last = now.bytes_done;
        told.push(now);
    }
    let most = told.last().expect("something was told");
    let brought: u64 = most.sources.iter().map(|source| source.bytes).sum();
    assert_eq!(brought, most.bytes_done, "who brought it is told, and all of it: {most:?}");
}

#[tokio::test]
async fn progress_is_sent_five_times_a_second_at_most() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 2000, 4096).write();
    alice.publish(&look.folder).await;
    let download = Some(Some((2_u64 << 20).try_into().expect("above the floor")));
    bob.client().limits_set(LimitsSet { download, ..LimitsSet::default() }).await.expect("set");
    let mut events = bob.client().watch().await.expect("events");
    let began = Instant::now();
    bob.fetch(&alice.player).await;
    let took = began.elapsed();
    let mut told = 0;
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_millis(500), events.next()).await {
        told += usize::from(matches!(event.expect("an event"), Event::TransferProgress(_)));
    }
    // Two thousand files in four seconds; plus events of the beginning and the end.
    let most = usize_of(whole((took.as_secs_f64() * 5.0).ceil())) + 2;
    assert!((2..=most).contains(&told), "{told} in {took:?}");
}

/// A receiver stops what another source has sent meanwhile: the sender drops what it had buffered.
#[tokio::test]
async fn stopped_request_is_sent_no_further() {
    const CHUNKS: u32 = 4;
    let town = Town::new().await;
    let file = noise(7, index(CHUNKS) * CHUNK_SIZE);
    let look = Mod::new(town.path("mod")).file("chara/a.tex", &file).write();
    let alice = town.resident("Alice Ashe@A").await;
    alice.publish(&look.folder).await;
    let friend = Hostile::new("Bob Birch@B", 7);
    alice.takes_for_a_friend(&friend).await;
    let status = alice.client().status().await.expect("a status");
    let path = SlowPath::to(status.listen.parse().expect("an address"), 256e3).await;
    let line = friend.dial(path.addr(), status.peer_id).await;
    let _control = line.greet(friend.greeting(None)).await;
    let hash = BlobHash::of(&file);
    let ask = || Request::Pieces(vec![Piece { hash, tree: true, first: 0, count: CHUNKS }]);

    let mut recv = line.ask(&ask()).await.expect("a stream");
    assert!(matches!(hear(&mut recv).await, Some(PiecesReply::Serving { .. })));
    eventually("everything is handed to the link", async || {
        let transfers = alice.client().transfer_list().await.expect("an answer");
        let bytes: u64 = transfers.uploads.iter().map(|upload| upload.bytes).sum();
        (bytes >= u64_of(file.len())).then_some(())
    })
    .await;
    recv.stop(0u32.into()).expect("open");
    let before = line.connection.stats().udp_rx.bytes;
    assert!(
        before < u64_of(file.len()) / 2,
        "{before} bytes came before it was stopped: the path is not slow"
    );

    let mut recv = line.ask(&ask()).await.expect("a stream");
    let all = within("the same once more", recv.read_to_end(file.len() * 2)).await.expect("it comes whole");
    assert!(all.len() > file.len());
    let came = line.connection.stats().udp_rx.bytes - before;
    assert!(came < u64_of(file.len()) * 5 / 4, "{came} bytes came for {}", file.len());
}
