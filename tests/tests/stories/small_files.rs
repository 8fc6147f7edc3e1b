//! Two thousand files of 4 KiB.

use fyteclub_proto::local::FaultCode;
use fyteclub_tests::{
    Town, eventually, fault,
    mods::{Mod, arrived, assert_same},
};
use std::path::PathBuf;

#[tokio::test]
async fn two_thousand_small_files_arrive() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 2000, 4096).write();
    let published = alice.publish(&look.folder).await;
    assert_eq!((published.files, published.bytes), (2000, 2000 * 4096));
    let out = town.path("out");
    let fetched = bob.fetch_to(&alice.player, &out).await;
    assert_same(&arrived(&fetched), &look.content);
    let written = std::fs::read_dir(out.join("files")).expect("a mod folder").count();
    assert_eq!(written, 2000);
    let stats = bob.client().cache_stats().await.expect("stats");
    assert_eq!((stats.files, stats.bytes), (2000, 2000 * 4096));
}

/// Waiters that join while another's folder is written get a folder as well, and one that cannot be written fails only
/// its own client.
#[tokio::test]
async fn every_requested_folder_is_written_or_fails() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 2000, 4096).write();
    alice.publish(&look.folder).await;
    bob.fetch(&alice.player).await;
    std::fs::write(town.path("file"), b"in the way").expect("a file");
    let (hopeless, first) = (town.path("file").join("out"), town.path("out"));
    let outs: Vec<_> = (0..4).map(|n| town.path(&format!("out{n}"))).collect();
    let late = async |out: &PathBuf| {
        // The first folder is being written: all files have arrived.
        eventually("the first folder is begun", async || first.join("files").is_dir().then_some(())).await;
        bob.try_fetch(&alice.player, Some(out)).await
    };
    let (refused, begun, late) = tokio::join!(
        bob.try_fetch(&alice.player, Some(&hopeless)),
        bob.try_fetch(&alice.player, Some(&first)),
        futures::future::join_all(outs.iter().map(late)),
    );
    assert_eq!(fault(refused).code, FaultCode::Io);
    let told = std::iter::once(begun).chain(late);
    for (told, out) in told.zip(std::iter::once(&first).chain(&outs)) {
        let told = told.expect("the others have theirs").out.expect("said where");
        assert_eq!(told, out.to_string_lossy());
        let written = std::fs::read_dir(out.join("files")).expect("a mod folder").count();
        assert_eq!(written, 2000, "in {told}");
    }
}
