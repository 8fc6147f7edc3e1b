//! A file that changes on disk: between publishing and fetching, and while it is served. The fetch yields the new
//! content or a clear refusal, never wrong bytes.

use fyteclub_client::{Event, FaultCode};
use fyteclub_tests::{
    Town, fault,
    mods::{self, Mod, arrived, assert_same, noise},
    within,
};
use std::fs;

#[tokio::test]
async fn rewritten_after_it_was_published() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::new(town.path("mod"))
        .file("chara/a.tex", &noise(1, 3_000_000))
        .file("chara/b.tex", &noise(2, 30_000))
        .write();
    let published = alice.publish(&look.folder).await;
    // Of the same length, so that only time and bytes differ.
    fs::write(look.nth(0, "tex"), noise(3, 3_000_000)).expect("rewritten");
    fs::write(look.nth(1, "tex"), noise(4, 40_000)).expect("rewritten");
    let fetched = bob.fetch(&alice.player).await;
    assert_ne!(fetched.appearance, published.appearance);
    let now = mods::of_mod(&look.folder, &town.path("unused"));
    assert_same(&arrived(&fetched), &now);
}

#[tokio::test]
async fn rewritten_while_it_is_served() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::new(town.path("mod"))
        .file("chara/large.tex", &noise(1, 150_000_000))
        .file("chara/b.tex", &noise(2, 30_000))
        .write();
    alice.publish(&look.folder).await;
    let mut events = bob.client().watch().await.expect("events");
    let rewrite = async {
        let started = async {
            while let Some(Ok(event)) = events.next().await {
                if matches!(event, Event::TransferProgress(_) | Event::AppearanceReady { .. }) {
                    return;
                }
            }
        };
        within("progress", started).await;
        // In place, in the middle of the part that is being read.
        fs::write(look.nth(0, "tex"), noise(9, 150_000_000)).expect("rewritten");
    };
    let (result, ()) = tokio::join!(bob.try_fetch(&alice.player, None), rewrite);
    match result {
        Ok(fetched) => {
            let before = &look.content;
            let now = mods::of_mod(&look.folder, &town.path("unused"));
            let large = &arrived(&fetched)["chara/large.tex"];
            assert!(*large == before["chara/large.tex"] || *large == now["chara/large.tex"], "neither");
        }
        Err(error) => assert_eq!(fault(Err::<(), _>(error)).code, FaultCode::Changed),
    }
    // Whatever happened, the next fetch has the current content.
    let fetched = bob.fetch(&alice.player).await;
    let verified = bob.client().cache_verify().await.expect("verified");
    assert!(verified.bad.is_empty(), "{verified:?}");
    let arrived = arrived(&fetched);
    if fetched.bytes_fetched > 0 {
        assert_same(&arrived, &mods::of_mod(&look.folder, &town.path("unused")));
    }
}

#[tokio::test]
async fn gone_for_good() {
    let town = Town::new().await;
    let (alice, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 300_000).write();
    alice.publish(&look.folder).await;
    fs::remove_file(look.nth(1, "tex")).expect("removed");
    // The rest is her look now: the missing file is left out, as if she had published again.
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &mods::of_mod(&look.folder, &town.path("unused")));
    assert_eq!(fetched.files.len(), 2);
}
