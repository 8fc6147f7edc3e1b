//! The cache: its limit, what it never gives up, and a bit that turned on the disk.

use fyteclub_client::FaultCode;
use fyteclub_tests::{
    Town, fault,
    mods::{self, Mod, arrived, assert_same},
};
use std::{fs, path::Path};

const MB: usize = 1_000_000;

#[tokio::test]
async fn the_oldest_goes_first_and_what_is_in_use_stays() {
    let town = Town::new().await;
    // Four looks of 15 MB fit, five do not.
    let bob = async {
        let mut bob = town.house("Bob Birch@Balmung").config("cache_limit = \"64 MiB\"");
        bob.start().await;
        bob
    };
    let (alice, carol, bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Carol Cole@Gilgamesh"), bob);
    tokio::join!(bob.befriend(&alice), bob.befriend(&carol));
    let looks: Vec<_> =
        (1..=6).map(|n| Mod::of_noise(town.path(&format!("mod{n}")), n, 5, 3 * MB).write()).collect();

    carol.publish(&looks[5].folder).await;
    let in_use = bob.fetch(&carol.player).await;
    let mut seen = Vec::new();
    for look in &looks[..5] {
        alice.publish(&look.folder).await;
        let fetched = bob.fetch(&alice.player).await;
        assert_same(&arrived(&fetched), &look.content);
        seen.push(fetched);
        let stats = bob.client().cache_stats().await.expect("stats");
        assert!(stats.bytes <= stats.limit, "{stats:?}");
    }
    // Of Alice only her newest look is in use, and Carol's never went.
    assert_same(&arrived(&in_use), &looks[5].content);
    assert_eq!(bob.fetch(&carol.player).await.bytes_fetched, 0);
    assert!(seen[0].files.iter().any(|file| !Path::new(&file.path).exists()), "the oldest went");
    assert!(seen[4].files.iter().all(|file| Path::new(&file.path).exists()));

    // What can never fit is refused before a byte travels.
    let giant = Mod::of_noise(town.path("giant"), 9, 5, 10 * MB).write();
    alice.publish(&giant.folder).await;
    let fault = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!(fault.code, FaultCode::TooLarge, "{fault:?}");
    assert!(fault.message.contains("cache_limit"), "{}", fault.message);
    assert_same(&arrived(&in_use), &looks[5].content);
}

#[tokio::test]
async fn a_flipped_bit_is_found_and_heals() {
    let town = Town::new().await;
    let (alice, mut bob) =
        tokio::join!(town.resident("Alice Ashe@Gilgamesh"), town.resident("Bob Birch@Balmung"));
    alice.befriend(&bob).await;
    let look = Mod::new(town.path("mod"))
        .file("chara/a.tex", &mods::noise(1, 2 * MB))
        .file("chara/b.tex", &mods::noise(2, 1000))
        .write();
    alice.publish(&look.folder).await;
    let fetched = bob.fetch(&alice.player).await;
    let verified = bob.client().cache_verify().await.expect("verified");
    assert_eq!((verified.files, verified.bytes, verified.bad.len()), (2, 2 * MB as u64 + 1000, 0));

    let damaged = fetched.files.iter().max_by_key(|file| file.size).expect("two files");
    flip_a_bit(Path::new(&damaged.path));
    let verified = bob.client().cache_verify().await.expect("verified");
    assert_eq!(verified.bad, [damaged.hash]);
    let healed = bob.fetch(&alice.player).await;
    assert_eq!(healed.bytes_fetched, damaged.size);
    assert_same(&arrived(&healed), &look.content);

    // Also when the daemon was not there to see it.
    bob.client().shutdown().await.expect("it stops");
    bob.process().ended().await;
    flip_a_bit(Path::new(&damaged.path));
    bob.start().await;
    assert_eq!(bob.client().cache_verify().await.expect("verified").bad, [damaged.hash]);
    assert_same(&arrived(&bob.fetch(&alice.player).await), &look.content);
}

/// Leaves size and time as they are: a disk that forgets writes no note.
fn flip_a_bit(path: &Path) {
    let modified = fs::metadata(path).and_then(|found| found.modified()).expect("times");
    let mut bytes = fs::read(path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let permissions = fs::metadata(path).expect("there").permissions();
    if permissions.readonly() {
        fs::remove_file(path).expect("replaced");
    }
    fs::write(path, bytes).expect("written");
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(modified).expect("set");
    fs::set_permissions(path, permissions).expect("set");
}
