//! The receiver's disk fills up: the fault names the folder, chunks are kept, and with free space the fetch continues.

#![cfg(target_os = "linux")]

use fyteclub_client::{Event, FaultCode};
use fyteclub_proto::number::u64_of;
use fyteclub_tests::{
    SmallDisk, Town, fault,
    mods::{Mod, arrived, assert_same},
    within,
};
use std::{fs, path::Path};

const MB: usize = 1_000_000;

#[tokio::test]
async fn the_fetch_goes_on_when_there_is_room() {
    let town = Town::new().await;
    let Some(disk) = SmallDisk::mount(town.folder("disk"), "30m") else { return };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut bob = town.house("Bob Birch@Balmung").data_dir(disk.path().join("bob"));
    bob.start().await;
    bob.befriend(&alice).await;
    let names_the_place =
        |message: &str| message.contains(disk.path().to_str().expect("Unicode")) && message.contains("full");

    // Too large from the start: no transfer.
    let large = Mod::of_noise(town.path("large"), 1, 8, 5 * MB).write();
    alice.publish(&large.folder).await;
    let refused = fault(bob.try_fetch(&alice.player, None).await);
    assert_eq!((refused.code, refused.retryable), (FaultCode::DiskFull, true), "{refused:?}");
    assert!(names_the_place(&refused.message), "{refused:?}");
    assert_eq!(bob.client().cache_stats().await.expect("stats").files, 0);
    bob.client().cache_verify().await.expect("it lives on");

    disk.resize("100m");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &large.content);
}

#[tokio::test]
async fn other_program_fills_the_disk_meanwhile() {
    let town = Town::new().await;
    let Some(disk) = SmallDisk::mount(town.folder("disk"), "60m") else { return };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut bob = town.house("Bob Birch@Balmung").data_dir(disk.path().join("bob"));
    bob.start().await;
    bob.befriend(&alice).await;
    let look = Mod::of_noise(town.path("mod"), 1, 100, MB / 2).write();
    alice.publish(&look.folder).await;

    // Enough space at the start; then somebody takes most of it, and later frees it.
    let mut events = bob.client().watch().await.expect("events");
    let mut heard = async |wanted: fn(&Event) -> bool| loop {
        let event = within("an event", events.next()).await.expect("events").expect("an event");
        if wanted(&event) {
            return event;
        }
    };
    let film = disk.path().join("film");
    let meanwhile = async {
        heard(|event| matches!(event, Event::AppearanceOffered { .. })).await;
        fill(&film, 45 * MB);
        heard(|event| matches!(event, Event::CacheLowDisk { .. })).await;
        fs::remove_file(&film).expect("removed");
        heard(|event| matches!(event, Event::CacheDiskOk { .. })).await;
    };
    // It waits, and continues by itself.
    let (result, ()) = tokio::join!(bob.try_fetch(&alice.player, None), meanwhile);
    let fetched = result.expect("it goes on by itself");
    assert_same(&arrived(&fetched), &look.content);
    assert!(!bob.client().cache_stats().await.expect("stats").low_disk);

    // A restart on a full disk loses nothing.
    fill_up(&disk.path().join("film"));
    bob.kill();
    bob.start().await;
    assert_eq!(bob.fetch(&alice.player).await.bytes_fetched, 0);
}

#[tokio::test]
async fn waiter_for_disk_space_fails_with_advice() {
    let town = Town::new().await;
    let Some(disk) = SmallDisk::mount(town.folder("disk"), "60m") else { return };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let mut bob = town.house("Bob Birch@Balmung").data_dir(disk.path().join("bob"));
    bob = bob.config("min_free = \"4 MiB\"");
    bob.start().await;
    bob.befriend(&alice).await;
    let look = Mod::of_noise(town.path("mod"), 1, 100, MB / 2).write();
    alice.publish(&look.folder).await;
    let mut events = bob.client().watch().await.expect("events");
    let fill = async {
        while let Some(Ok(event)) = events.next().await {
            if matches!(event, Event::AppearanceOffered { .. }) {
                break;
            }
        }
        fill(&disk.path().join("film"), 45 * MB);
    };
    let (result, ()) = tokio::join!(bob.try_fetch(&alice.player, None), fill);
    let full = fault(result);
    assert_eq!((full.code, full.retryable), (FaultCode::DiskFull, true), "{full:?}");
    assert!(full.message.contains(disk.path().to_str().expect("Unicode")), "{full:?}");
    assert!(full.message.contains("free some space") && full.message.contains("kept"), "{full:?}");
    let kept = bob.client().cache_stats().await.expect("it lives on");
    fs::remove_file(disk.path().join("film")).expect("removed");
    let fetched = bob.fetch(&alice.player).await;
    assert_same(&arrived(&fetched), &look.content);
    // Some bytes in the cache are reserved for partials.
    let missing = (100 - kept.files) * u64_of(MB / 2);
    assert!(fetched.bytes_fetched <= missing, "what came is kept: {kept:?}");
}

#[tokio::test]
async fn full_disk_of_an_export_is_named() {
    let town = Town::new().await;
    let Some(disk) = SmallDisk::mount(town.folder("disk"), "4m") else { return };
    let alice = town.resident("Alice Ashe@Gilgamesh").await;
    let bob = town.resident("Bob Birch@Balmung").await;
    bob.befriend(&alice).await;
    let look = Mod::of_noise(town.path("mod"), 1, 8, MB).write();
    alice.publish(&look.folder).await;
    let out = disk.path().join("out");
    let full = fault(bob.try_fetch(&alice.player, Some(&out)).await);
    assert_eq!((full.code, full.retryable), (FaultCode::DiskFull, true), "{full:?}");
    assert!(full.message.contains(out.to_str().expect("Unicode")), "{full:?}");
    assert!(full.message.contains("disk is full"), "{full:?}");

    // Nor is a look written among the daemon's own files.
    for inside in ["", "blobs", "partial/mod", "new"] {
        let refused = fault(bob.try_fetch(&alice.player, Some(&bob.data().join(inside))).await);
        assert!(refused.message.contains("keeps its own files"), "{inside}: {refused:?}");
    }
    disk.resize("20m");
    let fetched = bob.try_fetch(&alice.player, Some(&out)).await.expect("there is space");
    assert_eq!(fetched.bytes_fetched, 0, "the cache has kept it");
}

/// As much of it as fits.
fn fill(path: &Path, bytes: usize) {
    fs::write(path, vec![0; bytes]).ok();
}

fn fill_up(path: &Path) {
    fill(path, 60 * MB);
}
