//! A look is fetched from one player by another: a folder and a `.pmp`, compared byte by byte, and published again.

use fyteclub_client::FaultCode;
use fyteclub_proto::{limit::CHUNK_SIZE, number::u64_of};
use fyteclub_tests::{
    Town, fault,
    mods::{self, Mod, arrived, assert_same},
    skipped,
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Real players' mods, beside the workspace on some machines.
fn real_mods() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/mods");
    let mods = env::var_os("FYTECLUB_TEST_MODS").map_or_else(beside, PathBuf::from);
    mods.is_dir().then_some(mods)
}

async fn travels(town: &Town, look: &Path, number: usize) {
    let names = [format!("Alice{number} Ashe@Gilgamesh"), format!("Bob{number} Birch@Balmung")];
    let (alice, bob) = tokio::join!(town.resident(&names[0]), town.resident(&names[1]));
    alice.befriend(&bob).await;
    let published = alice.publish(look).await;
    assert!(published.left_out.is_empty(), "{:?}", published.left_out);
    let expected = mods::of_mod(look, &town.path(&format!("scratch{number}")));

    let out = town.path(&format!("out{number}"));
    let fetched = bob.fetch_to(&alice.player, &out).await;
    assert_eq!((fetched.appearance, fetched.bytes_total), (published.appearance, published.bytes));
    assert_same(&arrived(&fetched), &expected);
    assert_same(&mods::of_mod(&out, &out), &expected);

    // The receiver can publish it.
    let again = bob.publish(&out).await;
    assert!(again.left_out.is_empty(), "{:?}", again.left_out);
    let back = alice.fetch(&bob.player).await;
    assert_same(&arrived(&back), &expected);
    // She had every file already: he proves to have the large ones and sends the small ones again, so that a look
    // cannot test which files are here.
    let small = u64_of(expected.values().map(Vec::len).filter(|len| *len <= CHUNK_SIZE).sum::<usize>());
    let most = small + small / 8 + 256 * u64_of(expected.len());
    assert!(back.bytes_transferred <= most, "{} of {small} bytes in small files", back.bytes_transferred);
}

#[tokio::test]
async fn a_made_up_mod() {
    let town = Town::new().await;
    let look = Mod::new(town.path("mod"))
        .file("chara/a/empty.tex", b"")
        .file("chara/a/one.tex", b"x")
        .file("chara/a/same.mdl", b"x")
        .file("chara/a/chunk.tex", &mods::noise(1, 256 * 1024))
        .file("chara/a/over.tex", &mods::noise(2, 256 * 1024 + 1))
        .file("chara/a/été ü.mtrl", &mods::text(3, 1_000_000))
        .file("chara/a/large.tex", &mods::noise(4, 9_999_999))
        .option("Colour", "Pink", "chara/a/colour.mtrl", b"pink")
        .option("Colour", "Blue", "chara/a/colour.mtrl", b"blue")
        .write();
    assert_same(&mods::of_mod(&look.folder, &town.path("unused")), &look.content);
    travels(&town, &look.folder, 0).await;
}

#[tokio::test]
async fn real_mods_of_real_players() {
    let Some(folder) = real_mods() else {
        return skipped("no real mods: set FYTECLUB_TEST_MODS");
    };
    let town = Town::new().await;
    let entries = fs::read_dir(folder).expect("a folder");
    for (number, entry) in entries.enumerate() {
        travels(&town, &entry.expect("an entry").path(), number + 1).await;
    }
}

#[tokio::test]
async fn folder_that_will_not_do_is_told_before_the_fetch() {
    let town = Town::new().await;
    // Only a client's wish fetches here.
    let mut bob = town.house("Bob Birch@Balmung").config("prefetch_budget = 0");
    let (alice, ()) = tokio::join!(town.resident("Alice Ashe@Gilgamesh"), bob.start());
    alice.befriend(&bob).await;
    let look = Mod::of_noise(town.path("mod"), 1, 3, 100_000).write();
    alice.publish(&look.folder).await;
    let theirs = town.folder("theirs");
    fs::write(theirs.join("notes.txt"), "mine").expect("written");
    for out in [theirs, alice.data().join("export"), bob.data().join("export")] {
        let fault = fault(bob.try_fetch(&alice.player, Some(&out)).await);
        assert!(fault.code == FaultCode::Io && fault.message.contains("give another folder"), "{fault:?}");
    }
    assert_eq!(bob.client().status().await.expect("a status").cache.files, 0, "nothing was fetched");
    bob.fetch_to(&alice.player, &town.path("out")).await;
}
