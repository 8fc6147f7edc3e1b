//! Two thousand files of 4 KiB: what most of a look is made of.

use fyteclub_tests::{
    Town,
    mods::{Mod, arrived, assert_same},
};

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
